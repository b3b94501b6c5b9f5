"""The state of a worker at work: runs that wait, are at work, or whose answers are on their way.

All of it belongs to the event loop. The reader calls it through `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from confluent_kafka import Message

from scheduling_client.worker import figures as names
from scheduling_client.worker import messages
from scheduling_client.worker.answerer import Answerer
from scheduling_client.worker.answers import DONE, Ended
from scheduling_client.worker.entries import Entry, Lane
from scheduling_client.worker.executor import Executor, limit_of, too_long
from scheduling_client.worker.figures import Figures
from scheduling_client.worker.jobs import Job
from scheduling_client.worker.keeper import Keeper
from scheduling_client.worker.ledger import Ledger
from scheduling_client.worker.reader import Offsets, Reader
from scheduling_client.worker.runs import Run
from scheduling_client.worker.settings import (
    COMMIT_SECONDS,
    MOST_OPEN_BYTES,
    MOST_OPEN_RUNS,
    Settings,
)
from scheduling_client.worker.tracing import Spans

log = logging.getLogger("scheduling_client.worker")
LOOK_SECONDS = 0.02
"""Between two looks for runs that have to end before a partition goes, or the worker."""


class Engine:
    """Takes records, has their runs done, and answers them."""

    def __init__(
        self,
        settings: Settings,
        jobs: Mapping[str, Job],
        keeper: Keeper,
        figures: Figures,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` is told if the worker cannot go on."""
        self.failed = failed
        self._settings, self._keeper, self._figures = settings, keeper, figures
        self._lanes = {kind: Lane(job, figures.of[kind]) for kind, job in jobs.items()}
        self._loop = asyncio.get_running_loop()
        self._answerer = Answerer(settings, self._confirmed, failed)
        self._executor = Executor(self._begin_all)
        self._reader = Reader(settings, tuple(jobs), self)
        self._spans = Spans(settings.name)
        self._do = self._traced if self._spans.are_on else self._executor.run
        figures.at_work = lambda: {kind: len(lane.at_work) for kind, lane in self._lanes.items()}
        figures.waiting = lambda: {kind: len(lane.waiting) for kind, lane in self._lanes.items()}
        self._ledgers: dict[int, Ledger] = {}
        self._active: dict[str, Entry] = {}
        self._asking: list[Entry] = []
        self._to_note: list[tuple[Entry, Ended]] = []
        self._keeping: set[asyncio.Task[None]] = set()
        self._credits_due = self._open_runs = self._open_bytes = 0
        self._stopping = False
        self._beat_seconds = settings.completion_timeout_seconds / 3
        limits = [limit_of(job) for job in jobs.values() if job.timeout_seconds]
        self._look_seconds = max(LOOK_SECONDS, min([1.0, self._beat_seconds / 4, *limits]) / 4)
        self._tells_all = log.isEnabledFor(logging.DEBUG)

    @property
    def is_ready(self) -> bool:
        """Whether it is a member of its group."""
        return self._reader.is_ready and not self._stopping

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()
        self._loop.call_later(COMMIT_SECONDS, self._commit)
        self._loop.call_later(self._look_seconds, self._look)

    def rest(self) -> None:
        """Begin no more runs."""
        self._stopping = self._executor.is_stopping = True
        self._reader.rest()
        self._drop(entry for lane in self._lanes.values() for entry in lane.waiting)

    async def stop(self) -> int:
        """Let the runs at work end, then leave. Returns how many were not answered."""
        self.rest()
        await _until(lambda: not self._is_busy, self._settings.stop_within_seconds)
        at_work = self._at_work
        tasks = [entry.task for entry in at_work if entry.task is not None]
        for task in [*tasks, *self._keeping]:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        self._executor.close()
        await asyncio.to_thread(self._reader.close)
        self._answerer.flush(1)
        return len(at_work) + self._answerer.unconfirmed

    # --- The reader's side ------------------------------------------------------------------------

    def assigned(self, ledgers: Sequence[Ledger]) -> None:
        """These partitions are read from now on."""
        for each in ledgers:
            self._release(each.partition)
            self._ledgers[each.partition] = each

    async def released(self, partitions: Sequence[int], within_seconds: float) -> Offsets:
        """These partitions are read no more. Returns offsets to commit, once runs have ended."""
        ledgers = [each for each in map(self._release, partitions) if each is not None]
        self._drop(
            entry
            for lane in self._lanes.values()
            for entry in lane.waiting
            if entry.ledger.is_released
        )
        await _until(
            lambda: all(each.is_idle for each in ledgers),
            0 if self._stopping else within_seconds,
        )
        return {each.partition: each.committable for each in ledgers}

    def _release(self, partition: int) -> Ledger | None:
        ledger = self._ledgers.pop(partition, None)
        if ledger is not None:
            ledger.is_released = True
        return ledger

    def committed(self, offsets: Offsets) -> None:
        """Kafka has these offsets."""
        for partition, offset in offsets.items():
            ledger = self._ledgers.get(partition)
            if ledger is not None:
                ledger.committed = offset

    def receive(self, batch: Sequence[Message], *, credit: bool) -> None:
        """Records in their order."""
        try:
            found = self._open(batch)
            if found:
                self._ask(found)
        except Exception as fault:  # noqa: BLE001 - the worker ends with any fault
            self.failed(fault)
        finally:
            if credit:
                self._credits_due += 1
                self._return_credits()

    # --- In ---------------------------------------------------------------------------------------

    def _open(self, batch: Sequence[Message]) -> list[Entry]:
        found: list[Entry] = []
        if self._stopping:
            return found
        for message in batch:
            ledger, offset = self._ledgers.get(message.partition() or 0), message.offset() or 0
            if ledger is None or ledger.is_cut:
                continue
            if offset < ledger.position:
                ledger.is_cut = True
                self._reader.begin_anew(ledger.partition)
                continue
            ledger.position = offset + 1
            if message.key() == messages.QUEUED:
                entry = self._entry(message, ledger, offset)
                if entry is not None:
                    found.append(entry)
        return found

    def _entry(self, message: Message, ledger: Ledger, offset: int) -> Entry | None:
        """Its run, if the worker has to do it. Runs of other types cost as little as they can."""
        value = message.value() or b""
        try:
            job = messages.read_job(value)
            lane = self._lanes.get(job.type)
            if lane is None:
                return None
            if ledger.was_answered(offset, job.id):
                self._figures.skipped[names.ANSWERED] += 1
                return None
            run = messages.run_of(job, message, self._extend)
        except Exception:  # noqa: BLE001 - of a producer that is no scheduling service
            self._figures.skipped[names.UNREADABLE] += 1
            return None
        entry = Entry(run, lane, ledger, offset, len(value))
        ledger.begin(offset)
        self._open_runs += 1
        self._open_bytes += entry.size
        return entry

    def _ask(self, found: list[Entry]) -> None:
        """Ask the store which of them have ended."""
        self._asking += found
        if len(self._asking) == len(found):
            self._keep(self._ask_all())

    async def _ask_all(self) -> None:
        while self._asking:
            found = [*self._asking]
            known = await self._keeper.known([entry.occurrence for entry in found])
            del self._asking[: len(found)]
            self._sort(found, known)

    def _sort(self, found: Sequence[Entry], known: Mapping[str, str | None]) -> None:
        active = self._active
        for entry in found:
            occurrence = entry.occurrence
            if entry.ledger.is_released or self._stopping:
                self._give_up(entry)
            elif occurrence in active:
                active[occurrence].copies += (entry,)
                self._figures.skipped[names.REPEATED] += 1
            elif occurrence and occurrence in known:
                self._figures.skipped[names.REPEATED] += 1
                entry.lane.unanswered += 1
                self._answerer.answer(entry, Ended.from_store(known[occurrence]))
            else:
                if occurrence:
                    active[occurrence] = entry
                entry.lane.waiting.append(entry)
        self._begin_all()

    # --- At work ----------------------------------------------------------------------------------

    def _begin(self, lane: Lane) -> None:
        lane.begins_soon = False
        waiting, places = lane.waiting, lane.places(self._executor.abandoned(lane.job))
        while waiting and places > 0:
            entry = waiting.popleft()
            if entry.dropped:
                continue
            deadline = entry.run.deadline
            if deadline is not None and deadline <= datetime.now(UTC):
                self._expire(entry)
            else:
                places -= 1
                lane.at_work.add(entry)
                entry.task = self._loop.create_task(self._work(lane, entry))

    def _begin_all(self) -> None:
        for lane in self._lanes.values():
            if lane.waiting:
                self._begin(lane)

    def _begin_soon(self, lane: Lane) -> None:
        """Runs that end together leave their places together."""
        if lane.waiting and not lane.begins_soon:
            lane.begins_soon = True
            self._loop.call_soon(self._begin, lane)

    def _expire(self, entry: Entry) -> None:
        """The service has closed the run: its retry has a record of its own."""
        run = entry.run
        self._figures.skipped[names.EXPIRED] += 1
        log.warning(
            "run came after its deadline",
            extra={"type": run.type, "job": run.job_id, "run": run.occurrence_id},
        )
        self._close(entry)
        self._return_credits()

    async def _work(self, lane: Lane, entry: Entry) -> None:
        entry.began = entry.beaten = perf_counter()
        try:
            ended = await self._do(lane.job, entry.run)
        except asyncio.CancelledError:
            if not entry.is_late or self._has_cut(entry):
                self._active.pop(entry.occurrence, None)
                return  # at the end of the worker: the run comes again
            ended = too_long(lane.job)
        except BaseException as fault:  # noqa: BLE001 - of the kit itself: it ends the worker
            self.failed(fault)
            return
        finally:
            lane.at_work.discard(entry)
        took = perf_counter() - entry.began
        lane.figures.end(names.DONE if ended is DONE else _outcome(ended), took)
        if ended is not DONE or self._tells_all:
            self._tell(entry, ended, took)
        lane.unanswered += 1
        self._begin_soon(lane)
        self._note(entry, ended)

    async def _traced(self, job: Job, run: Run) -> Ended:
        with self._spans.of(run) as span:
            ended = await self._executor.run(job, run)
            span.end(ended)
        return ended

    @staticmethod
    def _has_cut(entry: Entry) -> bool:
        """Whether a run that is late was cancelled by the end of the worker as well."""
        return entry.task is None or entry.task.uncancel() > 0

    def _tell(self, entry: Entry, ended: Ended, took: float) -> None:
        run = entry.run
        told = {
            "type": run.type,
            "job": run.job_id,
            "run": run.occurrence_id,
            "attempt": run.attempt,
            "seconds": round(took, 3),
        }
        if ended.error is None:
            log.debug("run done", extra=told)
        else:
            log.warning("run failed", extra={**told, "error": ended.error})

    # --- Out --------------------------------------------------------------------------------------

    def _note(self, entry: Entry, ended: Ended) -> None:
        """Before its answer. Runs that end together are noted together."""
        self._to_note.append((entry, ended))
        if len(self._to_note) == 1:
            self._keep(self._note_all())

    async def _note_all(self) -> None:
        while self._to_note:
            ends = [*self._to_note]
            noted = {entry.occurrence: ended.to_store() for entry, ended in ends}
            noted.pop("", None)
            if noted:
                await self._keeper.note(noted)
            del self._to_note[: len(ends)]
            for entry, ended in ends:
                self._answerer.answer(entry, ended)

    def _confirmed(self, entries: Sequence[Entry]) -> None:
        """Kafka has the answers to them."""
        self._figures.answers += len(entries)
        for entry in entries:
            entry.lane.unanswered -= 1
            self._close(entry)
        self._begin_all()
        self._return_credits()

    def _close(self, entry: Entry) -> None:
        """The run has ended, and its copies with it."""
        occurrence = entry.occurrence
        if self._active.get(occurrence) is entry:
            del self._active[occurrence]
        entry.ledger.end(entry.offset)
        self._open_runs -= 1
        self._open_bytes -= entry.size
        for copy in entry.copies:
            self._close(copy)

    def _return_credits(self) -> None:
        """Let the reader bring more while there is room."""
        while (
            self._credits_due
            and self._open_runs < MOST_OPEN_RUNS
            and self._open_bytes < MOST_OPEN_BYTES
        ):
            self._credits_due -= 1
            self._reader.free()

    # --- Beside it --------------------------------------------------------------------------------

    def _drop(self, entries: Iterable[Entry]) -> None:
        """Runs that wait and will not begin. Their offsets stay open: another worker has them."""
        copies: list[Entry] = []
        for entry in list(entries):
            if not entry.dropped:
                entry.dropped = True
                self._active.pop(entry.occurrence, None)
                self._give_up(entry)
                copies += entry.copies
        for lane in self._lanes.values():
            lane.waiting = deque(entry for entry in lane.waiting if not entry.dropped)
        if copies:  # one on a partition that stays is done in the place of the first
            self._sort(copies, {})
        self._return_credits()

    def _give_up(self, entry: Entry) -> None:
        entry.ledger.give_up()
        self._open_runs -= 1
        self._open_bytes -= entry.size

    def _commit(self) -> None:
        offsets = {
            partition: ledger.committable
            for partition, ledger in self._ledgers.items()
            if ledger.committable != ledger.committed
        }
        if offsets:
            self._reader.commit(offsets)
        if not self._stopping:
            self._loop.call_later(COMMIT_SECONDS, self._commit)

    def _look(self) -> None:
        """End runs that are late, and send heartbeats for those that are at work for long."""
        now = perf_counter()
        for entry in self._at_work:
            limit = limit_of(entry.lane.job)
            if limit and entry.began and now - entry.began >= limit:
                if not entry.is_late and entry.task is not None:
                    entry.is_late = True
                    entry.task.cancel()
            elif entry.began and now - entry.beaten >= self._beat_seconds:
                entry.beaten = now
                self._extend(entry.run)
        if not self._stopping or self._at_work:
            self._loop.call_later(self._look_seconds, self._look)

    def _extend(self, run: Run) -> None:
        entry = self._active.get(run.occurrence_id)
        if entry is not None:
            self._figures.heartbeats += 1
            self._answerer.heartbeat(run, entry.ledger.partition)

    def _keep(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._keeping.add(task)
        task.add_done_callback(self._kept)

    def _kept(self, task: asyncio.Task[None]) -> None:
        self._keeping.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            self.failed(fault)

    @property
    def _at_work(self) -> list[Entry]:
        return [entry for lane in self._lanes.values() for entry in lane.at_work]

    @property
    def _is_busy(self) -> bool:
        return bool(self._at_work or self._keeping or self._answerer.is_busy)


async def _until(done: Callable[[], bool], within_seconds: float) -> None:
    """Return when it is done, or the time is up."""
    deadline = perf_counter() + within_seconds
    while not done() and perf_counter() < deadline:  # noqa: ASYNC110 - three kinds of ends meet here
        await asyncio.sleep(LOOK_SECONDS)


def _outcome(ended: Ended) -> str:
    if ended.error is None:
        return names.DONE
    if ended.final:
        return names.DISCARDED
    return names.RETRIED if ended.retry_after_ms else names.FAILED
