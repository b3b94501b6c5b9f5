"""The entry point of `scheduling`. Without the extra `cli` it says how to install it."""

from __future__ import annotations

import sys

EXTRA = frozenset({"cyclopts", "yaml"})
"""Packages that the extra installs, by their import names."""
NOT_INSTALLED = (
    "scheduling: The command needs more packages than the client. Install them with"
    ' pip install "scheduling-client[cli]".'
)
WRONG = 2


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from scheduling_client.cli.app import run  # noqa: PLC0415 - it may be missing

        return run(sys.argv[1:])
    except ModuleNotFoundError as missing:
        if missing.name not in EXTRA:
            raise
        sys.stderr.write(f"{NOT_INSTALLED}\n")
        return WRONG
