"""Whether the holder of the lease is dead, and when to try for the lease."""

import asyncio

import pytest

from scheduling_srv.app.owner.standby import GONE_MS, LOOK_MS, StandBy
from scheduling_srv.app.replies import Holder
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import LogUnavailable, PublishFailed
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


THERE, GONE = Holder("a:1", 2000, gone=False), Holder("a:1", 2000, gone=True)


class FakeLease:
    """A lease and a clock that say what they are told to."""

    def __init__(self) -> None:
        self.held: Holder | None = None
        self.time = 1_000_000
        self.standby = StandBy(lease=self, clock=self, rules=ShardRules(lease=3000))

    def now(self) -> int:
        return self.time

    async def look(self, held: Holder | None, *, after: int = 0) -> int:
        """The pause that it advises when the lease is held so."""
        self.held, self.time = held, self.time + after
        return await self.standby.look()

    async def holder(self) -> Holder | None:
        return self.held

    async def acquire(self, owner: str, *, dead: str = "") -> str | None:
        raise NotImplementedError

    async def renew(self, token: str, *, emitting: bool) -> None:
        raise NotImplementedError

    async def release(self, token: str) -> None:
        raise NotImplementedError


async def test_a_free_lease_is_tried_for_at_once() -> None:
    assert await FakeLease().look(None) == 0


async def test_a_living_holder_is_looked_at_again() -> None:
    lease = FakeLease()
    assert await lease.look(THERE) == LOOK_MS
    assert await lease.look(THERE, after=10 * GONE_MS) == LOOK_MS
    assert lease.standby.dead == ""


async def test_the_end_of_a_lease_is_not_slept_over() -> None:
    assert await FakeLease().look(THERE._replace(left=7)) == 8


async def test_a_holder_that_stays_away_is_dead() -> None:
    lease = FakeLease()
    assert await lease.look(GONE) == GONE_MS
    assert lease.standby.dead == ""
    assert await lease.look(GONE, after=GONE_MS - 1) == 1
    assert lease.standby.dead == ""
    assert await lease.look(GONE, after=1) == 0
    assert lease.standby.dead == GONE.token


async def test_a_holder_that_comes_back_is_not() -> None:
    lease = FakeLease()
    await lease.look(GONE)
    await lease.look(THERE, after=GONE_MS)
    await lease.look(GONE, after=1)
    assert lease.standby.dead == ""


async def test_the_next_holder_is_another_one() -> None:
    lease = FakeLease()
    await lease.look(GONE)
    await lease.look(GONE, after=GONE_MS)
    await lease.look(Holder("b:2", 2000, gone=True), after=1)
    assert lease.standby.dead == ""


async def test_a_store_that_was_away_says_nothing_of_before() -> None:
    """When it is back, its clients need a moment to connect again."""
    lease = FakeLease()
    await lease.look(GONE)
    lease.standby.forget()
    await lease.look(GONE, after=GONE_MS)
    assert lease.standby.dead == ""


@pytest.mark.parametrize("fault", [PublishFailed("away"), LogUnavailable("away")])
async def test_a_kafka_that_is_away_does_not_matter(fault: Exception) -> None:
    calls = []

    async def connect() -> None:
        calls.append(1)
        raise fault

    async def other() -> None:
        calls.append(2)

    lease = FakeLease()
    lease.standby.connect = (connect, other)
    await lease.standby.prepare()
    assert calls == [1, 2]


async def test_it_connects_everything_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    async def connect() -> None:
        await both.wait()

    lease = FakeLease()
    lease.standby.connect = (connect, connect)
    async with asyncio.timeout(5):
        await lease.standby.prepare()


async def test_a_fault_of_our_own_is_not_taken_for_an_absent_kafka() -> None:
    async def connect() -> None:
        raise ZeroDivisionError

    lease = FakeLease()
    lease.standby.connect = (connect,)
    with pytest.raises(ZeroDivisionError):
        await lease.standby.prepare()
