"""Errors that the command tells its user, and its exit codes (docs/command-line.md)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    FAILED = 1
    """The service refused the call, failed it, or is not serving."""
    WRONG = 2
    """The command line, a file or a setting is wrong. Nothing was sent."""
    NOT_FOUND = 3
    CONFLICT = 4
    """The job exists already, or was changed meanwhile."""
    UNAVAILABLE = 5
    """No answer: it may help to try again."""
    INTERRUPTED = 130


class CommandError(Exception):
    """An error for the user: its sentence names the cause and a remedy."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def wrong(sentence: str) -> CommandError:
    """The error for a command line, a file or a setting."""
    return CommandError(sentence, Exit.WRONG)
