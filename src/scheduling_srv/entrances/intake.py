"""Applies consumed records to the store: in order, each once, whatever they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.budget import CALL_BYTES, CALL_JOBS, bytes_of, jobs_of
from scheduling_srv.app.commands.commands import COMMAND_EVENTS
from scheduling_srv.app.destructive import called_by, note_deleted
from scheduling_srv.app.ended import note_ended
from scheduling_srv.app.given_up import note_given_up
from scheduling_srv.app.jobs import refused
from scheduling_srv.app.ports import (
    NO_RECORD,
    Clock,
    InputStore,
    Origin,
    Receipt,
    Source,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    RequestError,
    SchedulingError,
    StoreFault,
    TooLarge,
    TooMany,
)
from scheduling_srv.domain.job import Answer, JobRequest
from scheduling_srv.domain.validation import Rules
from scheduling_srv.entrances.ignored_triggers import IgnoredTriggers
from scheduling_srv.formats import messages
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import event_entry, read_event
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.formats.trace import trace_from_headers
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import reached
from scheduling_srv.runtime.pieces import pieces
from scheduling_srv.runtime.throttle import Throttle

log = structlog.get_logger(__name__)

JOB_KEYS = (b"jobDone", b"jobFailed", b"createJobs", b"modifyJobs", b"deleteJobs")
DONE, FAILED, CREATE, MODIFY, DELETE = JOB_KEYS
KEYS = frozenset({*JOB_KEYS, *(key.encode() for key in COMMAND_EVENTS)})
"""Of the records that anything is done about (docs/contract.md)."""
KINDS = {DONE: 0, FAILED: 0, CREATE: 1, MODIFY: 1}
"""Keys -> what one store call may hold; others are handled one by one."""
MOST_PARTITIONS = 500
"""Partitions of one store call that moves nothing but positions."""
SKEW = 10_000
"""Milliseconds by which the clocks of producers may be ahead of ours."""
REFUSED = Throttle("record refused", counted="refused_since_last_line")
"""One line a minute for each topic and status: the dead letters hold all of them."""
LARGEST_DEAD_LETTER = 500_000
"""Bytes of a value that a dead letter keeps, where its topic takes so much."""
LETTER_ROOM = 400
"""Bytes that a dead letter needs beside its key, value and headers: what the publisher adds."""
LONGEST_HEADER = 1_000
"""Bytes of a header of a dead letter: a reason may repeat what a client sent."""
MOST_LETTER_BYTES = 1_000_000
"""Of the dead letters of one store call, unless a single one has more."""


class Consumed(NamedTuple):
    """A record as the consumer hands it over."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0
    """Epoch ms; 0: it has none."""

    @property
    def place(self) -> Place:
        """Its partition."""
        return Place(self.topic, self.partition)

    @property
    def name(self) -> str:
        """`topic:partition@offset`."""
        return f"{self.place.name}@{self.offset}"


class End(NamedTuple):
    """Behind records of a partition that were read."""

    offset: int
    stamp: int
    """Time stamp of the last one, in epoch ms; 0: it has none."""


@dataclass(slots=True)
class Gathered:
    """Records that one store call applies."""

    answers: list[Answer] = field(default_factory=list)
    groups: list[WriteGroup] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    records: list[Consumed] = field(default_factory=list)
    stamps: dict[Place, int] = field(default_factory=dict)
    """The newest time stamp of each partition of `groups`."""
    jobs: int = 0
    size: int = 0
    """Bytes of the records of jobs."""
    letter_bytes: int = 0


Handler = Callable[[Consumed], Awaitable[None]]


