"""Writes the rights that the service needs of Kafka into docs/operations.md: `make docs`.

A test runs the service with exactly these, on a broker whose authorizer is on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- rights of Kafka: make docs -->\n", "<!-- end of rights_of_kafka -->\n"


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
    Right("topic", "{dead_letter}", "Write DescribeConfigs", "records that cannot be applied"),
    Right("topic", "{namespace}.journal", "Read Write DescribeConfigs", "rebuild"),
    Right("topic", "{namespace}.position", "Read Write DescribeConfigs", "recovery"),
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


def with_rights(page: str) -> str:
    """The page with its table as it has to be."""
    rows = ["| resource | name | operations | why |", "|---|---|---|---|"]
    rows += [
        f"| {right.resource} | `{right.name}` | {right.operations.replace(' ', ', ')}"
        f" | {right.why} |"
        for right in RIGHTS
    ]
    rows.append("| topic | all of these | Create | unless `SCHEDULING_CREATE_TOPICS=false` |")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(rows) + f"\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_rights(PAGE.read_text()))
