"""The rules of due runs, against a model that goes through time millisecond by millisecond."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.recurrence import Every, Matches, Recurrence, passed
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.run_rules import (
    DueRun,
    MissedRule,
    Overlap,
    RunCount,
    RunKind,
    RunRules,
    Situation,
    Verdict,
    decide,
    is_finished,
    make_up,
)

NEXT, MISSED, MANUAL, RETRY = RunKind.NEXT, RunKind.MISSED, RunKind.MANUAL, RunKind.RETRY
KEPT = RunKind.KEPT
END = 60


class Started(NamedTuple):
    nominal: int
    at: int


@dataclass
class Life:
    """A recurring job that is staged in each millisecond, by the rules."""

    rules: RunRules
    recurrence: Every
    durations: Sequence[int]
    """Of the runs, in the order of their start."""
    pauses: Sequence[range] = ()
    started: list[Started] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    count: RunCount = field(default_factory=RunCount)
    ends: list[int] = field(default_factory=list)
    next: int | None = None
    rests: int | None = None
    """The occurrence that waits for the end of an open run."""
    passed_since: int | None = None

    def live(self) -> None:
        self.next = self.recurrence.first
        for now in range(END):
            self._tick(now)

    def is_paused(self, now: int) -> bool:
        return any(now in pause for pause in self.pauses)

    def _tick(self, now: int) -> None:
        self.ends = [end for end in self.ends if end > now]
        if self.passed_since is not None and not self.is_paused(now):
            gone = passed(self.recurrence, self.passed_since, now - 1)
            self.skipped += range(self.passed_since, now, self.recurrence.period)
            assert gone.number == len(range(self.passed_since, now, self.recurrence.period))
            self.next, self.passed_since = gone.next, None
        if self.rests is not None and not self.ends and not self.is_paused(now):
            nominal, self.rests = self.rests, None
            self._decide(KEPT, nominal, now)
        while self.next is not None and self.next <= now:
            nominal = self.next
            self._decide(NEXT, nominal, now)
            following = self.recurrence.next_after(nominal)
            finished = is_finished(self.rules, self.count.counted, following)
            self.next = None if finished or self.passed_since is not None else following

    def _decide(self, kind: RunKind, nominal: int, now: int) -> None:
        at = Situation(now, self.is_paused(now), len(self.ends), waits=self.rests is not None)
        verdict = decide(DueRun(kind, nominal), self.rules, at)
        if verdict is Verdict.START:
            duration = self.durations[len(self.started) % len(self.durations)]
            self.ends.append(now + duration)
            self.started.append(Started(nominal, now))
            self.count = self.count.after(nominal)
        elif verdict is Verdict.WAIT:
            self.rests = nominal
        elif verdict is Verdict.PASS:
            self.passed_since = nominal
        else:
            self.skipped.append(nominal)


def naive_one(first: int, period: int, durations: Sequence[int]) -> list[Started]:
    """Occurrence by occurrence, without looking at each millisecond."""
    started = list[Started]()
    free_at, waiting = 0, None

    def start(nominal: int, at: int) -> int:
        started.append(Started(nominal, at))
        return at + durations[(len(started) - 1) % len(durations)]

    for nominal in range(first, END, period):
        if waiting is not None and free_at <= nominal:
            free_at, waiting = start(waiting, free_at), None
        if free_at <= nominal:
            free_at = start(nominal, nominal)
        elif waiting is None:
            waiting = nominal
    if waiting is not None and free_at < END:
        start(waiting, free_at)
    return started


JOBS = st.tuples(
    st.integers(0, 10), st.integers(1, 12), st.lists(st.integers(1, 30), min_size=1, max_size=8)
)


@given(JOBS)
def test_one_run_waits_and_later_ones_are_skipped(job: tuple[int, int, list[int]]) -> None:
    first, period, durations = job
    life = Life(RunRules(Overlap.ONE), Every(first, period), durations)
    life.live()
    assert life.started == naive_one(first, period, durations)
    waiting = {life.rests} - {None}
    seen = {each.nominal for each in life.started} | {*life.skipped} | waiting
    assert seen == {*range(first, END, period)}


@given(JOBS)
def test_skipping_starts_a_run_when_none_is_open(job: tuple[int, int, list[int]]) -> None:
    first, period, durations = job
    life = Life(RunRules(Overlap.SKIP), Every(first, period), durations)
    life.live()
    expected, free_at = list[Started](), 0
    for nominal in range(first, END, period):
        if nominal >= free_at:
            free_at = nominal + durations[len(expected) % len(durations)]
            expected.append(Started(nominal, nominal))
    assert life.started == expected


@given(JOBS, st.integers(1, 20))
def test_as_many_runs_as_wanted(job: tuple[int, int, list[int]], most: int) -> None:
    first, period, durations = job
    life = Life(RunRules(max_runs=most), Every(first, period), durations)
    life.live()
    assert [each.nominal for each in life.started] == [*range(first, END, period)][:most]


@given(JOBS, st.integers(1, 100))
def test_no_run_after_the_end(job: tuple[int, int, list[int]], end: int) -> None:
    """The first run is looked at when the job is created."""
    first, period, durations = job
    life = Life(RunRules(end=max(end, first)), Every(first, period), durations)
    life.live()
    expected = [each for each in range(first, END, period) if each <= max(end, first)]
    assert [each.nominal for each in life.started] == expected


PAUSES = st.lists(st.tuples(st.integers(0, END), st.integers(0, 20)), max_size=4)


@given(JOBS, PAUSES)
def test_occurrences_of_a_pause_are_skipped_and_no_others(
    job: tuple[int, int, list[int]], spans: list[tuple[int, int]]
) -> None:
    first, period, durations = job
    pauses = [range(start, start + size) for start, size in spans]
    life = Life(RunRules(), Every(first, period), durations, pauses)
    life.live()
    nominals = range(first, END, period)
    resting = life.passed_since is not None
    expected = [each for each in nominals if not any(each in pause for pause in pauses)]
    assert [each.nominal for each in life.started] == expected
    assert all(each.at == each.nominal for each in life.started)
    if not resting:
        assert life.skipped == [each for each in nominals if each not in expected]


@pytest.mark.parametrize(
    ("kind", "rules", "at", "verdict"),
    [
        (NEXT, RunRules(), Situation(0), Verdict.START),
        (NEXT, RunRules(), Situation(0, places=False), Verdict.HOLD),
        (NEXT, RunRules(), Situation(0, paused=True), Verdict.PASS),
        (MISSED, RunRules(), Situation(0, paused=True), Verdict.REST),
        (RETRY, RunRules(), Situation(0, paused=True), Verdict.REST),
        (MANUAL, RunRules(), Situation(0, paused=True), Verdict.START),
        (MANUAL, RunRules(), Situation(0, places=False), Verdict.HOLD),
        (MANUAL, RunRules(Overlap.SKIP), Situation(0, open_runs=1), Verdict.START),
        (RETRY, RunRules(Overlap.SKIP), Situation(0, open_runs=1), Verdict.START),
        (NEXT, RunRules(Overlap.SKIP), Situation(0, open_runs=1), Verdict.SKIP_OPEN),
        (NEXT, RunRules(Overlap.ONE), Situation(0, open_runs=1), Verdict.WAIT),
        (NEXT, RunRules(Overlap.ONE), Situation(0, open_runs=1, waits=True), Verdict.SKIP_OPEN),
        (NEXT, RunRules(start_deadline=5), Situation(5), Verdict.START),
        (NEXT, RunRules(start_deadline=5), Situation(6), Verdict.SKIP_LATE),
        (RETRY, RunRules(start_deadline=5), Situation(6), Verdict.START),
        (MANUAL, RunRules(start_deadline=5), Situation(6), Verdict.START),
        (NEXT, RunRules(start_deadline=5), Situation(6, paused=True), Verdict.PASS),
    ],
)
def test_the_first_rule_that_applies(
    kind: RunKind, rules: RunRules, at: Situation, verdict: Verdict
) -> None:
    assert decide(DueRun(kind, 0), rules, at) is verdict


def test_a_paused_one_time_run_waits() -> None:
    paused = Situation(0, paused=True)
    assert decide(DueRun(NEXT, 0), RunRules(), paused, recurring=False) is Verdict.REST


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 3)), max_size=20))
def test_a_run_that_is_staged_again_counts_once(runs: list[tuple[int, int]]) -> None:
    count, nominal = RunCount(), 0
    for gap, times in runs:
        nominal += gap
        for _ in range(times):
            count = count.after(nominal)
    assert count.counted == len(runs)


# --- After an outage ----------------------------------------------------------------------------

BERLIN = zone("Europe/Berlin")
BEFORE_DST = 1_806_105_600_000  # 2027-03-27T00:00:00Z, a day before the clock is put forward
HOUR = 3_600_000
RECURRENCES: st.SearchStrategy[Recurrence] = st.one_of(
    st.builds(
        Every, st.integers(0, 10**6).map(lambda ms: BEFORE_DST + ms), st.integers(60_000, HOUR)
    ),
    st.builds(
        Matches,
        st.sampled_from(["*/7 * * * *", "30 2 * * *", "0,20 1-4 * * *", "15 */2 * * *"]).map(
            Cron.parse
        ),
        st.just(BERLIN),
    ),
)


@given(
    RECURRENCES,
    st.integers(0, 40 * HOUR),
    st.one_of(st.none(), st.integers(0, 30 * HOUR)),
    st.booleans(),
    st.integers(1, 50),
)
def test_what_is_made_up_for(
    recurrence: Recurrence, outage: int, window: int | None, latest: bool, most: int
) -> None:
    due = recurrence.next_after(BEFORE_DST)
    assert due is not None
    resumed_at = due + outage
    all_missed = [due]
    while (
        following := recurrence.next_after(all_missed[-1])
    ) is not None and following <= resumed_at:
        all_missed.append(following)
    runs = all_missed[-most:]
    if window is not None:
        runs = runs[bisect_left(runs, resumed_at - window) :]
    older = all_missed[: len(all_missed) - len(runs)]

    found = make_up(recurrence, due, resumed_at, MissedRule(window, latest), most)
    if not older:
        assert found == (due, NEXT, 0)
    elif latest:
        assert found == (older[-1], MISSED, len(older) - 1)
    else:
        assert found == (recurrence.next_after(older[-1]), NEXT, len(older))


@given(RECURRENCES, st.integers(-HOUR, 40 * HOUR))
def test_occurrences_that_pass(recurrence: Recurrence, span: int) -> None:
    since = recurrence.next_after(BEFORE_DST)
    assert since is not None
    gone, at = list[int](), since
    while at <= since + span:
        gone.append(at)
        at = recurrence.next_after(at) or 0
    assert passed(recurrence, since, since + span) == (len(gone), at)


def test_counting_is_exact() -> None:
    assert passed(Every(0, 1), 0, 10**9).number == 10**9 + 1
    count = passed(Matches(Cron.parse("* * * * * *"), BERLIN), 0, 10**12).number
    assert count == 10**9 + 1
