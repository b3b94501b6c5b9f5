"""The calls of operations on runs, without I/O; see `logic`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message

from scheduling_client.api.jobs import Backfill, Filter, Progress, Run, Started
from scheduling_client.api.logic import MOST_IDS, Call, Steps, ask, of_jobs, selections_of
from scheduling_client.api.messages import duration, run_in, timestamp
from scheduling_client.api.request_ids import new_request_id
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_service_pb2 as service

RUNS = "scheduling.v1.RunService"

Answer = TypeVar("Answer", bound=Message)


def of_runs(method: str, request: Message, answer: type[Answer]) -> Call[Answer]:
    """A call of the RunService. It has the same effect if it is made twice."""
    return Call(f"/{RUNS}/{method}", request, answer)


def extend(instance_id: int, length: timedelta | None, occurrence_id: str) -> Steps[datetime]:
    """The new deadline."""
    request = service.ExtendRunRequest(
        instance_id=instance_id, occurrence_id=occurrence_id, extension=duration(length)
    )
    answer = yield from ask(of_runs("ExtendRun", request, service.ExtendRunResponse))
    return answer.deadline.ToDatetime(UTC)


def cancel(run_ids: Sequence[str], *, dry_run: bool) -> Steps[Progress]:
    """Cancel open runs, step by step. A step may be repeated: it finds the rest."""
    matched = changed = 0
    for start in range(0, len(run_ids), MOST_IDS):
        ids = service.RunIds(run_ids=run_ids[start : start + MOST_IDS])
        request = service.CancelRunsRequest(
            selection=service.RunSelection(ids=ids), dry_run=dry_run
        )
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
