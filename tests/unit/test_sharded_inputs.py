"""Of each partition the smallest position counts, and each shard keeps its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scheduling_srv.app.ports import Receipt, Source
from scheduling_srv.app.sharded_inputs import ShardedInputs


class Inputs:
    def __init__(self, number: int, positions: dict[str, int]) -> None:
        self.lineage, self.stored = f"l{number}", positions

    async def positions(self) -> tuple[str, Mapping[str, int]]:
        return self.lineage, dict(self.stored)

    async def set_position(
        self, partition: str, stored: int | None, offset: int, lineage: str, now: int
    ) -> None:
        del now
        assert (self.stored.get(partition), self.lineage) == (stored, lineage)
        self.stored[partition] = offset

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        del now
        assert source
        assert not entries
        assert (self.stored[source.partition], self.lineage) == (source.stored, source.lineage)
        assert source.next > source.stored
        self.stored[source.partition] = source.next
        return Receipt(self.lineage, 1)


def of(*positions: dict[str, int]) -> tuple[ShardedInputs, list[Inputs]]:
    inputs = [Inputs(number, each) for number, each in enumerate(positions)]
    stores: Any = inputs
    return ShardedInputs(stores), inputs


async def test_the_smallest_position_is_read_from() -> None:
    sharded, _ = of({"jobs:0": 7, "@1": 3}, {"jobs:0": 5, "jobs:1": 2})
    lineage, positions = await sharded.positions()
    assert positions == {"jobs:0": 5}  # what one does not know begins anew
    assert lineage == "l0 l1"
    assert sharded.places == {"jobs:0": [7, 5]}


async def test_shards_that_are_behind_are_brought_along() -> None:
    sharded, inputs = of({"jobs:0": 7}, {"jobs:0": 5}, {"jobs:0": 9})
    lineage, _ = await sharded.positions()
    await sharded.append([], 0, Source("jobs:0", 5, 9, lineage))
    assert [each.stored["jobs:0"] for each in inputs] == [9, 9, 9]
    assert sharded.places["jobs:0"] == [9, 9, 9]


@pytest.mark.parametrize(
    ("before", "stored", "offset", "after"),
    [
        ([None, None], None, 4, [4, 4]),  # a new partition
        ([8, None], None, 4, [8, 4]),
        ([3, 9], 3, 5, [5, 9]),  # the log begins later by now
        ([30, 90], 30, 2, [2, 2]),  # the topic is a new one
    ],
)
async def test_a_position_outside_of_the_log_is_mended(
    before: list[int | None], stored: int | None, offset: int, after: list[int]
) -> None:
    sharded, inputs = of(*({} if at is None else {"jobs:0": at} for at in before))
    await sharded.set_position("jobs:0", stored, offset, "", 0)
    assert [each.stored["jobs:0"] for each in inputs] == after
    assert sharded.places["jobs:0"] == after
