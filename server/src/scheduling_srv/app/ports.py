"""Every port of the application, on one page: its invariants, not its implementation.

`token` is the lease's owner and epoch. A call with a token changes nothing and raises `LeaseLost`
if another replica holds the lease by now. Instants are epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from scheduling_srv.app.positions import Start
from scheduling_srv.app.replies import (
    Agenda,
    Aside,
    Claimed,
    Counts,
    Cursor,
    Ended,
    Expired,
    GivenUp,
    Held,
    Holder,
    Instants,
    ListPiece,
    Parcel,
    Piece,
    Planned,
    Progress,
    RebuiltJob,
    RebuiltRun,
    ShardState,
    Signal,
    Span,
    Staged,
    StagedRun,
    Taken,
    Unplanned,
)
from scheduling_srv.domain.job import Answer, NewJob, StoredJob
from scheduling_srv.domain.job_filter import JobFilter, JobState
from scheduling_srv.domain.limits import Limits
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.kafka_records import JournalBackfill, JournalCount, JournalPause
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.positions import InputPosition, Place


class Clock(Protocol):
    """The host's wall clock."""

    def now(self) -> int:
        """Epoch milliseconds, rounded down: a run is never early (docs/guarantees.md)."""


class ExactClock(Clock, Protocol):
    """A clock that also tells fractions of milliseconds."""

    def until(self, instant: int) -> float:
        """Seconds until an instant in epoch ms, not rounded; below zero when it has passed."""


class SettableClock(ExactClock, Protocol):
    """A clock of tests. It stands still, and goes on only when it is set."""

    def set(self, instant: int) -> None:
        """From now on it says `instant`, in epoch ms. It never goes back."""


# --- Changes of the store -----------------------------------------------------------------------


class WriteMode(StrEnum):
    """How a write treats ids that exist, and ids that do not (docs/contract.md)."""

    CREATE = "create"
    """Refuses ids that exist."""
    UPDATE = "update"
    """Refuses ids that do not exist."""
    UPSERT = "upsert"
    """Replaces ids that exist, creates the others."""


class Source(NamedTuple):
    """The consumed records that a change comes from.

    Applied only if the store's position is the consumer's. So no other replica has applied them,
    and no restarted Redis has lost the records before.
    """

    partition: str
    """`topic:partition`."""
    stored: int
    """The partition's position in the store."""
    next: int
    """Offset after the last record."""
    lineage: str
    """Lineage of the store whose positions the consumer follows."""
    stamp: int = 0
    """The newest time stamp before `next`, in epoch ms; 0: unknown."""
    topic_id: str = ""
    """Id of the topic that the offsets belong to; empty: unknown."""
    others: Sequence[Source] = ()
    """Further partitions that move in the same call. Their lineage is that of this one."""


class Receipt(NamedTuple):
    """The place in the outbox after a change: once that is published, the change is announced."""

    lineage: str
    """Names one life of Redis's data. It changes with a rebuild and with a restart of Redis, which
    may have lost the change and given its number to another one."""
    number: int


class Origin(NamedTuple):
    """The record that a group comes from; see `WriteGroup`."""

    offset: int = 0
    partition: str = ""
    stamp: int = 0


NO_RECORD = Origin()


@dataclass(frozen=True, slots=True)
class WriteGroup:
    """Jobs that are written together or not at all."""

    mode: WriteMode
    jobs: Sequence[NewJob]
    offset: int = 0
    """Offset of the record that the group comes from, if it comes from one."""
    partition: str = ""
    """`topic:partition` of that record; empty: that of the source."""
    stamp: int = 0
    """The newest time stamp of the partition up to that record, in epoch ms."""
    named: Sequence[str] = ()
    """Ids that the client has given."""
    has_keys: bool = False
    """Some of the new jobs have unique keys."""
    request: str = ""
    """The name of the request, which is answered once; empty: it is not remembered."""
    seq: int = 0
    """Creation number of the only job, which an Update has read; 0: of any."""

    def own(self, source: Source) -> Source:
        """The part of the source that the group's record moves."""
        every = (source, *source.others)
        at = next((each for each in every if each.partition == self.partition), source)
        return at._replace(next=self.offset + 1, stamp=self.stamp or at.stamp, others=())


