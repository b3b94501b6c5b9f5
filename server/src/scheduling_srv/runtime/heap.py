"""Returns the freed memory of large messages to the system (docs/decisions/0017).

glibc does not do so by itself. Once a block of up to 32 MB was freed, it keeps later blocks of that
size. gRPC receives a message in small blocks, which leave free pages all over the heap.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_M_MMAP_THRESHOLD = -3
LARGE_BYTES = 2**20
"""A block of this size is mapped by itself, so that `free` returns it at once."""
TRIM_DELAY_SECONDS = 1.0
"""Between the end of a large message and the trim of the heap."""


def tune() -> None:
    """Set up malloc. Does nothing where the C library is not glibc."""
    mallopt = _function("mallopt")
    if mallopt is not None and _function("malloc_trim") is not None:  # musl has neither
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


class Trimmer:
    """Returns the free pages of the heap, once for all messages that end within the delay."""

    def __init__(self) -> None:
        self._trim = _function("malloc_trim")
        self._due = False

    def freed(self, size: int) -> None:
        """Schedule a trim if so many bytes are worth it. They may be freed a moment later."""
        if size >= LARGE_BYTES and self._trim is not None and not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(TRIM_DELAY_SECONDS, self._start)

    def _start(self) -> None:
        self._due = False
        if self._trim is not None:
            asyncio.get_running_loop().run_in_executor(None, self._trim, 0)  # takes milliseconds


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None if it has none of this name."""
    try:
        found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):
        return None
    return found
