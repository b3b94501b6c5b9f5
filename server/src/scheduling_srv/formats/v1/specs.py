"""`JobSpec` to the definition of a job, and the stored job back to a `JobSpec`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import Message

from scheduling_client.schedules.when import rfc3339
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import stored_pb2
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.job import JobRequest, StoredJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.formats import job_record
from scheduling_srv.formats.more import More
from scheduling_srv.formats.v1.times import duration_ms, duration_of, instant_of, timestamp_of

DEFAULT_TIMEZONE = "UTC"
PRIORITIES = {
    v1.PRIORITY_UNSPECIFIED: jobs.Job.NORMAL,
    v1.PRIORITY_LOW: jobs.Job.LOW,
    v1.PRIORITY_NORMAL: jobs.Job.NORMAL,
    v1.PRIORITY_MEDIUM: jobs.Job.MEDIUM,
    v1.PRIORITY_HIGH: jobs.Job.HIGH,
    v1.PRIORITY_CRITICAL: jobs.Job.CRITICAL,
}
_PRIORITIES_BACK = {theirs: ours for ours, theirs in PRIORITIES.items() if ours}
_BACKOFFS = {
    v1.BACKOFF_UNSPECIFIED: jobs.Backoff.FIXED,
    v1.BACKOFF_FIXED: jobs.Backoff.FIXED,
    v1.BACKOFF_EXPONENTIAL: jobs.Backoff.EXPONENTIAL,
}
_BACKOFFS_BACK = {theirs: ours for ours, theirs in _BACKOFFS.items() if ours}
_OVERLAPS = {
    v1.OVERLAP_UNSPECIFIED: Overlap.ALLOW,
    v1.OVERLAP_ALLOW: Overlap.ALLOW,
    v1.OVERLAP_SKIP: Overlap.SKIP,
    v1.OVERLAP_ONE: Overlap.ONE,
}
_OVERLAPS_BACK = {Overlap.SKIP: v1.OVERLAP_SKIP, Overlap.ONE: v1.OVERLAP_ONE}
PLAIN = Properties()
_GIVEN_OTHERWISE = ("at", "every")
"""Schedules that are texts in the message of 2018."""
_LATEST = {v1.MISSED_RUNS_LATEST: True, v1.MISSED_RUNS_SKIP: False}

Of = TypeVar("Of", bound=Message)
Number = TypeVar("Number", bound=int)
Value = TypeVar("Value")


# --- In -----------------------------------------------------------------------------------------


def definition_of(
    spec: v1.JobSpec,
    trace: bytes = b"",
    replaced: StoredJob | None = None,
    *,
    latest: bool = True,
) -> Definition:
    """The definition, unchecked. Raises `InvalidRequest` for values that no job can have.

    Fields of `replaced` that this version does not know are kept. `latest`: what
    MISSED_RUNS_UNSPECIFIED means.
    """
    job = _job_of(spec, _unknown_fields(replaced) if replaced else jobs.Job())
    trigger = spec.schedule.WhichOneof("trigger") or ""
    request = JobRequest(
        spec.id,
        spec.type,
        job.data.timezone,
        spec.creator,
        job.data.SerializeToString(),
        _rest_of(job),
        job.priority,
        job.attempts,
        job.backoff.type,
        job.backoff.delay,
        job.parallel,
        job.interval,
        job.when,
        job.now,
        trace,
    )
    return Definition(request, trigger, _properties_of(spec, latest=latest), _stored_spec(spec))


def _stored_spec(spec: v1.JobSpec) -> bytes:
    """What neither the message of 2018 nor the properties say: empty for most jobs."""
    stored = stored_pb2.StoredSpec()
    if spec.schedule.WhichOneof("trigger") in _GIVEN_OTHERWISE:
        stored.schedule.CopyFrom(spec.schedule)
    if spec.HasField("start_time"):
        stored.start_time.CopyFrom(spec.start_time)
    return stored.SerializeToString()


def _unknown_fields(stored: StoredJob) -> jobs.Job:
    job = jobs.Job.FromString(job_record.rest_of(stored.record))
    job.data.MergeFromString(job_record.data_of(stored.record))
    messages: tuple[Message, ...] = (job.data, job)
    for message in messages:
        for name in message.DESCRIPTOR.fields_by_name:
            if name != "data":
                message.ClearField(name)
    return job


def _job_of(spec: v1.JobSpec, job: jobs.Job) -> jobs.Job:
    job.data.timezone = spec.timezone or DEFAULT_TIMEZONE
    job.data.creator = spec.creator
    job.data.payload.extend(spec.payload)
    job.attempts = spec.retry.attempts
    job.parallel = spec.parallel
    job.priority = _known(PRIORITIES, spec.priority, "priority")
    _set_retry(job, spec.retry)
    _set_trigger(job, spec.schedule)
    return job


def _set_retry(job: jobs.Job, retry: v1.Retry) -> None:
    kind = _known(_BACKOFFS, retry.backoff, "retry.backoff")
    delay = _optional(retry, "delay", duration_ms, "retry.delay") or 0
    if delay or kind:
        job.backoff.delay = delay
        job.backoff.type = kind


def _set_trigger(job: jobs.Job, schedule: v1.Schedule) -> None:
    trigger = schedule.WhichOneof("trigger")
    if trigger == "now":
        job.now = True
    elif trigger == "at":
        with field_named("schedule.at"):
            job.when = rfc3339(instant_of(schedule.at)).decode()
    elif trigger == "when":
        job.when = schedule.when
    elif trigger == "every":
        with field_named("schedule.every"):
            job.interval = interval_text(duration_ms(schedule.every))
    elif trigger == "interval":
        job.interval = schedule.interval


def interval_text(period: int) -> str:
    """The interval of 2018 that means so many milliseconds."""
    if period <= 0:
        raise InvalidRequest("The interval is longer than zero.")
    seconds, ms = divmod(period, 1000)
    return f"{period} milliseconds" if ms else f"{seconds} seconds"


def _rest_of(job: jobs.Job) -> bytes:
    rest = jobs.Job()
    rest.CopyFrom(job)
    rest.ClearField("data")
    return rest.SerializeToString()


def _properties_of(spec: v1.JobSpec, *, latest: bool) -> Properties:
    return Properties(
        start=_optional(spec, "start_time", instant_of),
        end=_optional(spec, "end_time", instant_of),
        max_runs=spec.max_runs,
        start_deadline=_optional(spec, "start_deadline", duration_ms),
        jitter=_optional(spec, "jitter", duration_ms),
        max_delay=_optional(spec.retry, "max_delay", duration_ms, "retry.max_delay"),
        random_share=spec.retry.random_share,
        overlap=_known(_OVERLAPS, spec.overlap, "overlap"),
        missed=_missed_of(spec.missed, latest=latest) if spec.HasField("missed") else None,
        completion_timeout=_optional(spec, "completion_timeout", duration_ms),
        labels=dict(spec.labels),
        unique_key=spec.unique_key,
    )


def _missed_of(missed: v1.Missed, *, latest: bool) -> MissedRule:
    if missed.WhichOneof("reach") is None:
        raise _fault("missed", "Set how far back runs are made up for: window or unlimited.")
    window = _optional(missed, "window", duration_ms, "missed.window")
    known = {**_LATEST, v1.MISSED_RUNS_UNSPECIFIED: latest}
    return MissedRule(window, _known(known, missed.older, "missed.older"))


def _optional(
    message: Message, name: str, convert: Callable[[Of], Value], path: str = ""
) -> Value | None:
    if not message.HasField(name):
        return None
    with field_named(path or name):
        return convert(getattr(message, name))


def _known(table: Mapping[Number, Value], number: Number, field: str) -> Value:
    if number not in table:
        raise _fault(field, f"The number {number} is none of the enum.")
    return table[number]


@contextmanager
def field_named(name: str) -> Iterator[None]:
    """Name the field of a fault that comes from inside."""
    try:
        yield
    except InvalidRequest as fault:
        raise _fault(name, str(fault)) from None


def _fault(field: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(field, sentence)])


# --- Out ----------------------------------------------------------------------------------------


def spec_of(stored: StoredJob) -> v1.JobSpec:
    """The definition of a stored job."""
    rest = jobs.Job.FromString(job_record.rest_of(stored.record))
    data = jobs.Data.FromString(job_record.data_of(stored.record))
    more = job_record.properties_of(stored.record)
    spec = v1.JobSpec(
        id=stored.id.decode(),
        type=job_record.type_of(stored.record).decode(),
        creator=data.creator,
        payload=data.payload,
        priority=_PRIORITIES_BACK[rest.priority],
        parallel=rest.parallel,
        timezone=data.timezone,
        schedule=schedule_of(rest),
        retry=_retry_of(rest),
    )
    if more.spec or more.properties != PLAIN:
        _add_more(more, rest, spec)
    return spec


def _add_more(more: More, rest: jobs.Job, spec: v1.JobSpec) -> None:
    stored, asked = stored_pb2.StoredSpec.FromString(more.spec), more.properties
    if _means(stored.schedule, rest):
        spec.schedule.CopyFrom(stored.schedule)
    if stored.HasField("start_time"):
        spec.start_time.CopyFrom(stored.start_time)
    if asked.end is not None:
        spec.end_time.CopyFrom(timestamp_of(asked.end))
    spec.max_runs = asked.max_runs
    for name in ("start_deadline", "jitter", "completion_timeout"):
        if (ms := getattr(asked, name)) is not None:
            getattr(spec, name).CopyFrom(duration_of(ms))
    if asked.max_delay is not None:
        spec.retry.max_delay.CopyFrom(duration_of(asked.max_delay))
    if asked.random_share:
        spec.retry.random_share = asked.random_share
    spec.overlap = _OVERLAPS_BACK.get(asked.overlap, v1.OVERLAP_UNSPECIFIED)
    if asked.missed is not None:
        spec.missed.CopyFrom(_missed_message(asked.missed))
    spec.labels.update(asked.labels)
    spec.unique_key = asked.unique_key


def _means(given: v1.Schedule, rest: jobs.Job) -> bool:
    """Whether it is still the schedule: an Update of 2018 changes the text alone."""
    kind = given.WhichOneof("trigger")
    if kind is None:
        return False
    job = jobs.Job()
    _set_trigger(job, given)
    return (job.interval, job.when) == (rest.interval, rest.when)


def _missed_message(rule: MissedRule) -> v1.Missed:
    older = v1.MISSED_RUNS_LATEST if rule.latest else v1.MISSED_RUNS_SKIP
    missed = v1.Missed(older=older)
    if rule.window is None:
        missed.unlimited.SetInParent()
    else:
        missed.window.CopyFrom(duration_of(rule.window))
    return missed


def schedule_of(job: jobs.Job) -> v1.Schedule:
    """The schedule of a message of 2018, by its rule: interval, else when, else now."""
    if job.interval:
        return v1.Schedule(interval=job.interval)
    if job.when:
        return v1.Schedule(when=job.when)
    schedule = v1.Schedule()
    schedule.now.SetInParent()
    return schedule


def _retry_of(job: jobs.Job) -> v1.Retry | None:
    if not job.attempts and not job.HasField("backoff"):
        return None
    retry = v1.Retry(attempts=job.attempts)
    if job.HasField("backoff"):
        retry.backoff = _BACKOFFS_BACK[job.backoff.type]
        if job.backoff.delay > 0:
            retry.delay.CopyFrom(duration_of(round(job.backoff.delay)))
    return retry
