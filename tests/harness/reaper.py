"""Ends the servers of a test run that was killed before it could end them itself.

One child process a test run reads from a pipe which servers live. When the pipe closes because
the test run is gone, it kills those that are left, by their process ids.
"""

import atexit
import subprocess
import sys

_PROGRAM = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    sign, pid = line[0], int(line[1:])
    (alive.add if sign == "+" else alive.discard)(pid)
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        continue
"""


class Reaper:
    """The child process, started with the first server."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def born(self, pid: int) -> None:
        self._tell(f"+{pid}")

    def buried(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        if self._child is None:
            # A session of its own: Ctrl-C at the terminal must not reach it.
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
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
