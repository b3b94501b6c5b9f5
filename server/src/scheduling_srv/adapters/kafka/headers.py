"""Headers of consumed records, also of malformed ones. Entrances and adapters read records."""

from __future__ import annotations

from operator import methodcaller

from confluent_kafka import Message

_ask = methodcaller("headers")
"""As a C function would call it, which looks for errors; the interpreter's short cut does not."""


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """The record's headers; none at all if the name of one is no UTF-8.

    Kafka accepts any bytes as a name. For such a record confluent-kafka (2.16) makes both a list
    and an error: `message.headers()` hides the error, and the list crashes the process when read.
    So only this function may call it, and only once a record.
    """
    try:
        headers = _ask(message) or []
    except (SystemError, UnicodeDecodeError):
        return []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, _bytes(value)) for name, value in pairs]


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
