"""Jobs of scheduling.v1 that differ in type, creator, label and schedule, as they are stored."""

from __future__ import annotations

import time
from collections.abc import Iterator

from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_srv.app.requests.definition_check import check_definition
from scheduling_srv.domain.stored_format import SCHEDULING_V1, StoredFormat
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.v1.specs import definition_of

TYPES, CREATORS = 20, 50
LABEL_EACH = 10
"""One in so many jobs has a label."""
LABELS = 5
"""Values of it."""
RECURRING_EACH = 100
"""One in so many jobs recurs: half of these by cron."""
KINDS = 1_000
"""Definitions that differ, one after the other."""
PAYLOAD_BYTES = 150


def records() -> Iterator[bytes]:
    """Records with a creation number of their own in front, which is to be replaced."""
    now = time.time_ns() // 1_000_000
    rules = Rules(100, 1, 900_000, stored=StoredFormat(SCHEDULING_V1))
    for number in range(KINDS):
        yield check_definition(definition_of(spec(number)), now, rules).record


def spec(number: int) -> v1.JobSpec:
    """The definition of the n-th kind."""
    recurs = number % RECURRING_EACH == 0
    text = "0 5 * * *" if number % (2 * RECURRING_EACH) else "1 hour"
    return v1.JobSpec(
        id=f"{number}",
        type=f"type-{number % TYPES}",
        creator=f"creator-{number % CREATORS}",
        payload=[AnyMessage(type_url="payload", value=b"x" * PAYLOAD_BYTES)],
        labels={"tenant": f"t{number // LABEL_EACH % LABELS}"} if number % LABEL_EACH == 0 else {},
        schedule=v1.Schedule(interval=text) if recurs else v1.Schedule(when="in 10 days"),
    )
