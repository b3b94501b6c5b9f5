"""The service and the worker, each in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
DEFAULTS = {
    "SCHEDULING_GRPC_ADDRESS": "127.0.0.1:50054",
    "SCHEDULING_ADMIN_ADDRESS": "127.0.0.1:8080",
}
ANY_PORT = "127.0.0.1:0"
_BROKER = "embedded broker"
_NAME = "scheduling-srv: "


class DemoError(Exception):
    """The demo cannot continue; a sentence for its user."""


class Stopped(Exception):
    """It was told to stop while it was starting."""


@dataclass
class Addresses:
    """Where the service can be reached."""

    grpc: str = ""
    admin: str = ""
    pages: str = ""
    """`off`: there are none."""
    kafka: str = ""

    @property
    def known(self) -> bool:
        """Whether the service has said them all."""
        return bool(self.grpc and self.kafka)


class Service:
    """`scheduling-srv serve --embedded` on a data directory."""

    def __init__(self, data: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.addresses = Addresses()
        self.problem = ""
        """The last sentence of a service that could not start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scheduling_srv", "serve", "--embedded", "--data-dir", data],
            env={**os.environ, **environment, "SCHEDULING_LOG_FORMAT": "json"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait_until_serving(self, is_told_to_stop: Callable[[], bool]) -> None:
        """Returns when due jobs are being emitted. Raises `Stopped` and `DemoError`."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.addresses.known and _is_serving(self.addresses.grpc)):
            if is_told_to_stop():
                raise Stopped
            if not self.alive:
                self._reader.join()
                raise DemoError(self.problem or f"The service has ended; {self.log} says why.")
            if time.monotonic() > deadline:
                raise DemoError(f"The service does not get ready; {self.log} says why.")
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        code = _stop(self._process)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self._process.stderr  # noqa: S101 - it is a pipe
        with self.log.open("a") as log, self._process.stderr as lines:
            for line in lines:
                log.write(line)
                log.flush()
                self._note(line)

    def _note(self, line: str) -> None:
        if line.startswith(_BROKER):
            self.addresses.kafka = line.removeprefix(_BROKER).split()[0]
        elif line.startswith(_NAME):
            self.problem = line.removeprefix(_NAME).strip()
        elif line.startswith("{"):
            said = json.loads(line)
            if said["event"] == "listening":
                self.addresses = Addresses(
                    said["grpc"], said["admin"], said["pages"], self.addresses.kafka
                )


class Worker:
    """`examples/demo/work.py`."""

    def __init__(self, bootstrap: str, state: Path, log: Path) -> None:
        environment = {"PYTHONPATH": str(ROOT), "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": bootstrap}
        with log.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "examples.demo.work", state],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return _stop(self._process)


def free_addresses(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Settings for the addresses that are not set, and remarks about ports in use.

    If a default port is in use, the demo takes a free one and names it. An address that the user
    has set is not changed: it is an error if it is in use.
    """
    chosen, notes = {}, []
    for setting, address in DEFAULTS.items():
        if not environment.get(setting):
            chosen[setting] = address
            if not _is_free(address):
                chosen[setting] = ANY_PORT
                notes.append(f"{address} is taken by something else, so another port is used.")
    return chosen, notes


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except OSError:
            return False
    return True


def _is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        try:
            check = HealthStub(channel).Check  # type: ignore[attr-defined] # the types lack it
            answer = check(HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == HealthCheckResponse.SERVING)


def _stop(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
