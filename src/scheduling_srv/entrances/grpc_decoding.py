"""Bounds for the services that gRPC brings: health and reflection (docs/operations.md).

Their requests are read as those of jobs are: in turns, and what cannot be read is the client's
fault. Left alone, gRPC answers UNKNOWN to bytes that are no HealthCheckRequest, and logs a
traceback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from scheduling_srv.domain.errors import InvalidRequest, Overloaded, SchedulingError
from scheduling_srv.entrances.grpc_errors import refuse
from scheduling_srv.entrances.turns import Turns, present

LARGEST = 2**16
"""Bytes of a request of these services."""
WATCHES, TALKS = 1_000, 32
"""Streams of health, and of reflection, at a time."""

FAULTS = (DecodeError, SchedulingError)

Context = grpc.aio.ServicerContext[Any, Any]


class ReadingServer:
    """What generated code registers its methods at: puts what reads requests in front of them."""

    def __init__(self, server: grpc.aio.Server, turns: Turns) -> None:
        self._server = server
        self._turns = turns
        # A stream of reflection may be idle: it keeps none waiting but others of its kind.
        self._talk_turns = Turns(1)
        self._watches, self._talks = _Places(WATCHES), _Places(TALKS)

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Any]) -> None:
        """Methods that are to be called; the service's name is not repeated in theirs."""
        guarded = {name: self._guarded(method) for name, method in methods.items()}
        handler = grpc.method_handlers_generic_handler(service, guarded)
        self._server.add_generic_rpc_handlers([handler])

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """The same methods again, as older servers want them."""

    def _guarded(self, method: Any) -> grpc.RpcMethodHandler[Any, Any]:  # noqa: ANN401 - generated
        answers = method.response_serializer
        if method.request_streaming:
            talk = self._talk(method)
            return grpc.stream_stream_rpc_method_handler(talk, response_serializer=answers)
        if method.response_streaming:
            watch = self._watch(method)
            return grpc.stream_stream_rpc_method_handler(watch, response_serializer=answers)
        unary = self._unary(method)
        return grpc.stream_unary_rpc_method_handler(unary, response_serializer=answers)

    def _unary(self, method: Any) -> Callable[..., Awaitable[object]]:  # noqa: ANN401
        async def call(_messages: object, context: Context) -> object:
            try:
                raw = await self._turns.read(context, LARGEST)
                request = method.request_deserializer(present(raw))
            except FAULTS as fault:
                return await _refuse(context, fault)
            return await method.unary_unary(request, context)

        return call

    def _watch(self, method: Any) -> Callable[..., AsyncIterator[object]]:  # noqa: ANN401
        async def call(_messages: object, context: Context) -> AsyncIterator[object]:
            try:
                self._watches.take(context)
                raw = await self._turns.read(context, LARGEST)
                request = method.request_deserializer(present(raw))
            except FAULTS as fault:
                await _refuse(context, fault)
            async for answer in method.unary_stream(request, context):
                yield answer

        return call

    def _talk(self, method: Any) -> Callable[..., AsyncIterator[object]]:  # noqa: ANN401
        async def requests(context: Context) -> AsyncIterator[object]:
            while (raw := await self._talk_turns.read(context, LARGEST)) is not None:
                yield method.request_deserializer(raw)

        async def call(_messages: object, context: Context) -> AsyncIterator[object]:
            try:
                self._talks.take(context)
                async for answer in method.stream_stream(requests(context), context):
                    yield answer
            except FAULTS as fault:
                await _refuse(context, fault)

        return call


class _Places:
    """For streams that are open at a time."""

    def __init__(self, count: int) -> None:
        self._left = count

    def take(self, context: Context) -> None:
        """One of them, until the call has ended. Raises `Overloaded`."""
        if not self._left:
            raise Overloaded("Too many streams are open: close some, or retry later.")
        self._left -= 1
        context.add_done_callback(self._give_back)  # type: ignore[arg-type]

    def _give_back(self, _context: object) -> None:
        self._left += 1


async def _refuse(context: Context, fault: Exception) -> NoReturn:
    if isinstance(fault, DecodeError):
        await refuse(context, InvalidRequest("The message cannot be read."))
    await refuse(context, fault)
