"""Compressed messages are unpacked here, within their call's share of the room (decision 17).

gRPC would unpack a message before anything can say how large it may become. It is told not to, and
hands over what came. It does not say whether that is compressed; the first bytes do.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from scheduling_srv.app.time_slice import SharedSlice
from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.entrances.convert import join

_GZIP = b"\x1f\x8b"
"""No protobuf message begins like this: there is no wire type 7."""
_DEFLATE = 0x78
"""How zlib begins with gRPC's window. As protobuf it is field 15, which no request has."""
_CHECK = 31
"""Divides the first two bytes of zlib's format."""
_EITHER = zlib.MAX_WBITS | 32
_PIECE_IN, _PIECE_OUT = 2**16, 2**18


Take = Callable[[int], None]


def is_packed(raw: bytes) -> bool:
    """Whether this is a gzip or a deflate message."""
    return raw.startswith(_GZIP) or (
        len(raw) > 1 and raw[0] == _DEFLATE and not int.from_bytes(raw[:2]) % _CHECK
    )


async def unpack(raw: bytes, largest: int, take: Take) -> bytes:
    """The message inside. `take` is told of its bytes as they come, and may refuse them.

    Raises `TooLarge` beyond `largest` bytes, and `InvalidRequest` if it is no whole message.
    """
    unpacker, time_slice = zlib.decompressobj(_EITHER), SharedSlice()
    view, pieces, size = memoryview(raw), list[bytes](), 0
    for start in range(0, len(raw), _PIECE_IN):
        packed: bytes | memoryview = view[start : start + _PIECE_IN]
        while packed:
            piece = _unpacked(unpacker, packed)
            size += len(piece)
            if size > largest:
                raise too_large(largest)
            take(len(piece))
            pieces.append(piece)
            packed = unpacker.unconsumed_tail
            if time_slice.used:
                await time_slice.pause()
    if not unpacker.eof or unpacker.unused_data:
        raise _broken()
    return await join(pieces)


def too_large(largest: int) -> TooLarge:
    """What a client is told."""
    return TooLarge(f"The request is larger than {largest} bytes.")


def _unpacked(unpacker: zlib._Decompress, packed: bytes | memoryview) -> bytes:
    if unpacker.eof:
        raise _broken()
    try:
        return unpacker.decompress(packed, _PIECE_OUT)
    except zlib.error as fault:
        raise _broken() from fault


def _broken() -> InvalidRequest:
    return InvalidRequest("The message cannot be unpacked.")
