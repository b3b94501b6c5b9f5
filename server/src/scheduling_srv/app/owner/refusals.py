"""Finds records that Kafka refuses for good, and sets them aside: none may stop the shard.

After a refusal and a recovery, nothing is staged: it publishes record by record to find those that
Kafka refuses. One call to Redis replaces them in the outbox and undoes the change that they
announced (docs/decisions/0009).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import structlog

from scheduling_client.schedules.when import rfc3339
from scheduling_srv.app.announcements import Announcements, dump_news
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.log_ports import Publisher
from scheduling_srv.app.owner.batch import count_outcome, measure
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.ports import Asides, Clock
from scheduling_srv.app.replies import Aside, Cursor, Replaced, StagedRun, Taken
from scheduling_srv.domain.errors import Diverged, RecordRefused
from scheduling_srv.formats import job_record
from scheduling_srv.formats.announcer import KEPT_KINDS, Announcer
from scheduling_srv.formats.changes import unpack
from scheduling_srv.formats.entry_groups import (
    BEFORE_JOB,
    VOID,
    Group,
    Listed,
    created_job,
    groups,
    is_repeated,
    replaced_job,
)
from scheduling_srv.formats.kafka_records import Headers, Record, Refusal, Topic
from scheduling_srv.formats.layouts import (
    COUNT,
    CREATE,
    DELETE,
    FILLING,
    HAND_ON,
    HAPPENED,
    LISTED,
    NEW_NOW,
    NOTE_REPLAYED,
    PAUSE,
    PUT_OFF,
    QUEUE,
    QUEUE_MORE,
    QUEUES,
    TOMBSTONE,
)
from scheduling_srv.formats.outbox_entries import (
    KEYED,
    QUEUED,
    event_entry,
    occurrence_of,
    read_event,
)
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.throttle import Throttle

log = structlog.get_logger(__name__)

REFUSED = Throttle(
    "record refused by Kafka", counted="refused_since_last_line", level=logging.ERROR
)
"""One line a minute for each kind and topic: the dead letters hold all of them."""
PIECE_ENTRIES = 100
"""Of one careful transaction, unless a group is longer."""
PIECE_BYTES = 2_000_000
"""Bytes after which it takes no further groups."""
REASON_CHARACTERS = 1_000
"""So much of Kafka's reason does a header repeat."""
SCREEN_MS = 10_000
"""After a run was too large, so long others of its size are not tried: each would cost a pause."""
MOST_UNDONE_JOBS = 10_000
"""So many are remembered."""
LISTS = frozenset({CREATE, NEW_NOW, HAND_ON})
"""Entries without which their list is not complete."""
OPTIONAL = frozenset({Topic.DEAD_LETTER, Topic.COMMANDS, Topic.EVENTS})
"""Topics without which runs go on."""
KINDS = {
    CREATE: "job",
    NEW_NOW: "job",
    HAND_ON: "parcel",
    QUEUE: "run",
    QUEUE_MORE: "run",
    DELETE: "deletion",
    TOMBSTONE: "tombstone",
    PUT_OFF: "retry",
    LISTED: "list",
    COUNT: "count",
    PAUSE: "pause",
    NOTE_REPLAYED: "note",
    FILLING: "backfill",
}
"""Names of the entries in the metric."""
HAPPENINGS = {Topic.COMMANDS: "response", Topic.RESOURCES: "deletion", Topic.JOBS: "replay"}
"""The same of events, by their topic."""


class Settled(NamedTuple):
    """The result of a careful publication."""

    position: Position
    refused: int
    """Entries that were set aside."""


@dataclass(slots=True)
class _Batch:
    """A piece of the outbox that Kafka refuses parts of."""

    entries: Sequence[bytes]
    after: int
    faults: Mapping[int, Refusal]
    """By the place of the entry."""
    aside: Aside = field(default_factory=Aside)
    told: list[tuple[int, str]] = field(default_factory=list)
    """Entry numbers and ids of jobs whose callers may still wait."""

    def put(self, place: int, entry: bytes) -> None:
        number = self.after + place + 1
        self.aside.replaced.append(Replaced(number, self.entries[place][0], entry))


