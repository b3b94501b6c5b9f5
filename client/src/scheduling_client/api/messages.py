"""Jobs and runs to the messages of scheduling.v1, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scheduling_client.api.jobs import (
    Backoff,
    Counters,
    Filter,
    HeldBy,
    Job,
    JobSpec,
    JobState,
    Missed,
    MissedRuns,
    Origin,
    Outcome,
    Overlap,
    Pause,
    Payload,
    Preview,
    PreviewTime,
    Priority,
    RetryPolicy,
    Run,
    RunState,
)
from scheduling_client.api.triggers import Schedule, Trigger
from scheduling_client.wire.v1 import job_pb2, preview_pb2, run_pb2

Kind = TypeVar("Kind", bound=Enum)


# --- Times --------------------------------------------------------------------------------------


def timestamp(time: datetime | None) -> Timestamp | None:
    """None stays None. Raises `ValueError` for a time without a time zone."""
    if time is None:
        return None
    if time.utcoffset() is None:
        raise ValueError(f"{time!r} has no time zone: give it one, such as datetime.UTC")
    found = Timestamp()
    found.FromDatetime(time)
    return found


def duration(length: timedelta | None) -> Duration | None:
    """None stays None."""
    if length is None:
        return None
    found = Duration()
    found.FromTimedelta(length)
    return found


def time_in(message: Message, name: str) -> datetime | None:
    """The time in a field; None: it is not set."""
    if not message.HasField(name):
        return None
    found: Timestamp = getattr(message, name)
    return found.ToDatetime(UTC)


def length_in(message: Message, name: str) -> timedelta | None:
    """The duration in a field; None: it is not set."""
    if not message.HasField(name):
        return None
    found: Duration = getattr(message, name)
    return found.ToTimedelta()


def known(kind: type[Kind], number: int, default: Kind) -> Kind:
    """The member of an enum; a number of a later version is the default."""
    try:
        return kind(number)
    except ValueError:
        return default


# --- Specs --------------------------------------------------------------------------------------


def spec_message(spec: JobSpec) -> job_pb2.JobSpec:
    """Raises `ValueError` for time zones that contradict each other."""
    schedule = spec.schedule
    named = {zone for zone in (spec.timezone, schedule and schedule.timezone) if zone}
    if len(named) > 1:
        raise ValueError(f"The job and its schedule name different time zones: {sorted(named)}")
    return job_pb2.JobSpec(
        id=spec.id,
        type=spec.type,
        creator=spec.creator,
        payload=[AnyMessage(type_url=each.type_url, value=each.value) for each in spec.payload],
        priority=number_of(spec.priority),
        parallel=spec.parallel,
        timezone=named.pop() if named else "",
        schedule=schedule_message(schedule) if schedule else None,
        start_time=timestamp(spec.start_time),
        end_time=timestamp(spec.end_time),
        max_runs=spec.max_runs,
        start_deadline=duration(spec.start_deadline),
        jitter=duration(spec.jitter),
        retry=_retry_message(spec.retry) if spec.retry != RetryPolicy() else None,
        overlap=number_of(spec.overlap),
        missed=_missed_message(spec.missed) if spec.missed else None,
        completion_timeout=duration(spec.completion_timeout),
        labels=spec.labels,
        unique_key=spec.unique_key,
    )


def number_of(member: Enum) -> Any:  # noqa: ANN401 - the numbers of an enum are a type of their own
    """The number of a member, for a message."""
    return member.value


def schedule_message(schedule: Schedule) -> job_pb2.Schedule:
    """A schedule, without its time zone."""
    found = job_pb2.Schedule()
    if schedule.trigger is Trigger.NOW:
        found.now.SetInParent()
    elif schedule.instant is not None:
        found.at.FromDatetime(schedule.instant)
    elif schedule.period is not None:
        found.every.FromTimedelta(schedule.period)
    elif schedule.trigger is Trigger.WHEN:
        found.when = schedule.text
    else:
        found.interval = schedule.text
    return found


def _retry_message(retry: RetryPolicy) -> job_pb2.Retry:
    return job_pb2.Retry(
        attempts=retry.attempts,
        delay=duration(retry.delay),
        backoff=number_of(retry.backoff),
        max_delay=duration(retry.max_delay),
        random_share=retry.random_share,
    )


def _missed_message(missed: Missed) -> job_pb2.Missed:
    found = job_pb2.Missed(window=duration(missed.window))
    if missed.window is None:
        found.unlimited.SetInParent()
    if missed.older is not None:
        found.older = number_of(missed.older)
    return found


def spec_in(message: job_pb2.JobSpec) -> JobSpec:
    """The definition in a message."""
    return JobSpec(
        id=message.id,
        type=message.type,
        creator=message.creator,
        payload=tuple(Payload(each.value, each.type_url) for each in message.payload),
        priority=known(Priority, message.priority, Priority.NORMAL),
        parallel=message.parallel,
        timezone=message.timezone,
        schedule=_schedule_in(message.schedule),
        start_time=time_in(message, "start_time"),
        end_time=time_in(message, "end_time"),
        max_runs=message.max_runs,
        start_deadline=length_in(message, "start_deadline"),
        jitter=length_in(message, "jitter"),
        retry=_retry_in(message.retry),
        overlap=known(Overlap, message.overlap, Overlap.ALLOW),
        missed=_missed_in(message.missed) if message.HasField("missed") else None,
        completion_timeout=length_in(message, "completion_timeout"),
        labels=dict(message.labels),
        unique_key=message.unique_key,
    )


def _schedule_in(message: job_pb2.Schedule) -> Schedule | None:
    name = message.WhichOneof("trigger")
    if name is None:
        return None
    trigger = Trigger(name)
    text = message.when or message.interval
    return Schedule(trigger, text, time_in(message, "at"), length_in(message, "every"))


def _retry_in(message: job_pb2.Retry) -> RetryPolicy:
    return RetryPolicy(
        message.attempts,
        length_in(message, "delay"),
        known(Backoff, message.backoff, Backoff.FIXED),
        length_in(message, "max_delay"),
        message.random_share,
    )


def _missed_in(message: job_pb2.Missed) -> Missed:
    older = MissedRuns(message.older) if message.older in (1, 2) else None
    return Missed(length_in(message, "window"), older)


# --- Jobs and runs ------------------------------------------------------------------------------


def job_in(message: job_pb2.Job, *, existing: bool = False) -> Job:
    """The job in a message."""
    status = message.status
    return Job(
        spec=spec_in(message.spec),
        words=status.words,
        state=known(JobState, status.state, JobState.UNKNOWN),
        next_times=[each.ToDatetime(UTC) for each in status.next_times],
        create_time=time_in(status, "create_time"),
        update_time=time_in(status, "update_time"),
        revision=status.revision,
        pause=pause_in(status.pause) if status.HasField("pause") else None,
        type_pause=pause_in(status.type_pause) if status.HasField("type_pause") else None,
        counters=_counters_in(status.counters) if status.HasField("counters") else None,
        last_run=run_in(status.last_run) if status.HasField("last_run") else None,
        open_runs=[run_in(each) for each in status.open_runs],
        existing=existing,
    )


def pause_in(message: job_pb2.Pause) -> Pause:
    """The pause in a message."""
    return Pause(time_in(message, "since"), message.note, message.by)


def _counters_in(message: job_pb2.JobCounters) -> Counters:
    return Counters(*(getattr(message, name) for name in Counters._fields))


def run_in(message: run_pb2.Run) -> Run:
    """The run in a message."""
    return Run(
        run_id=message.run_id,
        job_id=message.job_id,
        type=message.type,
        nominal_time=time_in(message, "nominal_time"),
        origin=known(Origin, message.origin, Origin.UNKNOWN),
        state=known(RunState, message.state, RunState.UNKNOWN),
        held_by=known(HeldBy, message.held_by, HeldBy.NOTHING),
        attempts=message.attempts,
        max_attempts=message.max_attempts,
        instance_id=message.instance_id,
        start_time=time_in(message, "start_time"),
        end_time=time_in(message, "end_time"),
        retry_time=time_in(message, "retry_time"),
        deadline=time_in(message, "deadline"),
        outcome=known(Outcome, message.outcome, Outcome.UNKNOWN),
        error=message.error,
    )


def filter_message(where: Filter) -> job_pb2.JobFilter:
    """A filter."""
    return job_pb2.JobFilter(
        type=where.type,
        creator=where.creator,
        labels=where.labels,
        id_prefix=where.id_prefix,
        states=[number_of(each) for each in where.states],
        due_from=timestamp(where.due_from),
        due_until=timestamp(where.due_until),
    )


def preview_in(message: preview_pb2.Preview) -> Preview:
    """The preview in a message."""
    times = [
        PreviewTime(each.time.ToDatetime(UTC), each.local_time, each.remark)
        for each in message.times
    ]
    return Preview(message.words, message.timezone, times)


# --- Changes ------------------------------------------------------------------------------------


def changed_spec(job_id: str, changes: Mapping[str, Any]) -> tuple[job_pb2.JobSpec, list[str]]:
    """The message of an update, and its mask. Raises `ValueError`."""
    spec = replace(JobSpec(type="", schedule=None), **{**changes, "id": job_id})
    paths = [name for name in changes if name != "id"]
    if spec.schedule and spec.schedule.timezone and "timezone" not in changes:
        paths.append("timezone")
    return spec_message(spec), paths
