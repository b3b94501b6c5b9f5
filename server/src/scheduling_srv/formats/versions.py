"""The versions of stored data: which this version of the service reads, and which it writes.

The rules are in docs/decisions/0024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.errors import NewerData


class Format(NamedTuple):
    """The versions of the records that a format may hold, beside those of earlier formats."""

    job: int
    """Of the record of a job; the header has room for 0 to 7."""
    run: int
    """Of an unanswered run."""


FORMATS: Sequence[Format] = (
    Format(job=0, run=0),  # of version 0.1, up to commit e0dce88, which notes no format
    Format(job=1, run=1),
    Format(job=3, run=2),  # scheduling.v1 (docs/decisions/0030); 2: a job with MORE or large parts
)
"""By their numbers, from 0."""
READS = 2
"""The newest format that this version reads. It reads all earlier ones as well."""
WRITES = 1
"""The format to which this version raises a store: one that the version before it reads."""
FRESH = 2
"""The format of a new deployment: no version before has used it."""

NAMES = {"format": "format", "job": "a job record of version", "run": "a run of version"}


def newest(what: str) -> int:
    """The newest number of a format, a job record or a run that is read."""
    known: int = READS if what == "format" else getattr(FORMATS[READS], what)
    return known


def with_job(version: int) -> int:
    """The earliest format that may hold a job record of this version, which is known."""
    return next(number for number, each in enumerate(FORMATS) if each.job >= version)


def newer(what: str, found: int) -> NewerData:
    """The error for a format, a job record or a run with a number that is not known."""
    return NewerData(
        f"The stored data is newer than this version of the service: it has {NAMES[what]} {found},"
        f" and this version reads up to {newest(what)}. Start the version that wrote the data, or a"
        " later one."
    )


def check_format(found: int) -> None:
    """Raises `NewerData` for a format that is not known."""
    if found > READS:
        raise newer("format", found)
