"""What the store should do, in the simplest words: lists, looked through from the start each time.

Written from docs/contract.md, without indexes, marks or counters that could be forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduling_srv.app.ports import WriteMode
from scheduling_srv.domain.backoff import BackoffType, retry_delay_ms
from scheduling_srv.domain.job import RANKS, NewJob, Priority, TriggerKind
from scheduling_srv.domain.properties import Properties
from tests.store.shard import DAY, Run, cron, job

EVEN_SECONDS = "*/2 * * * * *"


@dataclass(frozen=True)
class Spec:
    """A job as a client asks for it."""

    id: str
    kind: TriggerKind
    due: int
    type: str = "t"
    priority: Priority = Priority.NORMAL
    parallel: int = 0
    attempts: int = 0
    backoff: BackoffType = BackoffType.FIXED
    delay: int = 0
    interval: int = 0
    creator: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def job(self) -> NewJob:
        more: dict[str, Any] = {
            "type": self.type,
            "creator": self.creator,
            "properties": Properties(labels=dict(self.labels)) if self.labels else None,
            "priority": self.priority,
            "parallel": self.parallel,
            "attempts": self.attempts,
            "backoff": self.backoff,
            "delay": self.delay,
        }
        if self.kind is TriggerKind.CRON:
            return cron(self.id, EVEN_SECONDS, self.due, **more)
        interval = self.interval if self.kind is TriggerKind.INTERVAL else 0
        return job(self.id, self.kind, self.due, interval=interval, **more)


@dataclass(frozen=True)
class Living:
    """A job in the store."""

    spec: Spec
    seq: int


@dataclass
class Waiting:
    """A run that has not been staged."""

    job: Living
    due: int
    nominal: int
    attempt: int = 1
    held: bool = False
    settled: bool = False
    """It was held before."""
    kept: bool = False
    """It is of a former schedule: no other one follows it."""

    @property
    def place(self) -> tuple[int, ...]:
        """Priority, then due, then creation; then those of one job."""
        kind = 3 if self.kept else 1 if self.attempt > 1 else 2 if self.settled else 0
        rank = RANKS[self.job.spec.priority]
        return (rank, self.due, self.job.seq, kind, self.nominal, self.attempt)


@dataclass
class Running:
    """An unanswered run."""

    run: Run
    job: Living
    start: int
    published: int | None = None


class Model:
    """One shard."""

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self.jobs: dict[str, Living] = {}
        self.waiting: list[Waiting] = []
        self.running: dict[int, Running] = {}
        self.seq = self.instance = 0

    # --- Calls --------------------------------------------------------------------------------

    def write(self, mode: WriteMode, specs: Sequence[Spec], now: int) -> tuple[str, int] | None:
        """The refusal, if any."""
        for place, spec in enumerate(specs):
            old = self.jobs.get(spec.id)
            if mode is WriteMode.CREATE and old:
                return "exists", place
            if mode is WriteMode.UPDATE and (not old or old.spec.kind is TriggerKind.NOW):
                return "missing", place
        for spec in specs:
            self.seq += 1
            old = self.jobs.get(spec.id)
            if old and mode is WriteMode.UPSERT and _is_identical(old.spec, spec):
                continue
            living = Living(spec, self.seq)
            waits = self._kept(old, spec, now) if old else None
            if old and waits is None:
                living = Living(spec, old.seq)
                for each in self.running.values():
                    each.job = living if each.job is old else each.job
            self._remove(spec.id)
            self.jobs[spec.id] = living
            if not old:
                waits = [Waiting(living, spec.due, spec.due)]
            self.waiting += [replace(each, job=living, held=False) for each in waits or ()]
        return None

    def _kept(self, old: Living, spec: Spec, now: int) -> list[Waiting] | None:
        """What waits after a replacement; None: its only run is under way, and stays its run."""
        mine = [each for each in self.waiting if each.job is old]
        anew = Waiting(old, spec.due, spec.due)
        if old.spec.kind.recurring and spec.kind.recurring:
            kept = [each for each in mine if each.kept]
            (pending,) = [each for each in mine if not each.kept and each.attempt == 1]
            if _has_schedule(old.spec, spec):
                return [*kept, replace(pending, settled=pending.settled or pending.held)]
            if pending.due <= now:
                kept.append(replace(pending, kept=True))
            return [*(each for each in kept if each.nominal < spec.due), anew]
        if old.spec.kind is spec.kind is TriggerKind.ONCE and old.spec.due == spec.due:
            return [anew] if mine or old.spec.type != spec.type else None
        return [anew]

    def delete(self, ids: Sequence[str]) -> None:
        for job_id in ids:
            self._remove(job_id)

    def clear(self) -> None:
        self.delete(self.resources())

    def reset(self) -> None:
        self.delete(list(self.jobs))
        self.running.clear()

    def resources(self) -> list[str]:
        living = sorted(self.jobs.values(), key=lambda job: job.seq)
        return [job.spec.id for job in living if job.spec.kind is not TriggerKind.NOW]

    def _remove(self, job_id: str) -> None:
        gone = self.jobs.pop(job_id, None)
        self.waiting = [each for each in self.waiting if each.job is not gone]

    # --- Staging ------------------------------------------------------------------------------

    def count(self, kind: str) -> int:
        return sum(each.job.spec.type == kind for each in self.running.values())

    def stage(self, now: int, limit: int) -> list[Run]:
        self._let_try_again()
        due = [each for each in self.waiting if each.due <= now and not each.held]
        staged = []
        for each in sorted(due, key=lambda each: each.place)[:limit]:
            spec = each.job.spec
            if spec.parallel and self.count(spec.type) >= spec.parallel:
                each.held = True
            else:
                staged.append(self._start(each, now))
        return staged

    def started(self, runs: Sequence[Run], now: int) -> None:
        """As if only these of the next runs had been staged."""
        for run in runs:
            (each,) = [
                each
                for each in self.waiting
                if (each.job.seq, each.nominal, each.attempt) == (run.seq, run.nominal, run.attempt)
            ]
            self._start(each, now)

    def _let_try_again(self) -> None:
        """Of the held runs of a type and a limit, as many as there are free places."""
        limits = {(each.job.spec.type, each.job.spec.parallel) for each in self.waiting}
        for kind, parallel in limits:
            held = [
                each
                for each in self.waiting
                if each.held and (each.job.spec.type, each.job.spec.parallel) == (kind, parallel)
            ]
            free = max(0, parallel - self.count(kind))
            for each in sorted(held, key=lambda each: each.place)[:free]:
                each.held, each.settled = False, True

    def _start(self, each: Waiting, now: int) -> Run:
        self.waiting.remove(each)
        spec, seq = each.job.spec, each.job.seq
        self.instance += 1
        run = Run(spec.id, self.instance, each.nominal, each.attempt, seq, spec.kind)
        self.running[run.instance] = Running(run, each.job, now)
        if each.attempt == 1 and spec.kind.recurring and not each.kept:
            period = spec.interval if spec.kind is TriggerKind.INTERVAL else 2000
            phase = each.nominal if spec.kind is TriggerKind.INTERVAL else 0
            following = each.nominal + period - (each.nominal - phase) % period
            self.waiting.append(Waiting(each.job, following, following))
        return run

    # --- Answers ------------------------------------------------------------------------------

    def answer(self, instance: int, *, failed: bool, now: int) -> bool:
        ended = self.running.pop(instance, None)
        if ended is None:
            return False
        spec, run = ended.job.spec, ended.run
        if self.jobs.get(spec.id) is not ended.job:
            return True
        if failed and run.attempt < spec.attempts:
            due = now + retry_delay_ms(spec.backoff, spec.delay, run.attempt, DAY)
            self.waiting.append(Waiting(ended.job, due, run.nominal, run.attempt + 1))
        elif not spec.kind.recurring:
            self._remove(spec.id)
        return True

    def publish(self, now: int) -> None:
        for each in self.running.values():
            if each.published is None:
                each.published = now

    def late(self, now: int, precision: int = 0) -> set[int]:
        """Runs that were published so long ago that they time out, as the store may know it."""
        latest = now - self.timeout + precision
        return {
            instance
            for instance, each in self.running.items()
            if each.published is not None and each.published <= latest
        }

    def expire(self, instances: Iterable[int], now: int) -> None:
        for instance in sorted(instances):
            self.answer(instance, failed=True, now=now)


def _has_schedule(old: Spec, new: Spec) -> bool:
    """All cron jobs have the same one."""
    same_period = old.interval == new.interval or new.kind is TriggerKind.CRON
    return old.kind is new.kind and same_period


def _is_identical(old: Spec, new: Spec) -> bool:
    if old.kind is TriggerKind.NOW:
        return False
    is_once = old.kind is TriggerKind.ONCE
    is_same = old.due == new.due if is_once else _has_schedule(old, new)
    return is_same and _normalized(old) == _normalized(new)


def _normalized(spec: Spec) -> Spec:
    """All but the trigger."""
    return replace(spec, due=0, interval=0, attempts=max(1, spec.attempts))
