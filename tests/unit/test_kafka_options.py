"""Properties that librdkafka refuses end the start with its words, before a server is asked."""

import pytest
from confluent_kafka import Consumer, Producer

from scheduling_srv.adapters.kafka.options import Client, Properties, check_options
from scheduling_srv.domain.errors import StartError

CONSUMER = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g"}


def check(options: Properties) -> None:
    producer = {"bootstrap.servers": "127.0.0.1:1", "transactional.id": "t", **options}
    check_options(options, [Client(Producer, producer), Client(Consumer, {**CONSUMER, **options})])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"no.such.property": "1"}, 'No such configuration property: "no.such.property"'),
        ({"security.protocol": "plain"}, 'Invalid value "plain"'),
        ({"socket.timeout.ms": 5}, "socket.timeout.ms"),
        ({"max.in.flight": 7}, "max.in.flight"),
        ({"session.timeout.ms": 400_000}, "max.poll.interval.ms"),
    ],
)
def test_what_cannot_be_used_is_told(options: Properties, reason: str) -> None:
    with pytest.raises(StartError, match="SCHEDULING_KAFKA_OPTIONS cannot be used: ") as refused:
        check(options)
    assert reason in str(refused.value)


def test_what_can_be_used_is_accepted() -> None:
    check({"security.protocol": "plaintext", "session.timeout.ms": 3_000, "linger.ms": 1})


def test_without_options_no_client_is_made() -> None:
    def make(_properties: object) -> None:
        raise AssertionError("made")

    check_options({}, [Client(make, {"no.such.property": "1"})])
