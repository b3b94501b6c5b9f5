"""The messages of the contract: the only module of the worker that knows the generated code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

from confluent_kafka import Message
from google.protobuf.message import DecodeError

from scheduling_client.wire.job_pb2 import JobDone, JobFailed, ScheduledJob
from scheduling_client.worker.answers import Ended
from scheduling_client.worker.runs import Data, Item, Run

__all__ = ["DecodeError", "answer", "answered_instance", "queued_instance", "read_job", "run_of"]

QUEUED, DONE, FAILED, HEARTBEAT = b"queuedJob", b"jobDone", b"jobFailed", b"jobHeartbeat"
_headers = methodcaller("headers")  # a call by its name passes on the error of a broken header


def read_job(value: bytes) -> ScheduledJob:
    """The value of a queuedJob. Raises `DecodeError`."""
    return ScheduledJob.FromString(value)


def run_of(job: ScheduledJob, message: Message, extend: Callable[[Run], None]) -> Run:
    """The run of a queuedJob. Raises what a broken header raises."""
    headers: Any = dict(_headers(message) or ())
    if not all(headers.values()):
        headers = {name: each for name, each in headers.items() if each is not None}
    data = partial(_data, job)
    return Run(job.id, job.type, job.schedule_type, headers, data, extend=extend)


def _data(job: ScheduledJob) -> Data:
    data = job.data
    payload = tuple([Item(each.type_url, each.value) for each in data.payload])
    return Data(payload, data.creator, data.timezone)


def queued_instance(value: bytes) -> tuple[int, str]:
    """The instance id and the type of a queuedJob. Raises `DecodeError`."""
    job = read_job(value)
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
