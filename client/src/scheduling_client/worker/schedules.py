"""Jobs that a worker declares beside its code: it makes sure at its start that they are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.zone import zone
from scheduling_client.wire.job_pb2 import Data, JobList
from scheduling_client.wire.job_pb2 import Job as JobMessage
from scheduling_client.wire.job_pb2_grpc import ServiceStub
from scheduling_client.worker.errors import WorkerError

log = logging.getLogger("scheduling_client.worker")
AGAIN_SECONDS = 2.0
CALL_SECONDS = 10.0
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}


@dataclass(frozen=True, slots=True)
class Declared:
    """A recurring job."""

    id: str
    type: str
    interval: str
    timezone: str
    creator: str
    attempts: int

    def message(self) -> JobMessage:
        """As the service takes it."""
        data = Data(timezone=self.timezone, creator=self.creator)
        return JobMessage(
            id=self.id, type=self.type, data=data, interval=self.interval, attempts=self.attempts
        )


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
    """Upsert the jobs at the service. Waits for one that is not there.

    An identical definition changes nothing: any number of instances may do it. Raises
    `WorkerError` if the service refuses a job.
    """
    told = False
    while (fault := await asyncio.to_thread(_upsert, address, jobs)) is not None:
        if fault.code() in _REFUSALS:
            raise WorkerError(f"The service refuses a schedule: {fault.details()}")
        if not told:
            told = True
            log.warning(
                "schedules wait for the service",
                extra={"address": address, "reason": fault.details()},
            )
        await asyncio.sleep(AGAIN_SECONDS)
    log.info("schedules are up to date", extra={"jobs": [each.id for each in jobs]})


def _upsert(address: str, jobs: Sequence[Declared]) -> Any:  # noqa: ANN401 - grpc has no type for it
    """The fault of the call, or None."""
    with grpc.insecure_channel(address) as channel:
        try:
            request = JobList(items=[each.message() for each in jobs])
            ServiceStub(channel).Upsert(request, timeout=CALL_SECONDS)
        except grpc.RpcError as fault:
            return fault
    return None
