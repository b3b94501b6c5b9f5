"""The use cases that change runs, kept to the limits of the caller (docs/decisions/0033)."""

from __future__ import annotations

from typing import Protocol

from scheduling_srv.app.access.call import limits, note, note_changed, note_dry_run
from scheduling_srv.app.requests.run_control import RunControl
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.run import RetryProgress, RunBulkCall, RunFilter
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    RunCall,
    Started,
)


class LimitedRunControl:
    """Implements `RunControlPort`, and notes the ids of changes for the audit log."""

    def __init__(self, runs: RunControl) -> None:
        self._runs = runs

    async def extend(self, asked: Extension) -> int:
        """Returns the new deadline. Raises the errors of `RunControl.extend`."""
        note([asked.occurrence or str(asked.instance)])
        return await self._runs.extend(asked._replace(within=limits()))

    async def cancel(self, call: RunBulkCall) -> Progress:
        """Cancel runs, one step. Raises the errors of `RunControl.cancel`."""
        ids = () if isinstance(call.selection, RunFilter) else call.selection
        note(ids)
        note_dry_run(dry_run=call.dry_run)
        progress = await self._runs.cancel(call._replace(within=limits()))
        note_changed(ids, progress.changed)
        return progress

    async def run(self, call: RunCall) -> Started:
        """Run jobs now, one step. Raises the errors of `RunControl.run`."""
        note_dry_run(dry_run=call.bulk.dry_run)
        started = await self._runs.run(call._replace(bulk=call.bulk._replace(within=limits())))
        note([str(run.id) for run in started.runs])
        return started

    async def backfill(self, call: BackfillCall) -> Backfilled:
        """Begin a backfill. Raises the errors of `RunControl.backfill`."""
        note([call.job_id])
        note_dry_run(dry_run=call.dry_run)
        return await self._runs.backfill(call, limits())


class Retries(Protocol):
    """The use case that tries runs again."""

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """One step."""


class LimitedRetries:
    """Implements `RunRetriesPort`, as above."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """Try runs again, one step. Raises the errors of `RunRetries.retry`."""
        note_dry_run(dry_run=call.dry_run)
        progress = await self._retries.retry(call._replace(within=limits()))
        ids = () if isinstance(call.selection, RunFilter) else call.selection
        note_changed(ids, progress.changed)
        return progress
