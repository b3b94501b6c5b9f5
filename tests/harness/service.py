"""One replica of the product, as a process of its own."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc

from tests.harness import slow_machine
from tests.harness.fork_server import ForkServer
from tests.harness.names import Names
from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import PATIENCE_SECONDS, eventually

SERVE = (sys.executable, "-m", "scheduling_srv", "serve")
STOP_WITHIN_SECONDS = 10.0
"""From SIGTERM to the exit: the promise, for a machine that is not busy."""
BUSY = 3
"""How many times as long it may take beside other tests."""
PATIENT = {"SCHEDULING_CATCH_UP_WINDOW": "1h"}
"""Settings of tests: a busy machine may hold up an owner for longer than the default allows."""


class Service:
    """Keeps its ports over kill() and start(); `settings` may be changed between two starts."""

    def __init__(
        self,
        names: Names,
        log: Path,
        *,
        bootstrap: str,
        redis_url: str,
        settings: Mapping[str, str] | None = None,
        command: Sequence[str] = SERVE,
        fork_server: ForkServer | None = None,
    ) -> None:
        """`settings` are environment variables, SCHEDULING_LEASE=... and the like.

        With a `fork_server` the command SERVE does not import the product anew at each start.
        """
        self.names = names
        self.redis_url = redis_url
        self.grpc_port = free_port()
        self.admin_port = free_port()
        self.process = Process(log.stem, log)
        self.settings = {
            **names.environment(),
            "SCHEDULING_GRPC_ADDRESS": self.address,
            "SCHEDULING_ADMIN_ADDRESS": f"127.0.0.1:{self.admin_port}",
            "SCHEDULING_REDIS_URL": redis_url,
            "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SCHEDULING_LOG_LEVEL": "debug",
            "SCHEDULING_SHARDS": os.environ.get("TEST_SHARDS", "1"),
            **(settings or {}),
        }
        self._command = command
        self._fork_server = fork_server if command == SERVE else None

    @property
    def address(self) -> str:
        """Where gRPC answers."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def log(self) -> Path:
        return self.process.log

    def lines(self) -> list[dict[str, Any]]:
        """The log, if its format is JSON, without a line that is being written."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the admin port."""
        connection = HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE_SECONDS)
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def start(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Returns when its health is SERVING."""
        self.launch()
        self.process.until_ready(self.is_serving, timeout=timeout)

    def launch(self) -> None:
        """Starts it without waiting: for starts that must fail, or whose servers are away."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("SCHEDULING_")
        }
        env = {**inherited, **self.settings}
        if self._fork_server and "PYTHONPATH" not in self.settings:  # that is another product
            self.process.adopt(self._fork_server.fork(env, self.log))
        else:
            self.process.spawn(self._command, env=env)
        slow_machine.stall(self.process)

    def stop(self) -> None:
        """SIGTERM, and its promise: exit 0, soon."""
        self.process.terminate()
        code = self.process.wait(BUSY * STOP_WITHIN_SECONDS)
        assert code == 0, f"exit code {code} after SIGTERM\n{self.process.tail()}"

    def exit_code(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Waits for it to end by itself."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def is_serving(self) -> bool:
        """What grpc.health.v1 says for the empty name, asked with bare bytes."""
        with grpc.insecure_channel(self.address) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check"
            )
            try:
                return bool(check(b"", timeout=5) == b"\x08\x01")
            except grpc.RpcError:
                return False

    def wait_until_serving(self, timeout: float = PATIENCE_SECONDS) -> None:
        self.process.until_ready(self.is_serving, timeout=timeout)

    def wait_until_not_serving(self, timeout: float = PATIENCE_SECONDS) -> None:
        eventually(lambda: not self.is_serving(), timeout=timeout, what="health not SERVING")
