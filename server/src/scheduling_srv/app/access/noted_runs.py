"""The use cases that change runs and dead letters, with ids for the audit log (decision 33)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scheduling_srv.app.access.call import DRY_RUN, current, note, note_detail
from scheduling_srv.app.requests.dead_letters import DeadLetterCalls
from scheduling_srv.app.requests.run_control import RunControl
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
)
from scheduling_srv.domain.run import RetryProgress, RunBulkCall, RunFilter
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    RunCall,
    Started,
)


class NotedRunControl:
    """Implements `RunControlPort`. Limited callers never get here: `rules.py` refuses them."""

    def __init__(self, runs: RunControl) -> None:
        self._runs = runs

    async def extend(self, asked: Extension) -> int:
        """Returns the new deadline. Raises the errors of `RunControl.extend`."""
        note([asked.occurrence or str(asked.instance)])
        return await self._runs.extend(asked)

    async def cancel(self, call: RunBulkCall) -> Progress:
        """Cancel runs, one step. Raises the errors of `RunControl.cancel`."""
        ids = () if isinstance(call.selection, RunFilter) else call.selection
        note(ids)
        _note_dry_run(dry_run=call.dry_run)
        progress = await self._runs.cancel(call)
        _note_changed(ids, progress.changed)
        return progress

    async def run(self, call: RunCall) -> Started:
        """Run jobs now, one step. Raises the errors of `RunControl.run`."""
        _note_dry_run(dry_run=call.bulk.dry_run)
        started = await self._runs.run(call)
        note([str(run.id) for run in started.runs])
        return started

    async def backfill(self, call: BackfillCall) -> Backfilled:
        """Begin a backfill. Raises the errors of `RunControl.backfill`."""
        note([call.job_id])
        _note_dry_run(dry_run=call.dry_run)
        return await self._runs.backfill(call)


class Retries(Protocol):
    """The use case that tries runs again."""

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """One step."""


class NotedRetries:
    """Implements `RunRetriesPort`."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """Try runs again, one step. Raises the errors of `RunRetries.retry`."""
        _note_dry_run(dry_run=call.dry_run)
        progress = await self._retries.retry(call)
        ids = () if isinstance(call.selection, RunFilter) else call.selection
        _note_changed(ids, progress.changed)
        return progress


class NotedLetters:
    """Implements `DeadLettersPort`."""

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
        _note_dry_run(dry_run=call.dry_run)
        progress = await self._letters.replay(call)
        _note_changed(_ids_of(call), progress.changed)
        return progress

    async def hide(self, call: LetterCall) -> Progress:
        """Hide letters, one step. Raises the errors of `DeadLetterCalls.hide`."""
        _note_dry_run(dry_run=call.dry_run)
        progress = await self._letters.hide(call)
        _note_changed(_ids_of(call), progress.changed)
        return progress


def _ids_of(call: LetterCall) -> Sequence[LetterId]:
    return () if isinstance(call.selection, LetterFilter) else call.selection


def _note_changed(ids: Sequence[object], changed: int) -> None:
    """The ids that the caller has given, and how many objects were changed."""
    if call := current():
        call.note([str(each) for each in ids], changed)


def _note_dry_run(*, dry_run: bool) -> None:
    if dry_run:
        note_detail(DRY_RUN)
