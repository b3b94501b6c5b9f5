"""Helpers in processes of their own, so that their CPU is counted apart from the service's.

Parent and child speak lines of JSON: `{"do": name, ...}` goes in, one line comes out.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.harness.reaper import reaper

Reply = dict[str, Any]
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_SECONDS = 600.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children; 0 where there is no `/proc`."""
    # The command's name is in parentheses and may hold anything.
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    # Of its own, and of children that have ended.
    own = sum(int(field) for field in fields[11:15]) / TICK
    return own + sum(
        cpu_seconds(int(child)) for child in _proc(pid, f"task/{pid}/children").split()
    )


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def main_thread_ns(pid: int) -> int:
    """Processor time of the main thread of a process. Raises `OSError` without `/proc`."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def memory_bytes(pid: int) -> int:
    """Resident memory; 0 where there is no `/proc`."""
    pages = _proc(pid, "statm").split()[1:2]
    return sum(int(each) for each in pages) * os.sysconf("SC_PAGE_SIZE")


class Failed(Exception):
    """A helper could not do what it was told."""


class Actor:
    """The parent's side of a helper."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._buffer = b""
        reaper.born(self._process.pid)

    @classmethod
    def python(cls, name: str, module: str, folder: Path, *arguments: str) -> Self:
        """A module of this package."""
        command = [sys.executable, "-m", f"bench.{module}", *arguments]
        return cls(name, command, folder / f"{name}.log")

    @property
    def pid(self) -> int:
        """For the accounts."""
        return self._process.pid

    def tell(self, do: str, **order: object) -> None:
        """Give an order; its reply is heard later."""
        if self._process.stdin is None:
            raise RuntimeError(self.name)
        self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, patience: float = PATIENCE_SECONDS) -> Reply:
        """The reply to the oldest order that has none yet."""
        if self._process.stdout is None:
            raise RuntimeError(self.name)
        pipe, deadline = self._process.stdout.fileno(), time.monotonic() + patience
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(pipe, 1 << 20) if ready else b""
            if not piece:
                why = "ended" if ready else f"said nothing for {patience:g} s"
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} {why}\n{tail}")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: Reply = json.loads(line)
        if fault := reply.get("fault"):
            raise Failed(f"{self.name}: {fault}")
        return reply

    def ask(self, do: str, **order: object) -> Reply:
        """Give an order and wait for the reply."""
        self.tell(do, **order)
        return self.hear()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        """End it: its input ends, and so does it; or it is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        reaper.buried(self._process.pid)


def serve(helper: object) -> None:
    """The child's side: each order calls a method of the helper, until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            reply = getattr(helper, order.pop("do"))(**order)
        except Exception as fault:  # noqa: BLE001 - the parent raises it
            traceback.print_exc()
            reply = {"fault": f"{type(fault).__name__}: {fault}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted numbers; the last one where there are few."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
