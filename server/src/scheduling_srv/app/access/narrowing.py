"""Filters, narrowed to the limits of a caller (docs/decisions/0033)."""

from __future__ import annotations

from dataclasses import replace

from scheduling_srv.app.access.callers import Limits
from scheduling_srv.domain.errors import Forbidden
from scheduling_srv.domain.event import EventFilter


def events_within(wanted: EventFilter, within: Limits | None) -> EventFilter:
    """The events of the jobs that a caller may see. Raises `Forbidden`: events have no creators."""
    if within is None:
        return wanted
    if within.creators:
        raise Forbidden(
            f"This caller is limited to {within}, and events do not tell who created their job."
        )
    return replace(wanted, types=within.types)
