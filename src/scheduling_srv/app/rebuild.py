"""Puts a shard back together from Kafka when Redis has lost it (docs/decisions/0001)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias, TypeVar

import structlog

from scheduling_srv import garbage, points
from scheduling_srv.app import planner
from scheduling_srv.app.announce import JOURNAL_DUE, JOURNAL_PARCEL, JOURNAL_RETRY
from scheduling_srv.app.changes import unpack
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, ShardStore
from scheduling_srv.app.records import LogRecord, Position
from scheduling_srv.app.replies import Parcel, RebuiltJob, RebuiltRun
from scheduling_srv.app.settlement import Emission, JournalRetry, Settlement
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

SKEW = 10_000
"""Milliseconds by which the clocks of hosts and brokers may differ."""
PIECE = 500
"""Jobs of one call."""
AT_ONCE = 3
"""Such calls under way."""
SEQ_JUMP = 1 << 20
"""Creation numbers skipped: those given out behind the last marker are not known."""
INSTANCE_JUMP = 1 << 16
"""Instance ids skipped: runs that were sent at once may still come (docs/decisions/0005)."""
IDS = 1 << 32
"""How many there are (docs/contract.md)."""

Item = TypeVar("Item")


AnswerOf: TypeAlias = Callable[[bytes], int | None]
"""The instance that a jobDone or jobFailed value names; None: not an answer. Injected."""


Recovered: TypeAlias = tuple[Position, str]
"""The position to go on from, and the lineage of the store that it was found for."""


def _is_anybodys(_instance: int) -> bool:
    return True


def new_incarnation() -> str:
    """A name for the life of the store's content."""
    return uuid.uuid4().hex[:12]


