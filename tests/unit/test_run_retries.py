"""Failed runs of jobs that are gone are tried again: their jobs are created anew."""

import asyncio
from collections.abc import Sequence
from typing import Any

from scheduling_srv.app.ports import Receipt, Refusal, WriteGroup
from scheduling_srv.app.requests.run_retries import RunRetries
from scheduling_srv.app.run_ports import Judged, RetryMode, RetryVerdict
from scheduling_srv.app.sharding.sharded_store import Stored
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.run import RunBulkCall, RunId
from tests.store.shard import once

RECORD = once("a").record
OLD, NEW, OTHER, ALIVE = RunId("a", 1, 1), RunId("a", 2, 2), RunId("b", 3, 3), RunId("c", 4, 4)


class World:
    """Two shards. The second one has the job `c`; the first one has the history of all runs."""

    def __init__(self) -> None:
        self.number, self.announcements = 0, self
        self.shards: list[Any] = [self, self]
        self.created: list[str] = []
        self.forgotten: list[RunId] = []
        self.keyless = ""
        """Another job has the unique key of this one."""
        self.waiting, self.most_waiting = 0, 0

    def now(self) -> int:
        return 5

    async def retry(
        self, runs: Sequence[RunId], _now: int, mode: RetryMode, _within: object = None
    ) -> tuple[Receipt, Sequence[Judged]]:
        if mode is RetryMode.FORGET:
            self.forgotten += runs
        return Receipt("l", 1), [Judged(RetryVerdict.GONE, RECORD)] * len(runs)

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """One in a call."""
        return [StoredJob(b"c", RECORD) if ids[0] == "c" else None]

    async def write(self, group: WriteGroup) -> Stored | Refusal:
        (job_id,) = group.named
        if job_id == self.keyless:
            return Refusal("unique", 0)
        if job_id in self.created or job_id == "c":
            return Refusal("exists", 0)
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
    use_case = RunRetries(world, world, [world], world)
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


async def test_a_job_whose_unique_key_is_taken() -> None:
    """It was said that the job itself lives."""
    world = World()
    world.keyless = "b"
    _, changed, refusals = await retried(world, dry_run=False)
    assert changed == 1
    assert (str(OTHER), "UNIQUE_KEY_TAKEN") in refusals
