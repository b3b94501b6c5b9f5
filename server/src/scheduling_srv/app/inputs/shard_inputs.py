"""Applies consumed records to one shard: in order, each once, whatever they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.budget import CALL_BYTES, CALL_JOBS, bytes_of, jobs_of
from scheduling_srv.app.calls import Calls
from scheduling_srv.app.destructive import called_by, note_deleted
from scheduling_srv.app.ended import note_ended
from scheduling_srv.app.given_up import note_given_up
from scheduling_srv.app.ignored_triggers import IgnoredTriggers
from scheduling_srv.app.inputs.dead_letters import Letters, dead_letter, log_dropped
from scheduling_srv.app.inputs.event_reader import EventReader
from scheduling_srv.app.inputs.keys import CREATE, DONE, FAILED, HEARTBEAT, MODIFY
from scheduling_srv.app.ports import Origin, Source, WriteGroup
from scheduling_srv.app.records import Command, Consumed, Deletion, End, JobList
from scheduling_srv.app.requests.jobs import Jobs, check_deletion, refused
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.errors import RequestError, SchedulingError, StoreFault
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.pieces import pieces

log = structlog.get_logger(__name__)

KINDS = {DONE: 0, FAILED: 0, HEARTBEAT: 0, CREATE: 1, MODIFY: 1}
"""Keys -> kind. Records of one kind share a store call; others are handled one by one."""
MOST_PARTITIONS = 500
"""Partitions of one store call that moves nothing but positions."""
SKEW_MS = 10_000
"""By how much the clocks of producers may be ahead of ours."""
MOST_LETTER_BYTES = 1_000_000
"""Of the dead letters of one store call, unless a single one has more."""


@dataclass(slots=True)
class Gathered:
    """Records that one store call applies."""

    answers: list[Answer] = field(default_factory=list)
    groups: list[WriteGroup] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    records: list[Consumed] = field(default_factory=list)
    jobs: int = 0
    size: int = 0
    """Bytes of the records of jobs."""
    letter_bytes: int = 0


class CommandsPort(Protocol):
    """The part of `Commands` that events call."""

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        """Run the command of an event."""

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        """Answer an event that is no command."""


class ShardInputs:
    """Applies the records of partitions, and knows how far each of them is."""

    def __init__(
        self,
        shard: int,
        *,
        jobs: Jobs,
        commands: CommandsPort,
        reader: EventReader,
        letters: Letters,
        ignored: IgnoredTriggers,
    ) -> None:
        self.shard = shard
        self.jobs = jobs
        self.store = jobs.store
        self.clock = jobs.clock
        self.inputs = self.store.shards[shard].inputs
        self.commands = commands
        self.reader = reader
        self.letters = letters
        self.lineage = ""
        self.positions: dict[Place, InputPosition] = {}
        """In the store, as far as is known here."""
        self._gathered = Gathered()
        self._stamps: dict[Place, int] = {}
        """The newest time stamp of each partition whose lists were gathered since `apply` began."""
        self._ahead = Calls(1)
        """The store call that is under way while later records are read and checked."""
        self._ignored = ignored

    def begin(self, begun: Begun) -> None:
        """Go on from where the store is, with these partitions and no others."""
        self.lineage = begun.lineage
        self.positions = dict(begun.positions)

    def applied(self, place: Place) -> int:
        """The partition's position in the store."""
        return self.positions[place].next

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """As `Consume.apply`, in this shard."""
        self._gathered, self._stamps = Gathered(), {}
        queues = [deque(self._new(batch)) for batch in batches if batch]
        async with self._ahead:
            while queues := [queue for queue in queues if queue]:
                kind = _kind(queues[0][0])
                for queue in queues:
                    while queue and _kind(queue[0]) == kind:
                        await self._take(queue.popleft())
            await self._flush()

    def _new(self, batch: Sequence[Consumed]) -> Iterator[Consumed]:
        """Others came again."""
        position = self.positions[batch[0].place].next
        return (record for record in batch if record.offset >= position)

    async def apply_alone(self, record: Consumed) -> None:
        """As `Consume.apply_alone`, in this shard."""
        try:
            await self.apply([[record]])
        except Exception as fault:
            if isinstance(fault, SchedulingError) and not isinstance(fault, StoreFault):
                raise
            await self.put_aside(record, fault)

    async def put_aside(self, record: Consumed, fault: Exception) -> None:
        """Send a record that breaks the code to the dead letters, unless it came again."""
        if record.offset < self.positions[record.place].next:
            return
        log.error("a record broke", topic=record.topic, offset=record.offset, exc_info=fault)
        await self._bury(record, f"The record could not be handled: {type(fault).__name__}.")

    async def skip(self, ends: Mapping[Place, End]) -> None:
        """As `Consume.skip`, in this shard, as far as it is behind."""
        now = self.clock.now()
        behind = [
            self._move(place, end.offset, end.stamp, now)
            for place, end in ends.items()
            if end.offset > self.positions[place].next
        ]
        for piece in pieces(behind, MOST_PARTITIONS):
            source = _together(piece)
            await self.inputs.append([], now, source)
            self._moved(source)

    # --- One record ---------------------------------------------------------------------------

    async def _take(self, record: Consumed) -> None:
        content = await self.reader.read(record)
        try:
            match content:
                case Answer():
                    await self._answer(record, content)
                case JobList():
                    await self._write(record, content)
                case Deletion():
                    await self._delete(record, content)
                case Command():
                    await self._command(record, content)
                case RequestError():
                    await self._refuse(record, content)
        except RequestError as fault:
            await self._refuse(record, fault)

    async def _answer(self, record: Consumed, answer: Answer) -> None:
        if self._gathered.groups or self._gathered.letters:
            await self._flush()
        self._gathered.answers.append(
            answer._replace(next=record.offset + 1, partition=record.place.name)
        )
        self._gathered.records.append(record)

    async def _write(self, record: Consumed, wanted: JobList) -> None:
        place = record.place
        stamp = self._stamp(place, record.timestamp, self.clock.now())
        stamp = max(stamp, self._stamps.get(place, 0))
        origin = Origin(record.offset, place.name, stamp)
        group = await self.jobs.prepare(wanted.mode, wanted.requests, origin)
        self._ignored.note(wanted.requests, lambda: record.name)
        gathered = self._gathered
        jobs, size = gathered.jobs + jobs_of(group), gathered.size + bytes_of(group)
        if gathered.answers or gathered.letters:
            await self._flush()
        elif gathered.groups and (jobs > CALL_JOBS or size > CALL_BYTES):
            await self._write_ahead()
        gathered = self._gathered
        gathered.groups.append(group)
        gathered.records.append(record)
        self._stamps[place] = stamp
        gathered.jobs += jobs_of(group)
        gathered.size += bytes_of(group)

    async def _delete(self, record: Consumed, wanted: Deletion) -> None:
        await self._flush()
        source = self._source([record])
        with called_by(record.name):
            if wanted.everything:
                await self.store.clear_from(source, self.shard, announced=True)
            else:
                check_deletion(wanted.ids, self.jobs.rules)
                ids = list(dict.fromkeys(wanted.ids))
                await self.store.delete_from(ids, source, self.shard)
                note_deleted(len(wanted.ids))
        self._moved(source)

    async def _command(self, record: Consumed, command: Command) -> None:
        await self._flush()
        source = self._source([record])
        key, name, payload, fault = command
        with called_by(record.name):
            if self.shard:  # a reset, which the first shard answers
                await self.store.clear_from(source, self.shard, announced=False)
            elif fault:
                await self.commands.refuse_event(key, "", fault, source)
            else:
                await self.commands.run_event(key, name, payload, source)
        self._moved(source)

    async def _refuse(self, record: Consumed, fault: RequestError) -> None:
        """A flood of wrong records must not hold up later ones: letters go together, too."""
        letter, gathered = self._letter(record, fault), self._gathered
        full = gathered.letters and gathered.letter_bytes + len(letter) > MOST_LETTER_BYTES
        if gathered.answers or gathered.groups or full:
            await self._flush()
            gathered = self._gathered
        gathered.letters.append(letter)
        gathered.letter_bytes += len(letter)
        gathered.records.append(record)

    # --- One store call -----------------------------------------------------------------------

    async def _write_ahead(self) -> None:
        """Write the lists that were gathered, while the next records are read and checked.

        The store takes a call only from the position where the one before it has ended. So at
        most one is under way, and a record that is no list waits for it.
        """
        gathered, self._gathered = self._gathered, Gathered()
        await self._ahead.finish()
        await self._ahead.begin(self._write_groups(gathered.groups, gathered.records))

    async def _flush(self) -> None:
        """Return when the store has all that was gathered."""
        await self._ahead.finish()
        gathered, self._gathered = self._gathered, Gathered()
        if gathered.answers:
            await self._apply_answers(gathered.answers, gathered.records)
        elif gathered.letters:
            await self._send_letters(gathered.letters, gathered.records)
        elif gathered.groups:
            await self._write_groups(gathered.groups, gathered.records)

    async def _apply_answers(self, answers: Sequence[Answer], records: Sequence[Consumed]) -> None:
        """Apply answers; the store stops where its budget ends, and goes on with the next call."""
        while answers:
            source = self._source(records)
            answered = await self.inputs.complete(answers, self.clock.now(), source)
            done = answered.looked_at
            self._moved(self._source(records[:done]))
            _count_answers(answers[:done])
            metrics.ANSWERS_IGNORED.inc(done - answered.known)
            note_given_up(answered.given_up)
            note_ended(answered.ended, "failed")
            answers, records = answers[done:], records[done:]

    async def _write_groups(
        self, groups: Sequence[WriteGroup], records: Sequence[Consumed]
    ) -> None:
        """Write groups; the store stops at one that it refuses, which goes to the dead letters."""
        while groups:
            written = await self.store.write_from(groups, self._source(records), self.shard)
            done = len(written.refusals)
            refusal = written.refusals[-1]
            accepted = done - 1 if refusal else done
            if accepted:
                self._moved(self._source(records[:accepted]))
            if refusal:
                fault = refused(groups[done - 1].jobs, refusal, self.clock.now())
                await self._bury(records[done - 1], fault)
            count_accepted(*(group.jobs for group in groups[:accepted]))
            groups, records = groups[done:], records[done:]

    async def _bury(self, record: Consumed, fault: RequestError | str) -> None:
        await self._send_letters([self._letter(record, fault)], [record])

    def _letter(self, record: Consumed, fault: RequestError | str) -> bytes:
        return dead_letter(record, fault, self.letters.largest())

    async def _send_letters(self, letters: Sequence[bytes], records: Sequence[Consumed]) -> None:
        source = self._source(records)
        if not await self.letters.are_taken():
            # A record for a topic that does not exist would hold up the runs that follow it.
            for letter in letters:
                log_dropped(letter)
            metrics.DEAD_LETTERS_DROPPED.inc(len(letters))
            letters = ()
        await self.inputs.append(letters, self.clock.now(), source)
        self._moved(source)

    # --- Positions ------------------------------------------------------------------------------

    def _source(self, records: Sequence[Consumed]) -> Source:
        """From where the store has to be to the end of these records, of 1 to n partitions."""
        ends: dict[tuple[str, int], tuple[int, int]] = {}
        for record in records:
            place = record.topic, record.partition
            _, stamp = ends.get(place, (0, 0))
            ends[place] = record.offset + 1, max(stamp, record.timestamp)
        now = self.clock.now()
        return _together([self._move(Place(*place), *end, now) for place, end in ends.items()])

    def _move(self, place: Place, offset: int, stamp: int, now: int) -> Source:
        at = self.positions[place]
        stamp = self._stamp(place, stamp, now)
        return Source(place.name, at.next, offset, self.lineage, stamp, at.topic_id)

    def _stamp(self, place: Place, stamp: int, now: int) -> int:
        """The newest time stamp; one far in the future comes from a wrong clock."""
        return max(self.positions[place].stamp, min(stamp, now + SKEW_MS))

    def _moved(self, source: Source) -> None:
        """The store has made these moves."""
        for each in (source, *source.others):
            at = InputPosition(each.next, each.stamp, each.topic_id)
            self.positions[Place.of(each.partition)] = at


def _kind(record: Consumed) -> int:
    """Records of one kind go together."""
    return KINDS.get(record.key or b"", len(KINDS))


def _together(moves: Sequence[Source]) -> Source:
    return moves[0]._replace(others=moves[1:]) if len(moves) > 1 else moves[0]


def _count_answers(answers: Sequence[Answer]) -> None:
    failed = sum(answer.failed for answer in answers)
    heartbeats = sum(answer.heartbeat for answer in answers)
    metrics.ANSWERS.labels(outcome="failed").inc(failed)
    metrics.ANSWERS.labels(outcome="done").inc(len(answers) - failed - heartbeats)
    metrics.HEARTBEATS.inc(heartbeats)
