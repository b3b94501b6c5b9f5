"""Connecting a client to its brokers before it is needed.

librdkafka gives up its connection to `bootstrap.servers` as soon as it knows the brokers by their
numbers. A request on that connection, or one that needs any connection, then waits for one of
librdkafka's timers: 0.5 s for a coordinator, 0.7 s for the leader of a partition.
"""

from __future__ import annotations

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

TRIES = 5
"""One or two are enough: the second is asked over a connection that stays."""


def connect(client: Producer | Consumer | AdminClient, topic: str, seconds: float) -> None:
    """Returns when a broker has answered by its number, or after a few tries: it will do then.

    Raises `KafkaException` when none answers.

    `seconds` is for each answer; the topic has to be there, or the broker may create it.
    """
    for _ in range(TRIES):
        if client.list_topics(topic, timeout=seconds).orig_broker_id >= 0:
            return
