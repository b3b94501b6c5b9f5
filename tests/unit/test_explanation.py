"""Why a job ran, ran late, or did not run: facts to reasons, and to sentences."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.preview import Recurring, read_recurring
from scheduling_client.schedules.recurrence import Every
from scheduling_client.schedules.zone import UTC, zone
from scheduling_srv.domain.explanation.decision import explain
from scheduling_srv.domain.explanation.facts import Emitted, Facts, JobFacts, TopicRead
from scheduling_srv.domain.explanation.reasons import Explained, Verdict
from scheduling_srv.domain.explanation.words import sentences
from scheduling_srv.domain.intervals import (
    EndedPause,
    Farewell,
    Gone,
    IntervalLogs,
    Outage,
    Owned,
)
from scheduling_srv.domain.pause import Pause, Pauses
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import HeldBy, Run, RunId, RunOrigin, RunOutcome, RunState
from scheduling_srv.domain.run_rules import MissedRule, Overlap, RunKind, make_up
from scheduling_srv.domain.timetable import Timetable

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
BEGIN = 1_700_006_400_000
"""2023-11-15T00:00:00Z."""
NOW = BEGIN + 12 * HOUR + 30 * MINUTE
EACH_HOUR = Timetable("every 1 hour", UTC, BEGIN, Every(BEGIN, HOUR))


def hourly(**more: Any) -> JobFacts:
    asked = {key: more.pop(key) for key in list(more) if key in Properties.__dataclass_fields__}
    facts: dict[str, Any] = {"created": BEGIN - HOUR, "updated": BEGIN - HOUR}
    facts |= {"next": BEGIN + 13 * HOUR, **more}
    return JobFacts(1, EACH_HOUR, asked=Properties(**asked), **facts)


def run_of(hour: int, **more: Any) -> Run:
    """A run of an hour that took a minute."""
    nominal = BEGIN + hour * HOUR
    known: dict[str, Any] = {"attempts": 1, "started": nominal, "ended": nominal + MINUTE}
    known |= {"outcome": RunOutcome.DONE, "state": RunState.ENDED, **more}
    return Run(RunId("j", 1, nominal, known.pop("origin", RunOrigin.SCHEDULE)), "t", **known)


def skipped(hour: int, why: str, outcome: RunOutcome = RunOutcome.SKIPPED) -> Run:
    return run_of(hour, attempts=0, started=0, outcome=outcome, error=why)


def asked(hour: float | None, job: JobFacts | None = None, **more: Any) -> Explained:
    """About the run of an hour of this job."""
    at = None if hour is None else BEGIN + int(hour * HOUR)
    logs = {key: more.pop(key) for key in list(more) if key in IntervalLogs.__dataclass_fields__}
    return explain(Facts("j", at, NOW, job, logs=IntervalLogs(**logs), **more))


def said(found: Explained) -> str:
    return " ".join(sentences(found.reasons, UTC))


# --- It ran ---------------------------------------------------------------------------------------


def test_it_was_emitted_in_time() -> None:
    owners = [Owned(BEGIN, "a"), Owned(BEGIN + HOUR, "b"), Owned(BEGIN + 9 * HOUR, "c")]
    found = asked(3, hourly(), runs=[run_of(3)], owners=owners)
    assert (found.verdict, found.late, found.owner) == (Verdict.EMITTED, 0, "b")
    assert (found.before, found.after) == (BEGIN + 2 * HOUR, BEGIN + 4 * HOUR)
    assert said(found) == (
        "The run of Wednesday 15 November 2023 at 03:00 UTC was emitted on time by b."
        " A worker has done it at Wednesday 15 November 2023 at 03:01 UTC."
    )


def test_it_was_late_after_an_outage() -> None:
    outage = Outage(BEGIN + 2 * HOUR, BEGIN + 3 * HOUR + 5 * MINUTE)
    late = run_of(3, started=outage.until)
    found = asked(3, hourly(), runs=[late], outages=[outage])
    assert (found.verdict, found.late) == (Verdict.EMITTED, 5 * MINUTE)
    assert "5 minutes late" in said(found)
    assert "The service emitted no runs" in said(found)


def test_it_was_late_because_kafka_was_away() -> None:
    """It was staged in time, and published when Kafka was back."""
    run = run_of(3)
    outage = Outage(run.started + 30 * SECOND, run.started + 10 * MINUTE)
    assert not asked(3, hourly(), runs=[run], outages=[outage]).is_certain
    at = run.started + 10 * MINUTE
    emitted = [Emitted(run.id.nominal, 1, at, RunOrigin.SCHEDULE, 1, "t")]
    read = TopicRead(run.id.nominal, NOW, True, emitted)
    found = asked(3, hourly(), runs=[run], outages=[outage], read=read)
    assert found.late == 10 * MINUTE
    assert "The service " in said(found)
    assert asked(3, hourly(), runs=[run_of(3, started=outage.until)], outages=[outage]).is_certain


def test_it_was_late_after_a_pause() -> None:
    pause = EndedPause(Pause(BEGIN + HOUR, "a break", "me"), BEGIN + 4 * HOUR, of_type=True)
    found = asked(3, hourly(), runs=[run_of(3, started=pause.until)], pauses=[pause])
    assert "The type of the job was paused from" in said(found)
    assert "by me: a break." in said(found)


def test_it_was_late_for_another_reason() -> None:
    late = run_of(3, started=BEGIN + 3 * HOUR + MINUTE)
    assert "At most 2 runs" in said(asked(3, hourly(parallel=2), runs=[late]))
    assert "wait" not in said(asked(3, hourly(), runs=[late]))


def test_jitter_is_no_lateness() -> None:
    job = hourly(jitter=30 * MINUTE)
    due = explain(Facts("j", None, NOW, job, runs=[run_of(12)])).late
    assert due == 0
    delayed = run_of(12, started=BEGIN + 12 * HOUR + 29 * MINUTE)
    found = asked(12, job, runs=[delayed])
    assert found.late is not None
    assert found.late < 29 * MINUTE
    assert "jitter" in said(found)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of(3, outcome=RunOutcome.FAILED, error="boom"), "It failed at Wednesday"),
        (run_of(3, outcome=RunOutcome.TIMED_OUT), "No worker answered"),
        (run_of(3, state=RunState.RUNNING, ended=0, deadline=NOW), "It is running"),
        (
            run_of(3, state=RunState.RETRYING, started=0, ended=0, retry=NOW),
            "its next attempt is due",
        ),
        (run_of(3, outcome=RunOutcome.CANCELLED), "A caller cancelled it"),
        (run_of(3, origin=RunOrigin.MANUAL), "The run by hand of"),
        (run_of(3, origin=RunOrigin.BACKFILL), "The backfilled run of"),
    ],
)
def test_how_it_ended(run: Run, words: str) -> None:
    found = asked(3, hourly(), runs=[run])
    assert found.verdict is Verdict.EMITTED
    assert words in said(found)
    assert found.run is run


def test_the_first_attempt_counts() -> None:
    """The history has the last one: the topic knows the first."""
    run = run_of(3, attempts=2, started=BEGIN + 4 * HOUR)
    found = asked(3, hourly(), runs=[run])
    assert (found.is_certain, found.late) == (False, None)
    nominal = run.id.nominal
    emitted = [Emitted(nominal, n, nominal + n * 700, RunOrigin.SCHEDULE, 1, "t") for n in (1, 2)]
    found = asked(3, hourly(), runs=[run], read=TopicRead(nominal, NOW, True, emitted))
    assert found.late == 700


@pytest.mark.parametrize(
    "run",
    [
        run_of(3, state=RunState.RETRYING, started=0, ended=0, retry=NOW),
        run_of(3, started=0, outcome=RunOutcome.CANCELLED),
    ],
)
def test_nobody_knows_when_it_was_emitted(run: Run) -> None:
    """A run between two attempts has no start in the store: it was said to be in time."""
    found = asked(3, hourly(), runs=[run])
    assert (found.verdict, found.is_certain, found.late) == (Verdict.EMITTED, False, None)
    assert said(found).startswith(
        "The run of Wednesday 15 November 2023 at 03:00 UTC was emitted. "
    )
    nominal = run.id.nominal
    emitted = [
        Emitted(nominal, 1, nominal + late, origin, seq, "t")
        for late, origin, seq in (
            (100, RunOrigin.SCHEDULE, 2),
            (200, RunOrigin.MANUAL, 1),
            (7_000, RunOrigin.SCHEDULE, 1),
        )
    ]
    found = asked(3, hourly(), runs=[run], read=TopicRead(nominal, NOW, True, emitted))
    assert found.late == 7_000


def test_the_topic_knows_a_run_that_the_history_has_lost() -> None:
    at = BEGIN + 3 * HOUR
    emitted = [Emitted(at, 1, at + 2 * SECOND, RunOrigin.SCHEDULE, 1, "t")]
    read = TopicRead(at, NOW, False, emitted)
    for job in (hourly(), None):
        found = asked(3, job, read=read)
        assert (found.verdict, found.late) == (Verdict.EMITTED, 2 * SECOND)


def test_a_whole_second_means_the_run_within_it() -> None:
    table = replace(EACH_HOUR, first=BEGIN + 7, recurrence=Every(BEGIN + 7, HOUR))
    job = replace(hourly(), timetable=table)
    late = replace_nominal(run_of(3), BEGIN + 3 * HOUR + 7)
    assert asked(3, job, runs=[late]).run is late
    by_hand = replace_nominal(run_of(3, origin=RunOrigin.MANUAL), BEGIN + 3 * HOUR + MINUTE + 5)
    assert asked(3 + 1 / 60, job, runs=[by_hand]).run is by_hand


def replace_nominal(run: Run, nominal: int) -> Run:
    return run._replace(id=run.id._replace(nominal=nominal))


# --- It waits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_by", [HeldBy.PARALLEL, HeldBy.OVERLAP])
def test_it_is_held(held_by: HeldBy) -> None:
    run = run_of(3, state=RunState.HELD, held_by=held_by, attempts=0, outcome=RunOutcome.NONE)
    found = asked(3, hourly(parallel=4), runs=[run])
    assert (found.verdict, found.run) == (Verdict.HELD, run)
    assert ("At most 4 runs" in said(found)) == (held_by is HeldBy.PARALLEL)


@pytest.mark.parametrize("held_by", [HeldBy.PAUSE, HeldBy.TYPE_PAUSE])
def test_a_pause_holds_it(held_by: HeldBy) -> None:
    run = run_of(3, state=RunState.HELD, held_by=held_by, attempts=0, outcome=RunOutcome.NONE)
    pauses = Pauses(Pause(BEGIN), Pause(BEGIN))
    found = asked(3, hourly(pauses=pauses), runs=[run])
    assert found.verdict is Verdict.PAUSED
    assert "No run starts before the pause ends." in said(found)
    assert asked(3, None, runs=[run]).verdict is Verdict.PAUSED


def test_it_is_still_to_come() -> None:
    assert asked(14, hourly()).verdict is Verdict.UPCOMING
    paused = asked(14, hourly(pauses=Pauses(Pause(BEGIN))))
    assert paused.verdict is Verdict.UPCOMING
    assert "The job has been paused" in said(paused)


def test_it_has_just_come_due() -> None:
    found = explain(Facts("j", None, BEGIN + 3 * HOUR + SECOND, hourly()))
    assert (found.verdict, found.is_certain) == (Verdict.UPCOMING, True)
    assert "not emitted yet" in said(found)


# --- It passed ------------------------------------------------------------------------------------


def test_an_earlier_run_was_open() -> None:
    earlier = run_of(2, ended=BEGIN + 5 * HOUR)
    found = asked(3, hourly(overlap=Overlap.SKIP), runs=[earlier])
    assert (found.verdict, found.is_certain) == (Verdict.SKIPPED_BY_OVERLAP, True)
    assert "That was the run of Wednesday 15 November 2023 at 02:00 UTC" in said(found)
    assert asked(5.5, hourly(overlap=Overlap.SKIP)).verdict is Verdict.NOT_SCHEDULED
    assert asked(6, hourly(overlap=Overlap.SKIP), runs=[earlier]).verdict is Verdict.UNKNOWN
    assert asked(3, hourly(), runs=[earlier]).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("runs", [[], [skipped(3, "overlap")]])
def test_runs_of_a_former_job_with_this_id_overlap_nothing(runs: list[Run]) -> None:
    earlier = run_of(2, ended=BEGIN + 5 * HOUR)
    former = earlier._replace(id=earlier.id._replace(seq=0))
    found = asked(3, hourly(overlap=Overlap.SKIP), runs=[former, *runs])
    assert (found.verdict is Verdict.SKIPPED_BY_OVERLAP) == bool(runs)
    assert "That was the run" not in said(found)


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (skipped(5, "overlap"), Verdict.SKIPPED_BY_OVERLAP),
        (skipped(5, "start_deadline"), Verdict.PAST_DEADLINE),
        (skipped(5, "pause"), Verdict.PAUSED),
        (skipped(5, "outage", RunOutcome.MISSED), Verdict.MISSED),
        (skipped(5, "", RunOutcome.MISSED), Verdict.MISSED),
        (skipped(5, ""), Verdict.UNKNOWN),
    ],
)
def test_the_history_says_why(run: Run, verdict: Verdict) -> None:
    """Of a row of runs that have passed it has the last one."""
    own = asked(5, hourly(), runs=[run])
    assert (own.verdict, own.run) == (verdict, run)
    before = asked(3, hourly(), runs=[run_of(1), run])
    assert (before.verdict, before.is_certain) == (verdict, False)
    assert asked(1, hourly(), runs=[run_of(1), run]).verdict is Verdict.EMITTED
    many = [skipped(5, "overlap"), *map(run_of, range(6, 15))]
    assert asked(3, hourly(), runs=many).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("of_type", [False, True])
def test_it_came_due_in_a_pause(of_type: bool) -> None:
    pause = Pause(BEGIN + 2 * HOUR, "why", "me")
    ended = EndedPause(pause, BEGIN + 4 * HOUR, of_type)
    for hour, verdict in ((1, Verdict.UNKNOWN), (3, Verdict.PAUSED), (5, Verdict.UNKNOWN)):
        assert asked(hour, hourly(), pauses=[ended]).verdict is verdict
    pauses = Pauses(None, pause) if of_type else Pauses(pause)
    found = asked(5, hourly(pauses=pauses))
    assert found.verdict is Verdict.PAUSED
    assert "are skipped" in said(found)


AWAY = Outage(BEGIN + HOUR + 1, BEGIN + 8 * HOUR + 1)


@pytest.mark.parametrize(
    ("rule", "missed"),
    [
        (None, [2, 3, 4, 5, 6]),
        (MissedRule(MINUTE, latest=False), [2, 3, 4, 5, 6, 7]),
        (MissedRule(3 * HOUR, latest=True), [2, 3, 4]),
        (MissedRule(3 * HOUR, latest=False), [2, 3, 4, 5]),
        (MissedRule(None, latest=True), []),
    ],
)
def test_an_outage_swallowed_it(rule: MissedRule | None, missed: list[int]) -> None:
    """As `make_up` decides: a run that was made up for is in the history, or in the topic."""
    job = hourly(missed=rule)
    verdicts = {hour: asked(hour, job, outages=[AWAY]).verdict for hour in range(1, 10)}
    assert [hour for hour, found in verdicts.items() if found is Verdict.MISSED] == missed
    assert {*verdicts.values()} <= {Verdict.MISSED, Verdict.UNKNOWN}


def test_it_was_past_its_deadline_after_an_outage() -> None:
    job = hourly(start_deadline=90 * MINUTE, missed=MissedRule(None, latest=True))
    verdicts = {hour: asked(hour, job, outages=[AWAY]).verdict for hour in range(1, 10)}
    late = [hour for hour, found in verdicts.items() if found is Verdict.PAST_DEADLINE]
    assert late == [2, 3, 4, 5, 6]


def test_a_one_time_job_was_past_its_deadline() -> None:
    run = run_of(3, attempts=0, started=0, outcome=RunOutcome.FAILED, error="late")
    found = asked(3, None, runs=[run], outages=[AWAY])
    assert found.verdict is Verdict.PAST_DEADLINE
    assert "The service emitted no runs" in said(found)
    cancelled = run_of(3, attempts=0, outcome=RunOutcome.CANCELLED)
    assert asked(3, hourly(), runs=[cancelled]).verdict is Verdict.ENDED


# --- There was none -------------------------------------------------------------------------------


def test_the_schedule_does_not_name_it() -> None:
    found = asked(3.5, hourly())
    assert (found.verdict, found.is_certain) == (Verdict.NOT_SCHEDULED, True)
    assert (found.before, found.after) == (BEGIN + 3 * HOUR, BEGIN + 4 * HOUR)
    assert "The schedule is every 1 hour." in said(found)


def test_remarks_where_the_clock_changes() -> None:
    found = read_recurring("30 2 * * *", "Europe/Berlin", 0)
    table = Timetable.of(found, 0, None)
    skipped_at = 1_774_746_000_000  # 2026-03-29T01:00:00Z, where 02:30 would be
    job = JobFacts(1, table)
    found_ = explain(Facts("j", skipped_at - 90 * MINUTE, NOW, job))
    words = sentences(found_.reasons, zone("Europe/Berlin"))
    assert found_.verdict is Verdict.NOT_SCHEDULED
    assert "The clock skips 02:30 that day: it runs at 03:00." in words


def test_a_job_that_was_created_later() -> None:
    found = asked(-2, hourly())
    assert found.verdict is Verdict.NOT_SCHEDULED
    assert "The job was created later" in said(found)
    assert found.before is None


def test_a_schedule_that_was_another_one_then() -> None:
    job = hourly(updated=BEGIN + 5 * HOUR)
    for hour in (3, 3.5):
        found = asked(hour, job)
        assert (found.verdict, found.is_certain) == (Verdict.UNKNOWN, False)
        assert "The definition changed" in said(found)
    assert asked(5.5, job).verdict is Verdict.NOT_SCHEDULED


def test_a_job_that_will_have_ended() -> None:
    counted = hourly(max_runs=5, counted=3)
    assert asked(14, counted).verdict is Verdict.UPCOMING
    assert asked(15, counted).verdict is Verdict.ENDED
    far = explain(Facts("j", BEGIN + 9_000_000 * HOUR, NOW, counted))
    assert far.verdict is Verdict.ENDED
    ends = replace(hourly(), timetable=replace(EACH_HOUR, end=BEGIN + 14 * HOUR))
    assert asked(14, ends).verdict is Verdict.UPCOMING
    assert asked(15, ends).verdict is Verdict.ENDED


def by_cron(text: str) -> Timetable:
    found = read_recurring(text, "Europe/Berlin", 0)
    assert isinstance(found, Recurring)
    return Timetable.of(found, BEGIN, None)


def test_runs_of_cron_are_counted_for_a_few_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole replica waited for a minute while it counted up to the year 9000."""
    table, counted = by_cron("30 2 * * *"), list[int]()
    count = Timetable.count

    def counting(table: Timetable, after: int, last: int) -> int:
        counted.append(last - after)
        return count(table, after, last) if last - after < 10 * 366 * DAY else 0

    monkeypatch.setattr(Timetable, "count", counting)
    upcoming = table.after(NOW)
    for most, verdict in ((1_000, Verdict.ENDED), (100_000, Verdict.UPCOMING)):
        job = replace(hourly(max_runs=most), timetable=table, next=upcoming)
        far = table.after(BEGIN + 7_000 * 365 * DAY)
        assert explain(Facts("j", far, NOW, job)).verdict is verdict
    assert max(counted) < 6 * 366 * DAY


