"""Every error that the texts and times of schedules raise.

    ScheduleError
    ├── Unparsable    a text is not in its grammar
    └── ElapsedTime   a one-time job is asked for an instant that has passed

``str(error)`` is a full sentence for the person who wrote the text. None is a `ValueError`: inside
the grammars that class carries reasons, and a refusal must pass them unchanged.
"""

from __future__ import annotations


class ScheduleError(Exception):
    """A text or an instant of a schedule is refused."""


class Unparsable(ScheduleError):
    """A text is not in its grammar (docs/contract.md)."""


class ElapsedTime(ScheduleError):
    """A one-time job is due more than a second in the past (docs/contract.md)."""
