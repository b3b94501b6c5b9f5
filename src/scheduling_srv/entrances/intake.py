"""Applies consumed records to the store: in order, each once, whatever they hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from scheduling_srv import metrics, points
from scheduling_srv.app.announce import event_entry
from scheduling_srv.app.commands import COMMAND_EVENTS
from scheduling_srv.app.given_up import note_given_up
from scheduling_srv.app.jobs import refused
from scheduling_srv.app.ports import (
    Answer,
    Clock,
    InputStore,
    Receipt,
    Source,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.records import Topic
from scheduling_srv.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    RequestError,
    SchedulingError,
    TooLarge,
)
from scheduling_srv.domain.job import JobRequest
from scheduling_srv.domain.validation import Rules
from scheduling_srv.entrances import convert
from scheduling_srv.entrances.trace import trace_from_headers
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

JOB_KEYS = (b"jobDone", b"jobFailed", b"createJobs", b"modifyJobs", b"deleteJobs")
DONE, FAILED, CREATE, MODIFY, DELETE = JOB_KEYS
KEYS = frozenset({*JOB_KEYS, *(key.encode() for key in COMMAND_EVENTS)})
"""Of the records that anything is done about (docs/contract.md)."""
LARGEST_DEAD_LETTER = 500_000
"""Bytes of a value that a dead letter keeps, where its topic takes so much."""
LETTER_ROOM = 400
"""Bytes that a dead letter needs beside its key, value and headers: what the publisher adds."""
LONGEST_HEADER = 1_000
"""Bytes of a header of a dead letter: a reason may repeat what a client sent."""
MOST_JOBS = 2_000
"""Jobs of one store call, unless a single record holds more."""
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

    @property
    def place(self) -> str:
        """`topic:partition`."""
        return f"{self.topic}:{self.partition}"


@dataclass(slots=True)
class Gathered:
    """Records that one store call applies."""

    answers: list[Answer] = field(default_factory=list)
    groups: list[WriteGroup] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    records: list[Consumed] = field(default_factory=list)
    jobs: int = 0
    letter_bytes: int = 0


Handler = Callable[[Consumed], Awaitable[None]]


class Writer(Protocol):
    """The part of the job store that the intake needs."""

    async def write(self, groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        """See `JobStore.write`."""


class JobsPort(Protocol):
    """What it needs of the use cases."""

    rules: Rules

    @property
    def store(self) -> Writer:
        """Where groups are written."""

    async def prepare(
        self, mode: WriteMode, requests: Sequence[JobRequest], offset: int = 0
    ) -> WriteGroup:
        """Check a list of jobs."""

    async def delete_from(self, ids: Sequence[str], source: Source) -> Receipt:
        """Delete the jobs that exist."""

    async def delete_all_from(self, source: Source) -> Receipt:
        """Delete every job."""


class CommandsPort(Protocol):
    """What it needs of `Commands`."""

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
    """Applies the records of one partition at a time. One instance a partition's batch at once."""

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
    ) -> None:
        self.letters = letters or AnyLetters()
        self.jobs = jobs
        self.inputs = inputs
        self.commands = commands
        self.clock = clock
        self.lineage = ""
        self._stored = 0
        self._gathered = Gathered()
        self._handlers: dict[tuple[str, bytes], Handler] = {
            (jobs_topic, DONE): self._done,
            (jobs_topic, FAILED): self._failed,
            (jobs_topic, CREATE): self._create,
            (jobs_topic, MODIFY): self._modify,
            (jobs_topic, DELETE): self._delete,
            **{(commands_topic, key.encode()): self._command for key in COMMAND_EVENTS},
        }

    async def apply(self, records: Sequence[Consumed], lineage: str, stored: int) -> int:
        """Apply the records of a partition, in order. Unknown keys are skipped.

        `stored` is the partition's position in the store of this lineage; returns the new one.
        Raises `StaleSource` and `Unavailable`: then what was not applied comes again.
        """
        self.lineage, self._stored = lineage, stored
        self._gathered = Gathered()
        for record in records:
            handler = self._handlers.get((record.topic, record.key or b""))
            if handler is None:
                continue
            try:
                await handler(record)
            except RequestError as fault:
                await self._refuse(record, fault)
        await self._flush()
        return self._stored

    async def apply_alone(self, record: Consumed, lineage: str, stored: int) -> int:
        """Apply one record; if that breaks, it is put aside. Returns and raises as `apply` does."""
        try:
            return await self.apply([record], lineage, stored)
        except SchedulingError:
            raise
        except Exception as fault:
            log.exception("a record broke", topic=record.topic, offset=record.offset)
            await self._bury(record, f"The record could not be handled: {type(fault).__name__}.")
            return self._stored

    async def _done(self, record: Consumed) -> None:
        await self._answer(record, convert.decode_answer(record.value or b"", failed=False))

    async def _failed(self, record: Consumed) -> None:
        await self._answer(record, convert.decode_answer(record.value or b"", failed=True))

    async def _answer(self, record: Consumed, answer: Answer) -> None:
        if self._gathered.groups or self._gathered.letters:
            await self._flush()
        self._gathered.answers.append(answer._replace(next=record.offset + 1))
        self._gathered.records.append(record)

    async def _create(self, record: Consumed) -> None:
        await self._write(record, WriteMode.CREATE)

    async def _modify(self, record: Consumed) -> None:
        await self._write(record, WriteMode.UPDATE)

    async def _write(self, record: Consumed, mode: WriteMode) -> None:
        rules, trace = self.jobs.rules, trace_from_headers(record.headers)
        requests = await convert.read_job_list(
            record.value or b"", trace, rules.max_items, rules.max_job_bytes
        )
        group = await self.jobs.prepare(mode, requests, record.offset)
        gathered = self._gathered
        full = gathered.groups and gathered.jobs + len(group.jobs) > MOST_JOBS
        if gathered.answers or gathered.letters or full:
            await self._flush()
            gathered = self._gathered
        gathered.groups.append(group)
        gathered.records.append(record)
        gathered.jobs += len(group.jobs)

    async def _delete(self, record: Consumed) -> None:
        call = convert.decode_delete(record.value or b"", self.jobs.rules.max_items)
        await self._flush()
        source = self._source(record)
        if call.everything:
            await self.jobs.delete_all_from(source)
        else:
            await self.jobs.delete_from(call.ids, source)
        self._stored = source.next

    async def _command(self, record: Consumed) -> None:
        await self._flush()
        source, key = self._source(record), (record.key or b"").decode()
        try:
            call = convert.decode_command(record.value or b"")
        except RequestError as fault:
            await self.commands.refuse_event(key, "", str(fault), source)
        else:
            await self.commands.run_event(key, call.name, call.payload, source)
        self._stored = source.next

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
            await self._apply_answers(gathered.answers, gathered.records[-1])
        elif gathered.letters:
            await self._send_letters(gathered.letters, gathered.records[-1])
        elif gathered.groups:
            await self._write_groups(gathered.groups, gathered.records)

    async def _apply_answers(self, answers: Sequence[Answer], last: Consumed) -> None:
        """Apply answers; the store stops where its budget ends, and goes on with the next call."""
        while answers:
            source = self._source(last)
            await reached(points.ANSWER_CALL)
            answered = await self.inputs.complete(answers, self.clock.now(), source)
            await reached(points.ANSWER_DONE)
            done, answers = answers[: answered.looked_at], answers[answered.looked_at :]
            self._stored = done[-1].next if answers else source.next
            _count_answers(done)
            note_given_up(answered.given_up)

    async def _write_groups(
        self, groups: Sequence[WriteGroup], records: Sequence[Consumed]
    ) -> None:
        """Write groups; the store stops at one that it refuses, which goes to the dead letters."""
        while groups:
            source = self._source(records[-1])
            await reached(points.EVENT_CALL)
            written = await self.jobs.store.write(groups, self.clock.now(), source)
            await reached(points.EVENT_DONE)
            done = len(written.refusals)
            refusal = written.refusals[-1]
            if done > 1 or not refusal:
                self._stored = records[done - 2 if refusal else done - 1].offset + 1
            if refusal:
                await self._bury(records[done - 1], refused(groups[done - 1].jobs, refusal))
            accepted = groups[: done - 1] if refusal else groups[:done]
            metrics.JOBS_ACCEPTED.inc(sum(len(group.jobs) for group in accepted))
            groups, records = groups[done:], records[done:]

    def _source(self, last: Consumed) -> Source:
        return Source(last.place, self._stored, last.offset + 1, self.lineage)

    async def _bury(self, record: Consumed, fault: RequestError | str) -> None:
        await self._send_letters([self._letter(record, fault)], record)

    def _letter(self, record: Consumed, fault: RequestError | str) -> bytes:
        return _letter(record, fault, self.letters.largest())

    async def _send_letters(self, letters: Sequence[bytes], last: Consumed) -> None:
        source = self._source(last)
        if not await self.letters.are_taken():
            # A record for a topic that does not exist would hold up the runs that follow it.
            log.error("dead letters not written: their topic does not exist", letters=len(letters))
            metrics.DEAD_LETTERS_DROPPED.inc(len(letters))
            letters = ()
        await reached(points.BURY_CALL)
        await self.inputs.append(letters, self.clock.now(), source)
        await reached(points.BURY_DONE)
        self._stored = source.next


def _letter(record: Consumed, fault: RequestError | str, largest: int | None) -> bytes:
    """What puts the record on the dead-letter topic, with the reason (docs/contract.md).

    Its value is cut if the whole would have more than `largest` bytes.
    """
    status = _status(fault)
    log.warning(
        "record refused",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
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


def _status(fault: RequestError | str) -> str:
    if isinstance(fault, str):
        return "INTERNAL"
    names = {
        AlreadyExists: "ALREADY_EXISTS",
        NotFound: "NOT_FOUND",
        TooLarge: "RESOURCE_EXHAUSTED",
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
