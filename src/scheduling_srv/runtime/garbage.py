"""When Python looks for cycles of garbage: what the service makes by the thousand has none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MADE = 50_000
"""New containers after which cycles are looked for."""


def tune() -> None:
    """For a service: look less often, and never again at what is there from the start.

    Ends a `none_expected`.
    """
    gc.freeze()
    gc.set_threshold(MADE, 20, 50)
    gc.enable()


@contextmanager
def none_expected() -> Iterator[None]:
    """Do not look at all: what holds millions of jobs, or is imported, is looked at in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
