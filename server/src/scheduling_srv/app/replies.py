"""Arguments and results of calls to the store. Instants are epoch ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scheduling_srv.domain.run import PassedBy


class Span(NamedTuple):
    """The jobs that a restore may change."""

    now: int
    last: int
    """The newest creation number when it began to read."""
    claim: str = ""
    """Token under which the ids are claimed, where there are several shards."""


class Cursor(NamedTuple):
    """The place from which the outbox is taken."""

    published: int
    """Number of the last entry that is on Kafka: all up to it is trimmed."""
    lineage: str
    """Lineage of the store that has this entry."""
    ahead: int = 0
    """Entries after it that were taken before and are still under way."""


class Backlog(NamedTuple):
    """Entries of the outbox, and about how many bytes they are."""

    entries: int = 0
    size: int = 0


class Taken(NamedTuple):
    """Entries of the outbox, in order."""

    after: int
    """Number of the entry before the first."""
    entries: Sequence[bytes]
    waiting: int
    """How many the outbox holds."""
    size: int = 0
    """Bytes that the outbox holds, within a megabyte."""

    def left(self, ahead: int) -> Backlog:
        """The entries that are not taken yet; `ahead` entries before these are under way."""
        entries = self.waiting - ahead - len(self.entries)
        return Backlog(entries, self.size * entries // self.waiting if entries > 0 else 0)


class StagedRun(NamedTuple):
    """A run that is in the outbox."""

    number: int
    """Number of its entry."""
    job_id: bytes
    seq: int
    instance: int
    nominal: int
    attempt: int
    letter: int
    """The first byte of its entry."""


class Replaced(NamedTuple):
    """An entry of the outbox that becomes another one."""

    number: int
    was: int
    """Its first byte, as a check."""
    entry: bytes


@dataclass(slots=True)
class Aside:
    """Changes that set refused records aside (docs/decisions/0009)."""

    replaced: list[Replaced] = field(default_factory=list)
    undone: list[tuple[bytes, int]] = field(default_factory=list)
    """Jobs that are taken away again: id and creation number."""
    kept: list[tuple[bytes, str]] = field(default_factory=list)
    """Ids that do not go to another shard, and the name of the parcel that they were in."""
    before: list[bytes] = field(default_factory=list)
    """Those jobs before the change: letter and bytes of each section."""
    ended: list[tuple[StagedRun, bytes]] = field(default_factory=list)
    """Runs that end, each with the announcement of its one-time job's deletion."""
    appended: list[bytes] = field(default_factory=list)
    """Further entries of the outbox."""
    news: str = ""
    """For the calls that wait for the undone jobs; see `parse_news`."""


class Staged(NamedTuple):
    """One staging call."""

    full: bool
    """The outbox is at its limit: Kafka is slow or away."""
    entries: int = 0
    size: int = 0
    """Bytes of the entries."""
    unplanned: int = 0
    """Cron jobs that wait for their next time."""
    next_due: int | None = None
    oldest_start: int | None = None
    """Start of the run that has waited longest for its answer."""
    deadline: int | None = None
    """The first deadline of the runs that have one of their own."""
    taken: Taken | None = None
    """The entries that were taken in the same call, if that was requested."""


class Instants(NamedTuple):
    """The instants on which plans depend."""

    cutoff: int
    """Occurrences before it were missed in an outage, unless their job says otherwise."""
    resumed_at: int = 0
    """When the last outage ended; 0: none did."""
    now: int = 0
    """When the owner last looked."""


class Unplanned(NamedTuple):
    """A cron job whose next time has to be computed."""

    member: bytes
    after: int
    """The occurrence before, or the missed one if `missed`."""
    missed: bool
    record: bytes
    passed_since: int | None = None
    """Occurrences from this one on have passed in a pause."""


class Lapse(NamedTuple):
    """Occurrences of a job that have passed without a run."""

    number: int
    last: int
    """The latest of them."""
    why: PassedBy


class Planned(NamedTuple):
    """A cron job's next time; None: it never runs again."""

    member: bytes
    due: int | None
    settled: bool
    """Whether it is the latest missed occurrence: it then runs, however late."""
    aside: bool = False
    """No time can be computed: set it aside until it is asked for again."""
    lapse: Lapse | None = None
    """Before the next time."""


class GivenUp(NamedTuple):
    """Failed runs that are not retried, because too many retries of their job wait."""

    runs: int = 0
    job: bytes = b""
    """The id of one of their jobs."""


class Ended(NamedTuple):
    """Runs that have ended for good."""

    done: int = 0
    failed: int = 0
    """Runs that failed without another attempt; in `Expired`, by the completion timeout."""
    job: bytes = b""
    """The id of the job of one that failed."""
    types: Sequence[Any] = ()
    """Type, how many were done and how many failed, and so on for each type."""
    type: bytes = b""
    """Type of that job."""
    attempts: int = 0
    """Attempts of that run."""
    error: bytes = b""
    """The start of the worker's text, perhaps cut within a character."""

    def by_type(self) -> Iterator[tuple[bytes, int, int]]:
        """The figures of each type."""
        fields = iter(self.types)
        return zip(fields, fields, fields, strict=True)


