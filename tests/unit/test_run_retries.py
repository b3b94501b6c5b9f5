"""Failed runs of jobs that are gone are tried again: their jobs are created anew."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app.ports import Receipt, Refusal, WriteGroup
from scheduling_srv.app.requests.run_retries import RunRetries
from scheduling_srv.app.requests.unique_keys import UniqueKeys
from scheduling_srv.app.run_ports import Judged, RetryMode, RetryVerdict
from scheduling_srv.app.sharding.sharded_store import Stored
from scheduling_srv.domain.errors import KEY_TAKEN, UniqueKeyTaken
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunBulkCall, RunId
from scheduling_srv.formats.job_record import properties_of
from tests.store.shard import once

RECORD = once("a").record
KEYED = Properties(unique_key="only")
OLD, NEW, OTHER, ALIVE = RunId("a", 1, 1), RunId("a", 2, 2), RunId("b", 3, 3), RunId("c", 4, 4)


class World:
    """Two shards. The second one has the job `c`; the first one has the history of all runs."""

    def __init__(self) -> None:
        self.number, self.announcements = 0, self
        self.shards: list[Any] = [self, self]
        self.created: list[str] = []
        self.forgotten: list[RunId] = []
        self.records = {"a": RECORD, "b": RECORD}
        self.keys: dict[tuple[str, str], str] = {}
        """Type and unique key -> the job that has it."""
        self.most_judged = 100
        """Runs that a call comes to."""
        self.waiting, self.most_waiting = 0, 0
        self.raises = False
        """A taken unique key is raised, as by a store of several shards."""

    def now(self) -> int:
        return 5

    async def retry(
        self, runs: Sequence[RunId], _now: int, mode: RetryMode, _within: object = None
    ) -> tuple[Receipt, Sequence[Judged]]:
        if mode is RetryMode.FORGET:
            self.forgotten += runs
        records = [self.records.get(run.job_id, RECORD) for run in runs[: self.most_judged]]
        return Receipt("l", 1), [Judged(RetryVerdict.GONE, record) for record in records]

    async def holders(self, keys: Sequence[tuple[str, str]]) -> Sequence[str]:
        assert all(key for _, key in keys)
        return [self.keys.get(key, "") for key in keys]

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """One in a call."""
        return [StoredJob(b"c", RECORD) if ids[0] == "c" else None]

    async def write(self, group: WriteGroup) -> Stored | Refusal:
        (job_id,) = group.named
        (job,) = group.jobs
        if job_id in self.created or job_id == "c":
            return Refusal("exists", 0)
        key = properties_of(job.record).properties.unique_key
        assert group.has_keys == bool(key)
        if key and self.keys.setdefault(("t", key), job_id) != job_id:
            if self.raises:
                raise UniqueKeyTaken(KEY_TAKEN)
            return Refusal("unique", 0)
        self.created.append(job_id)
        return Stored(0, Receipt("l", 2), 0)

    async def announced(self, _changes: Sequence[Stored]) -> None:
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        await asyncio.sleep(0)
        self.waiting -= 1

    def check(self, _stored: Stored, _jobs: object) -> None:
        """All is well."""


async def retried(world: Any, *, dry_run: bool) -> tuple[int, int, list[tuple[str, str]]]:
    use_case = RunRetries(world, world, UniqueKeys([world]), [world], world)
    names = [str(run) for run in (NEW, OLD, OTHER, ALIVE)]
    matched, changed, token, refusals = await use_case.retry(RunBulkCall(names, dry_run, ""))
    assert token == ""
    return matched, changed, [(each.run_id, each.reason) for each in refusals]


async def test_jobs_are_created_together_and_each_id_once() -> None:
    world = World()
    refused = [(str(run), "JOB_EXISTS") for run in (OLD, ALIVE)]
    assert await retried(world, dry_run=True) == (4, 2, refused)
    assert (world.created, world.forgotten) == ([], [])
    matched, changed, refusals = await retried(world, dry_run=False)
    assert (matched, changed, sorted(refusals)) == (4, 2, refused)
    assert sorted(world.created) == ["a", "b"]
    assert {*world.forgotten} == {NEW, OTHER}
    assert world.most_waiting == 2


@pytest.mark.parametrize("raises", [True, False], ids=["several shards", "one shard"])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_job_whose_unique_key_is_taken(*, dry_run: bool, raises: bool) -> None:
    """It was said that the job itself lives, and a dry run counted it."""
    world = World()
    world.raises = raises
    world.records["b"] = once("b", properties=KEYED).record
    world.keys["t", "only"] = "another"
    _, changed, refusals = await retried(world, dry_run=dry_run)
    assert changed == 1
    assert (str(OTHER), "UNIQUE_KEY_TAKEN") in refusals


@pytest.mark.parametrize("judged", [1, 2, 100])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_of_two_jobs_with_one_unique_key_one_is_created(
    judged: int, *, dry_run: bool
) -> None:
    """Whether one call judges both, or the records are too large."""
    world = World()
    world.most_judged = judged
    world.records = {job_id: once(job_id, properties=KEYED).record for job_id in "ab"}
    _, changed, refusals = await retried(world, dry_run=dry_run)
    assert changed == 1
    assert (str(OTHER), "UNIQUE_KEY_TAKEN") in refusals
