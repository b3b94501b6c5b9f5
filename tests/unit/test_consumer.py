"""What a poll of librdkafka becomes, before the use case sees it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import KafkaError

from scheduling_srv.adapters.kafka.consumer import (
    GROUP_POLL_SECONDS,
    KafkaGroupConsumer,
    KafkaPartitionConsumer,
)
from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.log_ports import Polled, UnknownEvent
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.domain.errors import LogUnavailable, StaleSource
from scheduling_srv.formats.positions import Place

PLACE = Place("jobs", 0)


class Message:
    """A record, or an error in place of one."""

    def __init__(self, offset: int, key: bytes | None = None, error: int | None = None) -> None:
        self._offset, self._key = offset, key
        self._error = None if error is None else KafkaError(error)

    def topic(self) -> str:
        return "jobs"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes:
        return b"value"

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._offset

    def headers(self) -> list[tuple[str, bytes]]:
        return [("name", b"text")]

    def error(self) -> KafkaError | None:
        return self._error


class Client:
    """librdkafka with these messages."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    def poll(self, seconds: float) -> Message | None:
        assert seconds <= GROUP_POLL_SECONDS
        return self.messages.pop(0) if self.messages else None

    def consume(self, _count: int, timeout: float) -> list[Message]:
        assert timeout == 0
        found, self.messages = self.messages, []
        return found


async def polled(kind: str, *messages: Message) -> Polled:
    consumer: Any = KafkaPartitionConsumer({}, "g", "jobs", Alone())
    if kind == "group":
        consumer = KafkaGroupConsumer({}, group="g", topics=["jobs"], strangers=Alone())
        consumer._thread = ThreadPoolExecutor(1)
    consumer._consumer = Client(*messages)
    found: Polled = await consumer.poll()
    return found


both = pytest.mark.parametrize("kind", ["group", "reader"])


@both
async def test_no_record_is_no_error(kind: str) -> None:
    assert (await polled(kind)).total == 0


@both
async def test_records_are_handed_over_with_the_ends_of_all(kind: str) -> None:
    """Of most records, which are the service's own, nothing but the key is looked at."""
    found = await polled(
        kind,
        Message(4, b"jobDone"),
        Message(5, b"queuedJob"),
        Message(7, b"jobDone"),
        Message(8, b"nonsense"),
        Message(9, None),
    )
    headers = [("name", b"text")]
    assert found == Polled(
        5,
        {
            PLACE: [
                Consumed("jobs", 0, 4, b"jobDone", b"value", headers, 1_004),
                Consumed("jobs", 0, 7, b"jobDone", b"value", headers, 1_007),
            ]
        },
        {PLACE: End(10, 1_009)},
        [UnknownEvent("jobs", b"nonsense", 0, 8), UnknownEvent("jobs", None, 0, 9)],
        {},
        is_doubtful=False,
    )


async def test_a_reader_hears_where_a_partition_ends() -> None:
    """Markers of transactions take offsets: only Kafka knows that no record follows."""
    end = KafkaError._PARTITION_EOF
    found = await polled("reader", Message(3, b"jobDone"), Message(6, error=end))
    assert (found.total, found.ends, found.exhausted) == (1, {PLACE: End(4, 1_003)}, {PLACE: 6})
    assert not found.is_doubtful


@both
async def test_a_position_that_kafka_does_not_have_is_stale(kind: str) -> None:
    with pytest.raises(StaleSource):
        await polled(kind, Message(3, b"jobDone"), Message(0, error=KafkaError._AUTO_OFFSET_RESET))


async def test_a_member_goes_on_after_other_errors() -> None:
    """librdkafka does so by itself; but a broker may have been away."""
    found = await polled("group", Message(0, error=KafkaError._TRANSPORT), Message(3, b"jobDone"))
    assert (found.total, found.is_doubtful) == (1, True)


async def test_a_reader_ends_at_an_error_that_stays() -> None:
    with pytest.raises(LogUnavailable):
        await polled("reader", Message(0, error=KafkaError.TOPIC_AUTHORIZATION_FAILED))
