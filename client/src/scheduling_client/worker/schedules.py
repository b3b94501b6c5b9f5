"""Jobs that a worker declares beside its code: it makes sure at its start that they are there."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.zone import zone
from scheduling_client.worker.errors import WorkerError

if TYPE_CHECKING:
    from scheduling_client.api.client import Client
    from scheduling_client.api.errors import SchedulingError

log = logging.getLogger("scheduling_client.worker")
AGAIN_SECONDS = 2.0
CALL_SECONDS = 10.0
LABEL = "managed-by"
LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class Declared:
    """A recurring job."""

    id: str
    type: str
    interval: str
    timezone: str
    creator: str
    """The worker's name."""
    attempts: int

    @property
    def label(self) -> str:
        """The value of the label `managed-by`: no set of `scheduling apply` has such a name."""
        text = re.sub(r"[^A-Za-z0-9._-]", "-", f"worker.{self.creator}")
        return text[:LONGEST_LABEL].rstrip("._-")


def checked(interval: str, timezone: str, *, cron: bool) -> None:
    """Raises `WorkerError` if the service would refuse the schedule."""
    try:
        if cron:
            Cron.parse(interval)
        else:
            parse_interval(interval)
        zone(timezone)
    except ScheduleError as fault:
        raise WorkerError(str(fault)) from None


async def ensure(address: str, jobs: Sequence[Declared]) -> None:
    """Have the service create the jobs, or bring them up to date. Waits for one that is not there.

    An identical definition changes nothing: any number of instances may do it. Raises
    `WorkerError` if the service refuses a job.
    """
    told = False
    while (fault := await asyncio.to_thread(_declare_all, address, jobs)) is not None:
        if not told:
            told = True
            log.warning(
                "schedules wait for the service", extra={"address": address, "reason": str(fault)}
            )
        await asyncio.sleep(AGAIN_SECONDS)
    log.info("schedules are up to date", extra={"jobs": [each.id for each in jobs]})


def _declare_all(address: str, jobs: Sequence[Declared]) -> SchedulingError | None:
    """The fault of a service that cannot answer now, or None."""
    from scheduling_client.api import errors  # noqa: PLC0415 - gRPC takes a while

    try:
        try:
            _declare_in_v1(address, jobs)
        except (errors.FailedPrecondition, errors.Unsupported):
            _declare_in_2018(address, jobs)  # it is older, or its stored data is
    except (errors.Conflict, errors.NotFound, errors.Unavailable) as fault:
        return fault  # others change the job, or the service is away
    except errors.SchedulingError as fault:
        raise WorkerError(f"The service refuses a schedule: {fault}") from None
    return None


def _declare_in_v1(address: str, jobs: Sequence[Declared]) -> None:
    from scheduling_client.api.client import Client  # noqa: PLC0415

    with Client(address, timeout=CALL_SECONDS) as client:
        for job in jobs:
            _declare(client, job)


def _declare_in_2018(address: str, jobs: Sequence[Declared]) -> None:
    """Without labels, which the contract of 2018 does not have."""
    import grpc  # noqa: PLC0415

    from scheduling_client.api.statuses import error_of  # noqa: PLC0415
    from scheduling_client.wire import job_pb2, job_pb2_grpc  # noqa: PLC0415

    items = [
        job_pb2.Job(
            id=job.id,
            type=job.type,
            data=job_pb2.Data(timezone=job.timezone, creator=job.creator),
            interval=job.interval,
            attempts=job.attempts,
        )
        for job in jobs
    ]
    with grpc.insecure_channel(address) as channel:
        try:
            request = job_pb2.JobList(items=items)
            job_pb2_grpc.ServiceStub(channel).Upsert(request, timeout=CALL_SECONDS)
        except grpc.RpcError as fault:
            raise error_of(fault) from None


def _declare(client: Client, job: Declared) -> None:
    """The properties that a user has added to the job stay."""
    from scheduling_client.api.errors import NotFound  # noqa: PLC0415
    from scheduling_client.api.jobs import JobSpec  # noqa: PLC0415
    from scheduling_client.api.triggers import Schedule, Trigger  # noqa: PLC0415

    try:
        spec, is_new = client.get(job.id, next_times=0).spec, False
    except NotFound:
        spec, is_new = JobSpec(type="", schedule=None), True
    has_same = max(1, spec.retry.attempts) == job.attempts
    wanted: dict[str, Any] = {
        "type": job.type,
        "schedule": Schedule(Trigger.INTERVAL, job.interval),
        "timezone": job.timezone,
        "creator": job.creator,
        "retry": spec.retry if has_same else replace(spec.retry, attempts=job.attempts),
        "labels": {**spec.labels, LABEL: job.label},
    }
    changes = {name: value for name, value in wanted.items() if value != getattr(spec, name)}
    if changes:
        client.update(job.id, allow_missing=is_new, **changes)
