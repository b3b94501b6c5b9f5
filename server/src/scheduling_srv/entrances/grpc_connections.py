"""Counts the connections of the gRPC server, and logs when it refuses more (docs/operations.md).

gRPC closes a connection beyond its limit without a word. Only its channelz knows their number.
"""

from __future__ import annotations

import asyncio
from typing import Any

from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.states import STATES, Kind, State, States

TICK_SECONDS = 1.0


class _Context:
    """Channelz sets an error when the server has stopped; it then answers nothing."""

    def set_code(self, _code: object) -> None:
        """There is one error only."""

    def set_details(self, _details: str) -> None:
        """There is one error only."""


class GrpcConnections:
    """The connections of the servers of this process. A server allows `most`."""

    def __init__(self, most: int, states: States = STATES) -> None:
        self._most = most
        self._state = State(
            "gRPC refuses further clients",
            "gRPC takes clients again",
            kind=Kind.CHANGE,
            states=states,
        )

    def count(self) -> int:
        """Open connections, with those that have not sent anything yet; 0 after the stop."""
        # A start need not wait for the import: 20 ms.
        from grpc_channelz.v1 import channelz, channelz_pb2  # noqa: PLC0415

        ask: Any = channelz.ChannelzServicer
        count, last = 0, 0
        while True:  # channelz tells of a hundred servers at a time; a process of ours has one
            request = channelz_pb2.GetServersRequest(start_server_id=last + 1)
            page = ask.GetServers(request, _Context())
            for server in page.server:
                last = max(last, server.ref.server_id)
                sockets = channelz_pb2.GetServerSocketsRequest(
                    server_id=server.ref.server_id, max_results=self._most
                )
                answer = ask.GetServerSockets(sockets, _Context())
                count += len(answer.socket_ref) if answer else 0
            if page.end or not page.server:
                return count

    def note(self, count: int) -> None:
        """Show the number, and log a change from or to the limit."""
        metrics.GRPC_CONNECTIONS.set(count)
        if count >= self._most:
            self._state.fails(
                f"{count} connections are open, and no more are allowed. Find the host that has"
                " opened most of them (ss -tn), or limit connections with a proxy."
            )
        else:
            self._state.works()

    async def watch(self) -> None:
        """Count until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.note(await asyncio.to_thread(self.count))
