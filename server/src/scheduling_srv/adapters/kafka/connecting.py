"""Connecting a client to its brokers before it is needed, and asking them about topics.

librdkafka gives up its connection to `bootstrap.servers` as soon as it knows the brokers by their
numbers. A request on that connection, or one that needs any connection, then waits for one of
librdkafka's timers: 0.5 s for a coordinator, 0.7 s for the leader of a partition.
"""

from __future__ import annotations

import time
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]

Client: TypeAlias = Producer | Consumer | AdminClient

TRIES = 5
"""One or two are enough: the second is asked over a connection that stays."""
CALL_SECONDS = 2.0
"""The longest that one call asks for metadata."""
PAUSE_SECONDS = 0.1
"""Seconds between two calls, in which librdkafka gives up a broker that the first one asked."""


def metadata(client: Client, topic: str | None = None, *, seconds: float) -> ClusterMetadata:
    """`client.list_topics`, asked again and again for so many seconds; None: of all topics.

    A broker that was frozen may answer that the cluster has no brokers. librdkafka then gives it
    up, and begins anew with `bootstrap.servers` as soon as no call waits for it: one long call
    would wait to its end. Raises the last `KafkaException`.
    """
    deadline = time.monotonic() + seconds
    more = {} if topic is None else {"topic": topic}
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return client.list_topics(timeout=min(left, CALL_SECONDS), **more)
        except KafkaException:
            if time.monotonic() + PAUSE_SECONDS >= deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def connect(client: Client, topic: str, seconds: float) -> None:
    """Returns when a broker has answered by its number, or after a few tries: it will do then.

    Raises `KafkaException` when none answers.

    `seconds` is for each answer; the topic has to be there, or the broker may create it.
    """
    for _ in range(TRIES):
        if metadata(client, topic, seconds=seconds).orig_broker_id >= 0:
            return
