"""What the listener has applied, where each shard has positions of its own (decision 4).

Of each partition it is read from the smallest of them; what a shard has applied it does not apply
again. To the listener this looks like the one store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from scheduling_srv.app.ports import Answer, Answered, InputStore, Receipt, Source

SEPARATOR = " "
"""Between the lineages of the shards."""


class ShardedInputs:
    """Implements `InputStore` over all shards, for one listener."""

    def __init__(self, inputs: Sequence[InputStore]) -> None:
        self.inputs = inputs
        self.lineages = [""] * len(inputs)
        self.places: dict[str, list[int]] = {}
        """Partition -> position in each shard, as far as this listener knows."""

    async def positions(self) -> tuple[str, Mapping[str, int]]:
        """The smallest of each partition; one that a shard does not know begins there anew."""
        answers = await asyncio.gather(*(each.positions() for each in self.inputs))
        self.lineages = [lineage for lineage, _ in answers]
        names = {name for _, found in answers for name in found if not name.startswith("@")}
        self.places = {
            name: [found[name] for _, found in answers]
            for name in names
            if all(name in found for _, found in answers)
        }
        smallest = {name: min(places) for name, places in self.places.items()}
        return SEPARATOR.join(self.lineages), smallest

    async def set_position(
        self, partition: str, stored: int | None, offset: int, lineage: str, now: int
    ) -> None:
        """Begin the partition, or take the shards that are outside of the log back into it."""
        answers = await asyncio.gather(*(each.positions() for each in self.inputs))
        wanted = []
        for _, found in answers:
            there = found.get(partition)
            if there is None or stored is None:
                wanted.append(offset if there is None else max(there, offset))
            else:
                wanted.append(max(there, offset) if offset > stored else min(there, offset))
        for shard, (known, found) in enumerate(answers):
            if found.get(partition) != wanted[shard]:
                await self.inputs[shard].set_position(
                    partition, found.get(partition), wanted[shard], known, now
                )
        del lineage  # each shard has its own
        self.places[partition] = wanted

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        """Store a position in all shards that are behind it."""
        if entries or source is None:
            raise NotImplementedError  # what is announced belongs to one shard
        places = self.places[source.partition]
        receipt = Receipt("", 0)
        for shard, stored in enumerate(places):
            if stored < source.next:
                own = Source(source.partition, stored, source.next, self.lineages[shard])
                receipt = await self.inputs[shard].append([], now, own)
                places[shard] = source.next
        return receipt

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        """Not here: each answer belongs to one shard."""
        raise NotImplementedError

    async def show_offset(self, topic: str, partition: int, offset: int) -> None:
        """All shards are there by now."""
        await self.inputs[0].show_offset(topic, partition, offset)
