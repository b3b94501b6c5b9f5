"""Decompresses gRPC messages within the memory budget of their call (decision 17).

gRPC would decompress a message before the service can limit its size. So gRPC's decompression is
off, and gRPC returns the bytes as they arrived. It does not return `grpc-encoding`: the first
bytes of a message show whether it is compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeAlias

from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.formats.messages import join
from scheduling_srv.runtime.time_slice import SharedSlice

_GZIP_MAGIC = b"\x1f\x8b"
"""No protobuf message begins like this: there is no wire type 7."""
_ZLIB_FIRST_BYTE = 0x78
"""zlib's method and gRPC's window. In protobuf it is a tag of field 15, which no request has."""
_ZLIB_HEADER_DIVISOR = 31
"""Divides the first two bytes of a zlib stream (RFC 1950)."""
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_INPUT_PIECE_BYTES, _OUTPUT_PIECE_BYTES = 2**16, 2**18

Reserve: TypeAlias = Callable[[int], None]
"""Reserves so many bytes, or raises an error that refuses the message."""


def is_compressed(raw: bytes) -> bool:
    """Whether this is a gzip or a deflate message."""
    return raw.startswith(_GZIP_MAGIC) or (
        len(raw) > 1
        and raw[0] == _ZLIB_FIRST_BYTE
        and not int.from_bytes(raw[:2]) % _ZLIB_HEADER_DIVISOR
    )


async def decompress(raw: bytes, max_bytes: int, reserve: Reserve) -> bytes:
    """The decompressed message. `reserve` is called for each piece, before the next one.

    Raises `TooLarge` beyond `max_bytes`, and `InvalidRequest` for an incomplete or broken message.
    """
    decompressor, time_slice = zlib.decompressobj(_GZIP_OR_ZLIB), SharedSlice()
    view, pieces, size = memoryview(raw), list[bytes](), 0
    for start in range(0, len(raw), _INPUT_PIECE_BYTES):
        compressed: bytes | memoryview = view[start : start + _INPUT_PIECE_BYTES]
        while compressed:
            piece = _next_piece(decompressor, compressed)
            size += len(piece)
            if size > max_bytes:
                raise request_too_large(max_bytes)
            reserve(len(piece))
            pieces.append(piece)
            compressed = decompressor.unconsumed_tail
            if time_slice.used:
                await time_slice.pause()
    if not decompressor.eof or decompressor.unused_data:
        raise _broken()
    return await join(pieces)


def request_too_large(max_bytes: int) -> TooLarge:
    """The error that the client gets."""
    return TooLarge(f"The request is larger than {max_bytes} bytes.")


def _next_piece(decompressor: zlib._Decompress, compressed: bytes | memoryview) -> bytes:
    if decompressor.eof:
        raise _broken()
    try:
        return decompressor.decompress(compressed, _OUTPUT_PIECE_BYTES)
    except zlib.error as fault:
        raise _broken() from fault


def _broken() -> InvalidRequest:
    return InvalidRequest("The message cannot be unpacked.")
