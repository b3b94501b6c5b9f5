"""History: what became of runs, and the bounds of what is kept (docs/decisions/0031)."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from scheduling_srv.adapters.redis import runs as adapter
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.replies import Aside
from scheduling_srv.app.run_control_ports import Target
from scheduling_srv.app.run_ports import HistoryBounds, RetryMode, RetryVerdict
from scheduling_srv.domain.job import Answer
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import (
    HeldBy,
    Run,
    RunFilter,
    RunId,
    RunOrigin,
    RunOutcome,
    RunState,
)
from scheduling_srv.domain.run_rules import Overlap
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    at_once,
    every,
    once,
)

BOUNDS = HistoryBounds(100, 10_000_000, 7 * DAY)


async def runs(shard: Shard, limit: int = 100, **wanted: Any) -> list[Run]:
    found = await shard.runs.runs(RunFilter(**wanted), "", limit)
    return [each.run for each in found.runs]


async def fail_with(shard: Shard, error: str, *instances: int, now: int = NOW) -> None:
    await shard.answer(*(Answer(each, failed=True, error=error) for each in instances), now=now)


def brief(found: Sequence[Run]) -> list[tuple[str, int, str]]:
    return [(run.id.job_id, run.id.nominal - NOW, run.outcome.name) for run in found]


# --- What is kept -------------------------------------------------------------------------------


async def test_runs_of_a_recurring_job_are_kept(shard: Shard) -> None:
    await shard.create(every("j", MINUTE, NOW, type="kind"))
    (first,) = await shard.stage(NOW)
    await shard.done(first, now=NOW + SECOND)
    (second,) = await shard.stage(NOW + MINUTE)
    await fail_with(shard, "broken", second.instance, now=NOW + MINUTE + SECOND)
    newest, oldest = await runs(shard)
    assert newest == Run(
        RunId("j", 1, NOW + MINUTE),
        "kind",
        RunState.ENDED,
        attempts=1,
        instance=second.instance,
        started=NOW + MINUTE,
        ended=NOW + MINUTE + SECOND,
        outcome=RunOutcome.FAILED,
        error="broken",
    )
    assert (oldest.outcome, oldest.error) == (RunOutcome.DONE, "")
    counters, last, open_runs = (await shard.runs.job_runs(["j", "none"]))["j"]
    assert (counters.emitted, counters.done, counters.failed) == (2, 1, 1)
    assert (last, open_runs) == (newest, [])


async def test_the_last_ten_runs_of_a_job_are_kept(shard: Shard) -> None:
    await shard.create(every("j", SECOND, NOW), every("other", DAY, NOW))
    for number in range(13):
        await shard.done(*await shard.stage(NOW + number * SECOND))
    nominals = [run.id.nominal for run in await runs(shard, job_id="j")]
    assert nominals == [NOW + number * SECOND for number in range(12, 2, -1)]
    assert len(await runs(shard)) == 11
    assert await shard.raw("HLEN", "history") == await shard.raw("ZCARD", "ended") == 11


async def test_more_runs_of_a_job_in_one_call_than_are_kept(shard: Shard) -> None:
    await shard.create(every("j", SECOND, NOW))
    staged = [run for n in range(13) for run in await shard.stage(NOW + n * SECOND)]
    await shard.done(*staged)
    assert len(await runs(shard)) == 10
    assert (await shard.runs.job_runs(["j"]))["j"].counters.done == 13


async def test_of_one_time_jobs_failures_are_kept(shard: Shard) -> None:
    await shard.create(once("good"), once("bad"), at_once("now"))
    good, bad, now = await shard.stage(NOW)
    await shard.done(good)
    await fail_with(shard, "why", bad.instance, now.instance)
    found = await runs(shard)
    assert brief(found) == [("now", 0, "FAILED"), ("bad", 0, "FAILED")]
    assert await runs(shard, job_id="bad") == found[1:]
    assert await shard.raw("HLEN", "records") == 2


async def test_a_retry_is_no_end(shard: Shard) -> None:
    await shard.create(every("j", HOUR, NOW, attempts=2))
    (first,) = await shard.stage(NOW)
    await shard.fail(first, now=NOW)
    assert await runs(shard, states={RunState.ENDED}) == []
    (second,) = await shard.stage(NOW)
    await shard.fail(second, now=NOW)
    (ended,) = await runs(shard)
    assert (ended.attempts, ended.most) == (2, 2)
    counters = (await shard.runs.job_runs(["j"]))["j"].counters
    assert (counters.emitted, counters.failed) == (1, 1)


async def test_a_run_without_an_answer_has_timed_out(shard: Shard) -> None:
    await shard.create(every("j", DAY, NOW))
    await shard.stage(NOW)
    await shard.publish()
    await shard.schedule.expire(shard.token, NOW + 2 * HOUR, 500)
    (ended,) = await runs(shard)
    assert (ended.outcome, ended.started) == (RunOutcome.TIMED_OUT, NOW)
    assert ended.error == "No worker answered in time."
    assert (await shard.runs.job_runs(["j"]))["j"].counters.timed_out == 1


async def test_a_row_of_skipped_occurrences_is_one_run(shard: Shard) -> None:
    await shard.create(every("j", SECOND, NOW, properties=Properties(overlap=Overlap.SKIP)))
    (first,) = await shard.stage(NOW)
    for number in range(1, 5):
        assert await shard.stage(NOW + number * SECOND) == []
    (skipped,) = await runs(shard, outcomes={RunOutcome.SKIPPED})
    assert skipped.id.nominal == NOW + 4 * SECOND
    await shard.done(first)
    await shard.done(*await shard.stage(NOW + 5 * SECOND))
    counters = (await shard.runs.job_runs(["j"]))["j"].counters
    assert (counters.emitted, counters.done, counters.skipped) == (2, 2, 4)
    assert len(await runs(shard)) == 3


async def test_occurrences_of_an_outage_are_missed(shard: Shard) -> None:
    await shard.create(every("j", SECOND, NOW))
    await shard.stage(NOW - SECOND)
    later = NOW + HOUR
    await shard.stage(later)
    counters = (await shard.runs.job_runs(["j"]))["j"].counters
    missed = (HOUR - MINUTE) // SECOND - 1
    assert (counters.emitted, counters.missed) == (1, missed)
    (run,) = await runs(shard, outcomes={RunOutcome.MISSED})
    assert run.id.nominal == later - MINUTE - 2 * SECOND


async def test_occurrences_that_pass_in_a_pause_are_skipped(shard: Shard) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("j", SECOND, NOW))
    await pauses.pause(["j"], '{"since":1}', types=False)
    await shard.stage(NOW)
    assert await runs(shard) == []
    await pauses.resume(["j"], NOW + 10 * SECOND, types=False)
    await shard.stage(NOW + 10 * SECOND)
    assert (await shard.runs.job_runs(["j"]))["j"].counters.skipped == 11


async def test_a_one_time_job_that_could_not_start_has_failed(shard: Shard) -> None:
    await shard.create(once("j", properties=Properties(start_deadline=SECOND)))
    await shard.stage(NOW + MINUTE)
    (run,) = await runs(shard)
    assert (run.outcome, run.attempts) == (RunOutcome.FAILED, 0)
    assert run.error == "The start deadline has passed."


async def test_a_tally_lives_as_long_as_its_job(shard: Shard) -> None:
    """An update keeps it; a deletion, and another kind of job, do not."""
    await shard.create(every("j", MINUTE, NOW))
    await shard.done(*await shard.stage(NOW))
    await shard.update(every("j", HOUR, NOW + HOUR))
    assert (await shard.runs.job_runs(["j"]))["j"].counters.done == 1
    await shard.update(once("j", NOW + HOUR))
    assert await shard.raw("HLEN", "tallies") == 0
    await shard.update(every("j", HOUR, NOW))
    await shard.done(*await shard.stage(NOW))
    await shard.delete("j")
    assert await shard.raw("HLEN", "tallies") == 0
    await shard.create(every("j", HOUR, NOW))
    assert (await shard.runs.job_runs(["j"]))["j"].counters.done == 0


async def test_a_finished_job_takes_its_tally_along(shard: Shard) -> None:
    await shard.create(every("j", SECOND, NOW, properties=Properties(max_runs=1)))
    (run,) = await shard.stage(NOW)
    await shard.done(run)
    assert await shard.raw("HLEN", "tallies") == 0


async def test_an_older_format_has_no_history(shard: Shard) -> None:
    older = await Shard.of(shard.client, f"{shard.namespace}-old").open(format=1)
    await older.create(every("j", MINUTE, NOW, created=None), once("o", created=None))
    await older.fail(*await older.stage(NOW))
    keys = await older.client.execute("KEYS", f"{older.jobs.base}*")
    names = {key.decode().removeprefix(older.jobs.base).partition(":")[0] for key in keys}
    assert not names & {"history", "ended", "tallies", "minutes", "records", "errors"}


async def test_a_cancelled_run_is_kept(shard: Shard) -> None:
    """It has not failed, and is not tried again."""
    await shard.create(every("j", DAY, NOW), once("o"))
    staged = await shard.stage(NOW)
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    targets = [Target(RunId(run.id, run.seq, run.nominal)) for run in staged]
    await control.cancel(targets, NOW, dry_run=False)
    found = await runs(shard)
    assert {(run.id.job_id, run.outcome) for run in found} == {
        ("j", RunOutcome.CANCELLED),
        ("o", RunOutcome.CANCELLED),
    }
    assert {run.started for run in found} == {NOW}
    counters = (await shard.runs.job_runs(["j"]))["j"].counters
    assert (counters.emitted, counters.failed) == (1, 0)
    assert {each.value for each in await judge(shard, *(run.id for run in found))} == {"other"}
    (minute,) = (await shard.runs.overview(NOW)).minutes
    assert (minute.emitted, minute.failed) == (2, 0)


async def test_a_run_with_a_deadline_of_its_own(shard: Shard) -> None:
    properties = Properties(completion_timeout=MINUTE)
    await shard.create(every("j", DAY, NOW, properties=properties), once("o"))
    staged = {run.id: run for run in await shard.stage(NOW)}
    found = {run.id.job_id: run for run in await runs(shard, states={RunState.RUNNING})}
    assert (found["j"].started, found["j"].deadline) == (NOW, NOW + MINUTE)
    assert found["o"].deadline == NOW + HOUR
    assert await runs(shard, job_id="j") == [found["j"]]
    await shard.done(staged["j"])
    (ended,) = await runs(shard, states={RunState.ENDED})
    assert ended.started == NOW


async def test_a_refused_run_is_kept(shard: Shard) -> None:
    await shard.create(every("j", DAY, NOW))
    (run,) = await shard.stage(NOW)
    (found,) = await shard.schedule.find_runs(shard.token, 0, [(b"j", run.seq)])
    aside = Aside(ended=[(found, b"E")])
    await shard.schedule.set_aside(shard.token, shard.lineage, aside, NOW)
    (refused,) = await runs(shard)
    assert (refused.id, refused.type, refused.outcome) == (
        RunId("j", run.seq, NOW),
        "t",
        RunOutcome.REFUSED,
    )
    assert (await shard.runs.job_runs(["j"]))["j"].counters.failed == 1


class Model:
    """The history of recurring jobs, naively: all their ends, in order."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int, RunOutcome]] = []

    def of(self, job_id: str) -> list[tuple[int, RunOutcome]]:
        """The last ten; a row of skipped ones is one."""
        kept: list[tuple[int, RunOutcome]] = []
        for name, nominal, outcome in self.ends:
            if name != job_id:
                continue
            if outcome is RunOutcome.SKIPPED and kept and kept[-1][1] is outcome:
                kept.pop()
            kept.append((nominal, outcome))
        return kept[:-11:-1]

    def count(self, job_id: str, outcome: RunOutcome) -> int:
        return len([1 for name, _, found in self.ends if (name, found) == (job_id, outcome)])


