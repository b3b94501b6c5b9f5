"""Wraps the handlers of gRPC methods, whatever their kind: for interceptors."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Details: TypeAlias = grpc.HandlerCallDetails
Unary: TypeAlias = Callable[..., Awaitable[object]]
Stream: TypeAlias = Callable[..., AsyncIterator[object]]


class Wrapping(grpc.aio.ServerInterceptor, ABC):
    """Wraps the handler of each method once."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}
        """Full name of a method -> its handler, and the wrapped one."""

    @abstractmethod
    def unary(self, method: str, behaviour: Any) -> Unary:  # noqa: ANN401 - grpc's has no types
        """What is called instead of a method with one answer."""

    @abstractmethod
    def stream(self, method: str, behaviour: Any) -> Stream:  # noqa: ANN401
        """What is called instead of a method with a stream of answers."""

    async def intercept_service(
        self,
        continuation: Callable[[Details], Awaitable[Handler | None]],
        handler_call_details: Details,
    ) -> Handler | None:
        """The wrapped handler; None for an unknown method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        inner, wrapped = self._wrapped.get(method, (None, handler))
        if inner is not handler:
            wrapped = self._wrap(method, handler)
            self._wrapped[method] = handler, wrapped
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Handler:  # noqa: ANN401
        kinds = handler.request_streaming, handler.response_streaming
        behaviour, make = {
            (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
            (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
            (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
            (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
        }[kinds]
        wrap = self.stream if handler.response_streaming else self.unary
        made: Handler = make(
            wrap(method, behaviour),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made


def outcome(context: Context, fault: BaseException) -> grpc.StatusCode:
    """The code that the client gets for a call that ended with this fault."""
    if isinstance(fault, asyncio.CancelledError | GeneratorExit):
        return grpc.StatusCode.CANCELLED
    code: Any = context.code()
    for status in grpc.StatusCode:
        if code in (status, status.value[0]):
            return status
    return grpc.StatusCode.UNKNOWN
