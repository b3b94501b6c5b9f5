"""Ends the servers of a test run that was killed before it could end them itself.

One child process a test run reads from a pipe which servers live. When the pipe closes because
the test run is gone, it kills those that are left, by their process ids. Their numbers may belong
to others by then: a process is known by its number and by when it began.
"""

import atexit
import inspect
import subprocess
import sys
from pathlib import Path


def beginning(pid: int) -> str:
    """When the process began, in ticks since the boot; empty: gone, or there is no `/proc`."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


PROGRAM = f"""
import os, signal, sys
from pathlib import Path

{inspect.getsource(beginning)}

alive = dict()
for line in sys.stdin:
    sign, pid, begun = line.rstrip("\\n").split(" ")
    if sign == "+":
        alive[int(pid)] = begun
    else:
        alive.pop(int(pid), None)
for pid, begun in alive.items():
    try:
        if beginning(pid) == begun:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        continue
"""


class Reaper:
    """The child process, started with the first server."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def born(self, pid: int) -> None:
        self._tell(f"+ {pid} {beginning(pid)}")

    def buried(self, pid: int) -> None:
        self._tell(f"- {pid} ")

    def _tell(self, line: str) -> None:
        if self._child is None:
            # A session of its own: Ctrl-C at the terminal must not reach it.
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
            atexit.register(self._close)
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")

    def _close(self) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=10)


reaper = Reaper()