class Refusals:
    """Of one shard, for its owner."""

    def __init__(
        self,
        *,
        outbox: Asides,
        publisher: Publisher,
        announcer: Announcer,
        announcements: Announcements,
        hold: Hold,
        known: KnownRuns,
        clock: Clock,
        topics: Mapping[Topic, str],
    ) -> None:
        """`topics` are their names."""
        self.outbox = outbox
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.hold = hold
        self.known = known
        self.clock = clock
        self.topics = topics
        self._too_large: tuple[int, Refusal] | None = None
        """Bytes of the smallest entry of a run that was too large lately, and what Kafka said."""
        self._screen_until = 0
        self._undone: set[tuple[bytes, int]] = set()
        """Jobs that must not come back when what replaced them is refused as well."""

    async def settle(self, token: str, position: Position, lineage: str) -> Settled:
        """Publish carefully all that was handed out; the publisher is open for that.

        Raises `RecordRefused` when a topic cannot be used without which nothing goes on.
        """
        end, refused = (await self.outbox.state()).taken, 0
        while position.number < end:
            cursor = Cursor(position.number, lineage)
            taken = await self.outbox.take(token, cursor, self.clock.now())
            taken = self.known.leave_out(taken)
            if not taken.entries:
                break
            if taken.after != position.number:
                raise Diverged("What was taken does not follow what was published.")
            if await self.screen(token, lineage, taken):
                refused += 1
                continue
            entries, batch = taken.entries, None
            while entries and not batch:
                piece = first_piece(entries)
                position, batch = await self._publish(piece, position, lineage)
                entries = entries[len(piece) :]
            if batch:
                self._learn(batch)
                refused += len(batch.faults)
                await self._set_aside(token, lineage, batch)
        return Settled(position, refused)

    async def screen(self, token: str, lineage: str, taken: Taken) -> bool:
        """Set aside runs as large as one that was refused a moment ago; whether there were any.

        Nothing of what was taken has been sent, so this needs no recovery.
        """
        if not self._too_large or self.clock.now() > self._screen_until:
            self._too_large = None
            return False
        least, refusal = self._too_large
        faults = {
            place: refusal
            for place, entry in enumerate(taken.entries)
            if entry[0] in QUEUES and len(entry) >= least
        }
        if faults:
            await self._set_aside(token, lineage, _Batch(taken.entries, taken.after, faults))
        return bool(faults)

    def _learn(self, batch: _Batch) -> None:
        for place, refusal in batch.faults.items():
            entry = batch.entries[place]
            if entry[0] in QUEUES and refusal.too_large:
                least = self._too_large[0] if self._too_large else len(entry)
                self._too_large = min(least, len(entry)), refusal
                self._screen_until = self.clock.now() + SCREEN_MS

    async def reopen(self) -> None:
        """Go on as usual. The caller has made sure that it is the owner."""
        await self.publisher.open()

    def shrink_batches(self) -> None:
        """Send fewer records together: none was refused by itself, but they were together."""
        self.publisher.shrink_batches()

    async def _publish(
        self, piece: Sequence[bytes], position: Position, lineage: str
    ) -> tuple[Position, _Batch | None]:
        """The new position; or the old one, and what is refused."""
        after = position.number
        due = await self.hold.until_due(piece)
        while True:
            advanced = replace(advance(position, piece, after), at=self.clock.now())
            records, owners = self._records(piece, position)
            refusals = await self.publisher.publish_carefully(records, advanced, due)
            if not refusals:
                with count_outcome(metrics.TRANSACTIONS):
                    self.announcements.published(lineage, advanced.number)
                measure(piece, self.clock.now())
                return advanced, None
            faults = {owners[each.record]: each for each in reversed(refusals)}
            blocked = [place for place in faults if _stops(faults[place])]
            if not blocked:
                return position, _Batch(piece, after, faults)
            start = next(each.start for each in groups(piece) if min(blocked) < each.end)
            if start == 0:
                raise RecordRefused(faults[min(blocked)].reason)
            piece = piece[:start]  # what is before it can go

    def _records(
        self, piece: Sequence[bytes], position: Position
    ) -> tuple[Sequence[Record], Sequence[int]]:
        """The records, and for each the place of its entry."""
        records, owners = list[Record](), list[int]()
        for place, entry in enumerate(piece):
            for made in self.announcer.records(
                [entry], position.number + place, position.incarnation
            ):
                records.append(made)
                owners.append(place)
        return records, owners

    # --- Setting aside ------------------------------------------------------------------------

    async def _set_aside(self, token: str, lineage: str, batch: _Batch) -> None:
        for group in groups(batch.entries):
            self._treat(batch, group)
        aside = batch.aside
        if aside.undone:
            self._remember(aside.undone)
            replaced = {each.number for each in aside.replaced}
            for run in await self.outbox.find_runs(token, batch.after, _new_jobs(aside)):
                if run.number not in replaced:
                    aside.replaced.append(Replaced(run.number, run.letter, VOID))
                aside.ended.append((run, b""))
        if batch.told:
            reason = next(iter(batch.faults.values())).reason
            aside.news = dump_news(lineage, batch.told, f"{_SENTENCE}: {reason}.")
        await self.outbox.set_aside(token, lineage, aside, self.clock.now())
        if aside.news:
            self.announcements.refused(aside.news)

    def _treat(self, batch: _Batch, group: Group) -> None:
        """Decide about the refused entries of a group: whole lists first, then what is left."""
        places = [place for place in batch.faults if group.start <= place < group.end]
        lists = dict[Listed, int]()
        for place in places:
            entry = batch.entries[place]
            if entry[0] in LISTS and not group.repeats and not is_repeated(entry):
                lists.setdefault(group.list_at(place), place)
        for listed, place in lists.items():
            self._undo(batch, group, listed, place)
        for place in places:
            if not any(listed.first <= place < listed.end for listed in lists):
                self._drop(batch, place)

    def _remember(self, undone: Sequence[tuple[bytes, int]]) -> None:
        if len(self._undone) > MOST_UNDONE_JOBS:
            self._undone.clear()
        self._undone.update(undone)

    def _undo(self, batch: _Batch, group: Group, listed: Listed, place: int) -> None:
        """Nothing of a list is announced, and its jobs are what they were before."""
        aside, refusal, replaced = batch.aside, batch.faults[place], group.replaced()
        undone = self._undone.union(aside.undone)
        letter = self._list_letter(batch, listed, place)
        for at in range(listed.first, listed.end):
            entry = batch.entries[at]
            if entry[0] in {CREATE, NEW_NOW}:
                job = created_job(entry)
                aside.undone.append(job)
                if listed.source[:1] in {"", "@"}:  # no record, or one of another shard
                    batch.told.append((batch.after + at + 1, job[0].decode()))
            elif entry[0] == HAND_ON:
                aside.kept += _parcel(entry)
            elif entry[0] not in {DELETE, TOMBSTONE} or _job_id(entry) not in replaced:
                continue
            batch.put(at, letter or VOID)
            letter = b""
        aside.before += [
            section
            for section in group.before
            if section[:1] != BEFORE_JOB or replaced_job(section) not in undone
        ]
        _count(KINDS[batch.entries[place][0]], refusal, jobs=len(aside.undone))

    def _drop(self, batch: _Batch, place: int) -> None:
        """Anything that stands for itself."""
        entry, refusal = batch.entries[place], batch.faults[place]
        if entry[0] in QUEUES:
            self._end_run(batch, place)
        elif entry[0] == HAPPENED:
            self._cut(batch, place)
        else:
            batch.put(place, self._what_is_left(entry, refusal))
            key = b"jobsDeleted" if entry[0] == DELETE else b"journal"
            letter = self._letter(key, refusal, {"job-id": _job_id(entry)})
            batch.aside.appended.append(letter)
            kind = "journal" if entry[0] in LISTS else KINDS[entry[0]]
            _count(kind, refusal, job=_job_id(entry).decode())

    def _end_run(self, batch: _Batch, place: int) -> None:
        """It has failed for good, without a retry."""
        entry, refusal = batch.entries[place], batch.faults[place]
        _, instance, nominal, attempt, seq, size, *_ = QUEUED.unpack_from(entry)
        job_id = entry[QUEUED.size : QUEUED.size + size]
        if (job_id, seq) in batch.aside.undone:
            return  # it goes with its job
        run = StagedRun(batch.after + place + 1, job_id, seq, instance, nominal, attempt, entry[0])
        pointer = {
            "job-id": job_id,
            "occurrence-id": occurrence_of(entry),
            "nominal-time": rfc3339(nominal),
            "attempt": b"%d" % attempt,
        }
        batch.put(place, self._letter(b"queuedJob", refusal, pointer))
        farewell = event_entry(
            Topic.RESOURCES,
            b"jobsDeleted",
            job_record.JOB_ID + job_record.sized(job_id),
            [("job-id", job_id), ("outcome", b"refused"), ("error", _reason(refusal))],
        )
        batch.aside.ended.append((run, farewell))
        _count("run", refusal, job=job_id.decode(), nominal=nominal)

    def _cut(self, batch: _Batch, place: int) -> None:
        """A dead letter loses its value; one that has none, or no topic, is dropped.

        So is an event for watchers: nothing depends on it.
        """
        refusal = batch.faults[place]
        topic, key, value, headers = read_event(batch.entries[place])
        if topic is Topic.EVENTS:
            batch.put(place, VOID)
            _count("event", refusal)
            return
        if topic is not Topic.DEAD_LETTER:
            batch.put(place, self._letter(key, refusal, {}))
            _count(HAPPENINGS[topic], refusal)
            return
        if value and not refusal.of_topic:
            if "truncated-from" not in dict(headers):
                headers.append(("truncated-from", b"%d" % len(value)))
            batch.put(place, event_entry(topic, key, b"", headers))
        else:
            batch.put(place, VOID)
        pointer = {name: text.decode() for name, text in headers}
        dropped = not value or refusal.of_topic
        _count("dead_letter", refusal, dropped=dropped, letter=pointer)

    @staticmethod
    def _what_is_left(entry: bytes, refusal: Refusal) -> bytes:
        """Of a deletion that one of two topics refuses, the other half."""
        if entry[0] != DELETE:
            return VOID
        if refusal.topic is Topic.RESOURCES:
            return b"X" + entry[1:]
        value = job_record.JOB_ID + job_record.sized(entry[1:])
        headers = [("job-id", entry[1:]), ("outcome", b"deleted")]
        return event_entry(Topic.RESOURCES, b"jobsDeleted", value, headers)

    # --- Dead letters -------------------------------------------------------------------------

    def _list_letter(self, batch: _Batch, listed: Listed, place: int) -> bytes:
        entry = batch.entries[place]
        pointer = {} if entry[0] == HAND_ON else {"job-id": created_job(entry)[0]}
        topic, _, partition = listed.source.rpartition(":")
        if topic:
            where = {"topic": topic, "partition": partition, "offset": str(listed.offset)}
            pointer |= {name: text.encode() for name, text in where.items()}
        return self._letter(b"jobsCreated", batch.faults[place], pointer)

    def _letter(self, key: bytes, refusal: Refusal, pointer: Mapping[str, bytes]) -> bytes:
        """Says what was refused, without its payload."""
        headers: Headers = [
            ("status", b"FAILED_PRECONDITION"),
            ("reason", f"{_SENTENCE}: ".encode() + _reason(refusal) + b"."),
            ("refused-by", self.topics[refusal.topic].encode()),
            *pointer.items(),
        ]
        return event_entry(Topic.DEAD_LETTER, key, b"", headers)


