"""Freed memory of large messages goes back to the system (docs/decisions/0017).

glibc does not do that by itself. It keeps blocks of up to 32 MB once one of that size was freed,
and a message that gRPC received in pieces leaves holes all over the heap.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_M_MMAP_THRESHOLD = -3
LARGE = 2**20
"""Bytes of a block that is mapped by itself, so that a free returns it at once."""
PAUSE = 1.0
"""Seconds between the end of a large message and the search for holes."""


def tune() -> None:
    """For a service. Does nothing where the C library is not glibc."""
    mallopt = _function("mallopt")
    if mallopt is not None and _function("malloc_trim") is not None:  # musl has neither
        mallopt(_M_MMAP_THRESHOLD, LARGE)


class Trimmer:
    """Returns the holes in the heap, which takes milliseconds, once for all that end together."""

    def __init__(self) -> None:
        self._trim = _function("malloc_trim")
        self._due = False

    def freed(self, size: int) -> None:
        """So many bytes were freed, or will be in a moment."""
        if size >= LARGE and self._trim is not None and not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(PAUSE, self._start)

    def _start(self) -> None:
        self._due = False
        if self._trim is not None:
            asyncio.get_running_loop().run_in_executor(None, self._trim, 0)


def _function(name: str) -> Callable[..., int] | None:
    """Of the C library, or None."""
    try:
        found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):
        return None
    return found
