"""The owner raises the format of the stored data after an upgrade."""

import pytest

from scheduling_srv.app.format_ports import Raised, RaiseVerdict
from scheduling_srv.app.owner.upgrade import Upgrade
from scheduling_srv.domain.errors import LeaseLost, StoreUnavailable
from scheduling_srv.domain.stored_format import StoredFormat
from scheduling_srv.formats.versions import READS, WRITES

OLDER = Raised(RaiseVerdict.OLDER, "host-1")


class Store:
    """Answers as it is told, and has a clock."""

    def __init__(self, answer: Raised | None = None) -> None:
        self.answer = answer or Raised(RaiseVerdict.ALONE)
        self.time, self.raised, self.away = 0.0, 0, False

    def monotonic(self) -> float:
        return self.time

    async def raise_format(self, _token: str, _writes: int, *, looks: bool = False) -> Raised:
        if self.away:
            raise StoreUnavailable("It is away.")
        if self.answer.verdict is RaiseVerdict.ALONE and not looks:
            self.raised += 1
            self.answer = Raised(RaiseVerdict.RAISED)
        return self.answer


def upgrade(store: Store, after_ms: int = 60_000) -> Upgrade:
    return Upgrade(store, after_ms, store.monotonic)


async def test_it_waits_until_no_earlier_version_is_left_for_a_while() -> None:
    store = Store(OLDER)
    work = upgrade(store)
    for time, answer in ((0.0, OLDER), (90.0, Raised(RaiseVerdict.ALONE)), (100.0, OLDER)):
        store.time, store.answer = time, answer
        assert not await work.run_once("t")
    store.answer = Raised(RaiseVerdict.ALONE)
    for time in (200.0, 259.0):
        store.time = time
        assert not await work.run_once("t")
    store.time, store.away = 260.0, True
    assert not await work.run_once("t")
    store.away = False
    with pytest.raises(LeaseLost, match="new format"):
        await work.run_once("t")
    assert store.raised == 1
    assert await upgrade(store).run_once("t")


async def test_it_raises_nothing_blindly() -> None:
    store = Store(Raised(RaiseVerdict.BLIND))
    work = upgrade(store, 0)
    for _ in range(3):
        assert not await work.run_once("t")
        store.time += 1_000
    assert store.raised == 0


async def test_the_wait_may_be_none() -> None:
    store = Store()
    with pytest.raises(LeaseLost):
        await upgrade(store, 0).run("t")


@pytest.mark.parametrize("other", [WRITES, READS])
async def test_a_shard_follows_the_others_at_once(other: int) -> None:
    """A version that does not read one of the shards cannot be started again."""
    stored = StoredFormat()
    stored.note(0, WRITES)
    stored.note(1, other)
    store = Store(OLDER)
    work = Upgrade(store, 60_000, store.monotonic, stored)
    assert not await work.run_once("t")
    store.answer = Raised(RaiseVerdict.ALONE)
    if other == READS:
        with pytest.raises(LeaseLost, match="new format"):
            await work.run_once("t")
    else:
        assert not await work.run_once("t")
    assert store.raised == (other == READS)
