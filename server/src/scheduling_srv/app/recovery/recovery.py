"""The steps of a new owner before it stages or publishes (docs/decisions/0001)."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import structlog

from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.log_ports import Publisher, RunHistory
from scheduling_srv.app.ports import Clock, JobStore, ShardStore
from scheduling_srv.app.recovery.hanging import HangingTransactions
from scheduling_srv.app.recovery.rebuild import SKEW, Rebuild, Recovered, new_incarnation
from scheduling_srv.app.replies import ShardState
from scheduling_srv.domain.errors import NewerData, StartError, Undecided
from scheduling_srv.domain.stored_format import ShardFormat, StoredFormat
from scheduling_srv.formats.position_record import Position, with_inputs
from scheduling_srv.formats.versions import WRITES, check_format
from scheduling_srv.runtime import metrics

log = structlog.get_logger(__name__)

STARTING_MS = 60_000
"""A process that is older waits, and does not end (decision 7)."""


class Recovery:
    """Fences the old owner and finds out where the outbox stands."""

    def __init__(
        self,
        shard: ShardStore,
        publisher: Publisher,
        history: RunHistory,
        rebuild: Rebuild,
        *,
        store: JobStore,
        known: KnownRuns,
        hanging: HangingTransactions,
        clock: Clock,
        neighbours: Alone | None = None,
        format: ShardFormat | None = None,  # noqa: A002 - its name in the docs
    ) -> None:
        self.neighbours = neighbours or Alone()
        self.format = format or ShardFormat(StoredFormat())
        self.store = store
        self.known = known
        self.hanging = hanging
        self.shard = shard
        self.publisher = publisher
        self.history = history
        self.rebuild = rebuild
        self.clock = clock
        self.began_at = clock.now()

    async def run_once(
        self, token: str, *, careful: bool = False, fenced: bool = False
    ) -> Recovered:
        """The position to continue from, and the lineage of the store that it was found for.

        `careful`: opens the publisher in the mode that finds refused records. `fenced`: this owner
        was fenced, although its Redis knows of no other owner.

        Raises `PublishFailed`, `LogUnavailable`, `StoreUnavailable` and `LeaseLost`; `StartError`
        when a service that is not a replica of this one would be disturbed, or when a process that
        is starting finds the position of a later version; later that is `NewerData`.
        """
        state = await self.shard.state()
        if not state.ready:
            await self.neighbours.check()
        elif fenced or self.neighbours.in_conflict:
            await self.neighbours.after_fencing()
        try:
            recovered = await self._recover(token, careful=careful)
        except Undecided as fault:
            # Everybody is fenced. A broker that was killed may come back without a last marker.
            log.warning("a transaction has lost its end", reason=str(fault))
            await self.publisher.settle([*await self.hanging.find()])
            recovered = await self._recover(token, careful=careful)
        await self.shard.note_compared(token, recovered[1])
        await self.shard.note_backlog(token)
        await self.shard.note_shards()
        await self.neighbours.note()
        await self.store.sweep()  # a crash may have interrupted a delete of everything
        position, lineage = recovered
        newest = max(position.format, state.format, WRITES, self.format.number)
        self.format.note(newest)
        return replace(position, deployment=self.neighbours.deployment.id, format=newest), lineage

    async def _recover(self, token: str, *, careful: bool) -> Recovered:
        self.known.begin({})
        await self.publisher.open(careful=careful)  # from here on nobody else can commit
        position = await self.history.last_position()
        if position:
            self._check_format(position)
        state = await self.shard.state()
        if state.ready:
            metrics.RECOVERIES.labels(how="redis").inc()
            return await self._settle(token, state, position)
        if position is None and not await has_records(self.history):
            return await self._first_start(token)
        metrics.RECOVERIES.labels(how="rebuilt").inc()
        return await self._rebuild(token, position or await self._unknown_position())

    def _check_format(self, position: Position) -> None:
        try:
            check_format(position.format)
        except NewerData as fault:
            if self.clock.now() - self.began_at < STARTING_MS:
                raise StartError(str(fault)) from fault
            raise

    async def _settle(self, token: str, state: ShardState, position: Position | None) -> Recovered:
        if position is None:
            if state.trimmed:
                log.warning("no position on Kafka: its topics are new", going_on=state.trimmed)
            await self.shard.mark_inputs(token, self.clock.now())
            return Position(state.trimmed, state.incarnation), state.lineage
        if position.number > state.taken:
            log.error("Redis has lost writes", published=position.number, noted=state.taken)
            return await self._rebuild(token, position)
        ahead = await self._runs_ahead(position, state)
        if max(ahead, default=0) > state.taken:
            log.error("Redis has lost writes", published=max(ahead), noted=state.taken)
            return await self._rebuild(token, position)
        if position.incarnation not in {state.incarnation, state.origin}:
            log.error(
                "Redis holds other data than the position",
                published=position.incarnation,
            )
            return await self._rebuild(token, position)
        if position.number < state.trimmed:
            log.warning(
                "Kafka has lost a position", published=position.number, trimmed=state.trimmed
            )
        number = max(position.number, state.trimmed)
        self.known.begin(ahead)
        return replace(position, number=number, incarnation=state.incarnation), state.lineage

    async def _rebuild(self, token: str, position: Position) -> Recovered:
        await self.neighbours.before_rebuild(position.deployment)
        if self.format.number > max(position.format, WRITES):  # no run was published in it
            position = replace(position, format=self.format.number)
        return await self.rebuild.run(token, position)

    async def _runs_ahead(self, position: Position, state: ShardState) -> dict[int, bytes]:
        """Runs on Kafka after its position: number of the entry -> occurrence id (decision 5).

        Only runs that were sent at once can be there. If Redis has not handed one of them out, it
        has lost it. That is possible if the runs came from another one, or another life of its
        data.
        """
        if not position.lineage:
            return {}
        if position.lineage != state.lineage or state.lineage.endswith(":"):
            pieces = self.history.jobs_since(max(0, position.at - SKEW))
        elif position.number < state.taken:
            pieces = self.history.jobs_after(position.runs, max(0, position.at - SKEW))
        else:
            return {}
        incarnation, found = state.incarnation.encode(), dict[int, bytes]()
        async with aclosing(pieces):
            async for piece in pieces:
                for entry in piece:
                    name, _, text = entry.headers.get("event-id", b"").rpartition(b"-")
                    if name != incarnation or not text.isdigit() or entry.key != b"queuedJob":
                        continue
                    if (number := int(text)) > position.number:
                        found[number] = entry.headers.get("occurrence-id", b"")
        return found

    async def _unknown_position(self) -> Position:
        """There is a journal, but no position: all of it is looked at."""
        return with_inputs(Position(0, ""), await self.history.input_starts())

    async def _first_start(self, token: str) -> Recovered:
        now = self.clock.now()
        first = self.neighbours.first_instance
        position = Position(0, new_incarnation(), at=now, instance=first, format=self.format.number)
        position = with_inputs(position, await self.history.input_starts())
        lineage = await self.shard.initialise(token, position, now)
        log.info("a new schedule begins", incarnation=position.incarnation)
        return position, lineage


async def has_records(history: RunHistory) -> bool:
    """Whether the journal of the shard holds anything."""
    async with aclosing(history.journal()) as pieces:
        async for piece in pieces:
            if piece:
                return True
    return False