@pytest.mark.parametrize("seed", range(4))
async def test_history_is_that_of_a_naive_model(shard: Shard, seed: int) -> None:
    """Answers of several runs in one call, and occurrences that are skipped meanwhile."""
    random, model = Random(seed), Model()
    rules = Properties(overlap=Overlap.SKIP)
    names = ["a", "b", "c"]
    await shard.create(*[every(name, SECOND, NOW, properties=rules) for name in names])
    open_runs = dict[str, Any]()
    for number in range(60):
        now = NOW + number * SECOND
        staged = {run.id: run for run in await shard.stage(now)}
        skipped = [name for name in names if name in open_runs]
        model.ends += [(name, now, RunOutcome.SKIPPED) for name in skipped]
        open_runs |= staged
        chosen = [name for name in open_runs if random.random() < 0.6]
        random.shuffle(chosen)
        answers = [(name, random.random() < 0.5) for name in chosen]
        await shard.answer(
            *(Answer(open_runs[name].instance, failed) for name, failed in answers), now=now
        )
        for name, failed in answers:
            outcome = RunOutcome.FAILED if failed else RunOutcome.DONE
            model.ends.append((name, open_runs.pop(name).nominal, outcome))
    for name in names:
        found = await runs(shard, job_id=name, states={RunState.ENDED})
        assert [(run.id.nominal, run.outcome) for run in found] == model.of(name)
        counters, last, _ = (await shard.runs.job_runs([name]))[name]
        assert (counters.done, counters.failed, counters.skipped) == (
            model.count(name, RunOutcome.DONE),
            model.count(name, RunOutcome.FAILED),
            model.count(name, RunOutcome.SKIPPED),
        )
        assert counters.emitted == counters.done + counters.failed + (name in open_runs)
        assert last == found[0]