_SENTENCE = "Kafka refuses the record for good"


def first_piece(entries: Sequence[bytes]) -> Sequence[bytes]:
    """Whole groups from the front: one, or as many as are small enough together."""
    end = size = 0
    for group in groups(entries):
        size += sum(map(len, entries[group.start : group.end]))
        if end and (group.end > PIECE_ENTRIES or size > PIECE_BYTES):
            break
        end = group.end
    return entries[:end]


def _stops(refusal: Refusal) -> bool:
    """Whether nothing can go on until an operator has acted."""
    return refusal.of_topic and refusal.topic not in OPTIONAL


def _job_id(entry: bytes) -> bytes:
    """The job that an entry is about; empty for a parcel or a type."""
    if entry[0] in {CREATE, NEW_NOW}:
        return created_job(entry)[0]
    if entry[0] in KEPT_KINDS:
        (size,) = KEYED.unpack_from(entry)
        return entry[KEYED.size : KEYED.size + size].split(b"\0")[0]
    return entry[1:].split(b"\0")[0]


def _parcel(entry: bytes) -> list[tuple[bytes, str]]:
    """Ids that are on their way, and the name of their parcel."""
    (size,) = KEYED.unpack_from(entry)
    at = KEYED.size + size
    name = entry[KEYED.size : at].rpartition(b"\0")[2].decode()
    return [(job_id.encode(), name) for job_id in unpack(entry[at:]).ids()]


def _new_jobs(aside: Aside) -> Sequence[tuple[bytes, int]]:
    """Undone jobs whose runs go with them: one that goes on as it was has been running before."""
    before = {replaced_job(each) for each in aside.before if each[:1] == BEFORE_JOB}
    return [job for job in aside.undone if job not in before]


def _reason(refusal: Refusal) -> bytes:
    return refusal.reason[:REASON_CHARACTERS].encode()


def _count(kind: str, refusal: Refusal, **more: object) -> None:
    metrics.RECORDS_REFUSED.labels(kind=kind).inc()
    about: dict[str, Any] = {"kind": kind, "by": refusal.topic, "reason": refusal.reason, **more}
    if more.get("dropped"):  # nothing else has its pointer
        log.error("a dead letter is lost: Kafka refuses it", **about)
    else:
        REFUSED.note(kind, refusal.topic, **about)
