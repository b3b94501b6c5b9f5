"""The quota of living jobs: what counts, when the store is asked, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from scheduling_srv.app.ports import WriteGroup, WriteMode
from scheduling_srv.app.sharding.live_jobs import FRESH_SECONDS, RETRY_SECONDS, LiveJobs
from scheduling_srv.domain.errors import InvalidRequest, OverQuota
from scheduling_srv.domain.job import NewJob, StoredJob, TriggerKind
from tests.store.shard import job

ME = "me"


def new(job_id: str, creator: str = ME, kind: TriggerKind = TriggerKind.ONCE) -> NewJob:
    return job(job_id, kind, 0, creator=creator)


def group(*jobs: NewJob, mode: WriteMode = WriteMode.CREATE) -> WriteGroup:
    return WriteGroup(mode, jobs)


class World:
    """A store, and a quota of ten."""

    def __init__(self) -> None:
        self.living: Counter[str] = Counter()
        self.stored: dict[str, NewJob] = {}
        self.asked = 0
        self.now = 0.0
        self.quota = LiveJobs(10, self.count, self.get, lambda: self.now)

    async def count(self, creator: str) -> int:
        self.asked += 1
        return self.living[creator]

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        found = self.stored.get(ids[0])  # one at a time
        return [StoredJob(found.id.encode(), found.record) if found else None]

    async def write(self, *jobs: NewJob, mode: WriteMode = WriteMode.CREATE) -> None:
        added = await self.quota.admit(group(*jobs, mode=mode))
        self.living.update(added)
        self.quota.release(added)

    async def refused(self, *jobs: NewJob, mode: WriteMode = WriteMode.CREATE) -> OverQuota:
        with pytest.raises(OverQuota) as caught:
            await self.write(*jobs, mode=mode)
        return caught.value


def some(count: int, creator: str = ME) -> list[NewJob]:
    return [new(f"{creator}{number}", creator) for number in range(count)]


async def test_a_creator_has_so_many_jobs_and_no_more() -> None:
    world = World()
    await world.write(*some(8))
    fault = await world.refused(*some(3))
    assert str(fault).startswith("me has 8 jobs, and may have 10 (SCHEDULING_QUOTA_JOBS)")
    assert (fault.subject, fault.retry_seconds) == ("creator:me", RETRY_SECONDS)
    await world.write(*some(2))
    await world.refused(new("x"))
    await world.write(*some(10, "you"))


async def test_jobs_that_run_at_once_do_not_count_and_need_no_creator() -> None:
    world = World()
    await world.write(*[new(str(number), "", TriggerKind.NOW) for number in range(50)])
    assert world.asked == 0
    with pytest.raises(InvalidRequest, match="needs a creator"):
        await world.write(new("x"), new("y", ""))


async def test_the_store_is_asked_seldom_while_there_is_room() -> None:
    world = World()
    for number in range(8):
        await world.write(new(str(number)))
    assert world.asked == 1
    world.now += FRESH_SECONDS + 0.1
    await world.write(new("x"))
    assert world.asked == 2


async def test_jobs_that_are_gone_make_room_at_once() -> None:
    world = World()
    await world.write(*some(10))
    world.living[ME] = 4
    await world.write(*some(6))


async def test_jobs_under_way_count() -> None:
    world = World()
    added = await world.quota.admit(group(*some(6)))
    await world.refused(*some(6))
    world.quota.release(added)  # the store refused them
    world.now += FRESH_SECONDS + 0.1
    await world.write(*some(6))
    assert not world.quota._under_way


async def test_what_replaces_a_job_of_the_same_creator_is_no_new_one() -> None:
    world = World()
    jobs = some(10)
    await world.write(*jobs)
    world.stored = {each.id: each for each in jobs}
    for mode in (WriteMode.UPDATE, WriteMode.UPSERT):
        await world.write(*jobs, mode=mode)
        world.living[ME] = 10
        await world.refused(*jobs, new("x"), mode=mode)
    await world.write(*some(10, "you"))
    await world.refused(new("you0", ME), mode=WriteMode.UPDATE)


async def test_the_lists_of_records_that_were_admitted_are_written_first() -> None:
    world, settled = World(), list[int]()

    async def settle() -> None:
        settled.append(world.asked)

    world.quota.release(await world.quota.admit(group(*some(6)), settle))
    world.quota.release(await world.quota.admit(group(*some(4)), settle))
    with pytest.raises(OverQuota):
        world.living[ME] = 10
        await world.quota.admit(group(new("x")), settle)
    assert settled == [0, 1]
