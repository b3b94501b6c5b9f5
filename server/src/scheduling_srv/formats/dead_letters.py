"""Dead letters as their topic has them: the headers that say why, and those of the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scheduling_srv.domain.dead_letter import DeadLetter, LetterId
from scheduling_srv.domain.reasons import Reason
from scheduling_srv.formats.kafka_records import LogRecord

ORIGINAL = "original."
"""Precedes the names of the headers of the original record."""
LONGEST_HEADERS = 4_000
"""Bytes of all original headers that a dead letter keeps."""
CUT, REFUSED_BY = "truncated-from", "refused-by"
CUT_SHORT = "Its value was cut, as it was too large for the topic."
NO_ORIGINAL = "There is no original record: Kafka has refused one of the service's own."
REASONS = {
    "INVALID_ARGUMENT": Reason.INVALID_REQUEST,
    "ALREADY_EXISTS": Reason.JOB_EXISTS,
    "NOT_FOUND": Reason.JOB_NOT_FOUND,
    "RESOURCE_EXHAUSTED": Reason.REQUEST_TOO_LARGE,
    "FAILED_PRECONDITION": Reason.RECORD_TOO_LARGE,
}
"""Status of a dead letter -> its reason. Any other one is a fault of ours."""


def original_headers(headers: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Those that are texts and have room, as a dead letter keeps them."""
    left = LONGEST_HEADERS
    for name, value in headers:
        left -= len(name.encode()) + len(value) + len(ORIGINAL)
        if left < 0:
            return
        if _is_text(value):
            yield ORIGINAL + name, value


def read_letter(record: LogRecord) -> DeadLetter:
    """From a record of the dead-letter topic, whoever wrote it."""
    texts = {name: text.decode(errors="replace") for name, text in record.headers.items()}
    value = record.value or b""
    return DeadLetter(
        id=LetterId(record.partition, record.offset),
        time=record.timestamp,
        topic=texts.get("topic", ""),
        partition=_number(texts, "partition"),
        offset=_number(texts, "offset"),
        event=record.key or b"",
        reason=REASONS.get(texts.get("status", ""), Reason.INTERNAL),
        message=texts.get("reason", ""),
        size=max(len(value), _number(texts, CUT)),
        value=value,
        headers=_originals(texts),
        loss=_loss(texts),
    )


def _loss(texts: Mapping[str, str]) -> str:
    if CUT in texts:
        return CUT_SHORT
    is_known = texts.get("topic") and _number(texts, "offset") >= 0
    return "" if is_known and REFUSED_BY not in texts else NO_ORIGINAL


def _originals(texts: Mapping[str, str]) -> Mapping[str, str]:
    return {
        name.removeprefix(ORIGINAL): text
        for name, text in texts.items()
        if name.startswith(ORIGINAL)
    }


def _number(texts: Mapping[str, str], name: str) -> int:
    text = texts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else -1


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
