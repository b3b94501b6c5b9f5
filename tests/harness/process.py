"""A server process that a test holds in its hand."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.harness.reaper import reaper
from tests.harness.slow_machine import step
from tests.harness.waiting import PATIENCE_SECONDS, eventually

STACKS_SECONDS = 0.5
"""Seconds that a replica has to write the stacks of its threads."""


class Process:
    """Starts a command, again and again if need be; signals only what it started itself.

    All runs append to the same log file.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Lock()
        self._is_paused = False

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last run, if it has ended."""
        return None if self._popen is None else self._popen.poll()

    @step()
    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        assert not self.alive, f"{self.name} runs already"
        self._is_paused = False
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                cwd=cwd,
                # Ctrl-C is for pytest; it ends the servers in its own order.
                start_new_session=True,
            )
        reaper.born(self._popen.pid)

    @step()
    def adopt(self, popen: subprocess.Popen[bytes]) -> None:
        """Hold a process that was started in another way, with the same log."""
        assert not self.alive, f"{self.name} runs already"
        self._popen, self._is_paused = popen, False
        reaper.born(popen.pid)

    @step()
    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        """The exit code; what has not ended by then is killed and is a TimeoutError.

        The error shows the stacks of a replica (docs/operations.md).
        """
        popen = self._running()
        try:
            return popen.wait(timeout)
        except subprocess.TimeoutExpired:
            popen.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                popen.wait(STACKS_SECONDS)
            self.kill()
            raise TimeoutError(
                f"{self.name} did not end within {timeout:g} s\n{self.tail()}"
            ) from None
        finally:
            reaper.buried(popen.pid)

    @step()
    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._running().send_signal(signal.SIGTERM)

    @step()
    def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        popen = self._running()
        popen.kill()
        popen.wait()
        reaper.buried(popen.pid)

    @step()
    def pause(self) -> None:
        """SIGSTOP: alive, holding its connections, doing nothing once this returns."""
        with self._stopping:
            self._is_paused = True
            self._running().send_signal(signal.SIGSTOP)
        eventually(self._has_stopped, what=f"{self.name} has stopped")

    @step()
    def resume(self) -> None:
        with self._stopping:
            self._is_paused = False
            self._running().send_signal(signal.SIGCONT)

    def stall(self, seconds: float) -> None:
        """Let it stand still for a while, unless it is paused or has ended."""
        with self._stopping:
            if self._is_paused or not self.alive:
                return
            running = self._running()
            running.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            running.send_signal(signal.SIGCONT)

    def end(self, timeout: float = PATIENCE_SECONDS) -> int | None:
        """Ends it in whatever state it is; the exit code, or None when it did not run."""
        if not self.alive:
            return None
        self.resume()
        self.terminate()
        return self.wait(timeout)

    def until_ready(self, ask: object, *, timeout: float = PATIENCE_SECONDS) -> None:
        """Waits until `ask()` is true; an early death is reported at once, with the log."""
        assert callable(ask)

        def ready_or_dead() -> bool:
            if not self.alive:
                code = None if self._popen is None else self._popen.returncode
                raise RuntimeError(f"{self.name} ended with {code}\n{self.tail()}")
            return bool(ask())

        eventually(ready_or_dead, timeout=timeout, what=lambda: f"{self.name} ready\n{self.tail()}")

    def tail(self, lines: int = 60) -> str:
        """The end of the log."""
        if not self.log.exists():
            return f"({self.name} has no log)"
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join([f"--- log of {self.name} ---", *text[-lines:]])

    def _has_stopped(self) -> bool:
        """Whether no thread of it runs any more; unknown where there is no `/proc`."""
        for thread in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                if thread.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                    return False
        return True

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen
