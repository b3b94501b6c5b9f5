"""The jobs of scheduling.v1 of one history: their definitions, runs, pauses and ends."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from chaos.history import OK, REFUSED, UNKNOWN
from chaos.model import FOREVER, PRECISION_MS, Announced, Answer, Model, Run
from chaos.v1 import facts
from chaos.v1.facts import Call, Final
from chaos.v1.specs import Spec

SCHEDULE, MANUAL, BACKFILL = "schedule", "manual", "backfill"
AHEAD_MS = 500
"""A run is staged less than that before it is due."""
MARKS = {"m": MANUAL, "b": BACKFILL}
SILENCE_MS = 1_000
"""A service that catches up emits more often: a run of 2018 is due every 100 ms."""


class Emission(NamedTuple):
    """One emission of a run of scheduling.v1: a record of the jobs topic."""

    run: Run
    run_id: str
    seq: int
    """The number of the definition."""
    origin: str
    number: int
    """Its count, of a job with `max_runs`; else 0."""

    @property
    def is_first(self) -> bool:
        """Whether it is the first attempt at an occurrence of the schedule."""
        return self.origin == SCHEDULE and self.run.attempt == 1


class Span(NamedTuple):
    """From one instant to another, in epoch ms."""

    begin: int
    end: int

    def meets(self, begin: int, end: int) -> bool:
        """Whether they share an instant."""
        return self.begin <= end and begin <= self.end


@dataclass(slots=True)
class Ended:
    """A `jobsDeleted`."""

    at: int
    offset: int
    outcome: str


@dataclass(slots=True)
class JobHistory:
    """A job, by its id, through all its definitions."""

    id: str
    specs: list[tuple[Spec, Call]] = field(default_factory=list)
    """Those that were asked for and not refused, in the order of the calls."""
    emissions: list[Emission] = field(default_factory=list)
    """Committed, in the order of the topic."""
    chains: dict[str, list[Emission]] = field(default_factory=dict)
    """The attempts of each run, by its id."""
    created: list[tuple[int, int, str]] = field(default_factory=list)
    """At, offset and tag."""
    deleted: list[Ended] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """All that name it, in their order."""

    @property
    def spec(self) -> Spec:
        """Its first definition, which says the schedule of all."""
        return self.specs[0][0]

    @property
    def all(self) -> list[Spec]:
        """Its definitions."""
        return [spec for spec, _ in self.specs]

    @property
    def firsts(self) -> list[Emission]:
        """First attempts at occurrences of the schedule."""
        return [emission for emission in self.emissions if emission.is_first]

    @property
    def end(self) -> int:
        """When it was gone for good."""
        gone = self.deleted[-1] if self.deleted else None
        if gone and (not self.created or self.created[-1][1] < gone.offset):
            return gone.at
        return FOREVER

    def revisions_before(self, last: Call | None) -> tuple[int, int]:
        """The lowest and the highest revision that it may have when a call begins, or at the end.

        An Update whose outcome is unknown may count. No two callers change the same job.
        """
        sure, doubt = 1, 0
        for call in self.calls:
            if call is last:
                break
            if call.op == facts.UPDATE and call.outcome == OK:
                sure, doubt = call.answer["revision"], 0
            elif call.op == facts.UPDATE and call.outcome == UNKNOWN:
                doubt += 1
        return sure, sure + doubt

    def add(self, emission: Emission) -> None:
        """The next one on the topic."""
        self.emissions.append(emission)
        self.chains.setdefault(emission.run_id, []).append(emission)

    def __str__(self) -> str:
        return f"{self.id} ({self.spec.tag})"


class V1Model:
    """Indexes over the part of a history that is about scheduling.v1."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.skew = model.skew
        self.calls: list[Call] = []
        self.finals: dict[str, Final] | None = None
        self.read_at = 0
        """When `finals` were asked for."""
        self.read_until = 0
        """When they were there."""
        self.jobs: dict[str, JobHistory] = {}
        self.by_tag: dict[str, Spec] = {}
        self.refused: dict[str, Call] = {}
        """Definitions that were refused, by tag."""
        self.strangers: list[Emission] = []
        """Runs without a call that asked for them."""
        self.again: list[Emission] = []
        """Copies, where they are allowed."""
        self.copies = [_emission(run) for run in model.v1_copies]
        """Records that only readers of uncommitted records saw."""
        self.orphans: list[Announced] = []
        """Announcements of jobs without a definition that was accepted."""
        self.beats: dict[int, list[int]] = defaultdict(list)
        """Heartbeats: epoch ms by instance."""
        self._read_lines(model.history.v1)
        for beat in model.beats:
            self.beats[beat.instance].append(beat.at)
        for call in self.calls:
            self._note_specs(call)
        for call in self.calls:
            for name in {*call.names, *(spec.id for spec in call.specs)} & {*self.jobs}:
                self.jobs[name].calls.append(call)
        self._arrange_runs(model.v1_runs)
        self._arrange_events(model.v1_events)
        self.pauses = {name: self._possible_pauses(name) for name in self._paused_names()}
        began = min((call.begun for call in self.calls), default=0)
        self._ticks = {shard: [began] for shard in range(model.settings.shards)}
        """When runs of 2018 were put on the topic, by shard, after the first call."""
        for at, shard in sorted((run.at, self._shard(run.type)) for run in model.runs):
            if at > began:
                self._ticks[shard].append(at)
        self._told: dict[tuple[int, int], int] = {}
        """By shard and instant: see `told_by`."""
        self._calm = {shard: list(self._calm_in(ticks)) for shard, ticks in self._ticks.items()}

    # --- Building ---------------------------------------------------------------------------------

    def _read_lines(self, lines: Iterable[dict[str, Any]]) -> None:
        calls: dict[int, Call] = {}
        for given in lines:
            line = dict(given)
            kind = line.pop("kind")
            if kind == facts.CALL:
                call = facts.read_call(line)
                calls[call.number] = call
                self.calls.append(call)
            elif kind == facts.TOLD:
                call = calls[line.pop("number")]
                call.ended, call.outcome, call.code = line["at"], line["outcome"], line["code"]
                call.answer = line["answer"]
            elif kind == facts.FINAL:
                self.read_at, self.read_until = line["at"], line.get("until", line["at"])
                self.finals = {each["id"]: Final(**each) for each in line["jobs"]}

    def _arrange_runs(self, runs: Iterable[Run]) -> None:
        known: set[tuple[str, int]] = set()
        may_come_again = self.model.settings.delivery == "at_least_once"
        for run in runs:
            emission = _emission(run)
            if run.tag not in self.by_tag:
                self.strangers.append(emission)
            elif (emission.run_id, run.attempt) in known and may_come_again:
                self.again.append(emission)
            else:
                known.add((emission.run_id, run.attempt))
                self.jobs[self.by_tag[run.tag].id].add(emission)

    def _arrange_events(self, events: Iterable[Announced]) -> None:
        for event in events:
            if job := self.jobs.get(event.job_id):
                if event.tag:
                    job.created.append((event.at, event.offset, event.tag))
                else:
                    job.deleted.append(Ended(event.at, event.offset, event.outcome))
            else:
                self.orphans.append(event)

    def _note_specs(self, call: Call) -> None:
        existing = call.answer.get("existing", [])
        for place, spec in enumerate(call.specs):
            if place >= len(existing) or not existing[place]:
                self._note_spec(spec, call)

    def _note_spec(self, spec: Spec, call: Call) -> None:
        if call.outcome == REFUSED:
            if spec.tag not in self.by_tag:
                self.refused[spec.tag] = call
            return
        job = self.jobs.setdefault(spec.id, JobHistory(spec.id))
        if spec.tag not in self.by_tag:  # else the request was sent again
            job.specs.append((spec, call))
        self.by_tag[spec.tag] = spec

    # --- Pauses -----------------------------------------------------------------------------------

    def _paused_names(self) -> set[tuple[str, str]]:
        return {
            (call.op, name)
            for call in self.calls
            if call.op in (facts.PAUSE, facts.PAUSE_TYPE)
            for name in call.names
        }

    def _possible_pauses(self, key: tuple[str, str]) -> list[Span]:
        """When a job or a type may have been paused."""
        op, name = key
        ends = self._resumes(op, name)
        spans = []
        for call in self._of(op, name):
            over = (
                each.ended
                for each in ends
                if each.outcome == OK and each.begun >= (call.ended or FOREVER)
            )
            known = call.outcome == OK
            spans.append(Span(call.begun, next((at for at in over if at), FOREVER)))
            if not known:
                spans[-1] = Span(call.begun, FOREVER)
        return spans

    def _resumes(self, op: str, name: str) -> list[Call]:
        return list(self._of(facts.RESUME if op == facts.PAUSE else facts.RESUME_TYPE, name))

    def _of(self, op: str, name: str) -> Iterator[Call]:
        return (
            call
            for call in self.calls
            if call.op == op and name in call.names and call.outcome != REFUSED
        )

    def may_be_paused(self, job: JobHistory, begin: int, end: int) -> bool:
        """Whether a pause of the job or its type may have been in force between two instants."""
        keys = ((facts.PAUSE, job.id), (facts.PAUSE_TYPE, job.spec.type))
        return any(span.meets(begin, end) for key in keys for span in self.pauses.get(key, ()))

    def sure_pauses(self, job: JobHistory, *, types: bool = True) -> Iterator[Span]:
        """When the job, or its type, was surely paused: from the answer to the next Resume.

        A job that is finished is not paused any more: retries of its last runs go on.
        """
        keys = [(facts.PAUSE, job.id), (facts.PAUSE_TYPE, job.spec.type)]
        for op, name in keys if types else keys[:1]:
            ends = self._resumes(op, name)
            for call in self._of(op, name):
                if call.outcome != OK or not call.ended:
                    continue
                if op == facts.PAUSE and job.end <= call.ended + self.skew:
                    continue
                doubtful = any(each.outcome == UNKNOWN and each.begun < call.ended for each in ends)
                over = min((e.begun for e in ends if e.begun >= call.begun), default=FOREVER)
                if not doubtful and over > call.ended:
                    yield Span(call.ended, over)

    # --- Ends -------------------------------------------------------------------------------------

    def enders(self, job: JobHistory) -> Iterator[tuple[int, int]]:
        """When a client may have ended the job: from when on, and by when if it is known."""
        for call in job.calls:
            if call.op == facts.DELETE and call.outcome != REFUSED:
                yield call.begun, (call.ended or FOREVER) if call.outcome == OK else FOREVER
        since = job.specs[0][1].begun
        for sweep in (*self.model.sweeping, *self.model.calls_on.get(job.id, ())):
            over = sweep.ended or FOREVER if sweep.outcome == OK else FOREVER
            if over >= since:
                yield sweep.begun, over

    def end_begins(self, job: JobHistory) -> int:
        """From when on a client may have ended it."""
        return min((begin for begin, _ in self.enders(job)), default=FOREVER)

    # --- Runs -------------------------------------------------------------------------------------

    def answers_to(self, emission: Emission) -> list[Answer]:
        """Answers behind the run that name no other one."""
        return self.model.answers_to(emission.run)

    def earliest_timeout(self, emission: Emission) -> int:
        """When this attempt may have timed out at the earliest."""
        run, spec = emission.run, self.by_tag[emission.run.tag]
        timeout = spec.timeout or self.model.settings.completion_timeout
        begun = max(run.nominal, run.at - PRECISION_MS)
        deadline = max(run.at, begun + timeout - 2 * self.skew)
        for beat in sorted(self.beats.get(run.instance, ())):
            if run.at <= beat <= deadline - PRECISION_MS:
                deadline = max(deadline, beat + timeout - 2 * self.skew)
        return deadline

    def latest_timeout(self, emission: Emission) -> int:
        """By when it has timed out if nothing is wrong with the servers."""
        spec = self.by_tag[emission.run.tag]
        timeout = spec.timeout or self.model.settings.completion_timeout
        last: int = max((emission.run.at, *self.beats.get(emission.run.instance, ())))
        return last + timeout + self.skew

    def is_surely_open(self, job: JobHistory, run_id: str, by: Run) -> bool:
        """Whether a run had no final outcome when another one was put on the topic."""
        attempts = [emission for emission in job.chains[run_id] if emission.run.offset < by.offset]
        return bool(attempts) and self.has_no_outcome(attempts[-1], by.at, before=by.offset)

    def has_no_outcome(
        self, last: Emission, at: int, *, before: int = 0, apart_from: Call | None = None
    ) -> bool:
        """Whether a run, with this as its last attempt, surely had no final outcome at an instant.

        Answers before that instant count, or those `before` an offset, if it is given.
        `apart_from`: a cancel that may have been the first.
        """
        if self.may_be_cancelled(last.run_id, at, apart_from=apart_from):
            return False
        is_last = last.run.attempt >= attempts_of(self.by_tag[last.run.tag])
        answers = [
            each
            for each in self.answers_to(last)
            if (each.offset < before if before else each.at <= at)
        ]
        if answers and (is_last or not all(each.failed for each in answers)):
            return False
        return not (is_last and self.earliest_timeout(last) <= at)

    def beside(
        self, job: JobHistory, emissions: Sequence[Emission]
    ) -> Iterator[tuple[Emission, list[str]]]:
        """Each of these runs of a job, and the earlier ones that were surely open beside it.

        Both are of one definition.
        """
        alive: dict[int, set[str]] = defaultdict(set)
        for emission in emissions:
            others = alive[emission.seq]
            others.intersection_update(
                [run_id for run_id in others if self.is_surely_open(job, run_id, emission.run)]
            )
            yield emission, sorted(others - {emission.run_id})
            others.add(emission.run_id)

    def open_until(self, job: JobHistory, run_id: str) -> int:
        """By when a run has its final outcome, if nothing is wrong with the servers."""
        last = job.chains[run_id][-1]
        answers = self.answers_to(last)
        return min(answers[0].at if answers else FOREVER, self.latest_timeout(last))

    def may_be_cancelled(
        self, run_id: str, by: int = FOREVER, *, apart_from: Call | None = None
    ) -> bool:
        """Whether a caller may have cancelled the run by then, with another call than this one."""
        cancels = self._of(facts.CANCEL, run_id)
        return any(call.begun <= by and call is not apart_from for call in cancels)

    # --- The machine ------------------------------------------------------------------------------

    def had_fault(self, begin: int, end: int, *names: str) -> bool:
        """Whether a fault was under way between two instants; of these kinds, if any are named."""
        return any(
            fault.begun <= end and begin <= max(fault.ended, fault.healed)
            for fault in self.model.history.faults
            if not names or fault.name.startswith(names)
        )

    def was_away(self, begin: int, end: int) -> bool:
        """Whether no replica ran between two instants, so that none staged a run."""
        return any(
            away.begin < begin - self.skew - AHEAD_MS and away.end > end + self.skew
            for away in self.outages()
        )

    def outages(self) -> Iterator[Span]:
        """When no replica ran. Other faults start replicas, so they must be apart."""
        for fault in self.model.history.faults:
            if fault.name in ("outage", "kill-all"):
                others = (each for each in self.model.history.faults if each is not fault)
                if not any(
                    each.begun <= fault.ended and fault.begun <= each.ended for each in others
                ):
                    yield Span(fault.begun, fault.ended)

    def _shard(self, type_: str) -> int:
        return self.model.settings.shard(type_)

    def silences(self, job: JobHistory, begin: int, end: int) -> Iterator[Span]:
        """Between records of runs of 2018 of its shard, one of which is due every 100 ms.

        Owners of other shards work while its owner is away.
        """
        ticks = self._ticks[self._shard(job.spec.type)]
        first = max(0, bisect_left(ticks, begin) - 1)
        for place in range(first, len(ticks) - 1):
            if ticks[place] > end:
                return
            yield Span(ticks[place], ticks[place + 1])

    def told_by(self, job: JobHistory, instant: int) -> int:
        """By when all that Redis showed at an instant was on Kafka: the outbox has an order."""
        key = self._shard(job.spec.type), instant
        if key not in self._told:
            staged_later = (
                run.at
                for run in self.model.runs
                if run.nominal > instant + self.skew and self._shard(run.type) == key[0]
            )
            self._told[key] = min(staged_later, default=FOREVER)
        return self._told[key]

    def served_before(self, job: JobHistory, instant: int, enough: int) -> int:
        """Runs that were due by then had their time before an instant; 0: none had.

        For `enough` ms behind it runs of 2018 of its shard came without a silence, and no fault
        was under way.
        """
        shard = self._shard(job.spec.type)
        ticks, calm = self._ticks[shard], self._calm[shard]
        place = bisect_left(ticks, instant)
        last = ticks[place - 1] if place else 0
        for stretch in reversed(calm[: bisect_left(calm, Span(last, 0))]):
            if min(stretch.end, last) - stretch.begin >= enough:
                return min(stretch.end, last) - enough
        return 0

    def _calm_in(self, ticks: Sequence[int]) -> Iterator[Span]:
        """Between faults and silences, in their order."""
        faults = [
            Span(each.begun, max(each.ended, each.healed)) for each in self.model.history.faults
        ]
        silences = [
            Span(earlier, later)
            for earlier, later in pairwise(ticks)
            if later - earlier > SILENCE_MS
        ]
        begin, end = ticks[0], ticks[-1]
        for trouble in sorted([*faults, *silences, Span(end, FOREVER)]):
            if trouble.begin > begin:
                yield Span(begin, trouble.begin)
            begin = max(begin, trouble.end)

    def was_smooth(self, job: JobHistory, begin: int, end: int, longest: int) -> bool:
        """Whether nothing was done to the service, and its runs came without a longer silence."""
        if self.had_fault(begin - 20_000, end):
            return False
        return all(each.end - each.begin < longest for each in self.silences(job, begin, end))


def _emission(run: Run) -> Emission:
    run_id = run.occurrence.rpartition("/")[0]
    _, seq, nominal = run_id.rsplit("/", 2)
    return Emission(run, run_id, int(seq), MARKS.get(nominal[-1:], SCHEDULE), run.number)


def attempts_of(spec: Spec) -> int:
    """How many attempts a run has."""
    return max(1, spec.attempts)
