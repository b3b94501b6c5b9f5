"""The table of layouts: what is stored in Redis and on Kafka has these bytes for ever."""

import struct

import pytest

from scheduling_srv.formats import layouts
from scheduling_srv.formats.layouts import LUA, Layout

LAYOUTS = {name: each for name, each in vars(layouts).items() if isinstance(each, Layout)}
WRITTEN_DOWN = {
    "HEADER": ("<6xBBHIHI", "<I6BBI2I4I2I4"),
    "SEQ": ("<6x", "<I6"),
    "DUE_HEADER": ("<6xBBHIH", "<I6BBI2I4I2"),
    "SMALL_HEADER": ("<6xBBBHBH", "<I6BBBI2BI2"),
    "SMALL_DUE_HEADER": ("<6xBBBHB", "<I6BBBI2B"),
    "POLICY": ("<IBdIQ", "<I4BdI4I8"),
    "LIMITS": ("<IQ", "<I4I8"),
    "ATTEMPTS": ("<I", "<I4"),
    "STATE": ("<6x6x6xI", "<I6I6I6I4"),
    "JOURNAL_COUNT": ("<QQI", "<I8I8I4"),
    "OLD_STATE_PART": ("<H", "<I2"),
    "QUEUED": ("<xBIQIQHHHI", "<c1BI4I8I4I8I2I2I2I4"),
    "CREATED": ("<xQH", "<c1I8I2"),
    "KEYED": ("<xH", "<c1I2"),
    "EVENT": ("<xcHI", "<c1c1I2I4"),
    "GROUPED": ("<xI", "<c1I4"),
    "SECTION": ("<cI", "<c1I4"),
    "LIST_PART": ("<IIQ", "<I4I4I8"),
    "OLD_JOB_PART": ("<cBQH", "<c1BI8I2"),
    "OLD_RETRY_PART": ("<Q", "<I8"),
    "JOURNAL_JOB": ("<Q", "<I8"),
    "JOURNAL_RETRY": ("<QQIQ", "<I8I8I4I8"),
    "PIECE_JOB": ("<HQI", "<I2I8I4"),
    "PARCEL_BASE": ("<Q", "<I8"),
    "PARCEL_TABLE": ("<I", "<I4"),
    "RUN": ("<6xBBQIQH", "<I6BBI8I4I8I2"),
    "BIRTH": ("<6x", "<I6"),
    "MORE": ("<II6xBHB", "<I4I4I6BI2B"),
    "FLAGS": ("<BHB", "<BI2B"),
    "RULES": ("<BBQQQQIQQd", "<BBI8I8I8I8I4I8I8d"),
    "QUEUED_MORE": ("<BIQIH", "<BI4I8I4I2"),
    "MEMBER": (">6xB", ">I6B"),
    "RUN_MEMBER": (">6xB6xI", ">I6BI6I4"),
    "ORPHAN": ("<I", "<I4"),
    "TAG": (">H", ">I2"),
    "RAN": ("<BQQQQIIIBBHH", "<BI8I8I8I8I4I4I4BBI2I2"),
    "TALLIED": ("<B" + "6x" * 7 + "B", "<B" + "I6" * 7 + "B"),
    "SERIAL": ("<6x", "<I6"),
    "MINUTE": ("<" + "6x" * 7, "<" + "I6" * 7),
    "TOLD": ("<6x6x", "<I6I6"),
    "OUTAGE": ("<6x6x", "<I6I6"),
    "OWNED": ("<6x", "<I6"),
    "PAUSED_UNTIL": ("<6xBH", "<I6BI2"),
    "FAREWELL": ("<6x6xB", "<I6I6B"),
    "FAILED_WITH": ("<" + "6x" * 4 + "BH", "<" + "I6" * 4 + "BI2"),
}
"""Of version 0.1, but for version and origin of RUN: two bytes that were zero.

BIRTH to QUEUED_MORE, and RAN to FAILED_WITH, are of format 2.

A layout that changes needs a way to read what is stored already (docs/decisions/0024).
"""


def test_layouts_are_those_that_are_stored() -> None:
    found = {name: (each.struct.format, each.lua) for name, each in LAYOUTS.items()}
    assert found == WRITTEN_DOWN


def test_a_run_of_the_first_version_reads_as_one_of_version_0() -> None:
    seq = (1 << 48) - 1
    stored = struct.pack("<QQIQH", seq, 5, 6, 7, 8)
    assert layouts.RUN.struct.unpack(stored) == (0, 0, 5, 6, 7, 8)
    assert int.from_bytes(stored[: layouts.RUN.before("version")], "little") == seq


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_languages_mean_as_many_bytes(name: str) -> None:
    """Redis's `struct` writes sizes as digits, and one byte without."""
    lua = LAYOUTS[name].lua[1:].replace("I", " ").replace("c", " ").replace("B", " 1 ")
    assert sum(int(size) for size in lua.replace("d", " 8 ").split()) == LAYOUTS[name].size


def test_constants_of_lua_are_those_that_are_stored() -> None:
    letters = {name: LUA[name] for name in "QUEUE CREATE NEW_NOW DELETE TOMBSTONE".split()}
    assert letters == dict(zip(letters, ('"Q"', '"C"', '"N"', '"D"', '"X"'), strict=True))
    assert [LUA[name] for name in "PUT_OFF HAND_ON LISTED HAPPENED MARK GROUP".split()] == [
        '"R"', '"P"', '"L"', '"E"', '"M"', '"G"',
    ]  # fmt: skip
    sections = "LIST REPEATED OLD_JOB OLD_RETRY OLD_STATE OLD_PAUSE"
    assert [LUA[name] for name in sections.split()] == [
        '"L"', '"J"', '"O"', '"T"', '"S"', '"P"',
    ]  # fmt: skip
    kinds = "NEXT RETRY MISSED KEPT MANUAL BACKFILL PASSED"
    assert [LUA[name] for name in kinds.split()] == list("0123456")
    assert [LUA[name] for name in "SCHEDULE BY_HAND BACKFILLED".split()] == list("012")
    assert [LUA[name] for name in "NOW ONCE INTERVAL CRON".split()] == list("0123")
    assert [LUA[name] for name in "HAS_POLICY LIMITS_AT".split()] == ["128", "14"]
    assert [LUA[name] for name in "HAS_MORE VERSION_OF_MORE HAS_RULES".split()] == ["8", "2", "1"]
    assert LUA["QUEUE_MORE"] == '"q"'
    assert (LUA["PARCEL_KEY"], LUA["LIST_KEY"]) == (r'"\0parcel\0"', r'"\0list\0"')


def test_a_part_lies_where_the_whole_has_it() -> None:
    layout = Layout("letter:letter kind:u8 size:u16 due:u64")
    packed = layout.struct.pack(1, 2, 3)
    assert layout.part("size", "due").struct.unpack_from(packed, layout.before("size")) == (2, 3)
    with pytest.raises(struct.error):
        layout.part("kind").struct.unpack(packed)
