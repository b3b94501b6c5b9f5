"""Bulk calls of scheduling.v1: each is a step, and the caller loops until there is no token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits

Selection: TypeAlias = Sequence[str] | JobFilter
"""The ids of jobs, or which jobs."""


class BulkCall(NamedTuple):
    """One step of a bulk call."""

    selection: Selection
    dry_run: bool
    token: str
    within: Limits | None = None
    """Other jobs count as missing; None: the caller has no limits."""


class Progress(NamedTuple):
    """How far a step came."""

    matched: int
    changed: int
    token: str
    """For the next step; empty: all is done."""