# --- Bounds -------------------------------------------------------------------------------------


async def trim(shard: Shard, now: int = NOW, **bounds: int) -> None:
    while await shard.runs.trim(shard.token, now, BOUNDS._replace(**bounds)):
        pass


async def test_the_oldest_runs_go(shard: Shard) -> None:
    await shard.create(*[every(f"j{n}", DAY, NOW) for n in range(5)], *map(once, "ab"))
    await shard.fail(*await shard.stage(NOW))
    await trim(shard, runs=3)
    assert len(await runs(shard)) == 3
    for key, command in (("history", "HLEN"), ("ended", "ZCARD"), ("records", "HLEN")):
        expected = 2 if key == "records" else 3
        assert await shard.raw(command, key) == expected
    await trim(shard, runs=0)
    left = await shard.client.execute("KEYS", f"{shard.jobs.base}*")
    names = {key.decode().removeprefix(shard.jobs.base) for key in left}
    assert not names & {"history", "ended", "ended_once", "failed_once", "records"}
    assert "records_order" not in names
    assert int(await shard.raw("HGET", "meta", "records_bytes")) == 0


async def test_failures_of_one_time_jobs_go_after_some_days(shard: Shard) -> None:
    await shard.create(once("o"), every("j", DAY, NOW))
    await shard.fail(*await shard.stage(NOW))
    await trim(shard, NOW + 7 * DAY - 1)
    assert len(await runs(shard)) == 2
    assert len(await shard.runs.failures("", 0)) == 1
    await trim(shard, NOW + 7 * DAY)
    assert brief(await runs(shard)) == [("j", 0, "FAILED")]
    assert await shard.runs.failures("", 0) == []
    assert await shard.raw("EXISTS", "failed_once") == 0


