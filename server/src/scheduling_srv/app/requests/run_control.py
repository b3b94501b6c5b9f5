"""The use cases that change single runs (docs/decisions/0030)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.id_steps import next_step
from scheduling_srv.app.run_control_ports import Cancelled, RunControlStore
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.errors import RunNotFound, Violation
from scheduling_srv.domain.run_control import CancelCall, Extension, RunName


class RunControl:
    """What callers change of runs."""

    def __init__(
        self, store: ShardedStore, shards: Sequence[RunControlStore], clock: Clock
    ) -> None:
        """`shards`: in their order."""
        self.store = store
        self.shards = shards
        self.clock = clock

    async def extend(self, asked: Extension) -> int:
        """Move the deadline of an unanswered attempt, never to an earlier instant; returns it.

        A rebuild forgets it. Raises `RunNotFound` and `Unavailable`.
        """
        shard = self.shards[asked.instance % len(self.shards)]
        deadline = await shard.extend(asked, self.clock.now())
        if deadline is None:
            sentence = f"No run with the instance id {asked.instance} waits for an answer."
            raise RunNotFound(sentence, [Violation("instance_id", sentence)])
        return deadline

    async def cancel(self, call: CancelCall) -> Progress:
        """Cancel open runs, one step. Ids of no open run are no error.

        Raises `InvalidRequest`, `FormatTooOld` and `Unavailable`.
        """
        step = next_step(call.ids, call.token)
        named = [name for name in map(RunName.parse, step.ids) if name]
        shards = range(len(self.shards)) if named else ()
        done = await asyncio.gather(
            *(self._cancel(shard, named, dry_run=call.dry_run) for shard in shards)
        )
        if not call.dry_run:
            await self.store.announced([stored for stored, _ in done])
        cancelled = sum(size for _, size in done)
        return Progress(cancelled, cancelled, step.token)

    async def _cancel(
        self, shard: int, runs: Sequence[RunName], *, dry_run: bool
    ) -> tuple[Stored, int]:
        """A shard passes over the runs of others."""
        floor, now, size = self.store.shards[shard].announcements.number, self.clock.now(), 0
        while True:
            done: Cancelled = await self.shards[shard].cancel(runs, now, dry_run=dry_run)
            runs, size = runs[done.looked_at :], size + done.open
            if not runs:
                return Stored(shard, done.receipt, floor, ends=True), size
