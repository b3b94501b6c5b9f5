"""HTTP for operators: is it alive, is it ready, what do the numbers say (docs/operations.md)."""

from __future__ import annotations

import asyncio
import contextlib
import html
from collections.abc import Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from scheduling_srv import metrics
from scheduling_srv.app.health import Health, Status
from scheduling_srv.entrances.addresses import listen

SETTING = "SCHEDULING_ADMIN_ADDRESS"
OFF = "off"
STOP_SECONDS = 1
"""How long requests under way may take when the process ends."""

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>scheduling-srv</title>
<style>body {{ font: 1rem/1.5 system-ui; max-width: 40rem; margin: 3rem auto; }}</style>
<h1>scheduling-srv</h1>
<p><strong>{status}</strong> {reason}</p>
<ul>
<li><a href="/livez">/livez</a>: the process answers</li>
<li><a href="/readyz">/readyz</a>: due jobs are being emitted, or why not</li>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
</ul>
</html>
"""


class _Server(uvicorn.Server):
    """Signals are the process's business, not that of one of its servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class AdminServer:
    """The pages on `address` (`host:port`; port 0: any), in the running event loop; or `off`."""

    def __init__(self, address: str, health: Health) -> None:
        self._address = address
        config = uvicorn.Config(
            application(health),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int | None:
        """Listen; returns the port, None if it is off. Raises `StartError`."""
        if self._address == OFF:
            return None
        place = listen(self._address, SETTING)
        self._serving = asyncio.create_task(self._server.serve(sockets=[place]))
        port: int = place.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close; may be called before `start`, and twice."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def application(health: Health) -> Starlette:
    """The pages."""

    async def index(_request: Request) -> Response:
        status, reason = await health.report()
        return HTMLResponse(_PAGE.format(status=status, reason=html.escape(reason)))

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        status, reason = await health.report()
        if status is Status.SERVING:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"{status}: {reason}\n", status_code=503)

    async def numbers(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    pages = {"/": index, "/livez": livez, "/readyz": readyz, "/metrics": numbers}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])
