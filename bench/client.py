"""The client that submits jobs: a helper (`bench.actors`)."""

from __future__ import annotations

import time
from pathlib import Path

import grpc

from bench.actors import Reply, quantile, serve
from bench.http2 import Answer, CallFailed, Connection
from bench.load import CREATE, batches, job
from scheduling_client.wire import job_pb2

GRPC_FRAME = 5
"""Bytes in front of a gRPC message."""


class Client:
    """Makes requests beforehand, sends them, and reads the answers afterwards."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.place = ("", CREATE)
        self.requests: list[bytes] = []
        self.answers: list[Answer] = []

    def connect(self, address: str, path: str = CREATE) -> Reply:
        """Open a connection, or another one."""
        self.disconnect()
        self.connection, self.place = Connection(address, path), (address, path)
        self.answers = []
        return {}

    def disconnect(self) -> Reply:
        """A service that ends waits for connections that stay open."""
        if self.connection:
            self.connection.close()
        self.connection = None
        return {}

    def prepare(self, first: float, step: float, count: int, size: int) -> Reply:
        """`count` jobs due from `first` on, `step` seconds apart, `size` of them in a call."""
        self.requests = batches([first + step * number for number in range(count)], size)
        return {"calls": len(self.requests)}

    def prepare_recurring(self, interval: str, count: int, size: int) -> Reply:
        """`count` recurring jobs, `size` of them in a call."""
        message = job(time.time())
        message.when, message.interval = "", interval
        full = job_pb2.JobList(items=[message] * size).SerializeToString()
        self.requests = [full] * (count // size)
        return {"calls": len(self.requests)}

    def submit(self, in_flight: int, pace: float = 0.0) -> Reply:
        """Send what was prepared; `pace`: so many seconds apart."""
        if self.connection is None:
            raise RuntimeError("connect first")
        began = time.perf_counter()
        at = [began + pace * number for number in range(len(self.requests))] if pace else None
        try:
            answers = self.connection.run(self.requests, in_flight, at)
        except CallFailed as fault:
            raise RuntimeError(f"{fault} {self._again()}") from fault
        seconds = time.perf_counter() - began
        self.answers += answers
        late = sorted(answer.latency for answer in answers)
        return {
            "seconds": seconds,
            "calls": len(answers),
            "p50": quantile(late, 0.5),
            "p99": quantile(late, 0.99),
            "max": late[-1],
        }

    def _again(self) -> str:
        """What the service says to the first request, sent by a client that can read it."""
        address, path = self.place
        with grpc.insecure_channel(address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
            try:
                call(self.requests[0], timeout=30)
            except grpc.RpcError as fault:
                return f"Sent again: {fault}"
        return "Sent again, a call was answered."

    def latencies(self, since: float, until: float) -> Reply:
        """Of the answered calls that were begun between two instants (epoch seconds)."""
        shift = time.time() - time.perf_counter()
        late = sorted(
            answer.latency for answer in self.answers if since <= answer.began + shift <= until
        )
        if not late:
            return {"calls": 0}
        return {"calls": len(late), "p50": quantile(late, 0.5), "p99": quantile(late, 0.99)}

    def ids(self, path: str) -> Reply:
        """Write the ids of all answered jobs to a file; answers how many different ones."""
        found = [
            item.id
            for answer in self.answers
            for item in job_pb2.JobList.FromString(answer.body[GRPC_FRAME:]).items
        ]
        Path(path).write_text("\n".join(found))
        self.answers = []
        return {"jobs": len(found), "different": len(set(found))}


if __name__ == "__main__":
    serve(Client())
