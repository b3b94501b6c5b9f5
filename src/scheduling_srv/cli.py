"""The command `scheduling-srv`. What it does not need it does not import."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scheduling_srv.domain.errors import StartError
from scheduling_srv.serving import serve

WRONG = 2
"""Exit code for a wrong setting or a wrong command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given == ["serve"]:  # nothing to read: importing what reads it would take 80 ms
            return serve()
        from scheduling_srv.command_line import run  # noqa: PLC0415

        return run(given)
    except StartError as error:
        sys.stderr.write(f"scheduling-srv: {error}\n")
        return WRONG
