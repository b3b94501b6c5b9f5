"""Moves the clock of a service under test: `scheduling-srv serve --embedded --test-clock`."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.api.errors import FailedPrecondition, InvalidRequest
from scheduling_client.api.statuses import error_of
from scheduling_client.wire.commandinterface_pb2 import CommandRequest
from scheduling_client.wire.commandinterface_pb2_grpc import ServiceStub

COMMAND = "advance"
LOOK_SECONDS = 0.01


def advance(
    channel: grpc.Channel,
    milliseconds: int,
    *,
    patience_ms: int | None = None,
    timeout: float | None = None,
    headers: tuple[tuple[str, str | bytes], ...] = (),
    meanwhile: Callable[[float], object] | None = None,
) -> int:
    """Let so much time pass for the service; returns its time then, in epoch ms.

    All that is due until then has been emitted, in the order of nominal times. With `patience_ms`
    the clock goes on from an instant only when its runs are answered: so many real milliseconds it
    waits for that. `meanwhile` is called again and again, with the seconds that it may take. Raises
    `SchedulingError`.
    """
    payload = {"milliseconds": milliseconds, "patience": patience_ms}
    content = AnyMessage(type_url="payload", value=json.dumps(payload).encode())
    request = CommandRequest(name=COMMAND, payload=content)
    call = ServiceStub(channel).Command.future(request, timeout=timeout, metadata=headers)
    try:
        while meanwhile and not call.done():
            meanwhile(LOOK_SECONDS)
        return int(json.loads(call.result().value)["now"])
    except grpc.RpcError:
        raise _told(call) from None
    finally:
        call.cancel()


def _told(call: grpc.Call) -> Exception:
    found = error_of(call)
    if isinstance(found, InvalidRequest) and "does not exist" in str(found):
        return FailedPrecondition(
            "The service has no test clock: start it with"
            " 'scheduling-srv serve --embedded --test-clock'.",
            code=found.code,
        )
    return found
