"""The use cases that change single runs (docs/decisions/0030)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.backfills import Backfills
from scheduling_srv.app.requests.job_listing import JobListing, plain
from scheduling_srv.app.requests.request_names import name_of
from scheduling_srv.app.requests.run_cancels import RunCancels
from scheduling_srv.app.requests.selecting import select
from scheduling_srv.app.run_control_ports import RunControlStore, Step
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.errors import RunNotFound, Violation
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunBulkCall
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    NewRun,
    RunCall,
    Started,
)


class RunControl:
    """What callers change of runs."""

    def __init__(
        self,
        store: ShardedStore,
        listing: JobListing,
        shards: Sequence[RunControlStore],
        clock: Clock,
        *,
        backfills: Backfills,
        cancels: RunCancels,
    ) -> None:
        """`shards`: in their order."""
        self.store = store
        self.listing = listing
        self.shards = shards
        self.clock = clock
        self.backfills = backfills
        self.cancels = cancels

    async def extend(self, asked: Extension) -> int:
        """Move the deadline of an unanswered attempt, never to an earlier instant; returns it.

        A rebuild forgets it. Raises `RunNotFound`, `FormatTooOld` and `Unavailable`.
        """
        shard = self.shards[asked.instance % len(self.shards)]
        deadline = await shard.extend(asked, self.clock.now())
        if deadline is None:
            sentence = f"No run with the instance id {asked.instance} waits for an answer."
            raise RunNotFound(sentence, [Violation("instance_id", sentence)])
        return deadline

    async def run(self, call: RunCall) -> Started:
        """Run jobs now, one step: each gets a run beside its schedule. Unknown ids are no error.

        With a request id a repetition finds the runs of the first call, for 15 minutes. Raises
        `InvalidRequest`, `FormatTooOld`, `TooMany` and `Unavailable`.
        """
        name = name_of("RunJobs", call.request_id, _plain(call.bulk))
        step = await self._recalled(name) if name else None
        if step is None:
            chosen = await select(self.listing, call.bulk)
            step = Step(chosen.ids, len(chosen.jobs), chosen.token)
        if call.bulk.dry_run:
            return Started(Progress(step.matched, step.matched, step.token), [])
        runs = await self._run(step, name, call.bulk.within)
        return Started(Progress(step.matched, len(runs), step.token), runs)

    async def backfill(self, call: BackfillCall, within: Limits | None = None) -> Backfilled:
        """Run the occurrences of a job between two instants; see `Backfills.begin`."""
        return await self.backfills.begin(call, within)

    async def _recalled(self, name: str) -> Step | None:
        found = await asyncio.gather(*(shard.recall(name) for shard in self.shards))
        return next((step for step in found if step), None)

    async def _run(self, step: Step, name: str, within: Limits | None) -> Sequence[NewRun]:
        """Every shard looks for its own jobs."""
        if not step.ids:
            return []
        floors = [each.announcements.number for each in self.store.shards]
        now = self.clock.now()
        done = await asyncio.gather(*(shard.run(step, now, name, within) for shard in self.shards))
        await self.store.announced(
            [
                Stored(shard, each.receipt, floor)
                for shard, (each, floor) in enumerate(zip(done, floors, strict=True))
            ]
        )
        return [run for each in done for run in each.runs]

    async def cancel(self, call: RunBulkCall) -> Progress:
        """Cancel open runs, one step; see `RunCancels.cancel`."""
        return await self.cancels.cancel(call)


def _plain(call: BulkCall) -> object:
    """The same for equal calls, in every process."""
    wanted = call.selection
    asked = plain(wanted) if isinstance(wanted, JobFilter) else tuple(wanted)
    said = asked, call.dry_run, call.token
    if not call.within:
        return said
    return said, tuple(sorted(call.within.types)), tuple(sorted(call.within.creators))
