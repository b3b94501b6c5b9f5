"""Compressed messages are recognized, and never become larger than allowed."""

import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from scheduling_srv.domain.errors import InvalidRequest, Overloaded, TooLarge
from scheduling_srv.entrances.decompression import decompress, is_compressed

either = pytest.mark.parametrize(
    "compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"]
)
LARGEST = 3_000_000
SMALL = b"\x0a\x05hello"
LARGE = random.Random(1).randbytes(1_000_000) + bytes(2_000_000)


class Budget:
    """Counts the bytes that were reserved, and refuses more than it has."""

    def __init__(self, left: int = LARGEST) -> None:
        self.left = left

    def reserve(self, size: int) -> None:
        if size > self.left:
            raise Overloaded("no")
        self.left -= size


@either
@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("raw", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_compressed_messages_are_decompressed(
    compress: Callable[..., bytes], level: int, raw: bytes
) -> None:
    compressed = compress(raw, level)
    budget = Budget()
    assert is_compressed(compressed)
    assert await decompress(compressed, LARGEST, budget.reserve) == raw
    assert budget.left == LARGEST - len(raw)


@pytest.mark.parametrize("raw", [b"", b"x", SMALL, b"\x78\x01\x0a", LARGE], ids=range(5))
def test_other_messages_are_not_recognized_as_compressed(raw: bytes) -> None:
    assert is_compressed(raw) == (raw == b"\x78\x01\x0a")


@either
async def test_a_bomb_is_refused_before_it_is_large(compress: Callable[..., bytes]) -> None:
    budget = Budget(10 * LARGEST)
    with pytest.raises(TooLarge, match=str(LARGEST)):
        await decompress(compress(bytes(100 * LARGEST)), LARGEST, budget.reserve)
    assert budget.left >= 9 * LARGEST


async def test_a_message_beyond_the_budget_is_refused() -> None:
    with pytest.raises(Overloaded):
        await decompress(gzip.compress(LARGE), LARGEST, Budget(LARGEST // 2).reserve)


@pytest.mark.parametrize(
    "compressed",
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
async def test_an_incomplete_or_broken_message_is_the_clients_fault(compressed: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await decompress(compressed, LARGEST, Budget().reserve)
