"""The use cases of scheduling.v1, kept to the limits of the caller (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_client.schedules.preview import Preview
from scheduling_srv.app.access.call import MOST_IDS, current, limits, note, note_dry_run
from scheduling_srv.app.narrowing import allows, is_exact, jobs_within
from scheduling_srv.app.requests.definitions import Definitions
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.job_filter import JobFilter, ListOrder
from scheduling_srv.domain.job_view import CreatedJob, JobPage, JobView
from scheduling_srv.formats.v1.requests import UpdateCall


class LimitedDefinitions:
    """Implements `DefinitionsPort`, and notes the ids of changes for the audit log."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    async def create(
        self, asked: Sequence[Definition], request_id: str = ""
    ) -> Sequence[CreatedJob]:
        """Create all or none. Raises the errors of `Definitions.create`."""
        _note([each.request.id for each in asked if each.request.id], len(asked))
        created = await self._definitions.create(asked, request_id, limits())
        _note([each.view.job.id.decode() for each in created[:MOST_IDS]], len(created))
        return created

    async def get(self, ids: Sequence[str], next_times: int) -> Sequence[JobView]:
        """The jobs that exist, and that the caller may see."""
        views = await self._definitions.get(ids, next_times)
        within = limits()
        return [each for each in views if allows(within, each.job)] if within else views

    async def list(self, wanted: JobFilter, order: ListOrder, limit: int, token: str) -> JobPage:
        """A page of the jobs that match, and that the caller may see. It may be short."""
        within = limits()
        if within is None:
            return await self._definitions.list(wanted, order, limit, token)
        narrowed = jobs_within(wanted, within)
        if narrowed is None:
            return JobPage([], "", 0)
        page = await self._definitions.list(narrowed, order, limit, token)
        if is_exact(narrowed, within):
            return page
        seen = [each for each in page.jobs if allows(within, each.job)]
        return JobPage(seen, page.token, None)

    async def update(self, call: UpdateCall, trace: bytes = b"") -> tuple[JobView, bool]:
        """Change some properties of a job. Raises the errors of `Definitions.update`."""
        note([call.job.id])
        return await self._definitions.update(call, trace, limits())

    async def delete(self, call: BulkCall) -> Progress:
        """Delete jobs, one step. Raises the errors of `Definitions.delete`."""
        note_dry_run(dry_run=call.dry_run)
        return await self._definitions.delete(call._replace(within=limits()), note)

    async def preview(self, subject: Definition | str, count: int, after: int | None) -> Preview:
        """The next times of a definition, or of the job with this id.

        Raises the errors of `Definitions.preview`.
        """
        return await self._definitions.preview(subject, count, after, limits())


def _note(ids: Sequence[str], count: int) -> None:
    if call := current():
        call.note(ids, count)
