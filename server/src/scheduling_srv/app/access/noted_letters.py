"""The use cases that change dead letters, with ids for the audit log (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.access.call import note_changed, note_dry_run
from scheduling_srv.app.requests.dead_letters import DeadLetterCalls
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
)


class NotedLetters:
    """Implements `DeadLettersPort`. Limited callers never get here: `rules.py` refuses them."""

    def __init__(self, letters: DeadLetterCalls) -> None:
        self._letters = letters

    async def list(self, wanted: LetterFilter, limit: int, token: str) -> LetterPage:
        """See `DeadLetterCalls.list`."""
        return await self._letters.list(wanted, limit, token)

    async def get(self, letter_id: LetterId) -> DeadLetter:
        """See `DeadLetterCalls.get`."""
        return await self._letters.get(letter_id)

    async def replay(self, call: LetterCall) -> Progress:
        """Replay letters, one step. Raises the errors of `DeadLetterCalls.replay`."""
        note_dry_run(dry_run=call.dry_run)
        progress = await self._letters.replay(call)
        note_changed(_ids_of(call), progress.changed)
        return progress

    async def hide(self, call: LetterCall) -> Progress:
        """Hide letters, one step. Raises the errors of `DeadLetterCalls.hide`."""
        note_dry_run(dry_run=call.dry_run)
        progress = await self._letters.hide(call)
        note_changed(_ids_of(call), progress.changed)
        return progress


def _ids_of(call: LetterCall) -> Sequence[LetterId]:
    return () if isinstance(call.selection, LetterFilter) else call.selection
