"""The process of a service under test."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

START_SECONDS = 60.0
"""Seconds in which it has to serve."""
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.02
_BROKER = re.compile(r"^embedded broker +(\S+)", re.MULTILINE)
_MISSING = "A service of your own needs its package: pip install 'scheduling-srv[embedded]'"


class ServiceProcess:
    """It runs inside the context."""

    server = kafka = ""
    """Addresses, `host:port`."""

    def __init__(self, start: datetime | None, settings: Mapping[str, str]) -> None:
        self._command = ["serve", "--embedded", "--test-clock"]
        if start is not None:
            self._command += ["--clock-start", _in_utc(start)]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()

    def __enter__(self) -> Self:
        """Return when it serves. Raises `RuntimeError`."""
        self._folder = Path(tempfile.mkdtemp(prefix="scheduling-test-"))
        log = self._folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the service that is installed here
                [*_program(), *self._command],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self._await_serving(log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        """Nothing of the settings around: they are those of another service."""
        around = {
            name: value for name, value in os.environ.items() if not name.startswith("SCHEDULING_")
        }
        own = {
            "SCHEDULING_GRPC_ADDRESS": "127.0.0.1:0",
            "SCHEDULING_ADMIN_ADDRESS": "off",
            "SCHEDULING_EMBEDDED_KAFKA_PORT": "0",
            "SCHEDULING_LOG_FORMAT": "json",
        }
        return {**around, **own, **self._settings}

    def _await_serving(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            told = log.read_text(errors="replace")
            found = {line.get("event"): line for line in _lines(told)}
            if "serving" in found:
                self.server = str(found["listening"]["grpc"])
                self.kafka = str(_BROKER.findall(told)[0])
                return
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"The service did not start. It told:\n{told[-2000:]}")
            time.sleep(LOOK_SECONDS)


def _program() -> list[str]:
    if importlib.util.find_spec("scheduling_srv") is not None:
        return [sys.executable, "-m", "scheduling_srv"]
    found = shutil.which("scheduling-srv")
    if found is None:
        raise RuntimeError(_MISSING)
    return [found]


def _in_utc(start: datetime) -> str:
    at = start if start.tzinfo else start.replace(tzinfo=UTC)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat()


def _lines(told: str) -> list[dict[str, object]]:
    found = []
    for line in told.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:  # half of it is written
                continue
    return found
