"""Gives the embedded broker a port that can be chosen.

The mock broker of librdkafka listens where the kernel likes. Clients ask the first address for the
brokers' own addresses, and then connect to those. So a port that forwards bytes is enough to begin
with: only that first exchange goes through it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Self

import structlog

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
MAX_CONNECTIONS = 200
"""Further connections are closed at once."""

log = structlog.get_logger(__name__)


class PortTaken(Exception):
    """Another program listens on the port."""


class Forwarder:
    """`async with`: connections to `port` on loopback reach `target` (`host:port`)."""

    def __init__(self, port: int, target: str) -> None:
        self.port = port
        self._host, _, target_port = target.rpartition(":")
        self._target_port = int(target_port)
        self._server: asyncio.Server | None = None
        self._connections = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        """Raises `PortTaken`."""
        if await asyncio.to_thread(_is_answered, self.port):
            raise PortTaken(str(self.port))  # some systems let two programs listen
        try:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
        except OSError as fault:
            raise PortTaken(str(self.port)) from fault
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both directions, until both have ended or either breaks."""
        writers = [writer]
        try:
            answers, requests = await asyncio.open_connection(self._host, self._target_port)
            writers.append(requests)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, requests))
                group.create_task(_copy(answers, writer))
        except* (OSError, RuntimeError) as broken:
            # A client or the broker may go at any time. Then the other one sees its connection end.
            # uvloop raises RuntimeError for a write to a connection that was reset.
            log.debug("a forwarded connection broke", reason=str(broken.exceptions[0]))
        finally:
            for each in writers:
                each.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK_BYTES):
        sink.write(data)
        await sink.drain()
    sink.close()


def _is_answered(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return port != 0 and probe.connect_ex((HOST, port)) == 0
