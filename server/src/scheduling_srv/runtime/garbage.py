"""Tunes Python's garbage collector. The objects that the service makes in bulk have no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MADE = 50_000
"""New containers after which cycles are looked for."""


def tune() -> None:
    """For a service: collect less often, and never the objects that exist at the start.

    Ends a `none_expected`.
    """
    gc.freeze()
    gc.set_threshold(MADE, 20, 50)
    gc.enable()


@contextmanager
def none_expected() -> Iterator[None]:
    """Collect nothing meanwhile: imports and millions of jobs are live, so looking is in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