@pytest.mark.parametrize("table", [EACH_HOUR, by_cron("*/7 * * * *"), by_cron("0 0 29 2 *")])
@pytest.mark.parametrize(
    "at",
    [
        249_999_999_999_000,
        250_000_000_000_000,
        250_000_000_000_001,
        253_402_300_799_000,
        -62_000_000_000_000,
    ],
)
def test_an_instant_outside_the_calendar_of_cron(table: Timetable, at: int) -> None:
    """The call ended with INTERNAL."""
    found = explain(Facts("j", at, NOW, replace(hourly(), timetable=table)))
    assert sentences(found.reasons, zone("Europe/Berlin"))
    for neighbour in (found.before, found.after):
        assert neighbour is None or 0 <= neighbour < 253_402_300_800_000
        assert neighbour is None or table.remark(neighbour) == ""


@pytest.mark.parametrize("why", [*Farewell])
def test_a_job_that_is_gone(why: Farewell) -> None:
    gone = [Gone(BEGIN + 5 * HOUR, 1, why)]
    assert asked(6, gone=gone).verdict is Verdict.ENDED
    assert asked(None, gone=gone).verdict is Verdict.ENDED
    before = asked(3, gone=gone)
    assert (before.verdict, before.is_certain) == (Verdict.UNKNOWN, False)


