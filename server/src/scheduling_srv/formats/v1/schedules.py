"""The schedule of a stored job, as texts."""

from __future__ import annotations

from typing import NamedTuple

from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire.v1 import stored_pb2
from scheduling_srv.domain.trigger import TriggerKind
from scheduling_srv.formats import job_record
from scheduling_srv.formats.more import More
from scheduling_srv.formats.v1.times import instant_of


class StoredSchedule(NamedTuple):
    """When a stored job runs."""

    kind: TriggerKind
    text: str
    """Of the interval or of `when`; empty for `now`."""
    timezone: str
    period: int
    """Of INTERVAL, in ms."""


def schedule_in(record: bytes) -> StoredSchedule:
    """The schedule in a record."""
    head = job_record.header(record)
    rest = jobs.Job.FromString(job_record.rest_of(record))
    data = jobs.Data.FromString(job_record.data_of(record))
    text = rest.interval or rest.when
    return StoredSchedule(TriggerKind(head.kind), text, data.timezone, head.interval)


def start_in(more: More) -> int | None:
    """The `start_time` of a stored job, in epoch ms; None: it has none."""
    stored = stored_pb2.StoredSpec.FromString(more.spec)
    return instant_of(stored.start_time) if stored.HasField("start_time") else None
