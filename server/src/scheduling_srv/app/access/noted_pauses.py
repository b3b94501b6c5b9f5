"""The use cases that pause and resume, with ids for the audit log (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.access.call import DRY_RUN, limits, note, note_detail
from scheduling_srv.app.requests.pauses import PauseCalls
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.pause import Pause


class NotedPauses:
    """Implements `PausesPort`. Limited callers only read: `rules.py` refuses the rest."""

    def __init__(self, pauses: PauseCalls) -> None:
        self._pauses = pauses

    async def pause(self, call: BulkCall, text: str, by: str) -> Progress:
        """Pause jobs, one step. Raises the errors of `PauseCalls.pause`."""
        _note_dry_run(call)
        return await self._pauses.pause(call, text, by, note)

    async def resume(self, call: BulkCall) -> Progress:
        """End the pauses of jobs, one step. Raises the errors of `PauseCalls.resume`."""
        _note_dry_run(call)
        return await self._pauses.resume(call, note)

    async def pause_type(self, job_type: str, text: str, by: str) -> Pause:
        """Returns the pause. Raises the errors of `PauseCalls.pause_type`."""
        note_detail(_of_type(job_type))
        return await self._pauses.pause_type(job_type, text, by)

    async def resume_type(self, job_type: str) -> bool:
        """Returns whether it was paused. Raises the errors of `PauseCalls.resume_type`."""
        note_detail(_of_type(job_type))
        return await self._pauses.resume_type(job_type)

    async def paused_types(self) -> Sequence[tuple[str, Pause]]:
        """The types that are paused and that the caller may see, in the order of their names."""
        paused, within = await self._pauses.paused_types(), limits()
        return [each for each in paused if each[0] in within.types] if within else paused


def _note_dry_run(call: BulkCall) -> None:
    if call.dry_run:
        note_detail(DRY_RUN)


def _of_type(job_type: str) -> str:
    return f"type {job_type}"
