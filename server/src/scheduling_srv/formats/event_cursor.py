"""Cursors of watchers: the next offset of each partition, as a text that clients send back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.positions import Place

VERSION = "v1"
LONGEST = 64_000
"""Characters."""
FOREIGN = "The cursor is none of this service: leave it out to begin now."


def pack(offsets: Mapping[Place, int], topics: Mapping[str, Topic]) -> str:
    """As clients send it back. `topics`: name -> topic; a cursor does not hold the names."""
    rows = [[topics[place.topic], place.partition, offset] for place, offset in offsets.items()]
    text = json.dumps([VERSION, *sorted(rows)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(cursor: str, names: Mapping[Topic, str]) -> Mapping[Place, int]:
    """Raises `InvalidRequest`."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        parts = list(json.loads(text)) if len(cursor) <= LONGEST else []
        found = {Place(names[Topic(name)], int(at)): int(offset) for name, at, offset in parts[1:]}
    except (binascii.Error, ValueError, TypeError, KeyError):
        parts, found = [], {}
    if parts[:1] != [VERSION] or not found:
        raise InvalidRequest(FOREIGN, [Violation("cursor", FOREIGN)])
    return found
