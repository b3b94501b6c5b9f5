"""Files that the command reads."""

from __future__ import annotations

import sys
from pathlib import Path

from scheduling_client.cli.errors import wrong


def read_file(name: str) -> str:
    """The text of a file; `-`: of the input. Raises `CommandError`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except OSError as error:
        raise wrong(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise wrong(f"{name} is not a text in UTF-8.") from None