def test_a_job_that_nothing_knows() -> None:
    assert said(asked(None)) == "No job with this id is known."
    assert asked(3).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (None, "There is no record of a run at"),
        (TopicRead(BEGIN, NOW, True), "The jobs topic has no record of it either."),
        (TopicRead(BEGIN, NOW, False), "The jobs topic was read from"),
        (TopicRead(BEGIN, BEGIN, False, fault="It is away."), "could not be read: It is away."),
    ],
)
def test_what_is_not_known(read: TopicRead | None, words: str) -> None:
    found = asked(3, hourly(), read=read)
    assert (found.verdict, found.is_certain) == (Verdict.UNKNOWN, False)
    assert words in said(found)


# --- Without an instant ---------------------------------------------------------------------------


def test_the_last_run_or_else_the_next() -> None:
    assert asked(None, hourly()).nominal == BEGIN + 12 * HOUR
    later = replace(hourly(), timetable=replace(EACH_HOUR, first=BEGIN + 20 * HOUR))
    assert asked(None, later).nominal == BEGIN + 20 * HOUR
    by_hand = replace_nominal(run_of(12, origin=RunOrigin.MANUAL), NOW - SECOND)
    assert asked(None, hourly(), runs=[by_hand]).run is by_hand


def test_a_one_time_job() -> None:
    table = Timetable("once", UTC, BEGIN + 20 * HOUR)
    job = JobFacts(1, table, created=BEGIN, updated=BEGIN)
    assert asked(None, job).verdict is Verdict.UPCOMING
    assert asked(20, job).verdict is Verdict.UPCOMING
    found = asked(21, job)
    assert (found.verdict, found.before) == (Verdict.NOT_SCHEDULED, BEGIN + 20 * HOUR)


