"""Large blocks of memory go back to the system when they are freed."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
LARGE = 2**20
"""Bytes. Requests and answers of this size are rare; a small call never pays for it."""


def tune() -> None:
    """Have glibc map each large block by itself, so that a free returns it. Elsewhere do nothing.

    By default glibc raises the size from which it does so up to 32 MB, with the first large block
    that is freed. Later ones then lie in the heap, which cannot shrink below the newest block.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, LARGE)
