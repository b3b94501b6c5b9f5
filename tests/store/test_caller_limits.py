"""Calls of limited callers: jobs and runs that are not theirs count as missing."""

from collections.abc import Sequence

import pytest

from scheduling_srv.adapters.redis.backfills import RedisBackfills
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.owner.backfiller import Backfiller
from scheduling_srv.app.ports import WriteGroup, WriteMode
from scheduling_srv.app.run_control_ports import NewBackfill, Step, Target
from scheduling_srv.app.run_ports import RetryMode, RetryVerdict
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunFilter, RunId, RunOrigin, RunState
from scheduling_srv.domain.run_control import Backfilled, Extension
from scheduling_srv.formats.job_record import seq
from tests.store.shard import DAY, HOUR, MINUTE, NOW, Run, Shard, every, once

NOTE = '{"since": 5}'
LIMITS = pytest.mark.parametrize(
    "within",
    [
        Limits(types=frozenset({"mail", "sms"})),
        Limits(creators=frozenset({"anna"})),
        Limits(types=frozenset({"mail"}), creators=frozenset({"anna"})),
    ],
    ids=str,
)


def own(job_id: str = "own", **more: int | None) -> NewJob:
    return every(job_id, HOUR, NOW, type="mail", creator="anna", **more)


def other(job_id: str = "other", **more: int | None) -> NewJob:
    return every(job_id, HOUR, NOW, type="report", creator="tim", **more)


BOTH = ["own", "other", "missing"]


def control(shard: Shard) -> RedisRunControl:
    return RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)


def name_of(run: Run) -> RunId:
    return RunId(run.id, run.seq, run.nominal)


async def there(shard: Shard) -> list[str]:
    return [job.id.decode() for job in await shard.jobs.get(["own", "other"]) if job]


@LIMITS
async def test_a_deletion_passes_over_jobs_of_others(shard: Shard, within: Limits) -> None:
    await shard.create(own(), other())
    _, done = await shard.jobs.delete(BOTH, NOW, within=within)
    assert done == len(BOTH)
    assert await there(shard) == ["other"]


@LIMITS
async def test_pauses_pass_over_jobs_of_others(shard: Shard, within: Limits) -> None:
    await shard.create(own(), other())
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    done = await pauses.pause(BOTH, NOTE, types=False, within=within)
    assert (done.matched, done.changed) == (1, 1)
    assert (await pauses.pauses(BOTH, []))[0][1:] == [None, None]
    await pauses.pause(BOTH, NOTE, types=False)
    done = await pauses.resume(BOTH, NOW, types=False, within=within)
    assert (done.matched, done.changed) == (1, 1)
    left, _ = await pauses.pauses(BOTH, [])
    assert [note is None for note in left] == [True, False, True]


@LIMITS
async def test_runs_by_hand_are_those_of_own_jobs(shard: Shard, within: Limits) -> None:
    await shard.create(own(), other())
    done = await control(shard).run(Step(BOTH, 2, ""), NOW, "", within)
    assert [run.id.job_id for run in done.runs] == ["own"]


async def cancelled(shard: Shard, runs: Sequence[Target], within: Limits) -> int:
    counted = await control(shard).cancel(runs, NOW, dry_run=True, within=within)
    done = await control(shard).cancel(runs, NOW, dry_run=False, within=within)
    assert counted.open == done.open
    return done.open


@LIMITS
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "by id"])
async def test_unanswered_runs_of_others_are_not_cancelled(
    shard: Shard, within: Limits, is_seen: bool
) -> None:
    await shard.create(own(), other())
    runs = await shard.stage(NOW)
    targets = [Target(name_of(run), run.instance if is_seen else 0) for run in runs]
    assert await cancelled(shard, targets, within) == 1
    left = await shard.runs.runs(RunFilter(states=frozenset({RunState.RUNNING})), "", 10)
    assert [each.run.id.job_id for each in left.runs] == ["other"]


