"""Delivers the parts of decided changes to the shards that have to do them (docs/decisions/0004).

A parcel is delivered once it is on Kafka, and forgotten once what it did is there as well. So
neither a crash nor the loss of a shard's Redis loses or doubles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain, groupby, repeat

import structlog

from scheduling_srv.app.ports import Clock, Receipt, Source
from scheduling_srv.app.replies import Parcel
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.domain.errors import (
    Contended,
    OutcomeUnknown,
    StaleSource,
    StoreNotReady,
    Unavailable,
)
from scheduling_srv.formats.changes import Change, unpack
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

GENERATIONS = 2
"""A change sends parcels, a parcel may send others, and those send none (`changes.py`)."""
LOOK = 1.0
"""Seconds after which an owner looks for parcels whose sender has died."""
PAUSE_SECONDS = 0.02
"""Seconds between looks while Kafka does not know a parcel yet."""
PATIENCE_SECONDS = 10.0
"""Seconds to wait until Kafka knows what a parcel did, before looking again."""
LOOK_AGAIN = (StaleSource, StoreNotReady, OutcomeUnknown, Contended, TimeoutError)
"""Somebody else delivers as well, or decides about a job, or the target is rebuilt."""


class Courier:
    """Any replica may deliver; a parcel that two deliver arrives once."""

    def __init__(self, shards: Sequence[ShardPorts], clock: Clock) -> None:
        self.shards = shards
        self.locks = [asyncio.Lock() for _ in shards]
        self.clock = clock

    async def run(self, shard: int) -> None:
        """Deliver what the shard has sent, until cancelled: its owner's task."""
        names = "changes for other shards wait", "changes for other shards go on"
        with State(*names, shard=shard).watched() as state:
            while True:
                await asyncio.sleep(LOOK)
                try:
                    await self.settle(shard)
                except Unavailable as fault:
                    state.fails(str(fault))
                else:
                    state.works()

    async def settle(self, shard: int) -> bool:
        """Deliver all that the shard has sent by now.

        Waits for as long as it takes; says whether there was anything. Raises `Unavailable`: then
        it will be delivered later.
        """
        pauses = chain((0.001, 0.002, 0.005), repeat(PAUSE_SECONDS))
        async with self.locks[shard]:
            parcels = await self.shards[shard].transfers.parcels()
            first = awaited = {parcel.name for parcel in parcels}
            while awaited:
                if not await self._round(shard, parcels):
                    await asyncio.sleep(next(pauses))
                parcels = await self.shards[shard].transfers.parcels()
                awaited = awaited & {parcel.name for parcel in parcels}
        return bool(first)

    async def settle_change(self, change: Change) -> None:
        """The same for what follows from one change, and no more: others go on all the time."""
        changes: Sequence[Change] = [change]
        while changes := [each for each in changes if each.then]:
            for shard in sorted({each.shard for each in changes}):
                await self.settle(shard)
            changes = [later for each in changes for later in each.then]

    async def settle_all(self) -> None:
        """Return when all changes that are stored by now have been done, in all shards.

        A round ends when each parcel that existed at its beginning has been delivered, by whichever
        courier. So the first round ends with the first generation of every change, the next one
        with the next generation. One shard sends nothing.
        """
        if len(self.shards) == 1:
            return
        for _ in range(GENERATIONS):
            for shard in range(len(self.shards)):
                await self.settle(shard)

    async def carries(self, ends: Sequence[int]) -> bool:
        """Whether a parcel is on its way that was sent before the end of its shard's outbox.

        `ends` has an entry number for each shard. Raises `Unavailable`.
        """
        sent = await asyncio.gather(*(shard.transfers.parcels() for shard in self.shards))
        return any(
            int(parcel.name) < end
            for parcels, end in zip(sent, ends, strict=True)
            for parcel in parcels
        )

    async def arrivals(self) -> Sequence[Mapping[str, int]]:
        """How far each shard has applied the parcels of each other one. Raises `Unavailable`."""
        found = await asyncio.gather(*(shard.inputs.positions() for shard in self.shards))
        senders = [_sender(shard) for shard in range(len(self.shards))]
        return [
            {name: positions[name].next for name in senders if name in positions}
            for _, positions in found
        ]

    async def _round(self, shard: int, parcels: Sequence[Parcel]) -> bool:
        """Deliver what may be delivered, to each target by itself; says whether any was."""
        ready = [(parcel, unpack(parcel.value)) for parcel in parcels if parcel.announced]
        ready.sort(key=lambda each: each[1].shard)
        outcomes = await asyncio.gather(
            *(
                self._deliver(shard, target, list(group))
                for target, group in groupby(ready, lambda each: each[1].shard)
            ),
            return_exceptions=True,
        )
        faults = [outcome for outcome in outcomes if outcome]
        for fault in faults:
            if not isinstance(fault, LOOK_AGAIN):
                raise fault
        return len(faults) < len(outcomes)

    async def _deliver(
        self, shard: int, target: int, changes: Sequence[tuple[Parcel, Change]]
    ) -> None:
        receipt = await self._apply(shard, target, changes)
        async with asyncio.timeout(
            PATIENCE_SECONDS
        ):  # the receipt may be of a store that is no more
            await self.shards[target].announcements.wait(receipt)
        for parcel, change in changes:
            await self.shards[shard].transfers.delivered(parcel.name, list(change.ids()))

    async def _apply(
        self, shard: int, target: int, changes: Sequence[tuple[Parcel, Change]]
    ) -> Receipt:
        """Returns the place in the target's outbox behind all of them."""
        ports, name = self.shards[target], _sender(shard)
        lineage, positions = await ports.inputs.positions()
        known, receipt = positions.get(name), None
        stored = known.next if known else 0
        for parcel, change in changes:
            behind = int(parcel.name) + 1
            if behind <= stored:
                receipt = None  # somebody has: where that ended is not known here
                continue
            source = Source(name, stored, behind, lineage)
            receipt = await ports.transfers.commit(change, self.clock.now(), source=source)
            if receipt is None:
                raise Contended("Somebody decides about a job that is on its way.")
            stored = behind
        if receipt is None:
            receipt = await ports.inputs.append([], self.clock.now())
            if receipt.lineage != lineage:
                raise StaleSource("The target may have lost what the parcels did.")
        return receipt


def _sender(shard: int) -> str:
    """The name of a shard among the partitions whose positions a shard stores."""
    return f"@{shard}"
