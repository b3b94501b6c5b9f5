"""Shards spread over the replicas (docs/decisions/0004)."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app.owner.balance import Balance, Holdings
from scheduling_srv.app.replies import Holder


class Owner:
    def __init__(self, shard: int, *, owning: bool, emitting: bool = True) -> None:
        self.shard, self.owning, self.emitting = shard, owning, emitting
        self.left = False

    def leave(self) -> None:
        self.left = True


class Replicas:
    """Who is connected, and who holds the lease of each shard; `me` is this one."""

    def __init__(self, holders: Sequence[str], present: Sequence[str]) -> None:
        self.present = present
        world: Any = self
        leases: Any = [Lease(holder) for holder in holders]
        self.owners = [Owner(shard, owning=holder == "me") for shard, holder in enumerate(holders)]
        self.balance = Balance(name="me", signals=world, leases=leases, owners=self.owners)

    async def replicas(self) -> Sequence[str]:
        return self.present

    def left(self) -> list[int]:
        return [owner.shard for owner in self.owners if owner.left]


class Lease:
    def __init__(self, holder: str) -> None:
        self.name = holder

    async def holder(self) -> Holder | None:
        return Holder(f"{self.name}:7", 1000, False) if self.name else None


@pytest.mark.parametrize(
    ("holders", "present", "left"),
    [
        (["me", "me", "me"], ["me"], []),
        (["me", "me", "me"], ["me", "you"], [2]),
        (["me", "me", "you"], ["me", "you"], []),
        (["me", "me", "you"], ["me", "you", "she"], [1]),
        (["me", "you", "you", "you"], ["me", "you", "she"], []),
        (["me", "me", ""], ["me", "you"], []),
        (["me", "me"], [], []),
    ],
)
async def test_one_is_given_back_if_that_makes_it_even(
    holders: list[str], present: list[str], left: list[int]
) -> None:
    replicas = Replicas(holders, present)
    assert await replicas.balance.run_once() == bool(left)
    assert replicas.left() == left


async def test_nothing_is_given_back_before_all_are_at_work() -> None:
    replicas = Replicas(["me", "me", "me"], ["me", "you"])
    replicas.owners[0].emitting = False
    assert not await replicas.balance.run_once()


@pytest.mark.parametrize(("owned", "seconds"), [(0, 0.0), (1, 0.3), (2, 0.6), (9, 1.5)])
def test_who_has_shards_leaves_free_leases_to_others(owned: int, seconds: float) -> None:
    assert Holdings(range(owned)).courtesy_seconds() == pytest.approx(seconds)
