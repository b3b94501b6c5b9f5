"""The services of scheduling.v1: their methods, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduling_client.schedules.preview import Preview
from scheduling_srv.app import deadline
from scheduling_srv.app.access.call import shown
from scheduling_srv.app.destructive import called_by
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import TooLarge, Unsupported
from scheduling_srv.domain.job_filter import JobFilter, ListOrder
from scheduling_srv.domain.job_view import CreatedJob, JobPage, JobView
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.grpc_pauses import PausesPort, pause_methods
from scheduling_srv.entrances.grpc_runs import RunControlPort, run_control_methods, run_job_methods
from scheduling_srv.entrances.memory_budget import JOB_BYTES, Bounded, Limits, Reservation
from scheduling_srv.formats.trace import trace_from_headers
from scheduling_srv.formats.v1 import answers, requests, services
from scheduling_srv.formats.v1.run_control import RUN_SERVICE

ANSWER_TOO_LARGE = "The answer is too large: ask for fewer jobs."


class DefinitionsPort(Protocol):
    """The use cases of `app.requests.definitions.Definitions`."""

    async def create(
        self, asked: Sequence[Definition], request_id: str = ""
    ) -> Sequence[CreatedJob]:
        """Create all or none."""

    async def get(self, ids: Sequence[str], next_times: int) -> Sequence[JobView]:
        """The jobs that exist."""

    async def list(self, wanted: JobFilter, order: ListOrder, limit: int, token: str) -> JobPage:
        """A page of the jobs that match."""

    async def update(self, call: requests.UpdateCall, trace: bytes = b"") -> tuple[JobView, bool]:
        """Change some properties of a job; tells whether any of them was another one."""

    async def delete(self, call: BulkCall) -> Progress:
        """Delete jobs, one step."""

    async def preview(self, subject: Definition | str, count: int, after: int | None) -> Preview:
        """The next times of a definition, or of the job with this id."""


def v1_methods(
    jobs: DefinitionsPort, pauses: PausesPort, run_control: RunControlPort, limits: Limits
) -> Mapping[str, Mapping[str, Bounded]]:
    """Service -> method -> its code. A method that is not there yet is UNIMPLEMENTED."""
    built = built_methods(jobs, pauses, run_control, limits)
    return {
        service: {name: built.get(service, {}).get(name) or unsupported(name) for name in names}
        for service, names in services.METHODS.items()
    }


def built_methods(
    jobs: DefinitionsPort, pauses: PausesPort, run_control: RunControlPort, limits: Limits
) -> Mapping[str, Mapping[str, Bounded]]:
    """The methods that are there."""
    return {
        requests.JOB_SERVICE: {
            "CreateJobs": _create(jobs, limits),
            "GetJobs": _get(jobs),
            "ListJobs": _list(jobs),
            "UpdateJob": _update(jobs, limits),
            "DeleteJobs": _delete(jobs),
            "PreviewSchedule": _preview(jobs, limits),
            **pause_methods(pauses),
            **run_job_methods(run_control),
        },
        RUN_SERVICE: {
            **run_control_methods(run_control),
        },
    }


def unsupported(name: str) -> Bounded:
    """A method that the API has, and this version of the service does not."""

    async def call(_raw: bytes, _context: Context, _memory: Reservation) -> bytes:
        raise Unsupported(f"This version of the service cannot do {name} yet.")

    return call


def _create(jobs: DefinitionsPort, limits: Limits) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        trace = trace_from_headers(context.invocation_metadata() or ())
        asked = await requests.read_create(raw, trace, limits.items, limits.job_bytes)
        memory.reserve(JOB_BYTES * len(asked.definitions))
        with deadline.within(context.time_remaining()):
            created = await jobs.create(asked.definitions, asked.request_id)
        return await answers.write_created(created)

    return call


def _get(jobs: DefinitionsPort) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        ids, next_times = requests.decode_get(raw)
        with deadline.within(context.time_remaining()):
            views = await jobs.get(ids, next_times)
        _reserve(views, memory)
        return await answers.write_jobs(views)

    return call


def _list(jobs: DefinitionsPort) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = requests.decode_list(raw)
        with deadline.within(context.time_remaining()):
            page = await jobs.list(*asked)
        _reserve(page.jobs, memory)
        return await answers.write_list(page)

    return call


def _reserve(views: Sequence[JobView], memory: Reservation) -> None:
    size = sum(len(view.job.record) for view in views)
    if size > memory.budget.largest_answer:
        raise TooLarge(ANSWER_TOO_LARGE)
    memory.reserve(size)


def _update(jobs: DefinitionsPort, limits: Limits) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        trace = trace_from_headers(context.invocation_metadata() or ())
        asked = requests.decode_update(raw, limits.job_bytes)
        with deadline.within(context.time_remaining()):
            view, changed = await jobs.update(asked, trace)
        return answers.encode_updated(view, changed=changed)

    return call


def _delete(jobs: DefinitionsPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        asked = requests.decode_delete(raw)
        with deadline.within(context.time_remaining()), called_by(shown(context.peer())):
            return answers.encode_deleted(await jobs.delete(asked))

    return call


def _preview(jobs: DefinitionsPort, limits: Limits) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        subject, count, after = requests.decode_preview(raw, limits.job_bytes)
        with deadline.within(context.time_remaining()):
            return answers.encode_preview(await jobs.preview(subject, count, after))

    return call