async def test_records_are_bounded_in_bytes(shard: Shard) -> None:
    await shard.create(*[once(f"j{n}", payload=10_000) for n in range(5)])
    await shard.fail(*await shard.stage(NOW))
    await trim(shard, record_bytes=25_000)
    assert await shard.raw("HLEN", "records") == await shard.raw("LLEN", "records_order") == 2
    assert len(await runs(shard)) == 5


async def test_large_records_are_not_kept(shard: Shard) -> None:
    await shard.create(once("large", payload=70_000))
    await shard.fail(*await shard.stage(NOW))
    assert await shard.raw("EXISTS", "records") == 0
    assert len(await runs(shard)) == 1


async def test_errors_of_a_type_are_bounded(shard: Shard) -> None:
    """The rarest go; a new one has its chance."""
    for number in range(105):
        await shard.create(once(f"j{number}"))
        (run,) = await shard.stage(NOW)
        error = "often" if number % 10 == 0 else f"error {number}"
        await fail_with(shard, error, run.instance, now=NOW + number)
    groups = await shard.runs.failures("t", 0)
    assert len(groups) <= 100
    assert max(groups, key=lambda each: each.number).error == "often"
    assert "error 104" in {each.error for each in groups}


async def test_more_errors_in_one_call_than_are_told_apart(shard: Shard) -> None:
    await shard.create(*[once(f"j{number}") for number in range(150)])
    staged = await shard.stage(NOW)
    answers = [Answer(run.instance, failed=True, error=f"e{run.id}") for run in staged]
    await shard.answer(*answers)
    assert await shard.raw("HLEN", "errors:t") == 100


async def test_types_with_errors_are_bounded(shard: Shard) -> None:
    await shard.create(*[once(f"j{n}", type=f"t{n}") for n in range(1010)])
    for _ in range(3):
        staged = await shard.stage(NOW)
        await shard.fail(*staged)
        await shard.publish()
    assert await shard.raw("ZCARD", "failed_types") == 1000


# --- Lists --------------------------------------------------------------------------------------


