"""How long the listener's thread waits before the event loop hears of it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from scheduling_srv.entrances.listener import Listener


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
