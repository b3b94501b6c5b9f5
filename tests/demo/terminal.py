"""A person at a terminal: starts a command, reads, and presses Ctrl-C when a text appears.

A program of its own, because it forks: python terminal.py TEXT COMMAND... It prints what was on
the terminal and ends as the command did.
"""

import os
import pty
import sys
import time

CTRL_C = b"\x03"
LONGEST = 120.0


def watch(text: bytes, command: list[str]) -> int:
    child, screen = pty.fork()
    if child == 0:
        os.execvp(command[0], command)  # noqa: S606 - the command is the test's
    seen, pressed, deadline = b"", False, time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        try:
            piece = os.read(screen, 4096)
        except OSError:  # Linux's way to say that nobody writes any more
            break
        if not piece:
            break
        seen += piece
        if text in seen and not pressed:
            pressed = True
            os.write(screen, CTRL_C)
    sys.stdout.buffer.write(seen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1].encode(), sys.argv[2:]))
