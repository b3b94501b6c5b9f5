"""The messages of the contract: the only module of the worker that knows the generated code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from google.protobuf.message import DecodeError

from scheduling_client.wire.job_pb2 import Data, JobDone, JobFailed, ScheduledJob
from scheduling_client.worker.answers import Ended
from scheduling_client.worker.runs import Item, Run

__all__ = ["DecodeError", "answer", "answered_instance", "queued_instance", "read_run"]

QUEUED, DONE, FAILED, HEARTBEAT = b"queuedJob", b"jobDone", b"jobFailed", b"jobHeartbeat"


def read_run(value: bytes, headers: Mapping[str, bytes], extend: Callable[[Run], None]) -> Run:
    """The run of a queuedJob. Raises `DecodeError`."""
    job = ScheduledJob.FromString(value)
    data = job.data
    return Run(
        id=job.id,
        type=job.type,
        payload=partial(_items, data),
        headers=headers,
        creator=data.creator,
        timezone=data.timezone,
        schedule_type=job.schedule_type,
        extend=extend,
    )


def _items(data: Data) -> tuple[Item, ...]:
    return tuple([Item(each.type_url, each.value) for each in data.payload])


def queued_instance(value: bytes) -> tuple[int, str]:
    """The instance id and the type of a queuedJob. Raises `DecodeError`."""
    job = ScheduledJob.FromString(value)
    return job.id, job.type


def answered_instance(value: bytes) -> int:
    """The instance id of a jobDone or a jobFailed. Raises `DecodeError`."""
    return JobDone.FromString(value).id


def answer(run: Run, ended: Ended) -> tuple[bytes, bytes]:
    """Key and value of the answer."""
    if ended.error is None:
        return DONE, JobDone(id=run.id, schedule_type=run.schedule_type).SerializeToString()
    message = JobFailed(
        id=run.id,
        error=ended.error,
        schedule_type=run.schedule_type,
        retry_after_ms=ended.retry_after_ms,
        final=ended.final,
    )
    return FAILED, message.SerializeToString()


def heartbeat(run: Run) -> tuple[bytes, bytes]:
    """Key and value of a jobHeartbeat, which has the shape of a jobDone."""
    return HEARTBEAT, JobDone(id=run.id, schedule_type=run.schedule_type).SerializeToString()
