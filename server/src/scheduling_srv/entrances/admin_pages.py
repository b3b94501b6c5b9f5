"""The pages for operators, and their server; `admin.py` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import html
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from scheduling_srv.app.health.health import Health, Status
from scheduling_srv.app.waiting import wait
from scheduling_srv.entrances.http_bounds import ONE_REQUEST, REFUSALS, BoundedProtocol
from scheduling_srv.runtime import metrics

STOP_SECONDS = 1
"""Seconds that requests under way may take when the process ends."""
TICK_SECONDS = 1.0
"""Seconds between changes of the header `Date`."""

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>scheduling-srv</title>
<style>body {{ font: 1rem/1.5 system-ui; max-width: 40rem; margin: 3rem auto; }}</style>
<h1>scheduling-srv</h1>
<p><strong>{status}</strong> {reason}</p>
<ul>
<li><a href="/livez">/livez</a>: the process answers</li>
<li><a href="/readyz">/readyz</a>: due jobs are being emitted, or why not</li>
<li><a href="/readyz?verbose">/readyz?verbose</a>: and which guarantees are at risk</li>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
</ul>
</html>
"""


class _Server(uvicorn.Server):
    """Serves until `ended`. The process handles signals, not one of its servers."""

    def __init__(self, config: uvicorn.Config, ended: asyncio.Event) -> None:
        super().__init__(config)
        self.ended = ended

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Replaces uvicorn's loop, which checks ten times a second whether to end."""
        while not self.ended.is_set():
            await self.on_tick(0)
            REFUSALS.tick()
            await wait(self.ended, TICK_SECONDS)


Measure = Callable[[], Awaitable[None]]


async def serve(
    place: socket.socket, health: Health, measure: Measure, ended: asyncio.Event
) -> None:
    """Serve on a listening socket until `ended`, then close it."""
    config = uvicorn.Config(
        application(health, measure),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=BoundedProtocol,
        ws="none",
        headers=ONE_REQUEST,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    await _Server(config, ended).serve(sockets=[place])


def application(health: Health, measure: Measure) -> Starlette:
    """The pages."""

    async def index(_request: Request) -> Response:
        status, reason, _ = await health.report()
        return HTMLResponse(_PAGE.format(status=status, reason=html.escape(reason)))

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if "verbose" in request.query_params:
            details = await health.details()
            return JSONResponse(details._asdict(), status_code=200 if details.ready else 503)
        status, reason, _ = await health.report()
        if status is Status.SERVING:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"{status}: {reason}\n", status_code=503)

    async def numbers(_request: Request) -> Response:
        await asyncio.gather(health.report(), measure())  # else figures were those of before
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    pages = {"/": index, "/livez": livez, "/readyz": readyz, "/metrics": numbers}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])
