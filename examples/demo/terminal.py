"""Ctrl-C for the demonstration alone, not for the `make` that has started it.

The keys of a terminal go to its foreground process group, which `make` is in: it would report an
interrupt and fail, however well the demonstration ends. So this becomes the foreground group, as
a shell's jobs do, and gives the terminal back at its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def own_keys() -> Iterator[None]:
    """Be the terminal's foreground group inside, if there is a terminal and this is not it yet."""
    keyboard = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
    if keyboard is None or os.tcgetpgrp(keyboard) != os.getpgrp() or os.getpid() == os.getpgrp():
        yield
        return
    before = os.getpgrp()
    os.setpgid(0, 0)
    # A background group that sets the foreground is stopped unless it does not listen; and with
    # Ctrl-Z the shell would wait for a `make` that was not stopped.
    for number in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    os.tcsetpgrp(keyboard, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(keyboard, before)


class Stop:
    """Listens to Ctrl-C and SIGTERM."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._tell)

    def is_told(self) -> bool:
        """Whether it was told to stop."""
        return self._told

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True
