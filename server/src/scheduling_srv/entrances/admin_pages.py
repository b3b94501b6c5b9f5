"""The pages for operators, and their server; `admin.py` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import html
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from scheduling_srv.app.access.door import Door
from scheduling_srv.app.health.health import Health, Status
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Forbidden, Unauthenticated, Unavailable
from scheduling_srv.entrances.http_bounds import ONE_REQUEST, REFUSALS, BoundedProtocol
from scheduling_srv.entrances.tls import certificate_names
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
Page = Callable[[Request], Awaitable[Response]]


async def serve(
    place: socket.socket,
    application: Starlette,
    context: ssl.SSLContext | None,
    ended: asyncio.Event,
) -> None:
    """Serve on a listening socket until `ended`, then close it. `context` is for TLS."""
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # it believes whoever connects from loopback
        http=BoundedProtocol,
        ws="none",
        headers=ONE_REQUEST,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_context_factory=(lambda *_: context) if context else None,
    )
    await _Server(config, ended).serve(sockets=[place])


def application(
    health: Health, measure: Measure, door: Door | None = None, others: ASGIApp | None = None
) -> Starlette:
    """The probes, open to all without `door`. All other paths belong to `others`."""

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

    pages = {"/livez": livez, "/readyz": readyz, "/metrics": numbers}
    if others is None:
        pages["/"] = index
    guarded = {path: _guarded(path, page, door) if door else page for path, page in pages.items()}
    routes: list[BaseRoute] = [Route(path, page) for path, page in guarded.items()]
    routes += [Mount("/", others)] if others else []
    return Starlette(routes=routes)


def _guarded(path: str, page: Page, door: Door) -> Page:
    """The page, for callers that the door admits."""

    async def call(request: Request) -> Response:
        verbose = path == "/readyz" and "verbose" in request.query_params
        method = f"GET {path}?verbose" if verbose else f"GET {path}"
        try:
            header = request.headers.get("authorization")
            await door.admit(method, header, lambda: _names(request))
        except (Unauthenticated, Forbidden, Unavailable) as fault:
            return _refusal(fault)
        return await page(request)

    return call


def _refusal(fault: Exception) -> Response:
    if isinstance(fault, Unauthenticated):
        metrics.CALLS_REFUSED.labels(reason="unauthenticated").inc()
        challenge = {"WWW-Authenticate": 'Bearer realm="scheduling-srv"'}
        return PlainTextResponse(f"{fault}\n", status_code=401, headers=challenge)
    if isinstance(fault, Forbidden):
        metrics.CALLS_REFUSED.labels(reason="forbidden").inc()
        return PlainTextResponse(f"{fault}\n", status_code=403)
    return PlainTextResponse(f"{fault}\n", status_code=503)


def _names(request: Request) -> tuple[str, ...]:
    """The names of the client's certificate, which `BoundedProtocol` has put there."""
    shown: Any = request.scope.get("state", {}).get("certificate")
    return certificate_names(shown)
