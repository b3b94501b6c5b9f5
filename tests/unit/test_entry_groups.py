"""Groups of entries, and what their heads say of them."""

import struct

from scheduling_srv.formats.entry_groups import VOID, Listed, groups, replaced_job

RECORD = (77).to_bytes(6, "little") + bytes(14)


def section(letter: bytes, text: bytes) -> bytes:
    return letter + struct.pack("<I", len(text)) + text


def head(size: int, *sections: bytes) -> bytes:
    return b"G" + struct.pack("<I", size) + b"".join(sections)


def before(job_id: bytes) -> bytes:
    return struct.pack("<cBQH", b"d", 0, 5, len(job_id)) + job_id + RECORD


def test_single_entries_are_groups_of_their_own() -> None:
    """So is one that was set aside."""
    assert [(each.start, each.end) for each in groups([b"Xa", VOID, b"Xb"])] == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]


def test_a_head_that_says_no_more_is_one_list() -> None:
    """As an earlier version has written it; heads of empty groups within it are no groups."""
    first, second = groups([head(3), b"Xa", VOID, b"M{}", b"Xb"])
    assert (first.start, first.end, first.before) == (0, 4, [])
    assert first.list_at(1) == Listed(1, 4, 0)
    assert (second.start, second.end) == (4, 5)
    assert second.list_at(4) == Listed(4, 5, 0)


def test_a_head_says_which_entries_are_a_list() -> None:
    """And from which records they come."""
    lists = [
        section(b"L", struct.pack("<IIQ", 1, 2, 40) + b"jobs:0"),
        section(b"L", struct.pack("<IIQ", 3, 1, 7) + b"jobs:1"),
    ]
    _, group = groups([b"Xz", head(4, *lists), b"Xa", b"Xb", b"Xc", b"M{}"])
    assert group.list_at(2) == group.list_at(3) == Listed(2, 4, 40, "jobs:0")
    assert group.list_at(4) == Listed(4, 5, 7, "jobs:1")


def test_a_head_says_what_the_jobs_were_before() -> None:
    retry = struct.pack("<Q", 9) + b"member"
    (group,) = groups([head(1, section(b"O", before(b"a")), section(b"T", retry)), b"Xa"])
    assert group.replaced() == {b"a": 77}
    assert replaced_job(group.before[0]) == (b"a", 77)
    assert group.before[1] == b"T" + retry
