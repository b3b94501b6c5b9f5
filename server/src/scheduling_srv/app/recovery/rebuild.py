"""Puts a shard back together from Kafka when Redis has lost it (docs/decisions/0001).

Memory is bounded (docs/decisions/0015): the journal goes into Redis window by window, in its order.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

import structlog

from scheduling_client.schedules.spread import jitter_ms
from scheduling_srv.app.calls import Calls
from scheduling_srv.app.deployments.deployment import Deployment
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, ShardStore
from scheduling_srv.app.recovery.journal import Rest, Window, is_of_a_job
from scheduling_srv.app.recovery.settlement import OpenRun, Settlement, later_instance
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats import job_record, versions
from scheduling_srv.formats.changes import unpack
from scheduling_srv.formats.kafka_records import (
    CANCELLED,
    DEPLOYMENT,
    INSTANCES,
    JOURNAL_DUE,
    OUTCOME,
    Emission,
    JournalBackfill,
    JournalCount,
    JournalPause,
    LogRecord,
)
from scheduling_srv.formats.messages import answer_instance, read_open_from, read_recurrence
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime import garbage
from scheduling_srv.runtime.pieces import pieces
from scheduling_srv.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

SKEW = 10_000
"""Milliseconds by which the clocks of hosts and brokers may differ."""
BACKFILLS_AT_ONCE = 2
"""Backfills of one call, which reads all runs of their jobs."""
PIECE_ENTRIES = 500
"""Jobs or runs of one call."""
PIECE_BYTES = 1_000_000
"""Bytes of one call, unless a single job has more."""
AT_ONCE = 3
"""Number of such calls under way."""
MEMORY_BYTES = 32_000_000
"""Memory for the journals of all shards of a replica: half for jobs, half for other records."""
LEAST_MEMORY_BYTES = 2_000_000
"""Least memory of one shard, even if there are many."""
SEQ_JUMP = 1 << 20
"""Creation numbers to skip: those given out after the last marker are not known."""
INSTANCE_JUMP = 1 << 16
"""Instance ids skipped: runs that were sent at once may still come (docs/decisions/0005)."""


Recovered: TypeAlias = tuple[Position, str]
"""The position to go on from, and the lineage of the store that it was found for."""


def _is_anybodys(_instance: int) -> bool:
    return True


def new_incarnation() -> str:
    """A name for the life of the store's content."""
    return uuid.uuid4().hex[:12]


