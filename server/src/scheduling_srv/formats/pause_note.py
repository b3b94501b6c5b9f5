"""The note of a pause as Redis and the journal hold it: JSON of an object."""

from __future__ import annotations

import json

from scheduling_srv.domain.pause import Pause


def pack(pause: Pause) -> str:
    """The text that `pause.lua` dates."""
    return json.dumps(pause._asdict())


def unpack(note: bytes) -> Pause:
    """Leaves out what a later version may have added."""
    found = json.loads(note)
    return Pause(found.get("since", 0), found.get("note", ""), found.get("by", ""))
