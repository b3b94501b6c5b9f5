"""Replicas that start at once: forked from a process that has imported the product already.

Importing the product costs more than a second of computing, and the tests start hundreds of
replicas. The server forks before any thread or connection exists in it, so a child is a process
like any other.
"""

import atexit
import importlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.reaper import reaper
from tests.harness.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
PRODUCT = "scheduling_srv.cli.main"
IMPORTED = "scheduling_srv.service.service"
"""What the command `serve` imports when it runs."""
POLL_SECONDS = 0.005


class ForkServer:
    """The process that forks; ends with the program."""

    def __init__(self, main: str = PRODUCT) -> None:
        """`main` is the module whose function `main` the children run."""
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.fork_server", main],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            start_new_session=True,
        )
        reaper.born(self._server.pid)

    def fork(self, env: Mapping[str, str], log: Path) -> "Forked":
        """A child with this environment, and with this process's limit of open files."""
        log.touch()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Forked(self, self.ask(env=dict(env), log=str(log), limits=limits))

    def ask(self, **question: object) -> Any:
        """Send a line, read one."""
        with self._lock:
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(json.dumps(question) + "\n")
            answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the fork server has ended")
        return json.loads(answer)

    def close(self) -> None:
        """Its children are not ended."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(PATIENCE_SECONDS)
        self._server.stdout.close()
        reaper.buried(self._server.pid)


class Forked(subprocess.Popen[bytes]):
    """As much of a Popen as `Process` needs."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.returncode = None
        self.pid = pid

    def __del__(self, *_: object) -> None:
        """Nothing to reap: the server does."""

    def poll(self) -> int | None:
        """The exit code once there is one."""
        if self.returncode is None:
            self.returncode = self._server.ask(pid=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired."""
        until = time.monotonic() + (timeout or 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("replica", timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, sig: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


_shared: list[ForkServer] = []


def shared() -> ForkServer:
    """The one of this test process, started by the first who asks for it."""
    if not _shared:
        _shared.append(ForkServer())
        atexit.register(_shared[0].close)
    return _shared[0]


# --- In the server ----------------------------------------------------------------------------


def serve(main: str) -> None:
    """Answer lines until they end."""
    for name in (main, IMPORTED):
        importlib.import_module(name)
    codes: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "pid" in question:
            answer = _code(question["pid"], codes)
        else:
            answer = os.fork()
            if answer == 0:
                _become(question["env"], question["log"], question["limits"])
                os._exit(_run(main))
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


def _become(env: Mapping[str, str], log: str, limits: tuple[int, int]) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(nothing)
    os.close(out)
    os.environ.clear()
    os.environ.update(env)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    sys.argv = ["scheduling-srv", "serve"]


def _run(main: str) -> int:
    try:
        code: int = sys.modules[main].main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
