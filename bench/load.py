"""Jobs of 220 bytes, and calls that are not measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import grpc
from google.protobuf.message import Message

from scheduling_client.wire import commandinterface_pb2, job_pb2, resourcebase_pb2

CREATE = "/io.restorecommerce.job.Service/Create"
DELETE = "/io.restorecommerce.job.Service/Delete"
COMMAND = "/io.restorecommerce.commandinterface.Service/Command"
JOB_BYTES = 220


def rfc3339(instant: float) -> str:
    """Epoch seconds, with milliseconds."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")


def job(when: float) -> job_pb2.Job:
    """A job for that instant, of 220 bytes as it is sent."""
    message = job_pb2.Job(type="bench", when=rfc3339(when), attempts=1)
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


def call(address: str, path: str, request: Message) -> None:
    """One call, on a connection of its own."""
    with grpc.insecure_channel(address) as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        send(request.SerializeToString(), timeout=120)


def delete_all(address: str) -> None:
    """Delete every job."""
    call(address, DELETE, resourcebase_pb2.DeleteRequest(collection=True))


def command(address: str, name: str, payload: object) -> None:
    """Give the service a command."""
    request = commandinterface_pb2.CommandRequest(name=name)
    request.payload.value = json.dumps(payload).encode()
    call(address, COMMAND, request)