@LIMITS
async def test_waiting_runs_of_others_are_not_cancelled(shard: Shard, within: Limits) -> None:
    await shard.create(own(attempts=3), other(attempts=3))
    runs = await shard.stage(NOW)
    await shard.fail(*runs)
    targets = [Target(name_of(run), attempt=2) for run in runs]
    assert await cancelled(shard, targets, within) == 1
    assert await cancelled(shard, targets, within) == 0


async def test_a_run_whose_job_is_gone_is_known_by_its_type_alone(shard: Shard) -> None:
    await shard.create(own())
    (run,) = await shard.stage(NOW)
    await shard.delete("own")
    target, extension = [Target(name_of(run), run.instance)], Extension(run.instance)
    anna, mail = Limits(creators=frozenset({"anna"})), Limits(types=frozenset({"mail"}))
    assert await control(shard).extend(extension._replace(within=anna), NOW) is None
    assert await control(shard).extend(extension._replace(within=mail), NOW)
    assert await cancelled(shard, target, anna) == 0
    assert await cancelled(shard, target, mail) == 1


@LIMITS
async def test_deadlines_of_others_do_not_move(shard: Shard, within: Limits) -> None:
    await shard.create(own(), other())
    runs = {run.id: run.instance for run in await shard.stage(NOW)}
    found = [
        await control(shard).extend(Extension(runs[job_id], within=within), NOW) is not None
        for job_id in ("own", "other")
    ]
    assert found == [True, False]


@LIMITS
async def test_failed_runs_of_others_are_unknown(shard: Shard, within: Limits) -> None:
    await shard.create(own(), other())
    runs = sorted(await shard.stage(NOW), key=lambda run: run.id)
    await shard.fail(*runs)
    names = [name_of(run) for run in runs]
    for mode in (RetryMode.LOOK, RetryMode.RETRY):
        _, judged = await shard.runs.retry(names, NOW + MINUTE, mode, within)
        assert [each.verdict for each in judged] == [RetryVerdict.UNKNOWN, RetryVerdict.AGAIN]


@LIMITS
async def test_a_job_that_is_gone_tells_its_creator_by_its_record(
    shard: Shard, within: Limits
) -> None:
    await shard.create(
        once("own", type="mail", creator="anna"), once("other", type="report", creator="tim")
    )
    runs = sorted(await shard.stage(NOW), key=lambda run: run.id)
    await shard.fail(*runs)
    names = [name_of(run) for run in runs]
    _, judged = await shard.runs.retry(names, NOW + MINUTE, RetryMode.RETRY, within)
    assert [each.verdict for each in judged] == [RetryVerdict.UNKNOWN, RetryVerdict.GONE]


async def test_an_update_names_the_job_that_it_has_read(shard: Shard) -> None:
    """Another one with its id begins with the same revision."""
    await shard.create(own("a"))
    (read,) = await shard.jobs.get(["a"])
    assert read
    await shard.delete("a")
    await shard.create(other("a"))
    changed = every("a", 2 * HOUR, NOW, type="mail", creator="anna", revision=1)
    group = WriteGroup(WriteMode.UPDATE, [changed], named=["a"], seq=seq(read.record))
    for each, reason in ((group, "stale"), (WriteGroup(WriteMode.UPDATE, [changed]), None)):
        (refusal,) = (await shard.jobs.write([each], NOW)).refusals
        assert (refusal.reason if refusal else None) == reason


@pytest.fixture
async def updated(shard: Shard) -> list[Run]:
    """Unanswered runs of the jobs `other` and `own`, both of which were updated since."""
    await shard.create(own(), other())
    runs = await shard.stage(NOW)
    changed = [
        every(job_id, 2 * HOUR, NOW + 2 * HOUR, type=type_, creator=creator, created=NOW + MINUTE)
        for job_id, type_, creator in (("own", "mail", "anna"), ("other", "report", "tim"))
    ]
    await shard.update(*changed, now=NOW + MINUTE)
    return sorted(runs, key=lambda run: run.id)


