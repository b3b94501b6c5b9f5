"""The use case that cancels open runs (docs/decisions/0030)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.run_selecting import SelectedRuns, select_runs
from scheduling_srv.app.run_control_ports import RunControlStore, Target
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.run import OPEN, RunBulkCall, RunFilter, RunState


class RunCancels:
    """Of one replica, over all shards."""

    def __init__(
        self,
        store: ShardedStore,
        listing: RunListing,
        shards: Sequence[RunControlStore],
        clock: Clock,
    ) -> None:
        """`shards`: in their order."""
        self.store = store
        self.listing = listing
        self.shards = shards
        self.clock = clock

    async def cancel(self, call: RunBulkCall) -> Progress:
        """Cancel open runs, one step. Ids of no open run are no error.

        A cancelled run does not match again, so a step may be repeated. Raises `InvalidRequest`,
        `FormatTooOld` and `Unavailable`.
        """
        selected = await select_runs(self.listing, call, open_only)
        targets = _targets(selected)
        shards = range(len(self.shards)) if targets else ()
        done = await asyncio.gather(*(self._cancel(shard, targets, call) for shard in shards))
        if not call.dry_run:
            await self.store.announced([stored for stored, _ in done])
        cancelled = sum(size for _, size in done)
        return Progress(cancelled, cancelled, selected.token)

    async def _cancel(
        self, shard: int, targets: Sequence[Target], call: RunBulkCall
    ) -> tuple[Stored, int]:
        """A shard passes over the runs of others."""
        floor, now, size = self.store.shards[shard].announcements.number, self.clock.now(), 0
        while True:
            done = await self.shards[shard].cancel(
                targets, now, dry_run=call.dry_run, within=call.within
            )
            targets, size = targets[done.looked_at :], size + done.open
            if not targets:
                return Stored(shard, done.receipt, floor, ends=True), size


def _targets(selected: SelectedRuns) -> Sequence[Target]:
    if not selected.listed:
        return [Target(run) for run in selected.ids]
    return [
        Target(run.id, run.instance)
        if run.state is RunState.RUNNING
        else Target(run.id, attempt=run.attempts + 1)
        for run in selected.listed
    ]


def open_only(wanted: RunFilter) -> RunFilter | None:
    """The same filter, of runs that are open; None: it excludes them."""
    states = wanted.states & OPEN if wanted.states else OPEN
    if not states or wanted.outcomes or wanted.error:
        return None
    return replace(wanted, states=states)
