"""The use cases of dead letters: list, show, replay and hide them (scheduling.v1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from scheduling_srv.app.letter_ports import LetterLog, LetterNotes, Replay
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.letter_windows import Ends, Window, window
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
)
from scheduling_srv.domain.errors import LetterNotFound, LetterNotWhole
from scheduling_srv.formats import page_token
from scheduling_srv.formats.kafka_records import Extent, Topic
from scheduling_srv.formats.outbox_entries import event_entry

LISTED_OFFSETS = 500
"""Offsets of a page."""
REPLAYED_OFFSETS = 50
"""Offsets of a step that reads values, of at most 500 kB each."""
READS = 2
"""Calls that read the topic at once: each opens Kafka consumers of its own."""
PIECE_BYTES = 1_000_000
"""Bytes of one store call, unless one letter has more."""


class Step(NamedTuple):
    """The letters of a step of a bulk call, and where it goes on."""

    letters: Sequence[DeadLetter]
    lows: Window
    token: str


class DeadLetterCalls:
    """`topics`: name of a topic that records may be put back on -> which one it is."""

    def __init__(
        self,
        log: LetterLog,
        notes: LetterNotes,
        store: ShardedStore,
        clock: Clock,
        topics: dict[str, Topic],
    ) -> None:
        self.log = log
        self.notes = notes
        self.store = store
        self.clock = clock
        self.topics = topics
        self._reads = asyncio.Semaphore(READS)

    async def list(self, wanted: LetterFilter, limit: int, token: str) -> LetterPage:
        """At most `limit` letters, the newest first, without their values.

        Raises `InvalidRequest` for a token of another request, and `Unavailable`.
        """
        digest = page_token.digest_of("letters", wanted)
        async with turn(self._reads):
            found = await self._window(token, digest, LISTED_OFFSETS, values=False)
            topic_id = await self.log.topic_id()
        noted = await self._noted(topic_id, found.letters)
        matching = [place for place, each in enumerate(noted) if _matches(wanted, each)][:limit]
        taken = matching[-1] + 1 if len(matching) == limit else len(noted)
        page = [noted[place] for place in matching]
        return LetterPage(page, found.ends_after(found.letters[:taken]).pack(digest))

    async def get(self, letter_id: LetterId) -> DeadLetter:
        """With its value. Raises `LetterNotFound` and `Unavailable`."""
        async with turn(self._reads):
            found = await self._of_ids([letter_id])
            topic_id = await self.log.topic_id()
        if not found.letters:
            raise LetterNotFound(f"There is no dead letter {letter_id.name}.")
        (letter,) = await self._noted(topic_id, found.letters)
        return letter

    async def replay(self, call: LetterCall) -> Progress:
        """Put the original records on their topics again, one step; each is put back once.

        Letters whose record is not there as a whole match and are not replayed, or raise
        `LetterNotWhole` if they are named. Raises `FormatTooOld`, `InvalidRequest`, `Unavailable`.
        """
        async with turn(self._reads):
            topic_id = await self.log.topic_id()
            step = await self._step(call, topic_id)
        if isinstance(call.selection, LetterFilter):
            letters = [each for each in step.letters if not self._loss(each)]
        else:
            letters = [self._whole(each) for each in step.letters]
        if call.dry_run:
            count = sum(not each.replayed for each in letters)
        else:
            count = await self._replayed(topic_id, letters, step.lows)
        return Progress(len(step.letters), count, step.token)

    async def hide(self, call: LetterCall) -> Progress:
        """Leave them out of lists, one step. Raises as `replay` does."""
        async with turn(self._reads):
            topic_id = await self.log.topic_id()
            step = await self._step(call, topic_id)
        shown = [each.id for each in step.letters if not each.hidden]
        count = len(shown)
        if shown and not call.dry_run:
            count = await self.notes.hide(topic_id, shown, self.clock.now())
        return Progress(len(step.letters), count, step.token)

    # --- Steps --------------------------------------------------------------------------------

    async def _step(self, call: LetterCall, topic_id: str) -> Step:
        if isinstance(call.selection, LetterFilter):
            return await self._matching(call.selection, call.token, topic_id)
        return await self._named(call.selection, call.token, topic_id)

    async def _matching(self, wanted: LetterFilter, token: str, topic_id: str) -> Step:
        digest = page_token.digest_of("letters", wanted)
        found = await self._window(token, digest, REPLAYED_OFFSETS, values=True)
        noted = await self._noted(topic_id, found.letters)
        letters = [each for each in noted if _matches(wanted, each)]
        return Step(letters, found, found.ends_after(found.letters).pack(digest))

    async def _named(self, ids: Sequence[LetterId], token: str, topic_id: str) -> Step:
        """Neighbours among the ids are read together."""
        digest = page_token.digest_of("letters", [*ids])
        left = sorted({*ids}, reverse=True)
        if token:
            ends = Ends.unpack(token, digest).of
            left = [each for each in left if each.offset < ends.get(each.partition, 0)]
        near = [
            each
            for each in left
            if each.partition == left[0].partition
            and each.offset > left[0].offset - REPLAYED_OFFSETS
        ]
        found = await self._of_ids(near)
        rest = left[len(near) :]
        ends_of = {each.partition: each.offset + 1 for each in reversed(rest)}
        letters = await self._noted(topic_id, found.letters)
        return Step(letters, found, Ends(ends_of).pack(digest))

    async def _window(self, token: str, digest: str, offsets: int, *, values: bool) -> Window:
        ends = Ends.unpack(token, digest) if token else None
        return await window(self.log, ends, offsets, values=values)

    async def _of_ids(self, ids: Sequence[LetterId]) -> Window:
        """These letters, as far as they are there; all are in one partition, near each other."""
        if not ids:
            return Window([], {}, {})
        partition, last = ids[0].partition, max(each.offset for each in ids)
        below = Ends({partition: last + 1})
        reach = last - min(each.offset for each in ids) + 1
        there = {each.partition: each for each in await self.log.extents()}
        if partition not in there or there[partition].end <= last - reach + 1:
            return Window([], {}, {})
        found = await window(_One(self.log, there[partition]), below, reach, values=True)
        return found._replace(letters=[each for each in found.letters if each.id in {*ids}])

    async def _noted(self, topic_id: str, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        if not letters:
            return []
        notes = await self.notes.noted(topic_id, [each.id for each in letters])
        return [
            replace(letter, replayed=note.replayed, hidden=note.hidden)
            for letter, note in zip(letters, notes, strict=True)
        ]

    # --- Replays ------------------------------------------------------------------------------

    def _loss(self, letter: DeadLetter) -> str:
        """Why it cannot be replayed; empty: it can."""
        if letter.loss or letter.topic in self.topics:
            return letter.loss
        return f"Its topic {letter.topic} is none that the service reads."

    def _whole(self, letter: DeadLetter) -> DeadLetter:
        if loss := self._loss(letter):
            raise LetterNotWhole(f"The dead letter {letter.id.name} cannot be replayed. {loss}")
        return letter

    async def _replayed(self, topic_id: str, letters: Sequence[DeadLetter], found: Window) -> int:
        """How many were put back, once Kafka has them."""
        count = 0
        for piece in _pieces([each for each in letters if not each.replayed]):
            floor = self.store.shards[0].announcements.number
            replays = [
                Replay(each.id, found.lows.get(each.id.partition, 0), self._entry(each))
                for each in piece
            ]
            done = await self.notes.replay(topic_id, replays)
            if done.changed:
                await self.store.announced([Stored(0, done.receipt, floor, ends=True)])
            count += done.changed
        return count

    def _entry(self, letter: DeadLetter) -> bytes:
        headers = [(name, text.encode()) for name, text in letter.headers.items()]
        return event_entry(self.topics[letter.topic], letter.event, letter.value, headers)


class _One:
    """One partition of the dead-letter topic, as a log of its own."""

    def __init__(self, log: LetterLog, extent: Extent) -> None:
        self.read = log.read
        self._extent = extent

    async def topic_id(self) -> str:
        """Nobody asks for it here."""
        return ""

    async def extents(self) -> Sequence[Extent]:
        """Of the partition."""
        return [self._extent]


def _pieces(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    piece, size = list[DeadLetter](), 0
    for letter in letters:
        if piece and size + len(letter.value) > PIECE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(letter)
        size += len(letter.value)
    if piece:
        yield piece


def _matches(wanted: LetterFilter, letter: DeadLetter) -> bool:
    return (
        (not wanted.event or letter.event == wanted.event.encode())
        and (not wanted.reason or letter.reason == wanted.reason)
        and (wanted.since is None or letter.time >= wanted.since)
        and (wanted.until is None or letter.time < wanted.until)
        and (wanted.include_hidden or not (letter.hidden or letter.replayed))
    )
