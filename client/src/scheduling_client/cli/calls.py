"""System commands by the contract of 2018, and what their errors mean to a user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.api.access import Access
from scheduling_client.api.channels import open_channel
from scheduling_client.cli.access import access_of
from scheduling_client.cli.errors import CommandError, Exit
from scheduling_client.cli.options import Options
from scheduling_client.wire import commandinterface_pb2, commandinterface_pb2_grpc

_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.WRONG,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
}
UNIMPLEMENTED = (
    "The service at {server} does not know this call: it may be older than this command, or another"
    " service."
)
TIMED_OUT = (
    "The service at {server} has not answered within {timeout:g} s. A change may have been made:"
    " look with 'scheduling list', or wait longer with --timeout."
)
UNREACHABLE = (
    "No service answers at {server}. Start one, or name another with --server or"
    " SCHEDULING_CLIENT_SERVER."
)
_WAYS_OUT = {
    grpc.StatusCode.UNIMPLEMENTED: UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED: TIMED_OUT,
}
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

    def __init__(self, channel: grpc.Channel, access: Access, options: Options) -> None:
        self._commands = commandinterface_pb2_grpc.ServiceStub(channel)
        self._options = options
        self._headers = access.headers

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
            return method(request, timeout=self._options.timeout_seconds, metadata=self._headers)
        except grpc.RpcError as error:
            raise _told(error, self._options) from None


@contextmanager
def service(options: Options) -> Iterator[Service]:
    """Connect to the service; the connection ends with the context."""
    access = access_of(options)
    with open_channel(options.server, access) as channel:
        yield Service(channel, access, options)


def is_unreachable(details: str) -> bool:
    """Whether gRPC says that it has no connection."""
    return any(fault in details.lower() for fault in _CONNECTION_FAULTS)


def _told(error: Any, options: Options) -> CommandError:  # noqa: ANN401 - grpc has no type for it
    code, details = error.code(), error.details() or ""
    exit_code = _EXITS.get(code, Exit.FAILED)
    way_out = _WAYS_OUT.get(code)
    if code is grpc.StatusCode.UNAVAILABLE and is_unreachable(details):
        way_out = UNREACHABLE
    if way_out:
        return CommandError(
            way_out.format(server=options.server, timeout=options.timeout_seconds), exit_code
        )
    return CommandError(details or f"The service answered {code.name}.", exit_code)
