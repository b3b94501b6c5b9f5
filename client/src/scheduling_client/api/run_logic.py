"""The calls of operations on runs, and of the overview, without I/O; see `logic`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from scheduling_client.api.jobs import (
    Backfill,
    FailureGroup,
    Filter,
    Progress,
    Retried,
    Run,
    RunFilter,
    RunRefusal,
    Started,
    Upcoming,
)
from scheduling_client.api.logic import MOST_IDS, Call, Steps, ask, of_jobs, selections_of
from scheduling_client.api.messages import duration, filter_message, run_in, timestamp
from scheduling_client.api.overview import Overview
from scheduling_client.api.request_ids import new_request_id
from scheduling_client.api.run_messages import (
    failure_in,
    overview_in,
    refusal_in,
    run_filter_message,
    upcoming_in,
)
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_client.wire.v1 import system_service_pb2 as system

RUNS, SYSTEM = "scheduling.v1.RunService", "scheduling.v1.SystemService"

Answer = TypeVar("Answer", bound=Message)


class RunPage(NamedTuple):
    """A page of runs."""

    runs: list[Run]
    token: str


def of_runs(method: str, request: Message, answer: type[Answer]) -> Call[Answer]:
    """A call of the RunService."""
    return Call(f"/{RUNS}/{method}", request, answer)


def list_page(where: RunFilter, size: int, token: str) -> Steps[RunPage]:
    """The page that a token names; an empty one names the first."""
    request = service.ListRunsRequest(
        filter=run_filter_message(where), page_size=size, page_token=token
    )
    answer = yield from ask(of_runs("ListRuns", request, service.ListRunsResponse))
    return RunPage([*map(run_in, answer.runs)], answer.next_page_token)


def failures(job_type: str, limit: int) -> Steps[list[FailureGroup]]:
    """The most frequent errors."""
    request = service.ListFailuresRequest(type=job_type, limit=limit)
    answer = yield from ask(of_runs("ListFailures", request, service.ListFailuresResponse))
    return [*map(failure_in, answer.groups)]


def retry(ids: Sequence[str], where: RunFilter | None, *, dry_run: bool) -> Steps[Retried]:
    """Make all steps. One that is repeated finds the runs that are left."""
    matched = changed = 0
    refusals: list[RunRefusal] = []
    for selection in run_selections_of(ids, where):
        token, more = "", True
        while more:
            request = service.RetryRunsRequest(
                selection=selection, dry_run=dry_run, page_token=token
            )
            answer: Any = yield from ask(of_runs("RetryRuns", request, service.RetryRunsResponse))
            matched += answer.progress.matched
            changed += answer.progress.changed
            refusals += map(refusal_in, answer.refusals)
            token = answer.progress.next_page_token
            more = bool(token)
    return Retried(matched, changed, refusals)


def run_selections_of(ids: Sequence[str], where: RunFilter | None) -> list[service.RunSelection]:
    """By ids or by a filter. Raises `ValueError` for both, and for neither."""
    if bool(ids) == (where is not None):
        raise ValueError("Give ids or a filter, and not both.")
    if where is not None:
        return [service.RunSelection(filter=run_filter_message(where))]
    left = iter(ids)
    pieces = iter(lambda: [*islice(left, MOST_IDS)], [])
    return [service.RunSelection(ids=service.RunIds(run_ids=piece)) for piece in pieces]


def upcoming(until: datetime, where: Filter, limit: int) -> Steps[Upcoming]:
    """The runs that are due until an instant."""
    request = jobs.ListUpcomingRequest(
        until=timestamp(until), filter=filter_message(where), limit=limit
    )
    answer = yield from ask(of_jobs("ListUpcoming", request, jobs.ListUpcomingResponse))
    return upcoming_in(answer)


def overview() -> Steps[Overview]:
    """How the service stands."""
    path = f"/{SYSTEM}/GetOverview"
    call = Call(path, system.GetOverviewRequest(), system.GetOverviewResponse)
    answer = yield from ask(call)
    return overview_in(answer)


def extend(instance_id: int, length: timedelta | None, occurrence_id: str) -> Steps[datetime]:
    """The new deadline."""
    request = service.ExtendRunRequest(
        instance_id=instance_id, occurrence_id=occurrence_id, extension=duration(length)
    )
    answer = yield from ask(of_runs("ExtendRun", request, service.ExtendRunResponse))
    return answer.deadline.ToDatetime(UTC)


def cancel(ids: Sequence[str], where: RunFilter | None, *, dry_run: bool) -> Steps[Progress]:
    """Cancel open runs, step by step. A step may be repeated: it finds the rest."""
    matched = changed = 0
    for selection in run_selections_of(ids, where):
        request = service.CancelRunsRequest(selection=selection, dry_run=dry_run)
        more = True
        while more:
            answer = yield from ask(of_runs("CancelRuns", request, service.CancelRunsResponse))
            matched += answer.progress.matched
            changed += answer.progress.changed
            request.page_token = answer.progress.next_page_token
            more = bool(request.page_token)
    return Progress(matched, changed)


def run_now(
    ids: Sequence[str], where: Filter | None, request_id: str, *, dry_run: bool
) -> Steps[Started]:
    """Run jobs, step by step. Each step may be repeated: it finds the runs of the first one."""
    matched, changed, runs = 0, 0, list[Run]()
    name = request_id or new_request_id()
    for selection in selections_of(ids, where):
        request = jobs.RunJobsRequest(selection=selection, request_id=name, dry_run=dry_run)
        more = True
        while more:
            answer = yield from ask(of_jobs("RunJobs", request, jobs.RunJobsResponse))
            matched += answer.progress.matched
            changed += answer.progress.changed
            runs += map(run_in, answer.runs)
            request.page_token = answer.progress.next_page_token
            more = bool(request.page_token)
    return Started(matched, changed, runs)


def backfill(
    job_id: str, span: tuple[datetime, datetime], most: int, request_id: str, *, dry_run: bool
) -> Steps[Backfill]:
    """Begin a backfill. It may be repeated: it finds the first one."""
    request = jobs.BackfillJobRequest(
        job_id=job_id,
        until=timestamp(span[1]),
        max_in_flight=most,
        request_id=request_id or new_request_id(),
        dry_run=dry_run,
    )
    start = timestamp(span[0])
    if start is not None:
        getattr(request, "from").CopyFrom(start)
    answer = yield from ask(of_jobs("BackfillJob", request, jobs.BackfillJobResponse))
    return Backfill(answer.runs, answer.first_run_id, answer.last_run_id)
