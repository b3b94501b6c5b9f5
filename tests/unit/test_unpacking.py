"""Compressed messages: how they are known, and that they never become larger than allowed."""

import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from scheduling_srv.domain.errors import InvalidRequest, Overloaded, TooLarge
from scheduling_srv.entrances.unpacking import is_packed, unpack

either = pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
LARGEST = 3_000_000
SMALL = b"\x0a\x05hello"
LARGE = random.Random(1).randbytes(1_000_000) + bytes(2_000_000)


class Taken:
    """The sizes that were taken; refuses more than it has."""

    def __init__(self, left: int = LARGEST) -> None:
        self.left = left

    def take(self, size: int) -> None:
        if size > self.left:
            raise Overloaded("no")
        self.left -= size


@either
@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("raw", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_packed_messages_are_unpacked(
    pack: Callable[..., bytes], level: int, raw: bytes
) -> None:
    packed = pack(raw, level)
    taken = Taken()
    assert is_packed(packed)
    assert await unpack(packed, LARGEST, taken.take) == raw
    assert taken.left == LARGEST - len(raw)


@pytest.mark.parametrize("raw", [b"", b"x", SMALL, b"\x78\x01\x0a", LARGE], ids=range(5))
def test_others_are_left_alone(raw: bytes) -> None:
    assert is_packed(raw) == (raw == b"\x78\x01\x0a")


@either
async def test_a_bomb_is_refused_before_it_is_large(pack: Callable[..., bytes]) -> None:
    taken = Taken(10 * LARGEST)
    with pytest.raises(TooLarge, match=str(LARGEST)):
        await unpack(pack(bytes(100 * LARGEST)), LARGEST, taken.take)
    assert taken.left >= 9 * LARGEST


async def test_what_finds_no_room_is_refused() -> None:
    with pytest.raises(Overloaded):
        await unpack(gzip.compress(LARGE), LARGEST, Taken(LARGEST // 2).take)


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(LARGE)[:-1],
        gzip.compress(SMALL)[:-9],
        gzip.compress(SMALL) + b"x",
        gzip.compress(SMALL) * 2,
        gzip.compress(LARGE) + bytes(200_000),
        b"\x1f\x8b",
        b"\x1f\x8bnonsense",
        gzip.compress(SMALL)[:-8] + bytes(8),
        b"\x78\x01\x0a",
    ],
    ids=range(9),
)
async def test_what_is_not_whole_is_the_clients_fault(packed: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await unpack(packed, LARGEST, Taken().take)