class JobsPort(Protocol):
    """The use cases that the intake calls."""

    rules: Rules

    async def prepare(
        self, mode: WriteMode, requests: Sequence[JobRequest], origin: Origin = NO_RECORD
    ) -> WriteGroup:
        """Check a list of jobs."""

    async def write_from(self, groups: Sequence[WriteGroup], source: Source) -> Written:
        """Write groups, or the first of them; see `JobStore.write`."""

    async def delete_from(self, ids: Sequence[str], source: Source) -> Receipt:
        """Delete the jobs that exist."""

    async def delete_all_from(self, source: Source) -> Receipt:
        """Delete every job."""


class CommandsPort(Protocol):
    """The part of `Commands` that the intake calls."""

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        """Run the command of an event."""

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        """Answer an event that is no command."""


class Letters(Protocol):
    """The dead-letter topic."""

    def largest(self) -> int | None:
        """How large a batch of records it takes, in bytes; None: not known."""

    async def are_taken(self) -> bool:
        """Whether the topic exists."""


class AnyLetters:
    """A topic that takes all."""

    def largest(self) -> int | None:
        """Not known."""
        return None

    async def are_taken(self) -> bool:
        """It exists."""
        return True


class Intake:
    """Applies the records of partitions, and knows how far each of them is."""

    def __init__(
        self,
        *,
        jobs: JobsPort,
        inputs: InputStore,
        commands: CommandsPort,
        clock: Clock,
        jobs_topic: str,
        commands_topic: str,
        letters: Letters | None = None,
        ignored: IgnoredTriggers | None = None,
    ) -> None:
        self.letters = letters or AnyLetters()
        self.jobs = jobs
        self.inputs = inputs
        self.commands = commands
        self.clock = clock
        self.lineage = ""
        self.positions: dict[Place, InputPosition] = {}
        """In the store, as far as this intake knows."""
        self._gathered = Gathered()
        self._ignored = ignored or IgnoredTriggers("kafka")
        self._handlers: dict[tuple[str, bytes], Handler] = {
            (jobs_topic, DONE): self._done,
            (jobs_topic, FAILED): self._failed,
            (jobs_topic, CREATE): self._create,
            (jobs_topic, MODIFY): self._modify,
            (jobs_topic, DELETE): self._delete,
            **{(commands_topic, key.encode()): self._command for key in COMMAND_EVENTS},
        }

    def begin(self, shards: Sequence[Begun]) -> None:
        """Go on from where the store is, with these partitions and no others."""
        ((self.lineage, positions),) = shards
        self.positions = dict(positions)

    def applied(self, place: Place) -> int:
        """The partition's position in the store."""
        return self.positions[place].next

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """Apply records: a batch for each partition, in its order. Unknown keys are skipped.

        Records of several partitions go together. Raises `StaleSource` and `Unavailable`: then
        records that were not applied have to come again.
        """
        self._gathered = Gathered()
        queues = [deque(self._ahead(batch)) for batch in batches if batch]
        while queues := [queue for queue in queues if queue]:
            kind = _kind(queues[0][0])
            for queue in queues:
                while queue and _kind(queue[0]) == kind:
                    await self._take(queue.popleft())
        await self._flush()

    def _ahead(self, batch: Sequence[Consumed]) -> Iterator[Consumed]:
        """Others came again."""
        position = self.positions[batch[0].place].next
        return (record for record in batch if record.offset >= position)

    async def _take(self, record: Consumed) -> None:
        handler = self._handlers.get((record.topic, record.key or b""))
        if handler is None:
            return
        try:
            await handler(record)
        except RequestError as fault:
            await self._refuse(record, fault)

    async def apply_alone(self, record: Consumed) -> None:
        """Apply one record; if that breaks, it is put aside. Raises as `apply` does."""
        try:
            await self.apply([[record]])
        except Exception as fault:
            if isinstance(fault, SchedulingError) and not isinstance(fault, StoreFault):
                raise
            log.exception("a record broke", topic=record.topic, offset=record.offset)
            await self._bury(record, f"The record could not be handled: {type(fault).__name__}.")

    async def skip(self, ends: Mapping[Place, End]) -> None:
        """Store positions behind records that are nothing to us; others are left alone."""
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

    async def settle(self) -> None:
        """There is no other shard that what was applied could be on its way to."""

    async def _done(self, record: Consumed) -> None:
        await self._answer(record, messages.decode_answer(record.value or b"", failed=False))

    async def _failed(self, record: Consumed) -> None:
        await self._answer(record, messages.decode_answer(record.value or b"", failed=True))

    async def _answer(self, record: Consumed, answer: Answer) -> None:
        if self._gathered.groups or self._gathered.letters:
            await self._flush()
        self._gathered.answers.append(
            answer._replace(next=record.offset + 1, partition=record.place.name)
        )
        self._gathered.records.append(record)

    async def _create(self, record: Consumed) -> None:
        await self._write(record, WriteMode.CREATE)

    async def _modify(self, record: Consumed) -> None:
        await self._write(record, WriteMode.UPDATE)

    async def _write(self, record: Consumed, mode: WriteMode) -> None:
        rules, trace = self.jobs.rules, trace_from_headers(record.headers)
        requests = await messages.read_job_list(
            record.value or b"", trace, rules.max_items, rules.max_job_bytes
        )
        place = record.place
        stamp = self._stamp(place, record.timestamp, self.clock.now())
        stamp = max(stamp, self._gathered.stamps.get(place, 0))
        group = await self.jobs.prepare(mode, requests, Origin(record.offset, place.name, stamp))
        self._ignored.note(requests, lambda: record.name)
        gathered = self._gathered
        jobs, size = gathered.jobs + jobs_of(group), gathered.size + bytes_of(group)
        full = gathered.groups and (jobs > CALL_JOBS or size > CALL_BYTES)
        if gathered.answers or gathered.letters or full:
            await self._flush()
            gathered = self._gathered
        gathered.groups.append(group)
        gathered.records.append(record)
        gathered.stamps[place] = stamp
        gathered.jobs += jobs_of(group)
        gathered.size += bytes_of(group)

    async def _delete(self, record: Consumed) -> None:
        call = messages.decode_delete(record.value or b"", self.jobs.rules.max_items)
        await self._flush()
        source = self._source([record])
        with called_by(record.name):
            if call.everything:
                await self.jobs.delete_all_from(source)
            else:
                await self.jobs.delete_from(call.ids, source)
                note_deleted(len(call.ids))
        self._moved(source)

    async def _command(self, record: Consumed) -> None:
        await self._flush()
        source, key = self._source([record]), (record.key or b"").decode()
        try:
            call = messages.decode_command(record.value or b"")
        except RequestError as fault:
            await self.commands.refuse_event(key, "", str(fault), source)
        else:
            with called_by(record.name):
                await self.commands.run_event(key, call.name, call.payload, source)
        self._moved(source)

    async def _refuse(self, record: Consumed, fault: RequestError) -> None:
        """A flood of wrong records must not hold up those behind it: letters go together, too."""
        letter, gathered = self._letter(record, fault), self._gathered
        full = gathered.letters and gathered.letter_bytes + len(letter) > MOST_LETTER_BYTES
        if gathered.answers or gathered.groups or full:
            await self._flush()
            gathered = self._gathered
        gathered.letters.append(letter)
        gathered.letter_bytes += len(letter)
        gathered.records.append(record)

    async def _flush(self) -> None:
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
            await reached(points.ANSWER_CALL)
            answered = await self.inputs.complete(answers, self.clock.now(), source)
            await reached(points.ANSWER_DONE)
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
            await reached(points.EVENT_CALL)
            written = await self.jobs.write_from(groups, self._source(records))
            await reached(points.EVENT_DONE)
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

    # --- Positions ------------------------------------------------------------------------------

    def _source(self, records: Sequence[Consumed]) -> Source:
        """From where the store has to be to behind these records, of one partition or several."""
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
        return max(self.positions[place].stamp, min(stamp, now + SKEW))

    def _moved(self, source: Source) -> None:
        """The store has made these moves."""
        for each in (source, *source.others):
            at = InputPosition(each.next, each.stamp, each.topic_id)
            self.positions[Place.of(each.partition)] = at

    async def _bury(self, record: Consumed, fault: RequestError | str) -> None:
        await self._send_letters([self._letter(record, fault)], [record])

    def _letter(self, record: Consumed, fault: RequestError | str) -> bytes:
        return _letter(record, fault, self.letters.largest())

    async def _send_letters(self, letters: Sequence[bytes], records: Sequence[Consumed]) -> None:
        source = self._source(records)
        if not await self.letters.are_taken():
            # A record for a topic that does not exist would hold up the runs that follow it.
            for letter in letters:
                _log_dropped(letter)
            metrics.DEAD_LETTERS_DROPPED.inc(len(letters))
            letters = ()
        await reached(points.BURY_CALL)
        await self.inputs.append(letters, self.clock.now(), source)
        await reached(points.BURY_DONE)
        self._moved(source)


