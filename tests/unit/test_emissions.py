"""A look at the jobs topic: which records count, and where it ends."""

import asyncio
import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.kafka import emissions
from scheduling_srv.adapters.kafka.emissions import KafkaEmissions, Look
from scheduling_srv.domain.explanation.facts import Emitted, TopicRead
from scheduling_srv.domain.run import RunOrigin

NOW = 1_700_000_000_000


class Message:
    """A consumed one."""

    def __init__(
        self,
        occurrence: str = "",
        *,
        at: int = NOW,
        key: bytes = b"queuedJob",
        error: KafkaError | None = None,
        partition: int = 0,
    ) -> None:
        self._occurrence, self._at, self._key = occurrence, at, key
        self._error, self._partition = error, partition

    def __len__(self) -> int:
        return 100

    def error(self) -> KafkaError | None:
        return self._error

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return job_pb2.ScheduledJob(id=7, type="t").SerializeToString()

    def headers(self) -> list[tuple[str, bytes]]:
        return [("occurrence-id", self._occurrence.encode())] if self._occurrence else []


def end_of(partition: int) -> Message:
    return Message(error=KafkaError(KafkaError._PARTITION_EOF), partition=partition)


class Consumer:
    """Has these messages; then one batch of others again and again."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.polls = 0

    def consume(self, number: int, timeout: float) -> list[Message]:
        self.polls += 1
        found, self.messages = self.messages, []
        return found or [Message("other/1/2/1")] * number


def look(*messages: Message, partitions: int = 1) -> tuple[Look, Consumer]:
    consumer: Any = Consumer(*messages)
    found = Look("a", NOW, NOW, set(range(partitions)))
    found.run(consumer)
    return found, consumer


def test_attempts_of_the_job_are_found() -> None:
    found, _ = look(
        Message(f"a/1/{NOW - 5}/1"),
        Message(f"a/b/1/{NOW}/1"),
        Message(f"b/1/{NOW}/1"),
        Message("a/broken"),
        Message(),
        Message(f"a/1/{NOW}/1", key=b"jobDone"),
        Message(f"a/1/{NOW}m/2", at=NOW + 5),
        Message(f"a/1/{NOW + 999}/1", at=NOW + 9),
    )
    read = found.found(is_whole=True)
    assert read.emitted == [
        Emitted(NOW - 5, 1, NOW, RunOrigin.SCHEDULE, 1, "t"),
        Emitted(NOW, 2, NOW + 5, RunOrigin.MANUAL, 1, "t"),
        Emitted(NOW + 999, 1, NOW + 9, RunOrigin.SCHEDULE, 1, "t"),
    ]
    assert (read.until, read.whole) == (NOW + 9, False)


def test_it_ends_with_the_topic() -> None:
    found, consumer = look(Message("b/1/2/1"), end_of(1), end_of(0), partitions=2)
    assert consumer.polls == 1
    assert found.found(is_whole=True).whole
    assert not found.found(is_whole=False).whole


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found, consumer = look()
    assert consumer.polls == emissions.MOST_RECORDS // emissions.AT_ONCE
    assert not found.found(is_whole=True).whole
    monkeypatch.setattr(emissions, "MOST_BYTES", 100 * emissions.AT_ONCE)
    assert look()[1].polls == 1
    monkeypatch.setattr(emissions, "MOST_SECONDS", 0)
    assert look()[1].polls == 0


def test_a_broken_topic_is_a_fault() -> None:
    passing, fatal = (
        Message(error=KafkaError(code, "", retriable=retriable))
        for code, retriable in ((KafkaError._TRANSPORT, True), (KafkaError._UNKNOWN_TOPIC, False))
    )
    look(passing, end_of(0))
    with pytest.raises(KafkaException):
        look(fatal)


class Slow(KafkaEmissions):
    """A look goes on until another one begins beside it, or for a while."""

    def __init__(self) -> None:
        super().__init__({}, "ns", "jobs")
        self.has_begun, self.is_beside = threading.Event(), threading.Event()
        self.under_way = self.looks = 0

    def _look(self, job_id: str, nominal: int, since: int) -> TopicRead:
        self.looks += 1
        self.under_way += 1
        if self.under_way > 1:
            self.is_beside.set()
        self.has_begun.set()
        self.is_beside.wait(0.2)
        self.under_way -= 1
        return TopicRead(since, since, whole=True)


async def test_a_caller_that_gives_up_leaves_no_room_for_a_second_look() -> None:
    """Each look may take some MB: callers that gave up left one behind each."""
    emissions = Slow()
    first = asyncio.create_task(emissions.emitted("a", NOW, NOW))
    await asyncio.to_thread(emissions.has_begun.wait)
    waiting = asyncio.create_task(emissions.emitted("a", NOW, NOW))
    await asyncio.sleep(0)
    for task in (first, waiting):
        task.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    assert (await emissions.emitted("a", NOW, NOW)).whole
    assert not emissions.is_beside.is_set()
    assert emissions.looks == 2