async def test_failures_are_grouped_by_error(shard: Shard) -> None:
    await shard.create(every("a", DAY, NOW), every("b", DAY, NOW), every("c", DAY, NOW, type="u"))
    a, b, c = await shard.stage(NOW)
    await fail_with(shard, "same", a.instance, now=NOW)
    await fail_with(shard, "same", b.instance, c.instance, now=NOW + 1)
    (group,) = await shard.runs.failures("t", 0)
    assert (group.type, group.error, group.number, group.last) == ("t", "same", 2, NOW + 1)
    assert group.last_run == RunId("b", b.seq, NOW)
    assert {each.type for each in await shard.runs.failures("", 0)} == {"t", "u"}
    assert await shard.runs.failures("t", NOW + 2) == []


async def test_open_runs_come_first(shard: Shard) -> None:
    await shard.create(
        every("running", DAY, NOW),
        every("ended", DAY, NOW),
        every("retrying", DAY, NOW, attempts=2, delay=float(HOUR)),
        once("one", parallel=1, type="p"),
        once("two", parallel=1, type="p"),
    )
    staged = {run.id: run for run in await shard.stage(NOW)}
    await shard.done(staged["ended"])
    await shard.fail(staged["retrying"])
    found = await runs(shard)
    assert [(run.id.job_id, run.state) for run in found] == [
        ("two", RunState.HELD),
        ("retrying", RunState.RETRYING),
        ("one", RunState.RUNNING),
        ("running", RunState.RUNNING),
        ("ended", RunState.ENDED),
    ]
    held, retrying, running = found[0], found[1], found[3]
    assert (held.held_by, held.attempts, held.most) == (HeldBy.PARALLEL, 0, 1)
    assert (retrying.attempts, retrying.most, retrying.retry) == (1, 2, NOW + HOUR)
    assert (running.started, running.deadline) == (NOW, NOW + HOUR)
    assert running.instance == staged["running"].instance
    for state in RunState:
        expected = [run for run in found if run.state is state]
        assert await runs(shard, states={state}) == expected
    for run in found:
        assert await runs(shard, job_id=run.id.job_id) == [run]
    assert [run.id.job_id for run in await runs(shard, type="p")] == ["two", "one"]
    assert await runs(shard, nominal_from=NOW + 1) == []
    assert await runs(shard, nominal_until=NOW + 1) == found
    assert await runs(shard, origins={RunOrigin.MANUAL}) == []
    jobs = await shard.runs.job_runs([run.id.job_id for run in found])
    assert [jobs[run.id.job_id].open for run in found[:4]] == [[run] for run in found[:4]]
    assert [jobs[name].counters.emitted for name in ("retrying", "running")] == [1, 1]


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_pages_show_each_run_once(shard: Shard, size: int) -> None:
    """Also among runs with equal times, and of one job."""
    await shard.create(*[once(f"p{n}", parallel=1, type="p") for n in range(5)])
    await shard.create(every("many", SECOND, NOW, attempts=3, delay=float(HOUR)))
    await shard.create(*[every(f"e{n}", DAY, NOW) for n in range(4)])
    staged = await shard.stage(NOW)
    await shard.done(*[run for run in staged if run.id in {"e0", "e1"}])
    for number in range(5):
        again = [run for run in staged if run.id == "many"]
        await shard.fail(*again[: number % 2 + 1])
        staged = await shard.stage(NOW + (number + 1) * SECOND)
    for wanted in (RunFilter(), RunFilter(job_id="many"), RunFilter(type="p")):
        whole = (await shard.runs.runs(wanted, "", 1000)).runs
        found, cursor, more = list[Run](), "", True
        while more:
            page = await shard.runs.runs(wanted, cursor, size)
            assert len(page.runs) <= size
            found += [each.run for each in page.runs]
            cursor, more = page.cursor, bool(page.cursor)
        assert found == [each.run for each in whole]
        assert len({each.id for each in found}) == len(found) > 3


