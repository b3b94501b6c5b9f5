"""HTTP for Kubernetes and Prometheus: `/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from scheduling_client.worker.errors import WorkerError

LONGEST_REQUEST_BYTES = 8192
REQUEST_SECONDS = 5.0
Page = Callable[[], tuple[int, str]]
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


async def serve_pages(address: str, pages: Mapping[str, Page]) -> asyncio.Server:
    """Listen at `HOST:PORT`. Raises `WorkerError`."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise WorkerError(f"http: {address!r} is not an address such as '127.0.0.1:9100'.")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, ValueError, ConnectionError, asyncio.IncompleteReadError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
                    writer.write(_response(line.decode("latin-1"), pages))
                    await writer.drain()
        finally:
            writer.close()

    try:
        return await asyncio.start_server(
            answer, host.strip("[]") or None, int(port), limit=LONGEST_REQUEST_BYTES
        )
    except OSError as fault:
        raise WorkerError(f"http: {address} cannot be used: {fault.strerror}.") from None


def _response(line: str, pages: Mapping[str, Page]) -> bytes:
    method, _, rest = line.partition(" ")
    page = pages.get(rest.partition(" ")[0].partition("?")[0])
    if method not in ("GET", "HEAD"):
        status, text = 405, "GET only\n"
    elif page is None:
        status, text = 404, f"not here; pages: {' '.join(pages)}\n"
    else:
        status, text = page()
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; version=0.0.4\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