def memory_of_shard(shards: int) -> int:
    """Bytes that one of `shards` may hold of its journal."""
    return max(LEAST_MEMORY_BYTES, MEMORY_BYTES // shards)


class Rebuild:
    """Reads the end of the jobs topic and the journal, and loads the shard from them."""

    def __init__(
        self,
        shard: ShardStore,
        history: History,
        *,
        jobs_topic: str,
        clock: Clock,
        is_ours: Callable[[int], bool] = _is_anybodys,
        deployment: Deployment | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """`is_ours` says whether a run with this instance id is of this shard.

        Runs of another `deployment` are none of ours. `memory_bytes` limits the part of the journal
        that it holds.
        """
        self.is_ours = is_ours
        self.deployment = deployment
        self.clock = clock
        self.shard = shard
        self.history = history
        self.jobs_topic = jobs_topic
        self.memory_bytes = memory_bytes

    async def run(self, token: str, position: Position) -> Recovered:
        """Rebuild the shard as of `position`; returns where to go on from."""
        with garbage.none_expected():
            return await Attempt(self, token, position).run()


class Attempt:
    """One rebuild of a shard. If it fails, the records that it has read go with it."""

    def __init__(self, rebuild: Rebuild, token: str, position: Position) -> None:
        self.rebuild = rebuild
        self.shard = rebuild.shard
        self.token = token
        self.position = position
        self.settlement = Settlement()
        self.window = self._new_window()
        self.rest = Rest(rebuild.memory_bytes // 2)
        self.backfills = list[JournalBackfill]()
        self.last_seq = 0
        self.newest_job = 0
        """The newest version of the records of jobs."""
        self.jobs = self.runs = 0
        """How many were loaded."""
        self.slice = TimeSlice()

    async def run(self) -> Recovered:
        """See `Rebuild.run`."""
        log.warning("rebuilding the schedule from Kafka", position=self.position.number)
        await self.shard.begin_rebuild(self.token, self.position.format)
        await self._settle()
        await self._load_journal()
        await self._load_rest()
        await self._load_counts(self.settlement.counts.values())
        await self._load_runs(self.settlement.unanswered())
        for few in pieces(self.backfills, BACKFILLS_AT_ONCE):
            await self.shard.load_backfills(self.token, few)
        return await self._initialise()

    async def _initialise(self) -> Recovered:
        position = self.position
        last = self.settlement.last_instance
        if last is None or position.instance:
            last = later_instance(position.instance, last)
        instance = last + INSTANCE_JUMP
        go_on = replace(
            position,
            incarnation=new_incarnation(),
            # A position that is lost, or older than the format, does not tell it. The records do.
            format=max(position.format, versions.with_job(self.newest_job)),
            seq=max(position.seq, self.last_seq),
            instance=instance % INSTANCES,
        )
        lineage = await self.shard.initialise(
            self.token,
            go_on,
            self.rebuild.clock.now(),
            origin=position.incarnation,
            jump=SEQ_JUMP,
        )
        log.warning("the schedule is rebuilt", jobs=self.jobs, runs=self.runs)
        return go_on, lineage

    # --- The jobs topic -------------------------------------------------------------------------

    async def _settle(self) -> None:
        since = max(0, self.position.replay_from - SKEW)
        async with aclosing(self.rebuild.history.jobs_since(since)) as pieces:
            async for piece in pieces:
                for entry in piece:
                    self._settle_one(entry)
                    await self.slice.yield_if_used()
                await self.settlement.tidy(self.slice)

    def _settle_one(self, entry: LogRecord) -> None:
        if entry.key == b"queuedJob" and "occurrence-id" in entry.headers:
            if self._is_foreign(entry):
                return
            try:
                emission = Emission.parse(entry)
            except ValueError:
                log.warning("a queuedJob of another service was skipped", offset=entry.offset)
            else:
                if self.rebuild.is_ours(emission.instance):
                    self.settlement.emitted(emission)
        elif entry.headers.get(OUTCOME) == CANCELLED:
            self._settle_cancelled(entry)
        elif entry.key in (b"jobDone", b"jobFailed"):
            place = f"{self.rebuild.jobs_topic}:{entry.partition}"
            applied = entry.offset < self.position.inputs.get(place, 0)
            instance = answer_instance(entry.value or b"") if applied else None
            if instance is not None:
                self.settlement.answered(instance, entry.headers.get("occurrence-id", b""))

    def _settle_cancelled(self, entry: LogRecord) -> None:
        """The outbox has told it: it needs no position."""
        if not self._is_foreign(entry):
            try:
                self.settlement.cancelled(entry.headers.get("occurrence-id", b""))
            except ValueError:
                log.warning("a cancelled run cannot be read", offset=entry.offset)

    def _is_foreign(self, entry: LogRecord) -> bool:
        ours = self.rebuild.deployment
        return ours is not None and ours.is_foreign(entry.headers.get(DEPLOYMENT))

    # --- The journal ----------------------------------------------------------------------------

    def _new_window(self) -> Window:
        """One is read while the one before it is loaded: each has a half of the memory."""
        return Window(self.rebuild.memory_bytes // 4)

    async def _load_journal(self) -> None:
        """Read the next window while one is loaded.

        A later window replaces what an earlier one has loaded: they are loaded one at a time.
        """
        entries = 0
        async with Calls(1) as loading, aclosing(self.rebuild.history.journal()) as read:
            async for part in read:
                entries += len(part)
                for entry in part:
                    if is_of_a_job(entry):
                        self._add_job(entry.key or b"", entry.value)
                        if self.window.is_full:
                            await self._begin_loading(loading)
                    else:
                        self.rest.add(entry)
                    if self.slice.used:
                        await self.slice.pause()
            await self._begin_loading(loading)
            await loading.finish()
        if not entries and self.position.seq:  # there was a job
            log.error(
                "the journal is empty: jobs may be lost, see the command restore",
                published=self.position.number,
            )

    async def _begin_loading(self, loading: Calls) -> None:
        window, self.window = self.window, self._new_window()
        await loading.begin(self._load_window(window))

    def _add_job(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            seq = job_record.seq(value[JOURNAL_DUE.size : JOURNAL_DUE.size + job_record.KIND_AT])
            self.last_seq = max(self.last_seq, seq)
            if seq <= self.position.reset:
                value = None  # a reset has made it void
            else:
                job_record.body_at(value, JOURNAL_DUE.size)  # raises for a later version's
                found = job_record.version(value, JOURNAL_DUE.size)
                self.newest_job = max(self.newest_job, found)
        self.window.add(key, value)

    async def _load_window(self, window: Window) -> None:
        piece, size = list[RebuiltJob](), 0
        time_slice = TimeSlice()
        async with Calls(AT_ONCE) as calls:
            for key, value in window.jobs.items():
                if piece and (len(piece) == PIECE_ENTRIES or size + len(value) > PIECE_BYTES):
                    await calls.begin(self._load_jobs(piece))
                    piece, size = [], 0
                piece.append(self._rebuilt(key.decode(), value))
                size += len(value)
                if time_slice.used:
                    await time_slice.pause()
            if piece:
                await calls.begin(self._load_jobs(piece))
            await calls.finish()

    async def _load_jobs(self, jobs: Sequence[RebuiltJob]) -> None:
        more = await self.shard.load_jobs(self.token, jobs)
        self.jobs += more

    def _rebuilt(self, job_id: str, value: bytes) -> RebuiltJob:
        if not value:
            return RebuiltJob(job_id, b"", None)
        (due,) = JOURNAL_DUE.unpack_from(value)
        stored = value[JOURNAL_DUE.size :]
        try:
            due = read_open_from(stored, due)
            next_due = None if due is None else self._next_due(job_id, due, stored)
        except RequestError as fault:
            log.warning("a job cannot be planned", job=job_id, reason=str(fault))
            next_due = None
        return RebuiltJob(job_id, stored, next_due)

    def _next_due(self, job_id: str, due: int, stored: bytes) -> int | None:
        """Raises `RequestError` for a record that cannot be read."""
        kind, replay_from = job_record.kind(stored), self.position.replay_from
        latest = self.settlement.latest_nominal(job_id, job_record.seq(stored))
        if kind == TriggerKind.ENDING:
            return None
        if kind <= TriggerKind.ONCE:
            return due if latest is None else None
        if latest is None and due >= replay_from - SKEW:
            return due  # an emission would have been seen
        # Occurrences before `replay_from` are closed, and all later emissions were read. The last
        # one seen may be older than both: the retry of an occurrence of long ago.
        latest = latest or 0
        return self._first_open(job_id, due, stored, latest)

    def _first_open(self, job_id: str, due: int, stored: bytes, latest: int) -> int | None:
        """The first occurrence after `latest` whose due time, with jitter, the replay covers."""
        jitter = job_record.properties_of(stored).properties.jitter or 0
        replay_from = self.position.replay_from
        after = max(latest, replay_from - jitter - 1)
        nominal: int | None = due
        if due <= after:
            nominal = read_recurrence(stored, due).next_after(after)
        while jitter and nominal is not None:
            if nominal + jitter_ms(job_id, nominal, jitter) >= replay_from:
                break
            nominal = read_recurrence(stored, due).next_after(nominal)
        return nominal

    # --- Retries, parcels and unanswered runs ---------------------------------------------------

    async def _load_rest(self) -> None:
        """Retries, parcels and pieces of lists; those without room are read again by shares."""
        for share in range(self.rest.shares):
            if share:
                await self._read_share(share)
            await self._load_counts(self.rest.counts())
            await self._load_pauses(self.rest.pauses())
            for letters in pieces(self.rest.replayed(), PIECE_ENTRIES):
                await self.shard.load_replayed(self.token, letters)
            self.backfills += self.rest.backfills()
            await self._load_runs(self.settlement.waiting(self.rest.retries()))
            for parcel in self.rest.parcels():
                ids = list(unpack(parcel.value).ids())
                await self.shard.load_parcel(self.token, parcel, ids)
            for piece in self.rest.pieces():
                await self.shard.load_piece(self.token, piece)

    async def _read_share(self, share: int) -> None:
        self.rest = Rest(self.rest.most_bytes, self.rest.shares, share)
        async with aclosing(self.rebuild.history.journal()) as pieces:
            async for piece in pieces:
                for entry in piece:
                    if not is_of_a_job(entry):
                        self.rest.add(entry)
                    await self.slice.yield_if_used()

    async def _load_counts(self, counts: Iterable[JournalCount]) -> None:
        """Runs that were sent at once may be on Kafka without their count: the larger one holds."""
        for piece in pieces(counts, PIECE_ENTRIES):
            await self.shard.load_counts(self.token, piece)

    async def _load_pauses(self, pauses: Iterable[JournalPause]) -> None:
        wanted = (pause for pause in pauses if pause.seq > self.position.reset)
        for piece in pieces(wanted, PIECE_ENTRIES):
            await self.shard.load_pauses(self.token, piece)

    async def _load_runs(self, runs: Iterable[OpenRun]) -> None:
        wanted = (run for run in runs if run.seq > self.position.reset)
        for piece in pieces((RebuiltRun(*run) for run in wanted), PIECE_ENTRIES):
            loaded = await self.shard.load_runs(self.token, piece)
            self.runs += loaded
