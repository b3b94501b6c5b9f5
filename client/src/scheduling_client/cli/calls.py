"""Calls of the service by the contract of 2018, and what their errors mean to a user."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.cli.channel import metadata, open_channel
from scheduling_client.cli.errors import CommandError, Exit
from scheduling_client.cli.options import Options
from scheduling_client.wire import (
    commandinterface_pb2,
    commandinterface_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    resourcebase_pb2,
)

_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.WRONG,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: Exit.CONFLICT,
    grpc.StatusCode.ABORTED: Exit.CONFLICT,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
}
_WAYS_OUT = {
    grpc.StatusCode.UNIMPLEMENTED: "The service at {server} does not know this call: it may be"
    " older than this command, or another service.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The service at {server} has not answered within"
    " {timeout:g} s. A change may have been made: look with 'scheduling list', or wait longer with"
    " --timeout.",
}
_UNREACHABLE = (
    "No service answers at {server}. Start one, or name another with --server or"
    " SCHEDULING_CLIENT_SERVER."
)
Request = TypeVar("Request")
Response = TypeVar("Response")
_CONNECTION_FAULTS = (
    "failed to connect",
    "connection refused",
    "dns resolution",
    "name resolution",
)


class Service:
    """The service that the options name. Its methods raise `CommandError`."""

    def __init__(self, channel: grpc.Channel, options: Options) -> None:
        self._jobs = job_pb2_grpc.ServiceStub(channel)
        self._commands = commandinterface_pb2_grpc.ServiceStub(channel)
        self._options = options
        self._metadata = metadata(options)

    def create(self, jobs: Sequence[job_pb2.Job]) -> Sequence[job_pb2.Job]:
        """Create all jobs or none; returns them as they are stored."""
        return self._call(self._jobs.Create, job_pb2.JobList(items=jobs)).items

    def update(self, jobs: Sequence[job_pb2.Job]) -> Sequence[job_pb2.Job]:
        """Replace jobs."""
        return self._call(self._jobs.Update, job_pb2.JobList(items=jobs)).items

    def read(
        self,
        *,
        ids: Sequence[str] = (),
        creator: str = "",
        limit: int = 0,
        newest_first: bool = False,
    ) -> job_pb2.JobList:
        """The jobs that match, and how many there are in all."""
        request = job_pb2.JobReadRequest(
            limit=limit,
            sort=job_pb2.JobReadRequest.DESCENDING
            if newest_first
            else job_pb2.JobReadRequest.ASCENDING,
            filter=job_pb2.JobFilter(creator=creator, jobs_ids=ids),
        )
        return self._call(self._jobs.Read, request)

    def delete(self, ids: Sequence[str] = (), *, everything: bool = False) -> None:
        """Delete jobs. Unknown ids are no error."""
        self._call(
            self._jobs.Delete, resourcebase_pb2.DeleteRequest(ids=ids, collection=everything)
        )

    def command(self, name: str, payload: object) -> dict[str, Any]:
        """Run a system command; returns its result."""
        content = AnyMessage(type_url="payload", value=json.dumps(payload).encode())
        request = commandinterface_pb2.CommandRequest(name=name, payload=content)
        result: dict[str, Any] = json.loads(self._call(self._commands.Command, request).value)
        return result

    def _call(
        self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        try:
            return method(request, timeout=self._options.timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _told(error, self._options) from None


@contextmanager
def service(options: Options) -> Iterator[Service]:
    """Connect to the service; the connection ends with the context."""
    with open_channel(options) as channel:
        yield Service(channel, options)


def _told(error: Any, options: Options) -> CommandError:  # noqa: ANN401 - grpc has no type for it
    code, details = error.code(), error.details() or ""
    exit_code = _EXITS.get(code, Exit.FAILED)
    way_out = _WAYS_OUT.get(code)
    if code is grpc.StatusCode.UNAVAILABLE and any(
        fault in details.lower() for fault in _CONNECTION_FAULTS
    ):
        way_out = _UNREACHABLE
    if way_out:
        return CommandError(
            way_out.format(server=options.server, timeout=options.timeout_seconds), exit_code
        )
    return CommandError(details or f"The service answered {code.name}.", exit_code)
