"""Answers of scheduling.v1 about runs, as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_pb2
from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.domain.job_view import JobView
from scheduling_srv.domain.run import (
    FailureGroup,
    HeldBy,
    JobCounters,
    RetryProgress,
    Run,
    RunOrigin,
    RunOutcome,
    RunPage,
    RunState,
    UpcomingRuns,
)
from scheduling_srv.formats.job_record import kind
from scheduling_srv.formats.v1.times import timestamp_of
from scheduling_srv.runtime.time_slice import SharedSlice

_ORIGINS = {each: run_pb2.RunOrigin.Value(f"RUN_ORIGIN_{each.name}") for each in RunOrigin}
_STATES = {each: run_pb2.RunState.Value(f"RUN_STATE_{each.name}") for each in RunState}
_HELD_BY = {
    each: run_pb2.HeldBy.Value(f"HELD_BY_{each.name}" if each else "HELD_BY_UNSPECIFIED")
    for each in HeldBy
}
_OUTCOMES = {
    each: run_pb2.Outcome.Value(f"OUTCOME_{each.name}" if each else "OUTCOME_UNSPECIFIED")
    for each in RunOutcome
}


def run_of(run: Run) -> run_pb2.Run:
    """A run as the API shows it."""
    message = run_pb2.Run(
        run_id=str(run.id),
        job_id=run.id.job_id,
        type=run.type,
        nominal_time=timestamp_of(run.id.nominal),
        origin=_ORIGINS[run.id.origin],
        state=_STATES[run.state],
        held_by=_HELD_BY[run.held_by],
        attempts=run.attempts,
        max_attempts=run.most,
        instance_id=run.instance,
        outcome=_OUTCOMES[run.outcome],
        error=run.error,
    )
    times = (
        (message.start_time, run.started),
        (message.end_time, run.ended),
        (message.retry_time, run.retry),
        (message.deadline, run.deadline),
    )
    for field, instant in times:
        if instant:
            field.CopyFrom(timestamp_of(instant))
    return message


def note_runs(status: v1.JobStatus, view: JobView) -> None:
    """Add the runs of a job to its status: counters only if it is a recurring one."""
    if view.runs is None:
        return
    if TriggerKind(kind(view.job.record)) not in {TriggerKind.NOW, TriggerKind.ONCE}:
        status.counters.CopyFrom(_counters_of(view.runs.counters))
    if view.runs.last:
        status.last_run.CopyFrom(run_of(view.runs.last))
    status.open_runs.extend(map(run_of, view.runs.open))


def _counters_of(counters: JobCounters) -> v1.JobCounters:
    return v1.JobCounters(**counters._asdict())


async def write_runs(page: RunPage) -> bytes:
    """A ListRunsResponse."""
    answer, time_slice = service.ListRunsResponse(next_page_token=page.token), SharedSlice()
    for run in page.runs:
        answer.runs.append(run_of(run))
        await time_slice.yield_if_used()
    return answer.SerializeToString()


def encode_failures(groups: Sequence[FailureGroup]) -> bytes:
    """A ListFailuresResponse."""
    answer = service.ListFailuresResponse()
    for group in groups:
        answer.groups.add(
            type=group.type,
            error=group.error,
            count=group.number,
            last_time=timestamp_of(group.last),
            last_run_id=str(group.last_run),
            last_job_id=group.last_run.job_id,
        )
    return answer.SerializeToString()


def encode_retried(progress: RetryProgress) -> bytes:
    """A RetryRunsResponse."""
    matched, changed, token, refusals = progress
    answer = service.RetryRunsResponse()
    answer.progress.CopyFrom(
        service.RunProgress(matched=matched, changed=changed, next_page_token=token)
    )
    for run_id, reason, sentence in refusals:
        answer.refusals.add(run_id=run_id, reason=reason, message=sentence)
    return answer.SerializeToString()


def encode_upcoming(found: UpcomingRuns) -> bytes:
    """A ListUpcomingResponse."""
    answer = jobs.ListUpcomingResponse(more=found.more)
    for each in found.entries:
        answer.upcoming.add(
            job_id=each.job_id,
            type=each.type,
            time=timestamp_of(each.time),
            count=each.number,
            words=each.words,
        )
    return answer.SerializeToString()
