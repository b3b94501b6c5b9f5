"""An end and a report that work while the interpreter does not.

Some calls of librdkafka hold the lock of the interpreter until its own threads answer. Then no
Python runs: no signal handler, no timer, no log. `faulthandler` needs no lock.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading

STDERR = 2
"""By number: `sys.stderr` may be none, and may be replaced."""
LOCKED_SECONDS = 0.5
"""Seconds that the timer has to get the interpreter's lock."""


def report() -> None:
    """Write the stacks of all threads to stderr on SIGUSR1, and when native code crashes."""
    faulthandler.enable(STDERR)
    if hasattr(faulthandler, "register"):  # not on Windows
        faulthandler.register(signal.SIGUSR1, STDERR)


def end_within(seconds: float, code: int) -> None:
    """End this process after so long, whatever its threads wait for.

    The exit code is 1, and the stacks are written to stderr, if no Python could run then.
    """
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + LOCKED_SECONDS, exit=True, file=STDERR)
