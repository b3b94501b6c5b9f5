"""How the listener waits for records, and whether it believes where they came from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.inputs.identity import LONGEST_TRUST_SECONDS, TRUST_SECONDS, Identity
from scheduling_srv.app.inputs.listener import Listener
from scheduling_srv.app.log_ports import Polled
from scheduling_srv.app.records import End
from scheduling_srv.app.starts import Found
from scheduling_srv.domain.errors import LogUnavailable, StaleSource
from scheduling_srv.formats.positions import Place

NONE = Polled(0, {}, {}, (), {}, is_doubtful=False)
ONE = NONE._replace(total=1)


class Consumer:
    """Finds nothing until its turn comes."""

    polled_at = 0.0

    def __init__(self, *polls: Polled) -> None:
        self.polls: Iterator[Polled] = iter(polls)
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.assigned: list[Mapping[Place, int]] = []

    async def poll(self) -> Polled:
        self.asked += 1
        self.meanwhile()
        return next(self.polls, NONE)

    async def assign(self, starts: Mapping[Place, int]) -> None:
        self.assigned.append(starts)


class NoStarts:
    """Kafka is not asked."""

    async def topic_ids(self, topics: Sequence[str]) -> Mapping[str, str]:
        raise AssertionError(topics)


def listener_of(consumer: Consumer, *, offset_interval: int = 3_600_000) -> Listener:
    nobody: Any = None
    fake: Any = consumer
    starts: Any = NoStarts()
    listener = Listener(
        fake, nobody, starts, nobody, offset_interval=offset_interval, strangers=Alone()
    )
    listener.last_shown = time.monotonic()
    return listener


async def test_it_waits_for_a_record() -> None:
    consumer = Consumer(NONE, NONE, ONE)
    assert await listener_of(consumer)._poll() == ONE
    assert consumer.asked == 3


async def test_it_stops_waiting_when_positions_are_to_be_shown() -> None:
    consumer = Consumer(NONE, ONE)
    assert await listener_of(consumer, offset_interval=0)._poll() == NONE
    assert consumer.asked == 1


async def test_it_ends_soon_when_it_is_told_to() -> None:
    consumer = Consumer()
    listener = listener_of(consumer)
    consumer.meanwhile = listener.stop
    assert await listener._poll() == NONE
    assert consumer.asked == 1


async def test_the_topic_is_doubted_after_an_error_of_the_consumer() -> None:
    """Also when records come only later: a broker may have been away."""
    listener = listener_of(Consumer(NONE._replace(is_doubtful=True), ONE))
    listener.identity.begin({}, time.monotonic())
    assert await listener._poll() == ONE
    assert listener.identity.age() > listener.identity.trusted(10**9)


async def test_nothing_is_read_while_another_service_uses_the_topic() -> None:
    """It stays in its group, which needs a poll; afterwards it begins where the store says."""
    consumer, place, began = Consumer(ONE), Place("jobs", 0), list[Sequence[Place]]()
    listener = listener_of(consumer)

    async def find_starts(places: Sequence[Place]) -> Mapping[Place, int]:
        began.append(places)
        return {place: 7}

    changed: Any = listener
    changed._find_starts = find_starts
    listener.next = {place: End(7, 0)}
    listener.strangers.blocked = "Another service uses the topic."
    for polls in (1, 2):
        assert await listener.run_once() == 0
        assert consumer.asked == polls
        assert (listener.next, listener.held, began) == ({}, {place}, [])
    assert consumer.assigned == [{}]
    listener.strangers.blocked = ""
    consumer.meanwhile = listener.stop
    await listener.run_once()
    assert began == [[place]]
    assert consumer.assigned == [{}, {place: 7}]


class Asked:
    """What Kafka says of topics, and a clock."""

    def __init__(self) -> None:
        self.ids = {"jobs": "one"}
        self.times = 0
        self.now = 1_000.0
        self.identity = Identity(self.ask, lambda: self.now)
        self.identity.begin(dict(self.ids), self.now)

    async def ask(self, topics: Sequence[str]) -> Mapping[str, str]:
        self.times += 1
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}


@pytest.mark.parametrize(
    ("position", "seconds"), [(0, 0.05), (50, 0.05), (1_000_000, 1.05), (10**9, 60.0)]
)
def test_a_topic_is_trusted_as_long_as_no_other_can_be_that_long(
    position: int, seconds: float
) -> None:
    assert Asked().identity.trusted(position) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("took", "trusted"), [(0.001, TRUST_SECONDS), (0.005, 0.1), (0.5, LONGEST_TRUST_SECONDS)]
)
async def test_a_slow_answer_is_trusted_for_a_moment_only(took: float, trusted: float) -> None:
    """50 of 60 records of a topic that was made anew were lost on a busy machine."""
    asked = Asked()

    async def slowly(_topics: Sequence[str]) -> Mapping[str, str]:
        asked.now += took
        return asked.ids

    asked.identity.ask = slowly
    await asked.identity.verify({"jobs"})
    assert asked.identity.trusted(0) == pytest.approx(trusted)
    assert asked.identity.age() == pytest.approx(took)  # as of when it was asked


@pytest.mark.parametrize("ids", [{"jobs": "another"}, {}])
async def test_another_topic_is_not_the_one_that_was_read(ids: dict[str, str]) -> None:
    asked = Asked()
    await asked.identity.verify({"jobs"})
    asked.ids = ids
    with pytest.raises(StaleSource):
        await asked.identity.verify({"jobs"})


def test_it_is_asked_for_once_a_minute_and_after_each_fault() -> None:
    asked = Asked()
    assert not asked.identity.is_due()
    asked.identity.doubt()
    assert asked.identity.age() > asked.identity.trusted(10**9)
    assert not asked.identity.is_due()  # nothing was read that could be wrong
    asked.now += 61
    assert asked.identity.is_due()


class Looked:
    """Partitions that Kafka has, and how the listener asks for them."""

    def __init__(self) -> None:
        self.there = False
        self.fault: Exception | None = None
        self.asked: list[Place] = []
        self.found = 0

    async def find_any(self, places: Sequence[Place]) -> bool:
        self.asked += places
        if self.fault:
            raise self.fault
        return self.there

    async def find(self, places: Sequence[Place]) -> Found:
        self.found += 1
        raise StaleSource("the test has seen enough")


async def test_a_partition_that_is_missing_does_not_disturb_the_others() -> None:
    """They are assigned anew only when it is there; that throws away what was read ahead."""
    looked, missing = Looked(), Place("commands", 0)
    starts: Any = looked
    listener = listener_of(Consumer())
    listener.starts, listener.missing = starts, {missing}
    listener.stop()
    await listener._look_for_missing()
    looked.fault = LogUnavailable("away")
    await listener._look_for_missing()
    assert (looked.asked, looked.found) == ([missing, missing], 0)
    looked.there, looked.fault = True, None
    await listener._look_for_missing()
    assert looked.found == 1
