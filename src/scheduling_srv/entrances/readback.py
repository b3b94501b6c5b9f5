"""Reads protobuf back out of what this service has stored or published."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from scheduling_srv.app.planner import CronText
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.job import JobRequest
from scheduling_srv.entrances import convert
from scheduling_srv.wire import job_pb2 as jobs


def read_cron(stored: bytes) -> CronText:
    """The expression and the time zone of a cron job's record."""
    rest = jobs.Job.FromString(record.rest_of(stored))
    data = jobs.Data.FromString(record.data_of(stored))
    return CronText(rest.interval, data.timezone)


def answer_instance(value: bytes) -> int | None:
    """The instance that a jobDone or jobFailed names; None for bytes that are neither."""
    try:
        return jobs.JobDone.FromString(value).id
    except DecodeError:
        return None


def read_job(value: bytes) -> JobRequest:
    """The job of a jobsCreated event. Raises `InvalidRequest`."""
    return convert.decode_job_list(record.JOB_ID + record.sized(value))[0]


def read_deleted(value: bytes) -> str:
    """The id of a jobsDeleted event. Raises `InvalidRequest`."""
    try:
        return jobs.Deleted.FromString(value).id
    except DecodeError as fault:
        msg = "The message cannot be read as io.restorecommerce.job.Deleted."
        raise InvalidRequest(msg) from fault