@LIMITS
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "by id"])
async def test_runs_from_before_an_update_belong_to_their_job(
    shard: Shard, updated: list[Run], within: Limits, is_seen: bool
) -> None:
    """An Update gives a recurring job another creation number."""
    found = [
        await control(shard).extend(Extension(run.instance, within=within), NOW + MINUTE)
        for run in updated
    ]
    assert [deadline is not None for deadline in found] == [False, True]
    targets = [Target(name_of(run), run.instance if is_seen else 0) for run in updated]
    assert await cancelled(shard, targets, within) == 1
    left = await shard.runs.runs(RunFilter(states=frozenset({RunState.RUNNING})), "", 10)
    assert [each.run.id.job_id for each in left.runs] == ["other"]


@LIMITS
async def test_failed_runs_from_before_an_update_are_refused_as_to_all(
    shard: Shard, updated: list[Run], within: Limits
) -> None:
    await shard.fail(*updated)
    names = [name_of(run) for run in updated]
    _, judged = await shard.runs.retry(names, NOW + MINUTE, RetryMode.RETRY, within)
    assert [each.verdict for each in judged] == [RetryVerdict.UNKNOWN, RetryVerdict.LIVES]


@pytest.mark.parametrize("created", [NOW + 1, None], ids=["later", "not known"])
async def test_runs_of_an_earlier_job_with_the_id_are_not_own(
    shard: Shard, created: int | None
) -> None:
    """Others have used the id before; an Update of the own job does not change that."""
    anna = Limits(types=frozenset({"mail"}), creators=frozenset({"anna"}))
    await shard.create(every("a", HOUR, NOW, type="mail", creator="tim"))
    (run,) = await shard.stage(NOW)
    await shard.delete("a", now=NOW + 1)
    for write in (shard.create, shard.update):
        await write(own("a", created=created), now=NOW + 1)
        extension = Extension(run.instance, within=anna)
        assert await control(shard).extend(extension, NOW + 1) is None
        assert await cancelled(shard, [Target(name_of(run), run.instance)], anna) == 0
    await shard.fail(run)
    _, (judged,) = await shard.runs.retry([name_of(run)], NOW + 1, RetryMode.LOOK, anna)
    assert judged.verdict is RetryVerdict.UNKNOWN


async def test_runs_of_a_job_that_an_update_gives_away_are_not_own(shard: Shard) -> None:
    await shard.create(own())
    (run,) = await shard.stage(NOW)
    await shard.update(other("own"))
    target = [Target(name_of(run), run.instance)]
    assert await cancelled(shard, target, Limits(creators=frozenset({"anna"}))) == 0
    both = Limits(types=frozenset({"report"}), creators=frozenset({"tim"}))
    assert await cancelled(shard, target, both) == 0, "the run has another type"
    assert await cancelled(shard, target, Limits(creators=frozenset({"tim"}))) == 1


class Clock:
    """It stands still."""

    def now(self) -> int:
        return NOW


@pytest.mark.parametrize(("created", "own_runs"), [(NOW, 1), (NOW + 1, 0)])
async def test_a_backfilled_run_is_own_by_its_start(
    shard: Shard, created: int, own_runs: int
) -> None:
    """Its nominal time lies before the creation of any job."""
    await shard.create(own("a", created=created))
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    name = RunId("a", seq(stored.record), NOW - DAY, RunOrigin.BACKFILL)
    backfills = RedisBackfills(shard.client, shard.namespace, 0, shard.schedule.rules)
    plan = Backfilled(1, name, name)
    await backfills.begin(NewBackfill("a", name.seq, name.nominal + HOUR, 1, plan), "")
    await Backfiller(backfills, Clock()).run_once(shard.token)
    staged = await shard.drain(NOW)
    await shard.update(own("a"))
    (run,) = [each for each in staged if each.nominal == name.nominal]
    anna = Limits(creators=frozenset({"anna"}))
    assert await cancelled(shard, [Target(name, run.instance)], anna) == own_runs
