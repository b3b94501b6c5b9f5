"""DeadLetterService of scheduling.v1, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from scheduling_srv.app import deadline
from scheduling_srv.app.access.call import current
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
)
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.memory_budget import Bounded, Reservation
from scheduling_srv.formats.v1 import dead_letters as formats

LIST_BYTES, STEP_BYTES = 4_000_000, 50_000_000
"""Reserved for the records of a window: 500 without their values, 50 with them."""


class DeadLettersPort(Protocol):
    """The use cases of `app.requests.dead_letters.DeadLetterCalls`."""

    async def list(self, wanted: LetterFilter, limit: int, token: str) -> LetterPage:
        """A page, the newest first."""

    async def get(self, letter_id: LetterId) -> DeadLetter:
        """With its value."""

    async def replay(self, call: LetterCall) -> Progress:
        """Put original records on their topics again, one step."""

    async def hide(self, call: LetterCall) -> Progress:
        """Leave them out of lists, one step."""


def dead_letter_methods(letters: DeadLettersPort) -> Mapping[str, Bounded]:
    """Method of the DeadLetterService -> its code."""

    async def list_letters(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = formats.decode_list(raw)
        memory.reserve(LIST_BYTES)
        with deadline.within(context.time_remaining()):
            return formats.encode_list(await letters.list(*asked))

    async def get(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = formats.decode_get(raw)
        with deadline.within(context.time_remaining()):
            letter = await letters.get(asked)
        memory.reserve(2 * len(letter.value))
        return await formats.write_get(letter)

    async def replay(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = formats.decode_replay(raw)
        memory.reserve(STEP_BYTES)
        _note(asked)
        with deadline.within(context.time_remaining()):
            return formats.encode_replayed(await letters.replay(asked))

    async def hide(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = formats.decode_hide(raw)
        memory.reserve(STEP_BYTES)
        _note(asked)
        with deadline.within(context.time_remaining()):
            return formats.encode_hidden(await letters.hide(asked))

    return {
        "ListDeadLetters": list_letters,
        "GetDeadLetter": get,
        "ReplayDeadLetters": replay,
        "HideDeadLetters": hide,
    }


def _note(asked: LetterCall) -> None:
    """For the audit log."""
    call = current()
    if call and not isinstance(asked.selection, LetterFilter):
        call.note([each.name for each in asked.selection], len(asked.selection))
