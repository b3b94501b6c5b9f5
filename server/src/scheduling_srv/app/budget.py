"""How much one call to the store may do (docs/decisions/0007).

A job that may replace another one counts three times: the other one is read and leaves every index.
"""

from __future__ import annotations

from scheduling_srv.app.ports import WriteGroup, WriteMode

LIST_JOBS = 1_000
"""Jobs of a list that is written in one call; a longer one goes in pieces."""
CALL_JOBS = 2_000
"""Jobs of several lists in one call."""
CALL_BYTES = 4_000_000
"""Bytes of its records."""
PIECE_JOBS = 125
"""Jobs of a piece of a long list, for every kind of change: runs of other jobs wait for a piece."""
PIECE_BYTES = 250_000
"""Bytes of a piece, or `SCHEDULING_MAX_JOB_BYTES` if that is less, unless a single job has more. It
is one record of the journal, which takes the largest job."""
DELETED_IDS = 125
"""Ids that one call deletes."""


def jobs_of(group: WriteGroup) -> int:
    """The count of the group in `LIST_JOBS` and `CALL_JOBS`."""
    return len(group.jobs) * (1 if group.mode is WriteMode.CREATE else 3)


def bytes_of(group: WriteGroup) -> int:
    """Bytes of its records."""
    return sum(len(job.record) for job in group.jobs)


def is_long(group: WriteGroup) -> bool:
    """Whether the group is too much for one call. A single job never is."""
    if len(group.jobs) <= 1:
        return False
    return jobs_of(group) > LIST_JOBS or bytes_of(group) > CALL_BYTES