class Expired(NamedTuple):
    """The result of a look at runs without an answer."""

    looked_at: int
    """Runs; some of them were published later than they were staged, and have time left."""
    expired: int = 0
    given_up: GivenUp = GivenUp()
    ended: Ended = Ended()


class Holder(NamedTuple):
    """The holder of a lease, the ms until it ends, and whether the holder's connection is gone."""

    token: str
    left: int
    gone: bool


class Signal(NamedTuple):
    """A message of the store to all replicas. Signals may be lost, so every loop also polls."""

    kind: str
    """`work`, `published`, `refused`, `released`, `restore`, `sweep`, `backfill` or `connected`."""
    due: int | None = None
    lineage: str = ""
    number: int = 0
    news: str = ""
    """News of refused jobs, see `Aside`."""


class ShardState(NamedTuple):
    """The state of a shard in Redis."""

    ready: bool
    incarnation: str
    origin: str
    """The incarnation that its content was rebuilt from."""
    lineage: str
    trimmed: int
    taken: int
    refused: Sequence[str] = ()
    """News of refused jobs of the last minute."""
    format: int = 0
    """Of the data that it may hold (docs/decisions/0024)."""
    compared: bool = True
    """An owner has compared this lineage with Kafka: it lacks nothing that Kafka has."""


class Progress(NamedTuple):
    """The due work of a shard, as its store sees it."""

    working: bool
    """The owner has said within its lease that its loops work."""
    oldest_due: int | None
    """When the run was due that may start and has waited longest; or when the next one is due."""
    waiting: int
    """Entries of the outbox that are not published."""
    idle_ms: int
    """Milliseconds since the outbox last advanced, or began to fill."""


class Agenda(NamedTuple):
    """What the owner of a shard has to do, as a test clock asks."""

    busy: bool
    """There is something to do now, or to publish."""
    next: int | None
    """When the next run is due or times out, in epoch ms; None: nothing waits for its time."""
    unanswered: int
    """Runs without an answer."""


class Counts(NamedTuple):
    """How much there is in a shard."""

    jobs: int
    waiting: int
    """Jobs and retries that wait for their time."""
    retries: int
    held: int
    """Due runs that `parallel` holds back."""
    unanswered: int
    unanswered_of: Mapping[str, int]
    """Unanswered runs of each requested type."""


class RebuiltJob(NamedTuple):
    """A job as it is put back from Kafka, with its old creation number within the record."""

    id: str
    record: bytes
    """Empty: the job is gone, if it was loaded before."""
    due: int | None
    """Next occurrence; None: it only has runs."""


class RebuiltRun(NamedTuple):
    """An unanswered run, or with `due` one that waits for its retry.

    An unanswered run may outlive its job; it holds a place of its type until it is answered.
    """

    job_id: str
    seq: int
    nominal: int
    attempt: int
    instance: int = 0
    start: int = 0
    due: int | None = None
    """Due time of a waiting run. The run is dropped if its job is gone or was created anew."""
    type: bytes = b""
    """Type of an unanswered run."""
    timed: bool = False
    """It was emitted with a deadline of its own."""
    origin: int = 0
    """See `RunKey`."""


LEAVING = -2
"""In place of the kind of a job that was removed, if its removal is not on Kafka yet."""


class Claimed(NamedTuple):
    """A shard's answer to a claim."""

    state: str
    """`ok`, `claimed` (by another call) or `moving` (to another shard)."""
    kinds: Sequence[int] = ()
    """For each id the kind of the job that lives there, -1 without one, or `LEAVING`."""
    lineage: str = ""
    """Of the store that has answered."""


class Held(NamedTuple):
    """What shows that a call still has its claims."""

    token: str
    ids: Sequence[str]
    """Of those that were claimed together, one is enough: their claims end at one instant."""


class Piece(NamedTuple):
    """The facts about a piece of a long list, beside its jobs."""

    number: int
    """Number of the piece, from 1."""
    mode: str
    """Mode of the list: as `WriteMode`, or `delete`."""
    named: bool
    """Others may know the ids of its jobs: they are kept from changing these."""


class ListPiece(NamedTuple):
    """A piece of a long list as the journal has it."""

    token: str
    number: int
    """Number of the piece, from 1; 0: the decision."""
    value: bytes


class Parcel(NamedTuple):
    """A part of a decided change on its way to another shard."""

    name: str
    value: bytes
    announced: bool = True
    """Whether it is on Kafka, so that it may be delivered."""
