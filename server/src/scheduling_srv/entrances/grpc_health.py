"""`grpc.health.v1.Health`, answered by asking (docs/operations.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from scheduling_srv.app.health.health import Health

HEALTH_SERVICE = "grpc.health.v1.Health"
WATCH_SECONDS = 0.5
"""Seconds within which a watcher gets a change."""

Context = grpc.aio.ServicerContext[Any, Any]


class HealthService(HealthServicer):
    """Health of the process; each of its services has the same.

    `services` are the names that may be asked for, besides the empty one.
    """

    def __init__(self, health: Health, services: Collection[str]) -> None:
        self._health = health
        self._names = {"", *services}
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Send NOT_SERVING to all watchers, and end their streams."""
        self._closing.set()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:  # noqa: N802
        """The status; NOT_FOUND for an unknown service."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Service does not exist.")
        return await self._answer()

    async def List(self, _request: object, _context: Context) -> object:  # noqa: N802
        """Returns a HealthListResponse, which the published types lack."""
        statuses = dict.fromkeys(self._names, await self._answer())
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]

    async def Watch(  # noqa: N802
        self, request: HealthCheckRequest, _context: Context
    ) -> AsyncIterator[HealthCheckResponse]:
        """The status now and whenever it changes; SERVICE_UNKNOWN for an unknown service."""
        last = None
        while True:
            closing = self._closing.is_set()
            answer = await self._answer_for(request.service)
            if answer != last:
                yield answer
            if closing:
                return
            last = answer
            await self._pause()

    async def _answer_for(self, service: str) -> HealthCheckResponse:
        if service not in self._names:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        return await self._answer()

    async def _answer(self) -> HealthCheckResponse:
        status = await self._health.status()
        return HealthCheckResponse(status=HealthCheckResponse.ServingStatus.Value(status))

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            pass
