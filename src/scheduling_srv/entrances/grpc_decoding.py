"""Requests that cannot be read are the client's fault in the services that gRPC brings, too.

Left alone, gRPC answers UNKNOWN to bytes that are no HealthCheckRequest, and logs a traceback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

Context = grpc.aio.ServicerContext[Any, Any]


class ReadingServer:
    """What generated code registers its methods at: puts what reads requests in front of them."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Any]) -> None:
        """Methods that are to be called; the service's name is not repeated in theirs."""
        guarded = {name: _guarded(method) for name, method in methods.items()}
        handler = grpc.method_handlers_generic_handler(service, guarded)
        self._server.add_generic_rpc_handlers([handler])

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """The same methods again, as older servers want them."""


def _guarded(method: Any) -> grpc.RpcMethodHandler[Any, Any]:  # noqa: ANN401 - one of three kinds
    parse, answers = method.request_deserializer, method.response_serializer

    async def unary(raw: bytes, context: Context) -> object:
        return await method.unary_unary(await _read(parse, raw, context), context)

    async def watch(raw: bytes, context: Context) -> AsyncIterator[object]:
        async for answer in method.unary_stream(await _read(parse, raw, context), context):
            yield answer

    async def talk(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[object]:
        requests = _read_all(parse, raws, context)
        async for answer in method.stream_stream(requests, context):
            yield answer

    if method.request_streaming:
        return grpc.stream_stream_rpc_method_handler(talk, response_serializer=answers)
    if method.response_streaming:
        return grpc.unary_stream_rpc_method_handler(watch, response_serializer=answers)
    return grpc.unary_unary_rpc_method_handler(unary, response_serializer=answers)


async def _read_all(
    parse: Callable[[bytes], object], raws: AsyncIterator[bytes], context: Context
) -> AsyncIterator[object]:
    async for raw in raws:
        yield await _read(parse, raw, context)


async def _read(parse: Callable[[bytes], object], raw: bytes, context: Context) -> object:
    try:
        return parse(raw)
    except DecodeError:
        return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message cannot be read.")
