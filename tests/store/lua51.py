"""Which globals a compiled Lua 5.1 function reads and writes.

The server compiles (`string.dump`), so that names are resolved by the language that will run them.
The layout of a chunk is that of lundump.c of Lua 5.1: header, then nested functions, each with its
instructions and constants. An instruction has its opcode in the low 6 bits and, for those that
touch a global, the number of the constant with its name in the high 18.
"""

import struct
from collections.abc import Iterator

GETGLOBAL, SETGLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


class _Reader:
    def __init__(self, chunk: bytes) -> None:
        assert chunk[:6] == b"\x1bLua\x51\x00", "not a chunk of Lua 5.1"
        assert tuple(chunk[6:12]) == (1, 4, 8, 4, 8, 0), "not of a 64-bit little-endian server"
        self.chunk, self.at = chunk, 12

    def take(self, size: int) -> bytes:
        self.at += size
        return self.chunk[self.at - size : self.at]

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def text(self) -> bytes:
        return self.take(int.from_bytes(self.take(8), "little"))[:-1]

    def constant(self) -> bytes | None:
        kind = self.take(1)[0]
        if kind == _STRING:
            return self.text()
        self.take({_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind])
        return None

    def function(self) -> Iterator[tuple[int, str]]:
        self.text()  # source
        self.take(4 + 4 + 4)  # lines, numbers of upvalues, parameters and registers
        code = struct.unpack(f"<{(size := self.integer())}I", self.take(4 * size))
        names = [self.constant() for _ in range(self.integer())]
        for instruction in code:
            if (opcode := instruction & 0x3F) in (GETGLOBAL, SETGLOBAL):
                yield opcode, (names[instruction >> 14] or b"").decode()
        for _ in range(self.integer()):
            yield from self.function()
        self.take(4 * self.integer())  # line of each instruction
        for _ in range(self.integer()):
            self.text()  # local variables, and where they live
            self.take(8)
        for _ in range(self.integer()):
            self.text()  # upvalues


def globals_of(chunk: bytes) -> tuple[set[str], set[str]]:
    """Names that are read, and names that are written."""
    found = list(_Reader(chunk).function())
    return (
        {name for opcode, name in found if opcode == GETGLOBAL},
        {name for opcode, name in found if opcode == SETGLOBAL},
    )