class Refusal(NamedTuple):
    """Why a group was not written."""

    reason: str
    """`exists`, `missing`, `stale`: it is another job or revision than the one that was read,
    `unique`: another job has the unique key, `known`: the request was answered before, or
    `elapsed`: its time has passed, and no living job was due then. `moving` and `large` concern no
    caller (docs/decisions/0010)."""
    place: int
    """Place of the job within its group, from 0."""


@dataclass(frozen=True, slots=True)
class Written:
    """The results of the groups, in order.

    With a source, groups after the first refused one were not looked at and are not in `refusals`.
    """

    receipt: Receipt
    refusals: Sequence[Refusal | None]


class Page(NamedTuple):
    """Some jobs in order of creation."""

    total: int
    """Number of all matches."""
    cursor: str
    """Start of the next page; empty: this is the last one. A page before it may be empty."""
    jobs: Sequence[StoredJob]


class Answered(NamedTuple):
    """The results of answers."""

    looked_at: int
    """Number of answers applied, from the first on. The position is after them."""
    known: int
    """Number of these that had a run."""
    given_up: GivenUp = GivenUp()
    ended: Ended = Ended()


class JobStore(Protocol):
    """The living jobs.

    Raises `StoreUnavailable`, `StoreNotReady` and, with a source, `StaleSource`.
    """

    async def write(
        self, groups: Sequence[WriteGroup], now: int, source: Source | None = None
    ) -> Written:
        """Write each group as a whole. All groups and announcements are one atomic step."""

    async def delete(
        self,
        ids: Sequence[str],
        now: int,
        source: Source | None = None,
        within: Limits | None = None,
    ) -> tuple[Receipt, int]:
        """Delete the jobs that exist `within` the limits.

        Every run staged before lies before the receipt.
        Returns how many ids it has processed: the jobs may be too many for one call. With a source
        it has done nothing then. Raises `Contended` when a long list changes one of them.
        """

    async def clear(
        self,
        now: int,
        source: Source | None = None,
        entries: Sequence[bytes] = (),
        *,
        announced: bool,
    ) -> Receipt:
        """Make every resource void and announce its removal, or every job and run in silence.

        This and appending `entries` are one atomic step. A void job is never staged again.
        """

    async def sweep(self) -> Receipt | None:
        """Remove void jobs, also those left by a crash; returns the receipt of the last piece."""

    async def sweep_retries(self) -> bool:
        """Remove some waiting retries of jobs that are gone; returns whether there are more."""

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """The jobs with the first of these ids, `now` jobs included: one, or as many as fit."""

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        """At most `limit` of the resources, of one creator unless it is empty.

        As many as fit into the budget of one call, which may be none: see `Page.cursor`.
        """

    async def last_seq(self) -> int:
        """The newest creation number."""


class Walk(StrEnum):
    """The order of a list, and the index that it is read from."""

    CREATED = "created"
    """By creation number, the oldest first."""
    NEWEST = "newest"
    NEXT_DUE = "due"
    """Held jobs first, then by the next due time. Jobs without one come last."""
    ID = "id"
    """By id: of jobs whose id has a prefix."""


class ListedJob(NamedTuple):
    """A job in a list, and how it stands."""

    job: StoredJob
    state: JobState
    due: int | None
    """When its next occurrence, or the retry of its only run, is due; None: it has none now."""
    nominal: int | None
    """The nominal time of that. Without `due`: since when its occurrences pass in a pause."""
    place: str = ""
    """Where the list goes on after it."""


class ListedPage(NamedTuple):
    """Some jobs of a list."""

    total: int | None
    """Number of all matches; None: only a walk over all jobs could tell."""
    cursor: str
    """Start of the next page; empty: this is the last one. A page before it may be empty."""
    jobs: Sequence[ListedJob]


class JobIndex(Protocol):
    """Lists of the resources of a shard. Each call looks at a bounded part of the store.

    Raises `StoreUnavailable` and `StoreNotReady`.
    """

    async def page(
        self, walk: Walk, wanted: JobFilter, cursor: str, limit: int
    ) -> ListedPage | None:
        """At most `limit` jobs that match; with 0 only their number.

        None: jobs of an older version are not indexed by id yet.
        """

    async def show(self, ids: Sequence[str]) -> tuple[int, Sequence[ListedJob]]:
        """The resources with the first of these ids; returns how many ids it has come to."""

    async def index_older(self, token: str) -> bool:
        """Index some jobs of an older version; returns whether there are more."""


