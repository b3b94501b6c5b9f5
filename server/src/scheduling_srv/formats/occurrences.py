"""The occurrences of a stored job between two instants, also before its first one."""

from __future__ import annotations

from collections.abc import Iterator

from scheduling_client.schedules.recurrence import Every, occurrences
from scheduling_srv.formats.messages import read_recurrence


def occurrences_within(record: bytes, known: int, since: int, until: int) -> Iterator[int]:
    """Those in [since, until), in order. `known` is one of an interval, and fixes its phase.

    Raises `InvalidRequest` for a job that does not recur.
    """
    found = read_recurrence(record, known)
    if isinstance(found, Every):
        found = Every(since + (known - since) % found.period, found.period)
    return occurrences(found, since - 1, until - 1)
