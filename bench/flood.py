"""A caller that calls as often as it can, whatever it is answered: a helper (`bench.actors`)."""

from __future__ import annotations

import threading
import time

from bench.actors import Reply, serve
from bench.http2 import OK, Connection
from bench.load import CREATE, batches

SOURCE = "127.0.0.2"
"""Without credentials a host is a caller: this one is another than the client of the bench."""
IN_FLIGHT = 64
FAR_SECONDS = 30 * 86_400.0


class Greedy(Connection):
    """A connection whose calls may be refused."""

    refused = 0

    def _end(self, stream: int, payload: bytes) -> None:
        self.refused += OK not in payload
        self.done.append((self.calls.pop(stream), time.perf_counter()))


class Flood:
    """Creates one job a call, in a thread of its own."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: Reply = {}

    def start(self, address: str) -> Reply:
        """Begin."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, args=(address,), daemon=True)
        self._thread.start()
        return {}

    def stop(self) -> Reply:
        """End. Returns how many calls were made a second, and how many were refused."""
        self._ending.set()
        if self._thread:
            self._thread.join(60)
        return self._told

    def _run(self, address: str) -> None:
        connection = Greedy(address, CREATE, SOURCE)
        (message,) = batches([time.time() + FAR_SECONDS], 1)
        began, calls = time.monotonic(), 0
        while not self._ending.is_set():
            calls += len(connection.run([message] * IN_FLIGHT, IN_FLIGHT))
        seconds = time.monotonic() - began
        connection.close()
        self._told = {"rate": calls / seconds, "refused": connection.refused / seconds}


if __name__ == "__main__":
    serve(Flood())