class Bulk(NamedTuple):
    """What a change of named jobs or types has done."""

    receipt: Receipt
    matched: int
    """How many of the names there are."""
    changed: int
    """How many of them it has changed."""


class PauseStore(Protocol):
    """Pauses of jobs and types (docs/decisions/0030).

    Raises `StoreUnavailable` and `StoreNotReady`.
    """

    async def pause(
        self, names: Sequence[str], note: str, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        """Let nothing of these jobs, or types, start any more, but for runs by hand.

        `names` are ids, at most 250, or types; `note` is a JSON object that is kept. Ids that are
        unknown, or not `within` the limits, do not match; a pause that is there is not changed.
        Every run that was staged before lies before the receipt. Raises `FormatTooOld`, and
        `TooMany` for more rules than there may be.
        """

    async def resume(
        self, names: Sequence[str], now: int, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        """End these pauses; `within` as above. The owner lets what rests go on, piece by piece."""

    async def pauses(
        self, ids: Sequence[str], types: Sequence[str]
    ) -> tuple[Sequence[bytes | None], Sequence[bytes | None]]:
        """The notes of the pauses of these jobs and of these types; None: it is not paused."""

    async def paused_types(self) -> Mapping[str, bytes]:
        """All types that are paused, and the notes."""


class InputStore(Protocol):
    """Applies the records of the listener, together with their positions."""

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        """Apply answers to their runs: all, or as many as the budget allows."""

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        """Append ready outbox entries; with a source, store its position."""

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        """The lineage, and `topic:partition` -> its applied position."""

    async def set_positions(self, starts: Sequence[Start], lineage: str, now: int) -> None:
        """Move the partitions to these starts, if their positions are still those `before`."""

    async def forget(self, positions: Mapping[Place, int], lineage: str, now: int) -> None:
        """Drop partitions that are gone, if they are still at these offsets."""

    async def show_offsets(self, offsets: Mapping[Place, int]) -> None:
        """Store the offsets in the keys that operators read (docs/contract.md)."""


class Inputs(Protocol):
    """The jobs topic, read beside the consumer group."""

    async def prepare(self) -> None:
        """Connect. Raises `LogUnavailable`."""

    async def read(self) -> int:
        """Apply all records that the topic holds now; returns that instant.

        Raises `Unavailable`, and `StaleSource` if it is to be called again.
        """


MAX_RESTORES = 100
"""Restore commands of a shard that may be pending at the same time."""
TOO_MANY_RESTORES = (
    f"{MAX_RESTORES} restore commands have not ended yet: this one is not noted, send it again."
)


class Restores(Protocol):
    """Restore commands that have not ended."""

    async def begin(
        self, request: str, now: int, source: Source | None, limit: int = MAX_RESTORES
    ) -> Receipt:
        """Store a restore command. Raises `TooMany` if `limit` of them are pending."""

    async def count(self) -> int:
        """Number of pending restore commands."""

    async def pending(self) -> Sequence[tuple[str, str]]:
        """Number and request of each, in order."""

    async def put_back(
        self, token: str, number: str, jobs: Sequence[NewJob], removed: Sequence[str], span: Span
    ) -> bool:
        """Put jobs into the journal and the schedule, take others out; announce nothing.

        Skips a job that exists with the same definition or is newer than `span.last`. Also skips a
        job that was removed since the restore was noted, and a one-time job whose time has passed.
        Returns False if a reset or a delete of everything came after the restore.
        """

    async def end(self, token: str, number: str, entry: bytes) -> None:
        """Forget it and append its response, in one step."""


# --- Several shards (docs/decisions/0004) ---------------------------------------------------------


class Transfers(Protocol):
    """Changes that concern several shards, as one of them sees them."""

    async def claim(self, token: str, ids: Sequence[str], lasts: int) -> Claimed:
        """Keep others from deciding about these ids for so many ms; all of them or none."""

    async def unclaim(self, token: str, ids: Sequence[str]) -> None:
        """Let others decide again."""

    async def may_have_elapsed(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        """Whether each one-time job exists here with the same due time."""

    async def commit(
        self,
        change: Change,
        now: int,
        held: Held | None = None,
        source: Source | None = None,
        *,
        request: str = "",
    ) -> Receipt | None:
        """Do this shard's part and store the others', in one step. None: a claim has expired.

        Raises `UniqueKeyTaken`, and `RepeatedRequest` if this shard has answered the request.
        """

    async def parcels(self) -> Sequence[Parcel]:
        """The parcels that are not delivered yet, in order."""

    async def delivered(self, name: str, ids: Sequence[str]) -> None:
        """Forget a parcel: its effects are on Kafka."""


# --- Long lists (docs/decisions/0010) -------------------------------------------------------------


class ListStore(Protocol):
    """Lists that are applied in pieces. A list is open, then decided or dropped."""

    async def keep(
        self, token: str, piece: Piece, jobs: Sequence[NewJob], lasts: int
    ) -> Receipt | Refusal:
        """Keep the next piece, and keep others from changing its jobs.

        `lasts`: ms for which no other caller may drop the list. Refuses as `JobStore.write` does,
        and with `moving` (another list changes a job), `gone` (the list was dropped) or `large`
        (the replaced jobs are too large for one call).
        """

    async def decide(
        self, token: str, pieces: int, now: int, source: Source | None = None
    ) -> Receipt | None:
        """Decide that the list is applied, if all pieces are there. None: it was dropped."""

    async def apply(self, token: str, now: int) -> tuple[Receipt, int] | None:
        """Apply the next piece of a decided list; returns how many are left. None: no such list."""

    async def drop(self, token: str, *, own: bool) -> str:
        """Drop the next piece of a list that is not decided.

        `own`: it is the caller's. Returns `open` (its caller may live), `decided`, `dropped` (there
        may be more) or `gone`.
        """

    async def tokens(self) -> Sequence[str]:
        """The tokens of all lists."""


# --- Calls of the owner -------------------------------------------------------------------------


class Schedule(Protocol):
    """Due jobs and unanswered runs, for the owner only."""

    async def stage(
        self, token: str, now: int, limit: int, cursor: Cursor | None = None, lead: int = 0
    ) -> Staged:
        """Move at most `limit` due runs to the outbox, in the order of docs/contract.md.

        Runs that fall due within `lead` ms follow them, in the order of their time: only first
        attempts of jobs without `parallel`. They must not leave the outbox before their time.
        It ends with the run that uses up the budget in bytes; then `next_due` has passed already.
        With `cursor` the same call also does the work of `Outbox.take`. It may then raise
        `Diverged` as well, and has done nothing. A full outbox returns no entries.
        """

    async def unplanned(self, token: str, limit: int) -> tuple[Instants, Sequence[Unplanned]]:
        """What plans depend on, and cron jobs to be planned: at most `limit`, as many as fit."""

    async def plan(self, token: str, planned: Sequence[Planned], now: int) -> int:
        """Put cron jobs back into the schedule, or aside; returns how many are aside in all."""

    async def plan_again(self, token: str) -> int:
        """Plan some of those set aside again; returns how many are still aside."""

    async def expire(self, token: str, now: int, limit: int) -> Expired:
        """Count runs without an answer as failed: at most `limit`, as many as the budget allows.

        None that is not known to be on Kafka, or that came there less than the timeout ago.
        """


class Outbox(Protocol):
    """The ordered announcements, for the owner only."""

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        """Trim the published entries, then return the next ones.

        If they were staged long before `now`, the completion timeout of their runs begins now.
        Stores how far they go before it returns them. Raises `Diverged` if the cursor is not within
        the outbox, or the store is of another lineage.
        """


class Asides(Outbox, Protocol):
    """The outbox while staging pauses: sets refused records aside (docs/decisions/0009)."""

    async def state(self) -> ShardState:
        """The state of the shard, with the last entry that was taken."""

    async def find_runs(
        self, token: str, after: int, jobs: Sequence[tuple[bytes, int]]
    ) -> Sequence[StagedRun]:
        """Runs of these jobs (id, creation number) among the entries that follow number `after`."""

    async def set_aside(self, token: str, lineage: str, aside: Aside, now: int) -> None:
        """Apply `aside` in one atomic step. Raises `Diverged` if the entries have changed."""


class Lease(Protocol):
    """Makes one replica the owner of a shard."""

    async def acquire(self, owner: str, *, dead: str = "") -> str | None:
        """The token, or None while another replica holds the lease.

        The holder `dead` does not count if its connection is still gone.
        """

    async def holder(self) -> Holder | None:
        """The holder of the lease, if any."""

    async def renew(self, token: str, *, emitting: bool) -> None:
        """Stay the owner for another lease, and report whether due jobs are being emitted."""

    async def release(self, token: str) -> None:
        """Give the lease back, so that the next owner takes over at once."""


class ShardProgress(Protocol):
    """Questions about the work of a shard that any replica may ask."""

    async def progress(self) -> Progress:
        """The progress now. Raises `StoreUnavailable`, and `StoreNotReady` during a recovery."""


class ShardCounts(Protocol):
    """Counts of a shard for operators."""

    async def counts(self, types: Sequence[str]) -> Counts:
        """Count now. Raises `StoreUnavailable`, and `StoreNotReady` during a recovery."""


class AgendaStore(Protocol):
    """What a test clock asks a shard (docs/decisions/0035)."""

    async def look(self, now: int) -> Agenda:
        """What is to be done at `now`. Raises `StoreUnavailable` and `StoreNotReady`."""


class Signals(Protocol):
    """The shard's channel."""

    def listen(self) -> AsyncIterator[Signal]:
        """All signals from now on. It reconnects by itself, and then yields `connected`."""

    async def replicas(self) -> Sequence[str]:
        """Names of the replicas that are connected, as far as that can be known."""


# --- Recovery -----------------------------------------------------------------------------------


class ShardStore(Protocol):
    """The shard as a whole, for the owner's recovery."""

    async def state(self) -> ShardState:
        """The state of the shard in this Redis."""

    async def mark_inputs(self, token: str, now: int) -> None:
        """Append an entry that writes all positions of the listener to Kafka."""

    async def note_compared(self, token: str, lineage: str) -> None:
        """This life of the store lacks nothing that Kafka has. Nothing if it is another by now."""

    async def note_backlog(self, token: str) -> None:
        """Reckon with entries in the outbox that an older version has not counted."""

    async def initialise(
        self, token: str, position: Position, now: int, *, origin: str = "", jump: int = 0
    ) -> str:
        """Make the shard ready under the position's incarnation; numbers continue from it.

        `origin` is the incarnation that it was rebuilt from. `jump` is added to the creation
        numbers. Returns the lineage.
        """

    async def begin_rebuild(self, token: str, stored: int = 0) -> None:
        """Make the shard not ready, drop its content. `stored`: the format of the data to load."""

    async def load_jobs(self, token: str, jobs: Sequence[RebuiltJob]) -> int:
        """Put jobs into the store and the schedule, in place of those with the same ids.

        An id may come only once in a call. Returns by how many the number of jobs has grown.
        """

    async def load_counts(self, token: str, counts: Sequence[JournalCount]) -> int:
        """Put back how many runs of jobs have counted, if that is more; returns for how many jobs.

        All jobs are loaded before.
        """

    async def load_pauses(self, token: str, pauses: Sequence[JournalPause]) -> int:
        """Put back pauses of jobs that are there, and of types; returns how many.

        All jobs are loaded before.
        """

    async def load_replayed(self, token: str, letters: Sequence[str]) -> int:
        """Note dead letters that were replayed; returns how many."""

    async def load_backfills(self, token: str, backfills: Sequence[JournalBackfill]) -> int:
        """Put back backfills of jobs that are there; returns how many.

        All runs are loaded before.
        """

    async def load_runs(self, token: str, runs: Sequence[RebuiltRun]) -> int:
        """Put unanswered runs and waiting retries into the store; returns their number.

        All jobs are loaded before: a one-time job whose run waits has no other occurrence.
        """

    async def load_piece(self, token: str, piece: ListPiece) -> None:
        """Put back an unapplied piece of a long list. Without a decision it is dropped."""

    async def load_parcel(self, token: str, parcel: Parcel, ids: Sequence[str]) -> None:
        """Put back a parcel that may not have been delivered."""

    async def note_shards(self) -> None:
        """Store the number of shards again, if the store has lost it."""
