"""The logs of a shard from the bytes that scripts store (docs/decisions/0031)."""

from __future__ import annotations

from scheduling_srv.domain.intervals import EndedPause, Farewell, Gone, Outage, Owned
from scheduling_srv.formats import pause_note
from scheduling_srv.formats.layouts import FAREWELL, OUTAGE, OWNED, PAUSED_UNTIL

_PAUSED = PAUSED_UNTIL.struct


def read_outage(text: bytes) -> Outage:
    """An entry of `outages`."""
    return Outage(_number(text), _number(text, OUTAGE.before("until")))


def read_owned(text: bytes) -> Owned:
    """An entry of `owners`."""
    return Owned(_number(text), text[OWNED.size :].decode().rpartition(":")[0])


def read_pause(text: bytes) -> EndedPause:
    """An entry of `pauses`."""
    of_type, size = _PAUSED.unpack_from(text)
    note = pause_note.unpack(text[_PAUSED.size + size :])
    return EndedPause(note, _number(text), bool(of_type))


def read_farewell(text: bytes) -> Gone:
    """An entry of `farewells`."""
    (why,) = FAREWELL.struct.unpack_from(text)
    return Gone(_number(text), _number(text, FAREWELL.before("seq")), Farewell(why))


def _number(text: bytes, at: int = 0) -> int:
    """Six bytes, which `struct` does not know."""
    return int.from_bytes(text[at : at + 6], "little")
