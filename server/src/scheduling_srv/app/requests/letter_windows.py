"""Windows of the dead-letter topic, from its end to its beginning (docs/decisions/0031)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from scheduling_srv.app.letter_ports import LetterLog
from scheduling_srv.domain.dead_letter import DeadLetter, LetterId
from scheduling_srv.formats import page_token
from scheduling_srv.formats.dead_letters import read_letter
from scheduling_srv.formats.kafka_records import Extent
from scheduling_srv.formats.page_token import PageToken

WALK = "letters"


class Ends(NamedTuple):
    """Partition -> the offset below which the walk goes on."""

    of: Mapping[int, int]

    def pack(self, digest: str) -> str:
        """As a page token; empty: the walk has ended."""
        if not self.of:
            return ""
        places = " ".join(f"{partition}:{end}" for partition, end in sorted(self.of.items()))
        return PageToken(digest, WALK, [places]).pack()

    @classmethod
    def unpack(cls, token: str, digest: str) -> Ends:
        """Raises `InvalidRequest`."""
        (places,) = page_token.unpack(token, digest, 1, [WALK]).cursors
        try:
            return cls(
                {place.partition: place.offset for place in map(LetterId.of, places.split())}
            )
        except ValueError:
            raise page_token.foreign() from None


class Window(NamedTuple):
    """Some letters, the newest first, and where the walk goes on."""

    letters: Sequence[DeadLetter]
    lows: Mapping[int, int]
    """Partition -> the first offset that it has."""
    starts: Mapping[int, int]
    """Partition -> the first offset that was looked at, if it has earlier ones."""

    def ends_after(self, taken: Sequence[DeadLetter]) -> Ends:
        """Where the walk goes on if only these, the first ones of the window, were taken."""
        if len(taken) == len(self.letters):
            return Ends(self.starts)
        ends = dict(self.starts)
        for letter in reversed(self.letters[len(taken) :]):
            ends[letter.id.partition] = letter.id.offset + 1
        return Ends(ends)


async def window(log: LetterLog, ends: Ends | None, offsets: int, *, values: bool) -> Window:
    """At most so many offsets below `ends`; None: from the end of the topic.

    With several partitions their letters are merged by time. Raises `LogUnavailable`.
    """
    there = await log.extents()
    lows = {each.partition: each.first for each in there}
    share = max(1, offsets // max(1, len(there)))
    wanted = [
        Extent(each.partition, max(each.first, end - share), end)
        for each in there
        if (end := each.end if ends is None else min(each.end, ends.of.get(each.partition, 0)))
        > each.first
    ]
    found: dict[int, list[DeadLetter]] = {each.partition: [] for each in wanted}
    async for piece in log.read(wanted):
        for record in piece:
            letter = read_letter(record)
            kept = letter if values else replace(letter, value=b"")
            found[record.partition].append(kept)
    starts = {each.partition: each.first for each in wanted if each.first > lows[each.partition]}
    return Window([*_newest_first(found.values())], lows, starts)


def _newest_first(partitions: Iterable[Sequence[DeadLetter]]) -> Iterator[DeadLetter]:
    """Each partition keeps its order, whatever its time stamps say."""
    rows = [[*_dated(letters)] for letters in partitions]
    for _, letter in heapq.merge(*rows, key=lambda row: row[0]):
        yield letter


def _dated(letters: Sequence[DeadLetter]) -> Iterator[tuple[int, DeadLetter]]:
    latest = None
    for letter in reversed(letters):
        latest = letter.time if latest is None else min(latest, letter.time)
        yield -latest, letter
