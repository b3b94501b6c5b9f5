"""Headers of consumed records, whatever is in them: both wings read records."""

from __future__ import annotations

from operator import methodcaller

from confluent_kafka import Message

_ask = methodcaller("headers")
"""As a C function would call it, which looks for errors; the interpreter's short cut does not."""


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """The record's headers; none at all if the name of one is no UTF-8.

    Kafka takes any bytes for a name, but confluent-kafka (2.16) answers to such a record with both
    a list and an error. `message.headers()` lets the error pass and the list crash the process as
    soon as it is looked at, so nobody may call that but this function, and only once a record.
    """
    try:
        headers = _ask(message) or []
    except (SystemError, UnicodeDecodeError):
        return []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, _bytes(value)) for name, value in pairs]


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
