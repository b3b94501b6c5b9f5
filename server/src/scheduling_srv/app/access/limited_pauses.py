"""The use cases that pause and resume, kept to the limits of the caller (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.access.call import limits, note, note_detail, note_dry_run
from scheduling_srv.app.requests.pauses import PauseCalls
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.errors import Forbidden, Violation
from scheduling_srv.domain.pause import Pause


class LimitedPauses:
    """Implements `PausesPort`, and notes the ids of changes for the audit log."""

    def __init__(self, pauses: PauseCalls) -> None:
        self._pauses = pauses

    async def pause(self, call: BulkCall, text: str, by: str) -> Progress:
        """Pause jobs, one step. Raises the errors of `PauseCalls.pause`."""
        note_dry_run(dry_run=call.dry_run)
        return await self._pauses.pause(call._replace(within=limits()), text, by, note)

    async def resume(self, call: BulkCall) -> Progress:
        """End the pauses of jobs, one step. Raises the errors of `PauseCalls.resume`."""
        note_dry_run(dry_run=call.dry_run)
        return await self._pauses.resume(call._replace(within=limits()), note)

    async def pause_type(self, job_type: str, text: str, by: str) -> Pause:
        """Returns the pause. Raises `Forbidden`, and the errors of `PauseCalls.pause_type`."""
        note_detail(_of_type(job_type))
        _check_type(job_type)
        return await self._pauses.pause_type(job_type, text, by)

    async def resume_type(self, job_type: str) -> bool:
        """Returns whether it was paused. Raises as `pause_type`."""
        note_detail(_of_type(job_type))
        _check_type(job_type)
        return await self._pauses.resume_type(job_type)

    async def paused_types(self) -> Sequence[tuple[str, Pause]]:
        """The types that are paused and that the caller may see, in the order of their names."""
        paused, within = await self._pauses.paused_types(), limits()
        return [each for each in paused if each[0] in within.types] if within else paused


def _check_type(job_type: str) -> None:
    """Raise `Forbidden` unless all jobs of the type, later ones as well, are the caller's."""
    within = limits()
    if within is None:
        return
    if within.creators:
        sentence = f"This caller is limited to {within}: a pause of a type is one for all creators."
        raise Forbidden(sentence)
    if job_type not in within.types:
        sentence = f"This caller is limited to {within}: the type {job_type!r} is not allowed."
        raise Forbidden(sentence, [Violation("type", sentence)])


def _of_type(job_type: str) -> str:
    return f"type {job_type}"
