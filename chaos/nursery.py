"""Replicas that start at once: forked from a process that has imported everything already.

Importing the product costs more than a second of computing, and a campaign starts hundreds of
replicas. What is forked is a process like any other, before any thread or connection exists.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.process import Process
from tests.harness.reaper import reaper


class Nursery:
    """The process that forks; ends with the program."""

    def __init__(self, log: Path) -> None:
        self._lock = threading.Lock()
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "chaos.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        reaper.born(self._child.pid)

    def ask(self, **question: object) -> Any:
        """Send a line, read one."""
        with self._lock:
            if self._child.stdin is None or self._child.stdout is None:
                raise RuntimeError("the nursery has no pipes")
            self._child.stdin.write(json.dumps(question) + "\n")
            answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError("the nursery has ended")
        return json.loads(answer)

    def close(self) -> None:
        """Its children are not ended."""
        if self._child.stdin:
            self._child.stdin.close()
        self._child.wait(10)
        if self._child.stdout:
            self._child.stdout.close()
        reaper.buried(self._child.pid)


class Forked(subprocess.Popen[bytes]):
    """As much of a Popen as `Process` needs."""

    def __init__(self, nursery: Nursery, env: Mapping[str, str], log: Path) -> None:
        self._nursery = nursery
        self.returncode = None
        self.pid = nursery.ask(env=dict(env), log=str(log))

    def __del__(self, *_: object) -> None:
        """Nothing to reap: the nursery does."""

    def poll(self) -> int | None:
        """The exit code once there is one."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(pid=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired."""
        until = time.monotonic() + (timeout or 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("replica", timeout or 0)
            time.sleep(0.005)
        return code

    def send_signal(self, sig: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class ForkedProcess(Process):
    """A replica from the nursery."""

    def __init__(self, nursery: Nursery, name: str, log: Path) -> None:
        super().__init__(name, log)
        self._nursery = nursery

    def spawn(
        self,
        command: Sequence[str | Path],  # noqa: ARG002 - there is but one
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,  # noqa: ARG002
    ) -> None:
        """Fork it."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        self._popen = Forked(self._nursery, os.environ if env is None else env, self.log)
        reaper.born(self._popen.pid)


# --- In the nursery ---------------------------------------------------------------------------


def main() -> None:
    """Answer lines until they end."""
    import scheduling_srv.service.service  # noqa: F401, PLC0415 - each fork then starts with it loaded
    from chaos import replica  # noqa: PLC0415

    codes: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "pid" in question:
            answer = _code(question["pid"], codes)
        else:
            answer = os.fork()
            if answer == 0:
                _become(question["env"], question["log"])
                os._exit(replica.main())
            codes.pop(answer, None)  # of one that had this number before
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _code(pid: int, codes: dict[int, int]) -> int | None:
    if pid not in codes:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return -1
        if not done:
            return None
        codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]


def _become(env: Mapping[str, str], log: str) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["scheduling-srv", "serve"]


if __name__ == "__main__":
    main()
