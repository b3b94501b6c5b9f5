"""The rights that the service needs of Kafka (docs/operations.md is made of this table)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Right(NamedTuple):
    """One or more operations on a resource."""

    resource: str
    """topic, group, transactional-id or cluster."""
    name: str
    """With the names of settings in braces; `*` at its end makes it a prefix; alone: all."""
    operations: str
    why: str


RIGHTS: Sequence[Right] = (
    Right("topic", "{jobs}", "Read Write DescribeConfigs", "events, runs and answers"),
    Right("topic", "{commands}", "Read Write DescribeConfigs", "commands and responses"),
    Right("topic", "{resources}", "Read Write DescribeConfigs", "announcements; restore, audit"),
    Right("topic", "{dead_letter}", "Read Write DescribeConfigs", "records that cannot be applied"),
    Right("topic", "{namespace}.journal", "Read Write DescribeConfigs", "rebuild"),
    Right("topic", "{namespace}.position", "Read Write DescribeConfigs", "recovery"),
    Right("topic", "{namespace}.events", "Read Write DescribeConfigs", "what watchers are told"),
    Right("group", "{group}", "Read", "the consumer group of the replicas"),
    Right("group", "{namespace}-history", "Read", "reads topics, commits nothing"),
    Right("group", "*", "Describe", "finds other services on the same topics"),
    Right("transactional-id", "{namespace}-*", "Write", "transactions"),
    Right("cluster", "kafka-cluster", "Describe DescribeConfigs", "limits; groups of others"),
)
CREATES: Sequence[Right] = tuple(
    right._replace(operations="Create") for right in RIGHTS if right.resource == "topic"
)
"""Besides, unless SCHEDULING_CREATE_TOPICS is false."""


def named(rights: Sequence[Right], names: Mapping[str, str]) -> Iterator[tuple[Right, str, bool]]:
    """Each right, the name of its resource, and whether that is a prefix."""
    for right in rights:
        name = right.name.format(**names)
        is_prefix = name.endswith("*") and name != "*"
        yield right, name.removesuffix("*") if is_prefix else name, is_prefix
