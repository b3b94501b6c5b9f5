"""The command `scheduling-srv`. It imports only the modules that the given command needs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scheduling_srv.cli.serve import serve
from scheduling_srv.domain.errors import StartError

WRONG = 2
"""Exit code for a wrong setting or a wrong command line."""


def _end_at_once(_number: int, _frame: object) -> None:
    """Nothing has begun yet, so there is nothing to finish."""
    os._exit(0)


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """A signal ends the process without a traceback, until the service handles signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, _end_at_once) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _signals_end_it():
            if given == ["serve"]:  # no options to parse: importing cyclopts takes 80 ms
                return serve()
            from scheduling_srv.cli.commands import run  # noqa: PLC0415

            return run(given)
    except StartError as error:
        sys.stderr.write(f"scheduling-srv: {error}\n")
        return WRONG
