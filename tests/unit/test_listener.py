"""How the listener waits for records, and whether it believes where they came from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.inputs.records import End
from scheduling_srv.app.positions import Place
from scheduling_srv.app.starts import Found
from scheduling_srv.domain.errors import LogUnavailable, StaleSource
from scheduling_srv.entrances.listener import Identity, Listener


class Message:
    """One that was read, without a fault."""

    def error(self) -> None:
        return None


class Consumer:
    """Finds nothing until its turn comes."""

    def __init__(self, *polls: Message | None) -> None:
        self.polls: Iterator[Message | None] = iter(polls)
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def poll(self, timeout: float) -> Message | None:
        assert timeout < 1
        self.asked += 1
        self.meanwhile()
        return next(self.polls, None)

    def assign(self, starts: list[Any]) -> None:
        assert starts == []

    def consume(self, _count: int, timeout: float) -> list[Message]:
        assert timeout == 0
        return [Message()]


def listener_of(consumer: Consumer, *, offset_interval: int = 3_600_000) -> Listener:
    nobody: Any = None
    listener = Listener(
        config={},
        group="g",
        topics=(),
        intake=nobody,
        starts=nobody,
        shown=nobody,
        offset_interval=offset_interval,
        strangers=Alone(),
    )
    fake: Any = consumer
    listener._consumer = fake
    listener.last_shown = time.monotonic()
    return listener


def test_a_record_is_handed_over_with_those_behind_it() -> None:
    consumer = Consumer(None, None, Message())
    assert len(listener_of(consumer)._poll()) == 2
    assert consumer.asked == 3


def test_the_event_loop_hears_when_positions_are_to_be_shown() -> None:
    consumer = Consumer(None, Message())
    assert listener_of(consumer, offset_interval=0)._poll() == []
    assert consumer.asked == 1


def test_it_ends_soon_when_it_is_told_to() -> None:
    consumer = Consumer()
    listener = listener_of(consumer)
    consumer.meanwhile = listener.stop
    assert listener._poll() == []
    assert consumer.asked == 1


async def test_nothing_is_read_while_another_service_uses_the_topic() -> None:
    """It stays in its group, which needs a poll; afterwards it begins where the store says."""
    consumer, place, began = Consumer(Message()), Place("jobs", 0), list[Sequence[Place]]()
    listener = listener_of(consumer)

    async def find_starts(places: Sequence[Place]) -> list[Any]:
        began.append(places)
        return []

    changed: Any = listener
    changed._find_starts = find_starts
    listener._thread = ThreadPoolExecutor(1)
    listener.next = {place: End(7, 0)}
    listener.sentry.strangers.blocked = "Another service uses the topic."
    for polls in (1, 2):
        assert await listener.run_once() == 0
        assert consumer.asked == polls
        assert (listener.next, listener.held, began) == ({}, {place}, [])
    listener.sentry.strangers.blocked = ""
    consumer.meanwhile = listener.stop
    await listener.run_once()
    assert began == [[place]]


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


async def test_what_takes_long_is_not_asked_all_the_time() -> None:
    asked = Asked()

    async def slowly(_topics: Sequence[str]) -> Mapping[str, str]:
        asked.now += 0.5
        return asked.ids

    asked.identity.ask = slowly
    await asked.identity.verify({"jobs"})
    assert asked.identity.trusted(0) == pytest.approx(10.0)
    assert asked.identity.age() == pytest.approx(0.5)  # as of when it was asked


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
    listener._thread = ThreadPoolExecutor(1)
    listener.stop()
    await listener._look_for_missing()
    looked.fault = LogUnavailable("away")
    await listener._look_for_missing()
    assert (looked.asked, looked.found) == ([missing, missing], 0)
    looked.there, looked.fault = True, None
    await listener._look_for_missing()
    assert looked.found == 1