async def test_a_page_ends_after_so_many_looks(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MOST_LOOKS", 3)
    await shard.create(
        *[every(f"e{n}", DAY, NOW) for n in range(10)], every("x", DAY, NOW, type="x")
    )
    await shard.done(*await shard.stage(NOW))
    found, cursor, pages = list[Run](), "", 0
    while pages == 0 or cursor:
        page = await shard.runs.runs(RunFilter(type="t"), cursor, 100)
        found += [each.run for each in page.runs]
        cursor, pages = page.cursor, pages + 1
    assert (len(found), pages > 3) == (10, True)


# --- Retries ------------------------------------------------------------------------------------


async def judge(shard: Shard, *ids: RunId, mode: RetryMode = RetryMode.RETRY) -> list[RetryVerdict]:
    _, judged = await shard.runs.retry(ids, NOW + MINUTE, mode)
    return [each.verdict for each in judged]


async def test_a_failed_run_of_a_living_job_is_tried_again(shard: Shard) -> None:
    await shard.create(every("j", HOUR, NOW))
    await shard.fail(*await shard.stage(NOW))
    (failed,) = await runs(shard)
    assert await judge(shard, failed.id, mode=RetryMode.LOOK) == [RetryVerdict.AGAIN]
    assert await judge(shard, failed.id) == [RetryVerdict.AGAIN]
    assert await judge(shard, failed.id) == [RetryVerdict.UNKNOWN]
    (again,) = await shard.stage(NOW + MINUTE)
    assert (again.id, again.nominal, again.attempt) == ("j", NOW, 2)
    counters = (await shard.runs.job_runs(["j"]))["j"].counters
    assert (counters.emitted, counters.failed) == (1, 0)
    await shard.done(again)
    (done,) = await runs(shard)
    assert (done.id, done.outcome, done.attempts) == (failed.id, RunOutcome.DONE, 2)
    assert await shard.raw("EXISTS", "retries") == 0


async def test_runs_that_cannot_be_tried_again(shard: Shard) -> None:
    await shard.create(
        every("done", HOUR, NOW), every("changed", HOUR, NOW), once("large", payload=70_000)
    )
    await shard.create(once("gone"), once("back"))
    staged = {run.id: run for run in await shard.stage(NOW)}
    await shard.done(staged.pop("done"))
    await shard.fail(*staged.values())
    await shard.create(once("back", NOW + DAY))
    await shard.update(every("changed", 2 * HOUR, NOW + DAY))
    found = {run.id.job_id: run.id for run in await runs(shard)}
    names = ["done", "changed", "large", "gone", "back"]
    verdicts = await judge(shard, *(found[name] for name in names), RunId("x", 1, 1))
    assert [each.value for each in verdicts] == [
        "other",
        "lives",
        "lost",
        "gone",
        "lives",
        "unknown",
    ]
    assert await judge(shard, found["gone"], mode=RetryMode.FORGET) == [RetryVerdict.GONE]
    assert await judge(shard, found["gone"]) == [RetryVerdict.UNKNOWN]


# --- Upcoming and overview ----------------------------------------------------------------------


async def test_what_is_due_comes_by_time(shard: Shard) -> None:
    await shard.create(
        every("b", HOUR, NOW + 2 * SECOND, type="u"),
        once("a", NOW + SECOND),
        once("last", NOW + MINUTE),
        once("later", NOW + MINUTE + 1),
        every("retried", HOUR, NOW, attempts=2, delay=float(MINUTE // 2)),
    )
    await shard.fail(*await shard.stage(NOW))
    found = await shard.runs.upcoming(JobFilter(), NOW, NOW + MINUTE, 10)
    assert [(each.job.id.decode(), each.due - NOW) for each in found.places] == [
        ("a", SECOND),
        ("b", 2 * SECOND),
        ("retried", MINUTE // 2),
        ("last", MINUTE),
    ]
    assert [each.nominal is None for each in found.places] == [False, False, True, False]
    assert not found.more
    first = await shard.runs.upcoming(JobFilter(), NOW, NOW + MINUTE, 2)
    assert (first.places, first.more) == (found.places[:2], True)
    of_type = await shard.runs.upcoming(JobFilter(type="u"), NOW, NOW + MINUTE, 2)
    assert of_type.places == found.places[1:2]


async def test_the_overview_counts(shard: Shard) -> None:
    await shard.create(every("j", HOUR, NOW), once("o", NOW + 90 * SECOND), once("late", NOW - 5))
    staged = await shard.stage(NOW)
    await shard.done(staged[0])
    await shard.fail(staged[1])
    view = await shard.runs.overview(NOW)
    assert view.counts[:4] == (2, 2, 0, 0)
    assert (view.owner, view.oldest_due) == ("test", NOW + 90 * SECOND)
    assert (len(view.due), sum(view.due), view.due[1]) == (60, 1, 1)
    (minute,) = view.minutes
    assert minute.number == NOW // MINUTE
    assert (minute.emitted, minute.done, minute.failed, minute.skipped) == (2, 1, 1, 0)
    assert (minute.lateness, minute.latest) == (5, 5)
