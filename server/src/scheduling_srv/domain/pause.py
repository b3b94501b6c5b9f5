"""Pauses of jobs and types, as callers see them."""

from __future__ import annotations

from typing import NamedTuple


class Pause(NamedTuple):
    """Since when, why and by whom something is paused."""

    since: int
    """Epoch ms."""
    note: str = ""
    """The caller's reason."""
    by: str = ""
    """Who paused it, as the caller said."""


class Pauses(NamedTuple):
    """The pauses that concern a job."""

    own: Pause | None = None
    """None: the job itself is not paused."""
    of_type: Pause | None = None
    """None: its type is not paused."""


NOT_PAUSED = Pauses()
