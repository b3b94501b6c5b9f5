"""Delivers the parts of decided changes to the shards that have to do them (docs/decisions/0004).

A parcel is delivered once it is on Kafka, and forgotten once what it did is there as well. So
neither a crash nor the loss of a shard's Redis loses or doubles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby, repeat

import structlog

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.changes import Change, unpack
from scheduling_srv.app.ports import Clock, InputStore, Receipt, Source, Transfers
from scheduling_srv.app.replies import Parcel
from scheduling_srv.domain.errors import OutcomeUnknown, StaleSource, StoreNotReady, Unavailable

log = structlog.get_logger(__name__)

LOOK = 1.0
"""Seconds after which an owner looks for parcels whose sender has died."""
PAUSE = 0.02
"""Seconds between looks while Kafka does not know a parcel yet."""


@dataclass(slots=True)
class Station:
    """A shard, as the courier sees it."""

    transfers: Transfers
    inputs: InputStore
    announcements: Announcements
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Courier:
    """Any replica may deliver; a parcel that two deliver arrives once."""

    def __init__(self, stations: Sequence[Station], clock: Clock) -> None:
        self.stations = stations
        self.clock = clock

    async def run(self, shard: int) -> None:
        """Deliver what the shard has sent, until cancelled: its owner's task."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.settle(shard)
            except Unavailable as fault:
                log.info("parcels wait", shard=shard, reason=str(fault))

    async def settle(self, shard: int) -> bool:
        """Deliver all that the shard has sent by now, and what follows from it.

        Waits for as long as it takes; says whether there was anything. Raises `Unavailable`: then
        it will be delivered later.
        """
        awaited: set[str] | None = None
        targets: set[int] = set()
        async with self.stations[shard].lock:
            for pause in chain((0.001, 0.002, 0.005), repeat(PAUSE)):
                parcels = await self.stations[shard].transfers.parcels()
                names = {parcel.name for parcel in parcels}
                awaited = names if awaited is None else awaited & names
                if not awaited:
                    break
                before = len(targets)
                # Somebody else may deliver them as well, or the target be rebuilt: look again.
                with suppress(StaleSource, StoreNotReady, OutcomeUnknown):
                    targets |= await self._round(shard, parcels)
                if len(targets) == before:
                    await asyncio.sleep(pause)
        for target in sorted(targets):
            await self.settle(target)
        return bool(targets)

    async def _round(self, shard: int, parcels: Sequence[Parcel]) -> set[int]:
        """Deliver what may be delivered; returns the targets."""
        ready = [(parcel, unpack(parcel.value)) for parcel in parcels if parcel.announced]
        ready.sort(key=lambda each: each[1].shard)
        targets = set()
        for target, group in groupby(ready, lambda each: each[1].shard):
            await self._deliver(shard, target, list(group))
            targets.add(target)
        return targets

    async def settle_all(self) -> bool:
        """The same for all shards."""
        return any([await self.settle(shard) for shard in range(len(self.stations))])

    async def _deliver(
        self, shard: int, target: int, changes: Sequence[tuple[Parcel, Change]]
    ) -> None:
        receipt = await self._apply(shard, target, changes)
        await self.stations[target].announcements.wait(receipt)
        for parcel, change in changes:
            await self.stations[shard].transfers.delivered(parcel.name, list(change.ids()))

    async def _apply(
        self, shard: int, target: int, changes: Sequence[tuple[Parcel, Change]]
    ) -> Receipt:
        """Returns the place in the target's outbox behind all of them."""
        station, name = self.stations[target], f"@{shard}"
        lineage, positions = await station.inputs.positions()
        stored, receipt = positions.get(name, 0), None
        for parcel, change in changes:
            behind = int(parcel.name) + 1
            if behind <= stored:
                receipt = None  # somebody has: where that ended is not known here
                continue
            source = Source(name, stored, behind, lineage)
            receipt = await station.transfers.commit(change, self.clock.now(), source=source)
            stored = behind
        return receipt or await station.inputs.append([], self.clock.now())
