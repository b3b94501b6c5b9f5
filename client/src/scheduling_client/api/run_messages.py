"""Messages of scheduling.v1 about runs and the service, to values of Python."""

from __future__ import annotations

from scheduling_client.api.jobs import (
    FailureGroup,
    RunFilter,
    RunRefusal,
    Upcoming,
    UpcomingRun,
)
from scheduling_client.api.messages import length_in, number_of, time_in, timestamp
from scheduling_client.api.overview import MinuteCounts, Overview, ShardState, StateCounts
from scheduling_client.wire.v1 import job_service_pb2, run_pb2, run_service_pb2, system_service_pb2


def run_filter_message(where: RunFilter) -> run_service_pb2.RunFilter:
    """A filter."""
    found = run_service_pb2.RunFilter(
        job_id=where.job_id,
        type=where.type,
        states=[number_of(each) for each in where.states],
        outcomes=[number_of(each) for each in where.outcomes],
        origins=[number_of(each) for each in where.origins],
        until=timestamp(where.until),
        error=where.error,
    )
    since = timestamp(where.since)
    if since is not None:
        getattr(found, "from").CopyFrom(since)  # the name is a word of Python
    return found


def failure_in(message: run_pb2.FailureGroup) -> FailureGroup:
    """The group in a message."""
    return FailureGroup(
        message.type,
        message.error,
        message.count,
        time_in(message, "last_time"),
        message.last_run_id,
        message.last_job_id,
    )


def refusal_in(message: run_service_pb2.RunRefusal) -> RunRefusal:
    """The refusal in a message."""
    return RunRefusal(message.run_id, message.reason, message.message)


def upcoming_in(message: job_service_pb2.ListUpcomingResponse) -> Upcoming:
    """The entries of an answer."""
    runs = [
        UpcomingRun(each.job_id, each.type, time_in(each, "time"), each.count, each.words)
        for each in message.upcoming
    ]
    return Upcoming(runs, message.more)


def overview_in(message: system_service_pb2.GetOverviewResponse) -> Overview:
    """The overview in an answer."""
    counts, health = message.counts, message.health
    return Overview(
        counts=StateCounts(*(getattr(counts, name) for name in StateCounts._fields)),
        minutes=[_minute_in(each) for each in message.minutes],
        due=list(message.due),
        shards=[
            ShardState(each.number, each.owner, length_in(each, "oldest_due"))
            for each in message.shards
        ],
        serving=health.serving,
        reasons=list(health.reasons),
        lag=message.lag,
    )


def _minute_in(message: system_service_pb2.Minute) -> MinuteCounts:
    return MinuteCounts(
        time_in(message, "time"),
        message.emitted,
        message.done,
        message.failed,
        message.skipped,
        length_in(message, "mean_lateness"),
        length_in(message, "max_lateness"),
    )
