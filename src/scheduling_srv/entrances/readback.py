"""Reads protobuf back out of what this service has stored or published."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from scheduling_srv.domain import record
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.job import JobRequest
from scheduling_srv.domain.trigger import CronText
from scheduling_srv.entrances import convert
from scheduling_srv.wire import job_pb2 as jobs


def read_cron(stored: bytes) -> CronText:
    """The expression and the time zone of a cron job's record. Raises `InvalidRequest`."""
    try:
        rest = jobs.Job.FromString(record.rest_of(stored))
        data = jobs.Data.FromString(record.data_of(stored))
    except DecodeError as fault:
        msg = "The stored job cannot be read."
        raise InvalidRequest(msg) from fault
    return CronText(rest.interval, data.timezone)


def answer_instance(value: bytes) -> int | None:
    """The instance that a jobDone or jobFailed names; None for bytes that are neither."""
    try:
        return jobs.JobDone.FromString(value).id
    except DecodeError:
        return None


def read_jobs(values: Sequence[bytes]) -> list[JobRequest]:
    """The jobs of jobsCreated events. Raises `InvalidRequest` if one of them is none."""
    return convert.decode_job_list(_as_list(values), limit=len(values))


def read_job(value: bytes) -> JobRequest:
    """The job of a jobsCreated event. Raises `InvalidRequest`."""
    return read_jobs([value])[0]


def read_ids(values: Sequence[bytes]) -> list[str]:
    """The ids in jobsCreated events. Raises `InvalidRequest` if one of them cannot be read."""
    try:
        return [job.id for job in jobs.JobList.FromString(_as_list(values)).items]
    except DecodeError as fault:
        msg = "The message cannot be read as io.restorecommerce.job.Job."
        raise InvalidRequest(msg) from fault


def _as_list(values: Sequence[bytes]) -> bytes:
    """A JobList of these Jobs: protobuf reads many of them in one call."""
    return b"".join([convert.LIST_ITEM + record.sized(value) for value in values])


def read_deleted(value: bytes) -> str:
    """The id of a jobsDeleted event. Raises `InvalidRequest`."""
    try:
        return jobs.Deleted.FromString(value).id
    except DecodeError as fault:
        msg = "The message cannot be read as io.restorecommerce.job.Deleted."
        raise InvalidRequest(msg) from fault
