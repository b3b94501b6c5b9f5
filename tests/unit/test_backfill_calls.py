"""BackfillJob before the store: whose job it is, and until when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from scheduling_srv.app.ports import ListedJob
from scheduling_srv.app.requests.backfills import Backfills
from scheduling_srv.domain.errors import InvalidRequest, NotFound
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run_control import BackfillCall
from scheduling_srv.formats.v1.times import instant_of
from tests.store.shard import HOUR, MINUTE, NOW, every


class World:
    """One recurring job, and a clock."""

    def now(self) -> int:
        return NOW

    async def show(self, _ids: Sequence[str]) -> Sequence[ListedJob]:
        job = StoredJob(b"j", every("j", MINUTE, NOW).record)
        return [ListedJob(job, JobState.WAITING, NOW, NOW)]


def backfills() -> Backfills:
    world: Any = World()
    return Backfills(world, world, [], world)


def call(until: int) -> BackfillCall:
    return BackfillCall("j", NOW - HOUR, until, 1, "", dry_run=True)


async def test_it_may_end_at_the_instant_at_which_it_is_asked_for() -> None:
    """A part of a millisecond of the caller's instant is rounded up, one of the clock down."""
    asked = Timestamp()
    asked.FromDatetime(datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(microseconds=5))
    assert (await backfills().begin(call(instant_of(asked)))).runs
    with pytest.raises(InvalidRequest, match="ends by now"):
        await backfills().begin(call(instant_of(asked) + 1))


async def test_a_limited_caller_backfills_its_own_jobs() -> None:
    assert (await backfills().begin(call(NOW), Limits(types=frozenset({"t"})))).runs
    with pytest.raises(NotFound, match="no job with the id j"):
        await backfills().begin(call(NOW), Limits(types=frozenset({"mail"})))