def _kind(record: Consumed) -> int:
    """Records of one kind go together."""
    return KINDS.get(record.key or b"", len(KINDS))


def _together(moves: Sequence[Source]) -> Source:
    return moves[0]._replace(others=moves[1:]) if len(moves) > 1 else moves[0]


def _letter(record: Consumed, fault: RequestError | str, largest: int | None) -> bytes:
    """What puts the record on the dead-letter topic, with the reason (docs/contract.md).

    Its value is cut if the whole would have more than `largest` bytes.
    """
    status = _status(fault)
    REFUSED.note(
        record.topic,
        status,
        topic=record.topic,
        partition=record.partition,
        last_offset=record.offset,
        status=status,
        reason=str(fault),
    )
    metrics.DEAD_LETTERS.labels(reason=status).inc()
    key, value, headers = record.key or b"", record.value or b"", _reason(record, status, fault)
    most = LARGEST_DEAD_LETTER
    if largest is not None:
        used = len(key) + sum(len(name) + len(text) for name, text in headers) + LETTER_ROOM
        most = max(0, min(most, largest - used))
    if len(value) > most:
        headers.append(("truncated-from", str(len(value)).encode()))
    return event_entry(Topic.DEAD_LETTER, key, value[:most], headers)


def _log_dropped(letter: bytes) -> None:
    """The log is the only place that has the reason."""
    *_, headers = read_event(letter)
    about = {name: text.decode(errors="replace") for name, text in headers}
    log.error("a dead letter is not written: its topic does not exist", **about)