# --- Whatever the facts ---------------------------------------------------------------------------

hours = st.integers(-2, 16)
instants = st.integers(BEGIN - 2 * HOUR, BEGIN + 16 * HOUR)
spans = st.tuples(instants, instants).map(sorted)
runs = st.builds(
    run_of,
    st.integers(0, 12),
    state=st.sampled_from(RunState),
    attempts=st.integers(0, 2),
    held_by=st.sampled_from(HeldBy),
    outcome=st.sampled_from(RunOutcome),
    origin=st.sampled_from(RunOrigin),
    error=st.sampled_from(["", "overlap", "start_deadline", "pause", "outage", "other"]),
)
jobs = st.builds(
    hourly,
    overlap=st.sampled_from(Overlap),
    jitter=st.sampled_from([None, MINUTE]),
    start_deadline=st.sampled_from([None, HOUR]),
    max_runs=st.sampled_from([0, 3]),
    parallel=st.integers(0, 1),
    updated=st.sampled_from([BEGIN - HOUR, BEGIN + 5 * HOUR]),
    missed=st.sampled_from([None, MissedRule(None, latest=True), MissedRule(HOUR, latest=False)]),
    pauses=st.builds(Pauses, st.none() | st.builds(Pause, instants), st.none()),
)
logged = st.builds(
    IntervalLogs,
    st.lists(spans.map(lambda span: Outage(*span)), max_size=3),
    st.just(()),
    st.lists(spans.map(lambda span: EndedPause(Pause(span[0]), span[1], of_type=False))),
    st.lists(st.builds(Gone, instants, st.just(1), st.sampled_from(Farewell)), max_size=2),
)


