"""Runs of other services are found among consumed records, at a bounded cost."""

from itertools import pairwise
from typing import Any

import pytest

from scheduling_srv.adapters.kafka.sentry import LOOKS_PER_SECOND, Sentry
from scheduling_srv.domain.errors import SharedTopic


class Message:
    def __init__(self, deployment: bytes | None = b"ours", key: bytes = b"queuedJob") -> None:
        self.deployment, self._key, self.looked = deployment, key, 0

    def key(self) -> bytes:
        return self._key

    def timestamp(self) -> tuple[int, int]:
        return 1, 5

    def headers(self) -> list[tuple[str, bytes]]:
        self.looked += 1
        named = [("deployment", self.deployment)] if self.deployment is not None else []
        return [("job-id", b"a"), *named]


class Strangers:
    def __init__(self) -> None:
        self.blocked, self.watches = "", True

    def is_foreign(self, header: bytes | None, stamp: int) -> bool:
        assert stamp == 5
        return header != b"ours"

    def saw(self, header: bytes) -> None:
        self.blocked = header.decode()


def look(*messages: Any, seconds: float = 1.0, strangers: Strangers | None = None) -> None:
    times = iter((0.0, seconds))
    sentry = Sentry(strangers or Strangers(), lambda: next(times))
    first: Any = Message()
    sentry.look([first])
    sentry.look(messages)


@pytest.mark.parametrize("place", range(5))
def test_one_foreign_run_among_few_is_found(place: int) -> None:
    messages = [Message() for _ in range(5)]
    messages[place] = Message(b"theirs")
    with pytest.raises(SharedTopic, match="theirs"):
        look(*messages)


@pytest.mark.parametrize("message", [Message(), Message(None), Message(b"x", b"jobsCreated")])
def test_others_are_not_foreign(message: Message) -> None:
    look(message)


def test_of_many_an_even_sample_is_looked_into() -> None:
    messages = [Message() for _ in range(500)]
    look(*messages, seconds=0.08)
    looked = [place for place, message in enumerate(messages) if message.looked]
    assert 15 <= len(looked) <= 0.08 * LOOKS_PER_SECOND
    assert looked[-1] == 499
    assert max(b - a for a, b in pairwise(looked)) < 40


def test_the_last_record_is_always_looked_into() -> None:
    messages = [Message() for _ in range(500)]
    look(*messages, seconds=0.0)
    assert messages[-1].looked == 1
    assert sum(message.looked for message in messages) <= 2


def test_nothing_is_looked_into_where_the_topic_may_be_shared() -> None:
    strangers, message = Strangers(), Message(b"theirs")
    strangers.watches = False
    look(message, strangers=strangers)
    assert not message.looked


def test_nothing_is_consumed_while_it_is_blocked() -> None:
    strangers = Strangers()
    sentry = Sentry(strangers)
    sentry.check()
    strangers.blocked = "Another service."
    with pytest.raises(SharedTopic, match="Another service"):
        sentry.check()