def _status(fault: RequestError | str) -> str:
    if isinstance(fault, str):
        return "INTERNAL"
    names = {
        AlreadyExists: "ALREADY_EXISTS",
        NotFound: "NOT_FOUND",
        TooLarge: "RESOURCE_EXHAUSTED",
        TooMany: "RESOURCE_EXHAUSTED",
        FailedPrecondition: "FAILED_PRECONDITION",
    }
    return names.get(type(fault), "INVALID_ARGUMENT")


def _reason(record: Consumed, status: str, fault: RequestError | str) -> list[tuple[str, bytes]]:
    headers = {
        "status": status,
        "reason": str(fault),
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    if not isinstance(fault, str) and fault.violations:
        headers["field"] = fault.violations[0].field
        headers["detail"] = fault.violations[0].description
    return [(name, _header(text)) for name, text in headers.items()]


def _header(text: str) -> bytes:
    """As UTF-8; what is cut is cut between characters."""
    return text.encode()[:LONGEST_HEADER].decode(errors="ignore").encode()


def _count_answers(answers: Sequence[Answer]) -> None:
    failed = sum(answer.failed for answer in answers)
    metrics.ANSWERS.labels(outcome="failed").inc(failed)
    metrics.ANSWERS.labels(outcome="done").inc(len(answers) - failed)
