"""Which topics this service may not write to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin._acl import AclOperation

from scheduling_srv.adapters.kafka.clients import make_admin
from scheduling_srv.formats.kafka_records import Topic

WRITES = frozenset({AclOperation.WRITE, AclOperation.ALL})


def missing(
    config: Mapping[str, str | int | float | bool], topics: Mapping[Topic, str], timeout: float
) -> dict[Topic, str]:
    """Topics without the right to write, each with a sentence.

    Brokers without an authorizer grant everything; one that does not answer forbids nothing.
    """
    admin = make_admin(config)
    found = admin.describe_topics(
        TopicCollection(list(topics.values())),
        include_authorized_operations=True,
        request_timeout=timeout,
    )
    return {
        topic: f"The topic {name} may not be written by this service."
        for topic, name in topics.items()
        if not _may_write(found[name])
    }


def _may_write(answer: Any) -> bool:  # noqa: ANN401 - a future of confluent_kafka
    try:
        allowed = answer.result().authorized_operations
    except KafkaException:
        return True  # it is not there: its metadata says so
    return not allowed or bool(WRITES & set(allowed))
