"""Records that cannot be applied, as the dead-letter topic gets them (docs/contract.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog

from scheduling_srv.app.records import Consumed
from scheduling_srv.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    OverQuota,
    RequestError,
    TooLarge,
    TooMany,
)
from scheduling_srv.formats.dead_letters import original_headers
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import event_entry, read_event
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.throttle import Throttle

log = structlog.get_logger(__name__)

REFUSED = Throttle("record refused", counted="refused_since_last_line")
"""One line a minute for each topic and status: the dead letters hold all of them."""
LARGEST_DEAD_LETTER = 500_000
"""Bytes of a value that a dead letter keeps, where its topic takes so much."""
LETTER_ROOM = 400
"""Bytes that a dead letter needs beside its key, value and headers: the publisher adds them."""
LONGEST_HEADER = 1_000
"""Bytes of a header of a dead letter: a reason may repeat the words of a client."""

STATUSES: Sequence[tuple[type[RequestError], str]] = (
    (AlreadyExists, "ALREADY_EXISTS"),
    (NotFound, "NOT_FOUND"),
    (TooLarge, "RESOURCE_EXHAUSTED"),
    (TooMany, "RESOURCE_EXHAUSTED"),
    (OverQuota, "RESOURCE_EXHAUSTED"),
    (FailedPrecondition, "FAILED_PRECONDITION"),
)
"""What a call would be answered with; every other fault is INVALID_ARGUMENT."""


class Letters(Protocol):
    """The dead-letter topic."""

    def largest(self) -> int | None:
        """How large a batch of records it takes, in bytes; None: not known."""

    async def are_taken(self) -> bool:
        """Whether the topic exists."""


def dead_letter(record: Consumed, fault: RequestError | str, largest: int | None) -> bytes:
    """The entry that puts the record on the dead-letter topic, with the reason.

    Its value is cut if the whole would have more than `largest` bytes.
    """
    status = _status(fault)
    REFUSED.note(
        record.topic,
        status,
        topic=record.topic,
        partition=record.partition,
        last_offset=record.offset,
        status=status,
        reason=str(fault),
    )
    metrics.DEAD_LETTERS.labels(reason=status).inc()
    key, value, headers = record.key or b"", record.value or b"", _reason(record, status, fault)
    headers += original_headers(record.headers)
    most = LARGEST_DEAD_LETTER
    if largest is not None:
        used = len(key) + sum(len(name) + len(text) for name, text in headers) + LETTER_ROOM
        most = max(0, min(most, largest - used))
    if len(value) > most:
        headers.append(("truncated-from", str(len(value)).encode()))
    return event_entry(Topic.DEAD_LETTER, key, value[:most], headers)


def log_dropped(letter: bytes) -> None:
    """Log a letter that has no topic: nothing else has the reason."""
    *_, headers = read_event(letter)
    about = {name: text.decode(errors="replace") for name, text in headers}
    log.error("a dead letter is not written: its topic does not exist", **about)


def _status(fault: RequestError | str) -> str:
    if isinstance(fault, str):
        return "INTERNAL"
    return next((name for kind, name in STATUSES if isinstance(fault, kind)), "INVALID_ARGUMENT")


def _reason(record: Consumed, status: str, fault: RequestError | str) -> list[tuple[str, bytes]]:
    headers = {
        "status": status,
        "reason": str(fault),
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    if not isinstance(fault, str) and fault.violations:
        headers["field"] = fault.violations[0].field
        headers["detail"] = fault.violations[0].description
    return [(name, _header(text)) for name, text in headers.items()]


def _header(text: str) -> bytes:
    """As UTF-8; the cut is between characters."""
    return text.encode()[:LONGEST_HEADER].decode(errors="ignore").encode()