@given(
    st.none() | instants | hours.map(lambda hour: BEGIN + hour * HOUR),
    st.none() | jobs,
    st.lists(runs, max_size=12),
    logged,
)
def test_there_is_always_an_answer(
    at: int | None, job: JobFacts | None, known: list[Run], logs: IntervalLogs
) -> None:
    """It is in words, and says that a run was emitted only if a record does."""
    found = explain(Facts("j", at, NOW, job, runs=known, logs=logs))
    assert sentences(found.reasons, UTC)
    emitted = [run.id.nominal for run in known if run.attempts]
    assert found.verdict is not Verdict.EMITTED or found.nominal in emitted
    assert found.nominal is None or found.before is None or found.before < found.nominal
    assert found.nominal is None or found.after is None or found.after > found.nominal


@given(
    st.integers(1, 100),
    st.integers(6 * SECOND, 9 * HOUR),
    st.none() | st.integers(0, 10 * HOUR),
    st.booleans(),
)
def test_missed_is_what_is_not_made_up_for(
    minutes: int, length: int, window: int | None, latest: bool
) -> None:
    """The rule of staging says the same (domain/run_rules.py)."""
    recurrence = Every(BEGIN, minutes * MINUTE)
    outage, rule = Outage(BEGIN - 1, BEGIN + length), MissedRule(window, latest)
    job = replace(hourly(missed=rule), timetable=Timetable("", UTC, BEGIN, recurrence))
    made_up = make_up(recurrence, BEGIN, outage.until, rule)
    going_on = made_up.nominal or 0
    if made_up.kind is RunKind.MISSED:
        going_on = recurrence.next_after(going_on)
    for nominal in range(BEGIN, outage.until + 1, recurrence.period):
        runs = nominal >= going_on or nominal == made_up.nominal
        found = explain(Facts("j", nominal, NOW, job, logs=IntervalLogs([outage])))
        assert (found.verdict is Verdict.MISSED) != runs


@given(st.sampled_from(["*/7 * * * *", "30 2 * * *"]), instants, instants, st.none() | instants)
def test_a_timetable_is_that_of_its_schedule(
    text: str, first: int, at: int, end: int | None
) -> None:
    found = read_recurring(text, "Europe/Berlin", 0)
    assert isinstance(found, Recurring)
    table = Timetable.of(found, first, end)
    for neighbour in (table.before(at), table.after(at)):
        assert neighbour is None or table.meant_by(neighbour) == neighbour
        assert neighbour is None or first <= neighbour <= (end or neighbour)
    after = table.after(at)
    if after is not None:
        assert table.count(at, after) == 1
