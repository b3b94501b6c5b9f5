"""Jobs of 220 bytes, and clients that submit them as fast as they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import grpc

from scheduling_client.wire import job_pb2, resourcebase_pb2

CREATE = "/io.restorecommerce.job.Service/Create"
DELETE = "/io.restorecommerce.job.Service/Delete"
JOB_BYTES = 220


class Submitted(NamedTuple):
    """What a client was told."""

    ids: list[str]
    seconds: float

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return len(self.ids) / self.seconds


def rfc3339(instant: float) -> str:
    """Epoch seconds, with milliseconds."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")


def job(when: float, type_: str = "bench") -> job_pb2.Job:
    """A job for that instant, of 220 bytes as it is sent."""
    message = job_pb2.Job(type=type_, when=rfc3339(when), attempts=1)
    message.data.creator = "bench-client"
    payload = message.data.payload.add(type_url="payload", value=b"")
    payload.value = b"x" * (JOB_BYTES - message.ByteSize() - 4)
    return message


def batches(whens: Sequence[float], size: int) -> list[bytes]:
    """Serialized JobLists of `size` jobs each."""
    return [
        job_pb2.JobList(items=[job(when) for when in whens[at : at + size]]).SerializeToString()
        for at in range(0, len(whens), size)
    ]


async def submit(address: str, requests: Iterable[bytes], in_flight: int) -> Submitted:
    """Send every request; the time is from the first one sent to the last one answered."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CREATE)
        queue, answers = iter(list(requests)), list[bytes]()

        async def client() -> None:
            for request in queue:
                answers.append(await call(request, wait_for_ready=True))

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(in_flight)))
        seconds = time.perf_counter() - began
    # Reading the answers is not part of what is measured.
    ids = [item.id for answer in answers for item in job_pb2.JobList.FromString(answer).items]
    return Submitted(ids, seconds)


def delete_all(address: str) -> None:
    """Delete every job."""
    with grpc.insecure_channel(address) as channel:
        request = resourcebase_pb2.DeleteRequest(collection=True)
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(DELETE)
        call(request.SerializeToString(), timeout=120)
