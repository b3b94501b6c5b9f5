"""Applies consumed records: in order, each once, in the shards that they belong to.

The content of a record names the shard that applies it, once; only a delete of everything and a
reset are applied by each shard. So a record that is read again is never applied in another shard as
well, wherever its jobs live by then (docs/decisions/0004).

One shard applies everything, and reads each record when its turn comes. With several, a record is
read to find its shard, and keeps its content until it is applied (docs/decisions/0022).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scheduling_srv.app.commands.payloads import parse_payload
from scheduling_srv.app.ignored_triggers import IgnoredTriggers
from scheduling_srv.app.inputs.dead_letters import Letters
from scheduling_srv.app.inputs.event_reader import EventReader
from scheduling_srv.app.inputs.shard_inputs import CommandsPort, ShardInputs
from scheduling_srv.app.ports import WriteMode
from scheduling_srv.app.records import Command, Consumed, Content, Deletion, End, JobList
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.positions import Place

RESET = "reset"


class Route(NamedTuple):
    """Which shards apply a record, and whether all records before it have to be applied first."""

    shards: Sequence[int]
    alone: bool = False


NOWHERE = Route(())
"""Of a record that is nothing to us."""
FIRST = Route((0,))
"""Of a record that belongs to no shard in particular."""


class Consume:
    """Applies the records of partitions, and knows how far each of them is."""

    def __init__(
        self, jobs: Jobs, commands: CommandsPort, reader: EventReader, letters: Letters
    ) -> None:
        self.store = jobs.store
        self.reader = reader
        ignored = IgnoredTriggers("kafka")
        self.shards = [
            ShardInputs(
                shard,
                jobs=jobs,
                commands=commands,
                reader=reader,
                letters=letters,
                ignored=ignored,
            )
            for shard in range(self.store.count)
        ]

    def begin(self, shards: Sequence[Begun]) -> None:
        """Go on from where each shard is, with these partitions and no others."""
        for shard, begun in zip(self.shards, shards, strict=True):
            shard.begin(begun)

    def applied(self, place: Place) -> int:
        """The partition's position: all shards have applied the records before it."""
        return min([shard.applied(place) for shard in self.shards])

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """Apply records: a batch for each partition, in its order. Unknown keys are skipped.

        Records of several partitions go together. A shard passes over records that it has applied.
        Raises `StaleSource` and `Unavailable`: then records that were not applied have to come
        again.
        """
        if len(self.shards) == 1:
            await self.shards[0].apply(batches)
            return
        queues = [deque([await self._routed(record) for record in batch]) for batch in batches]
        while queues := [queue for queue in queues if queue]:
            await self._apply_shares(self._shares(queues))
            for queue in queues:
                if queue:
                    await self._apply_in_order(*queue.popleft())

    async def apply_alone(self, record: Consumed) -> None:
        """Apply one record; if that breaks, it is put aside. Raises as `apply` does."""
        if len(self.shards) == 1:
            await self.shards[0].apply_alone(record)
            return
        try:
            record, route = await self._routed(record)
        except Exception as fault:  # noqa: BLE001 - a fault of ours: no shard is known
            await self.shards[0].put_aside(record, fault)
            return
        await self._apply_in_order(record, route, alone=True)

    async def skip(self, ends: Mapping[Place, End]) -> None:
        """Store positions after records that are nothing to us; others are left alone."""
        for shard in self.shards:
            await shard.skip(ends)

    async def settle(self) -> None:
        """Return when the records that were applied have reached all shards that they concern."""
        await self.store.courier.settle_all()

    # --- Several shards -------------------------------------------------------------------------

    def _shares(
        self, queues: Sequence[deque[tuple[Consumed, Route]]]
    ) -> Sequence[Sequence[Sequence[Consumed]]]:
        """For each shard its batches, up to the next record of each queue that goes alone."""
        shares: list[list[list[Consumed]]] = [[] for _ in self.shards]
        for queue in queues:
            own: list[list[Consumed]] = [[] for _ in self.shards]
            while queue and not queue[0][1].alone:
                record, route = queue.popleft()
                for shard in route.shards:
                    own[shard].append(record)
            for share, records in zip(shares, own, strict=True):
                share.append(records)
        return shares

    async def _apply_shares(self, shares: Sequence[Sequence[Sequence[Consumed]]]) -> None:
        calls = [
            shard.apply(batches)
            for shard, batches in zip(self.shards, shares, strict=True)
            if any(batches)
        ]
        # All of them come to their end: none may go on after this has raised.
        for fault in await asyncio.gather(*calls, return_exceptions=True):
            if fault:
                raise fault

    async def _apply_in_order(self, record: Consumed, route: Route, *, alone: bool = False) -> None:
        if len(route.shards) > 1:
            await self.settle()
        for number in route.shards:
            shard = self.shards[number]
            if alone:
                await shard.apply_alone(record)
            else:
                await shard.apply([[record]])

    async def _routed(self, record: Consumed) -> tuple[Consumed, Route]:
        """By nothing but the content of the record, which it then keeps."""
        content = await self.reader.read(record)
        return record._replace(content=content), self._route(content)

    def _route(self, content: Content | None) -> Route:
        match content:
            case Answer():
                return Route((content.instance % len(self.shards),))
            case JobList():
                return self._route_of_list(content)
            case Deletion():
                return self._route_of_deletion(content)
            case Command():
                return self._route_of_command(content)
            case RequestError():
                return FIRST
        return NOWHERE

    def _route_of_list(self, wanted: JobList) -> Route:
        shards = [shard_of(item.type, len(self.shards)) for item in wanted.requests] or [0]
        named = wanted.mode is not WriteMode.CREATE or any(item.id for item in wanted.requests)
        return Route(shards[:1], alone=named or len({*shards}) > 1)

    def _route_of_deletion(self, wanted: Deletion) -> Route:
        if wanted.everything:
            return Route(range(len(self.shards)), alone=True)
        first = wanted.ids[0] if wanted.ids else ""
        return Route((shard_of(first, len(self.shards)),), alone=True)

    def _route_of_command(self, command: Command) -> Route:
        if command.fault:
            return FIRST
        if command.name != RESET:
            return Route((0,), alone=True)
        try:
            parse_payload(command.payload)
        except RequestError:
            return FIRST
        # The one that answers comes last: then all of it is done.
        return Route((*range(1, len(self.shards)), 0), alone=True)
