"""The calls of the demonstration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.wire import job_pb2 as wire
from scheduling_client.wire import job_pb2_grpc as services

DEADLINE_SECONDS = 10.0
"""Seconds that a call may take. A Create is answered when it is stored and announced on Kafka."""


def job(job_type: str, payload: object = None, *, creator: str = "", **fields: Any) -> wire.Job:
    """A job with a JSON payload; `fields` are those of the message, such as `interval`."""
    data = wire.Data(creator=creator)
    if payload is not None:
        # The scheduler never looks into a payload: its type and its bytes are between you two.
        data.payload.append(AnyMessage(type_url="json", value=json.dumps(payload).encode()))
    return wire.Job(type=job_type, data=data, **fields)


class Scheduler:
    """The calls of the job service; `with` closes the connection."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self._service = services.ServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.channel.close()

    def create(self, *jobs: wire.Job) -> Sequence[wire.Job]:
        """All of them, or none; with the ids that they have from now on."""
        return self._service.Create(wire.JobList(items=jobs), timeout=DEADLINE_SECONDS).items

    def read(self, *ids: str, creator: str = "") -> Sequence[wire.Job]:
        """The jobs with these ids and of this creator, in order of creation; all without either."""
        chosen = wire.JobFilter(jobs_ids=ids, creator=creator)
        return self._service.Read(
            wire.JobReadRequest(filter=chosen), timeout=DEADLINE_SECONDS
        ).items