@dataclass(slots=True)
class Journal:
    """The living jobs and waiting retries as Kafka has them."""

    jobs: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Id -> first due, record."""
    retries: dict[bytes, JournalRetry] = field(default_factory=dict)
    parcels: dict[bytes, Parcel] = field(default_factory=dict)

    def add(self, entry: LogRecord) -> None:
        """The next record of the journal."""
        key, value = entry.key or b"", entry.value
        if value is None:
            self.jobs.pop(key.decode(), None)
            self.retries.pop(key, None)
            self.parcels.pop(key, None)
        elif entry.headers.get("kind") == JOURNAL_PARCEL:
            self.parcels[key] = Parcel(key.rpartition(b"\0")[2].decode(), value)
        elif entry.headers.get("kind") == JOURNAL_RETRY:
            self.retries[key] = JournalRetry.parse(key, value)
        else:
            (due,) = JOURNAL_DUE.unpack_from(value)
            self.jobs[key.decode()] = (due, value[JOURNAL_DUE.size :])

    def last_seq(self) -> int:
        """The last creation number of a job that lives."""
        return max((record.seq(stored) for _, stored in self.jobs.values()), default=0)

    def drop_void(self, reset: int) -> None:
        """Forget what a reset has made void."""
        if reset > 0:
            self.jobs = {
                job_id: job for job_id, job in self.jobs.items() if record.seq(job[1]) > reset
            }


class Rebuild:
    """Reads the journal and the end of the jobs topic, and loads what follows from them."""

    def __init__(
        self,
        shard: ShardStore,
        history: History,
        *,
        read_cron: planner.ReadCron,
        answer_of: AnswerOf,
        jobs_topic: str,
        clock: Clock,
        is_ours: Callable[[int], bool] = _is_anybodys,
    ) -> None:
        """`is_ours` says whether a run with this instance id is of this shard."""
        self.is_ours = is_ours
        self.clock = clock
        self.shard = shard
        self.history = history
        self.read_cron = read_cron
        self.answer_of = answer_of
        self.jobs_topic = jobs_topic

    async def run(self, token: str, position: Position) -> Recovered:
        """Rebuild the shard as of `position`; returns where to go on from."""
        with garbage.none_expected():
            return await self._run(token, position)

    async def _run(self, token: str, position: Position) -> Recovered:
        log.warning("rebuilding the schedule from Kafka", position=position.number)
        await self.shard.begin_rebuild(token)
        await reached(points.REBUILD_BEGUN)
        journal = await self._read_journal(position)
        await reached(points.REBUILD_JOURNAL)
        settlement = await self._settle(position, journal)
        await reached(points.REBUILD_SETTLED)
        jobs = (
            RebuiltJob(job_id, stored, self._next_due(job_id, due, stored, settlement, position))
            for job_id, (due, stored) in journal.jobs.items()
        )
        runs = list(self._runs(journal, settlement, position.reset))
        await self._load_jobs(token, jobs)
        for runs_piece in _pieces(runs):
            await self.shard.load_runs(token, runs_piece)
            await reached(points.REBUILD_RUNS)
        for parcel in journal.parcels.values():
            await self.shard.load_parcel(token, parcel, list(unpack(parcel.value).ids()))
        go_on = replace(
            position,
            incarnation=new_incarnation(),
            seq=max(position.seq, journal.last_seq()),
            instance=(max(position.instance, settlement.last_instance) + INSTANCE_JUMP) % IDS,
        )
        lineage = await self.shard.initialise(
            token, go_on, self.clock.now(), origin=position.incarnation, jump=SEQ_JUMP
        )
        await reached(points.REBUILD_INITIALISED)
        log.warning("the schedule is rebuilt", jobs=len(journal.jobs), runs=len(runs))
        return go_on, lineage

    async def _load_jobs(self, token: str, jobs: Iterable[RebuiltJob]) -> None:
        """Several calls at a time: the next ones are made while Redis works on one."""
        pieces = _pieces(jobs)

        async def load() -> None:
            for piece in pieces:
                await self.shard.load_jobs(token, piece)
                await reached(points.REBUILD_JOBS)

        try:
            async with asyncio.TaskGroup() as loading:
                for _ in range(AT_ONCE):
                    loading.create_task(load())
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _read_journal(self, position: Position) -> Journal:
        journal = Journal()
        async for piece in self.history.journal():
            for entry in piece:
                journal.add(entry)
        journal.drop_void(position.reset)
        return journal

    async def _settle(self, position: Position, journal: Journal) -> Settlement:
        settlement = Settlement()
        settlement.add_retries(journal.retries.values())
        async for piece in self.history.jobs_since(max(0, position.replay_from - SKEW)):
            for entry in piece:
                self._settle_one(settlement, entry, position)
        return settlement

    def _settle_one(self, settlement: Settlement, entry: LogRecord, position: Position) -> None:
        if entry.key == b"queuedJob" and "occurrence-id" in entry.headers:
            try:
                emission = Emission.parse(entry)
            except ValueError:
                log.warning("queuedJob of somebody else", offset=entry.offset)
            else:
                if self.is_ours(emission.instance):
                    settlement.emitted(emission)
        elif entry.key in (b"jobDone", b"jobFailed"):
            applied = position.inputs.get(f"{self.jobs_topic}:{entry.partition}", 0)
            instance = self.answer_of(entry.value or b"") if entry.offset < applied else None
            if instance is not None:
                settlement.answered(instance)

    def _next_due(
        self, job_id: str, due: int, stored: bytes, settlement: Settlement, position: Position
    ) -> int | None:
        seq, kind = record.seq(stored), record.kind(stored)
        latest = settlement.latest_nominal(job_id, seq)
        if kind <= TriggerKind.ONCE:
            open_run = (job_id, seq) in settlement.waiting or latest is not None
            return None if open_run else due
        if latest is None and due >= position.replay_from - SKEW:
            return due  # an emission would have been seen
        # Occurrences before `replay_from` are settled, all later emissions were looked at. What was
        # seen last may be older than both: the retry of an occurrence of long ago.
        latest = max(latest or 0, position.replay_from - 1)
        if due > latest:
            return due
        if kind == TriggerKind.INTERVAL:
            interval = record.header(stored).interval
            return due + ((latest - due) // interval + 1) * interval
        try:
            return planner.next_after(self.read_cron(stored), latest)
        except RequestError as fault:
            log.warning("cannot be planned", job=job_id, reason=str(fault))
            return None

    def _runs(self, journal: Journal, settlement: Settlement, reset: int) -> Iterator[RebuiltRun]:
        for run in settlement.open_runs():
            job_id, seq, nominal, attempt, instance, start, due, type_ = run
            if due is None:
                # It may be of a job that is gone: it still holds a place of its type.
                if seq > reset:
                    yield RebuiltRun(job_id, seq, nominal, attempt, type_, instance, start)
            elif (job := journal.jobs.get(job_id)) and record.seq(job[1]) == seq:
                rank = record.header(job[1]).rank
                yield RebuiltRun(job_id, seq, nominal, attempt, rank=rank, due=due)


def _pieces(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    left = iter(items)
    while piece := list(islice(left, PIECE)):
        yield piece
