"""Asks before something that cannot be undone."""

from __future__ import annotations

import sys

from scheduling_client.cli.errors import CommandError, Exit, wrong


def confirm(question: str, *, yes: bool) -> None:
    """Return if the user agrees. Raises `CommandError` otherwise, and where no one can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong(f"{question} Say --yes: no terminal is there to ask.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.", Exit.FAILED)
