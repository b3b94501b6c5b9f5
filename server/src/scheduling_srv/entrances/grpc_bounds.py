"""Bounds for the services that gRPC brings: health and reflection (docs/operations.md).

Their requests are received in slots of their own. A request that cannot be decoded is
INVALID_ARGUMENT. gRPC by itself would answer UNKNOWN, and log a traceback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from scheduling_srv.domain.errors import InvalidRequest, Overloaded, SchedulingError
from scheduling_srv.entrances.grpc_errors import refuse
from scheduling_srv.entrances.receive_slots import ReceiveSlots, present

MAX_REQUEST_BYTES = 2**16
"""Largest request of these services."""
MAX_WATCHES, MAX_REFLECTIONS = 1_000, 8
"""Streams of health, and of reflection, that may be open at a time."""
HEALTH_SLOTS, HEALTH_PATIENCE_TICKS = 4, 1
"""A request for the health has some bytes. It must not wait for lists of jobs or slow senders."""

FAULTS = (DecodeError, SchedulingError)

Context = grpc.aio.ServicerContext[Any, Any]


class BoundedServer:
    """Stands in for the gRPC server when generated code registers methods, and bounds them."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self._slots = ReceiveSlots(HEALTH_SLOTS, patience_ticks=HEALTH_PATIENCE_TICKS)
        # A stream of reflection may be idle, and holds a slot for as long as it is open.
        self._reflection_slots = ReceiveSlots(MAX_REFLECTIONS)
        self._watches = _StreamLimit(MAX_WATCHES)
        self._reflections = _StreamLimit(MAX_REFLECTIONS)

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Any]) -> None:
        """Register the methods of a service, with bounds."""
        bounded = {name: self._bounded(method) for name, method in methods.items()}
        handler = grpc.method_handlers_generic_handler(service, bounded)
        self._server.add_generic_rpc_handlers([handler])

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """Generated code registers the same methods again, for older servers."""

    def _bounded(self, method: Any) -> grpc.RpcMethodHandler[Any, Any]:  # noqa: ANN401 - generated
        answers = method.response_serializer
        if method.request_streaming:
            reflection = self._reflection(method)
            return grpc.stream_stream_rpc_method_handler(reflection, response_serializer=answers)
        if method.response_streaming:
            watch = self._watch(method)
            return grpc.stream_stream_rpc_method_handler(watch, response_serializer=answers)
        unary = self._unary(method)
        return grpc.stream_unary_rpc_method_handler(unary, response_serializer=answers)

    def _unary(self, method: Any) -> Callable[..., Awaitable[object]]:  # noqa: ANN401
        async def call(_messages: object, context: Context) -> object:
            try:
                raw = await self._slots.read(context, MAX_REQUEST_BYTES)
                request = method.request_deserializer(present(raw))
            except FAULTS as fault:
                return await _refuse(context, fault)
            return await method.unary_unary(request, context)

        return call

    def _watch(self, method: Any) -> Callable[..., AsyncIterator[object]]:  # noqa: ANN401
        async def call(_messages: object, context: Context) -> AsyncIterator[object]:
            try:
                self._watches.enter(context)
                raw = await self._slots.read(context, MAX_REQUEST_BYTES)
                request = method.request_deserializer(present(raw))
            except FAULTS as fault:
                await _refuse(context, fault)
            async for answer in method.unary_stream(request, context):
                yield answer

        return call

    def _reflection(self, method: Any) -> Callable[..., AsyncIterator[object]]:  # noqa: ANN401
        async def requests(context: Context) -> AsyncIterator[object]:
            while (
                raw := await self._reflection_slots.read(context, MAX_REQUEST_BYTES)
            ) is not None:
                yield method.request_deserializer(raw)

        async def call(_messages: object, context: Context) -> AsyncIterator[object]:
            try:
                self._reflections.enter(context)
                async for answer in method.stream_stream(requests(context), context):
                    yield answer
            except FAULTS as fault:
                await _refuse(context, fault)

        return call


class _StreamLimit:
    """Bounds the streams that are open at a time."""

    def __init__(self, count: int) -> None:
        self._free = count

    def enter(self, context: Context) -> None:
        """Count a stream until its call ends. Raises `Overloaded`."""
        if not self._free:
            raise Overloaded("Too many streams are open: close some, or retry later.")
        self._free -= 1
        context.add_done_callback(self._leave)  # type: ignore[arg-type]

    def _leave(self, _context: object) -> None:
        self._free += 1


async def _refuse(context: Context, fault: Exception) -> NoReturn:
    if isinstance(fault, DecodeError):
        await refuse(context, InvalidRequest("The message cannot be read."))
    await refuse(context, fault)
