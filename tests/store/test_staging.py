"""What is due moves into the outbox: in order, on the millisecond, in phase (docs/contract.md)."""

from datetime import UTC, datetime

import pytest

from scheduling_srv.app.replies import Cursor, Staged
from scheduling_srv.domain.errors import Diverged
from scheduling_srv.domain.job import Priority
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    at_once,
    briefly,
    cron,
    every,
    ids_of,
    kinds_of,
    once,
)


@pytest.mark.parametrize("limit", [500, 7, 1])
async def test_order_is_priority_then_due_then_creation(shard: Shard, limit: int) -> None:
    """The same within one staging call and over many small ones."""
    jobs = [
        once(f"{priority.name}/{due}/{place}", NOW + due, priority=priority)
        for place in range(2)
        for due in (2, 0, 1)
        for priority in (Priority.LOW, Priority.CRITICAL, Priority.NORMAL, Priority.HIGH)
    ]
    await shard.create(*jobs)
    expected = [
        f"{name}/{due}/{place}"
        for name in ("CRITICAL", "HIGH", "NORMAL", "LOW")
        for due in (0, 1, 2)
        for place in (0, 1)
    ]
    assert ids_of(await shard.drain(NOW + 2, limit)) == expected


async def test_creation_order_is_no_order_of_texts(shard: Shard) -> None:
    """The 256th job comes after the 255th, whatever the ids are called."""
    names = [f"j{999 - number}" for number in range(600)]
    for start in range(0, 600, 100):
        await shard.create(*[once(name) for name in names[start : start + 100]])
    assert ids_of(await shard.drain(NOW)) == names


async def test_a_limit_is_never_exceeded(shard: Shard) -> None:
    """One call blocks the server for a bounded time."""
    await shard.create(*[once(f"j{number}") for number in range(10)])
    assert [len(await shard.stage(NOW, 4)) for _ in range(4)] == [4, 4, 2, 0]


async def test_staging_and_taking_in_one_call(shard: Shard) -> None:
    """What was there comes first; what is published already is trimmed."""
    await shard.create(once("a"), once("b", NOW + 1))
    await shard.publish()
    published = (await shard.schedule.state()).trimmed
    await shard.jobs.append([b"Ec"], NOW)
    cursor = Cursor(published, shard.lineage)
    staged = await shard.schedule.stage(shard.token, NOW, 500, cursor)
    assert (staged.entries, staged.next_due) == (1, NOW + 1)
    assert staged.taken
    assert (staged.taken.after, kinds_of(staged.taken.entries)) == (published, "EQ")
    assert staged.taken == await shard.take(published)
    assert (await shard.schedule.state()).taken == published + 3
    cursor = Cursor(published + 1, shard.lineage, ahead=2)
    staged = await shard.schedule.stage(shard.token, NOW + 1, 500, cursor)
    assert staged.taken
    assert (staged.taken.after, kinds_of(staged.taken.entries)) == (published + 3, "Q")
    assert (await shard.schedule.state()).trimmed == published + 1


@pytest.mark.parametrize("lineage", ["", "first:another server"])
async def test_a_cursor_outside_the_outbox_stages_nothing(shard: Shard, lineage: str) -> None:
    """The shard has to be recovered first."""
    await shard.create(once("a"))
    published = shard.seen + (0 if lineage else 1)
    with pytest.raises(Diverged):
        await shard.schedule.stage(
            shard.token, NOW, 500, Cursor(published, lineage or shard.lineage)
        )
    assert await shard.raw("ZCARD", "due") == 1
    assert await shard.raw("ZCARD", "running") == 0


async def test_an_outbox_that_is_full_is_trimmed_first(shard: Shard) -> None:
    """There may be room then."""
    await shard.create(once("a"))
    await shard.publish()
    await shard.jobs.append([b"Eb", b"Ec"], NOW)
    published = (await shard.schedule.state()).trimmed
    shard.rule(outbox_limit=2)
    cursor = Cursor(published, shard.lineage)
    assert await shard.schedule.stage(shard.token, NOW, 500, cursor) == Staged(full=True)
    await shard.take(published)
    staged = await shard.schedule.stage(shard.token, NOW, 500, Cursor(published + 2, shard.lineage))
    assert staged.taken
    assert kinds_of(staged.taken.entries) == "Q"


async def test_never_early_never_late(shard: Shard) -> None:
    """Due means due, to the millisecond."""
    await shard.create(once("a", NOW + 500))
    staged = await shard.schedule.stage(shard.token, NOW + 499, 500)
    assert (staged.entries, staged.next_due) == (0, NOW + 500)
    assert briefly(await shard.stage(NOW + 500)) == [("a", 500)]


async def test_the_next_due_instant_is_the_earliest_of_all_priorities(shard: Shard) -> None:
    """What the stager sleeps until."""
    assert (await shard.schedule.stage(shard.token, NOW, 500)).next_due is None
    await shard.create(once("a", NOW + 5, priority=Priority.CRITICAL), once("b", NOW + 3))
    await shard.create(once("c", NOW + 4, priority=Priority.LOW))
    assert (await shard.schedule.stage(shard.token, NOW, 500)).next_due == NOW + 3


async def test_a_once_job_runs_once_and_stays_until_its_answer(shard: Shard) -> None:
    """It is pending or unfinished until then (docs/contract.md)."""
    await shard.create(once("a"))
    (run,) = await shard.drain(NOW)
    assert await shard.drain(NOW + DAY) == []
    assert await shard.ids() == ["a"]
    await shard.entries()
    await shard.done(run)
    assert await shard.ids() == []
    assert kinds_of(await shard.entries()) == "EX"


async def test_a_now_job_goes_without_a_word(shard: Shard) -> None:
    """At its last answer it leaves the journal; no jobsDeleted (docs/contract.md)."""
    await shard.create(at_once("a"))
    (run,) = await shard.drain(NOW)
    await shard.entries()
    await shard.done(run)
    assert kinds_of(await shard.entries()) == "X"
    assert await shard.jobs.get(["a"]) == [None]


async def test_an_interval_keeps_its_phase(shard: Shard) -> None:
    """The n-th run is due at created + n intervals, however late the stager comes."""
    await shard.create(every("a", 2 * SECOND))
    assert await shard.drain(NOW + 1999) == []
    assert briefly(await shard.drain(NOW + 2777)) == [("a", 2000)]
    assert briefly(await shard.drain(NOW + 6001)) == [("a", 4000), ("a", 6000)]
    assert (await shard.schedule.stage(shard.token, NOW + 6001, 500)).next_due == NOW + 8000


async def test_a_long_life_does_not_drift(shard: Shard) -> None:
    """A year of odd milliseconds later the phase is the same."""
    period = 1237
    await shard.create(every("a", period))
    shard.rule(catch_up_window=10 * period)
    late = period * (365 * DAY // period)
    runs = await shard.drain(NOW + late)
    assert briefly(runs) == [("a", late - missing * period) for missing in range(11, -1, -1)]


async def test_recurring_runs_do_not_wait_for_answers(shard: Shard) -> None:
    """Without `parallel` nothing holds the next run."""
    await shard.create(every("a", SECOND))
    assert len(await shard.drain(NOW + 3 * SECOND)) == 3


async def test_missed_runs_within_the_window_all_run(shard: Shard) -> None:
    """An outage that is not longer than the window loses nothing (docs/contract.md)."""
    await shard.create(every("a", 20 * SECOND))
    await shard.drain(NOW)
    runs = await shard.drain(NOW + 60 * SECOND)
    assert briefly(runs) == [("a", 20_000), ("a", 40_000), ("a", 60_000)]


async def test_latest_runs_one_of_the_older_missed_runs(shard: Shard) -> None:
    """The latest before the window, then every one inside; the phase is kept."""
    await shard.create(every("a", 25 * SECOND))
    await shard.drain(NOW)
    runs = await shard.drain(NOW + 10 * MINUTE + 10 * SECOND)
    # The window begins at 550 s; of what lies before it, 525 s is the latest.
    assert briefly(runs) == [("a", at * SECOND) for at in (525, 550, 575, 600)]
    assert briefly(await shard.drain(NOW + 625 * SECOND)) == [("a", 625 * SECOND)]


async def test_skip_drops_the_older_missed_runs(shard: Shard) -> None:
    """Only what lies inside the window runs."""
    shard.rule(missed_runs="skip")
    await shard.create(every("a", 25 * SECOND))
    await shard.drain(NOW)
    runs = await shard.drain(NOW + 10 * MINUTE + 10 * SECOND)
    assert briefly(runs) == [("a", at * SECOND) for at in (550, 575, 600)]


@pytest.mark.parametrize("missed", ["latest", "skip"])
async def test_one_time_jobs_are_never_missed(shard: Shard, missed: str) -> None:
    """Overdue `when` and `now` jobs run on recovery, late (docs/contract.md)."""
    shard.rule(missed_runs=missed)
    await shard.create(once("a", NOW + SECOND), at_once("n", NOW + SECOND))
    await shard.drain(NOW)
    assert briefly(await shard.drain(NOW + DAY)) == [("a", SECOND), ("n", SECOND)]


async def test_a_late_stager_is_no_outage(shard: Shard) -> None:
    """Five seconds of silence are not, even with a shorter window: idle owners look seldom."""
    shard.rule(catch_up_window=SECOND)
    await shard.create(every("a", SECOND))
    await shard.drain(NOW)
    assert len(await shard.drain(NOW + 5 * SECOND)) == 5
    assert len(await shard.drain(NOW + 11 * SECOND)) == 3


async def test_catch_up_forgets_nothing_that_falls_due_later(shard: Shard) -> None:
    """Once the outage is over, occurrences run one by one again."""
    await shard.create(every("a", SECOND))
    await shard.drain(NOW)
    await shard.drain(NOW + HOUR)
    assert len(await shard.drain(NOW + HOUR + 30 * SECOND)) == 30


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def test_cron_jobs_go_on_by_planning(shard: Shard) -> None:
    """Each run leaves the job in `plan` until its next time is known."""
    first = at("2023-11-14 22:15:00")
    await shard.create(cron("a", "*/5 * * * *", first))
    assert len(await shard.stage(first)) == 1
    staged = await shard.schedule.stage(shard.token, first, 500)
    assert (staged.unplanned, staged.next_due) == (1, None)
    assert await shard.plan() == 1
    staged = await shard.schedule.stage(shard.token, first, 500)
    assert (staged.unplanned, staged.next_due) == (0, first + 5 * MINUTE)


async def test_planning_survives_a_crash(shard: Shard) -> None:
    """An owner that dies between the two calls leaves the job where the next one finds it."""
    first = at("2023-11-14 22:15:00")
    await shard.create(cron("a", "*/5 * * * *", first))
    await shard.stage(first)
    await shard.schedule.unplanned(shard.token, 500)
    await shard.schedule.release(shard.token)
    await shard.own("successor")
    runs = await shard.drain(first + 5 * MINUTE)
    assert [run.nominal for run in runs] == [first + 5 * MINUTE]


async def test_planning_twice_is_planning_once(shard: Shard) -> None:
    """Both owners may have computed the same next time."""
    first = at("2023-11-14 22:15:00")
    await shard.create(cron("a", "*/5 * * * *", first))
    await shard.stage(first)
    assert await shard.plan() == 1
    assert await shard.plan() == 0
    assert len(await shard.drain(first + 5 * MINUTE)) == 1


async def test_a_cron_job_that_is_deleted_while_it_is_planned_is_gone(shard: Shard) -> None:
    """So is one that is replaced: its successor has a place of its own."""
    first = at("2023-11-14 22:15:00")
    await shard.create(*[cron(name, "*/5 * * * *", first) for name in "ab"])
    await shard.stage(first)
    _, unplanned = await shard.schedule.unplanned(shard.token, 500)
    assert len(unplanned) == 2
    await shard.delete("a")
    await shard.update(once("b", first + DAY))
    await shard.plan()
    assert await shard.drain(first + HOUR) == []
    assert ids_of(await shard.drain(first + DAY)) == ["b"]


async def test_cron_latest_runs_the_latest_missed_one_in_its_zone(shard: Shard) -> None:
    """A job for 9 o'clock in Berlin that was missed for three days runs once, for today."""
    first = at("2024-03-28 08:00:00")
    job = cron("a", "0 9 * * *", first, timezone="Europe/Berlin")
    await shard.create(job, now=first - HOUR)
    await shard.drain(first - HOUR)
    runs = await shard.drain(at("2024-04-01 12:00:00"))
    # By then it is summer in Berlin.
    assert [run.nominal for run in runs] == [at("2024-04-01 07:00:00")]
    assert [run.nominal for run in await shard.drain(at("2024-04-02 07:00:00"))] == [
        at("2024-04-02 07:00:00")
    ]


async def test_cron_skip_goes_on_inside_the_window(shard: Shard) -> None:
    """What is older is dropped; what lies inside the window runs, each once."""
    shard.rule(missed_runs="skip")
    first = at("2023-11-14 22:14:00")
    await shard.create(cron("a", "* * * * *", first), cron("d", "0 0 * * *", at("2023-11-15")))
    await shard.drain(NOW)
    late = at("2023-11-16 10:00:30")
    assert [(run.id, run.nominal) for run in await shard.drain(late)] == [
        ("a", at("2023-11-16 10:00:00"))
    ]


async def test_cron_latest_also_runs_those_inside_the_window(shard: Shard) -> None:
    """One for the latest of the older ones, and every one since."""
    first = at("2023-11-14 22:14:00")
    await shard.create(cron("a", "*/20 * * * * *", first))
    await shard.drain(NOW)
    runs = await shard.drain(at("2023-11-15 10:00:30"))
    assert [run.nominal for run in runs] == [
        at("2023-11-15 09:59:20"),
        at("2023-11-15 09:59:40"),
        at("2023-11-15 10:00:00"),
        at("2023-11-15 10:00:20"),
    ]


async def test_a_missed_run_is_settled_for_good(shard: Shard) -> None:
    """The latest missed run waits for a free place however long, and is not looked at again."""
    first = at("2023-11-14 22:14:00")
    await shard.create(once("busy", NOW, parallel=1), cron("a", "* * * * *", first, parallel=1))
    (busy,) = await shard.drain(NOW)
    late = at("2023-11-15 10:00:30")
    assert await shard.drain(late) == []
    assert await shard.drain(late + 59 * SECOND) == []
    await shard.done(busy, now=late)
    (run,) = await shard.drain(late + 59 * SECOND)
    assert run.nominal == at("2023-11-15 09:59:00")


async def test_a_held_run_is_not_coalesced(shard: Shard) -> None:
    """A run that merely waited for `parallel` was not missed: it runs, and those after it too."""
    await shard.create(once("busy", NOW, parallel=1), every("a", 40 * SECOND, parallel=1))
    (run,) = await shard.drain(NOW)
    for look in range(0, 300 * SECOND, 5 * SECOND):
        assert await shard.drain(NOW + look) == []
    nominals = []
    for _ in range(4):
        await shard.done(run)
        (run,) = await shard.drain(NOW + 300 * SECOND)
        nominals.append(run.brief)
    assert nominals == [("a", at * SECOND) for at in (40, 80, 120, 160)]


async def test_a_full_outbox_stops_staging(shard: Shard) -> None:
    """Kafka is behind: what is due stays in the schedule, which bounds the memory."""
    shard.rule(outbox_limit=3)
    await shard.create(once("a"), once("b"), once("c"))
    staged = await shard.schedule.stage(shard.token, NOW, 500)
    assert (staged.full, staged.entries) == (True, 0)
    await shard.publish()
    assert ids_of(await shard.stage(NOW)) == ["a", "b", "c"]


async def test_instance_ids_are_new_ones_and_wrap_around_those_in_use(shard: Shard) -> None:
    """Unanswered ids are never reused, and 0 is no id: protobuf would leave it out."""
    await shard.raw("HSET", "meta", "instance", 2**32 - 3)
    await shard.create(*[once(f"a{number}") for number in range(4)])
    first = await shard.stage(NOW)
    assert [run.instance for run in first] == [2**32 - 2, 2**32 - 1, 1, 2]
    await shard.done(first[0], first[2])
    await shard.raw("HSET", "meta", "instance", 2**32 - 3)  # as if all numbers had been given since
    await shard.raw("HDEL", "meta", "unanswered_since", "opened")
    await shard.create(*[once(f"b{number}") for number in range(4)])
    assert [run.instance for run in await shard.stage(NOW)] == [2**32 - 2, 1, 3, 4]


async def test_the_longest_waits_keep_their_priority(shard: Shard) -> None:
    """Due times of the next ten thousand years stay within their rank."""
    far = 253_402_300_799_999
    await shard.create(once("far", far, priority=Priority.CRITICAL), once("near", NOW))
    assert ids_of(await shard.drain(NOW)) == ["near"]
    staged = await shard.schedule.stage(shard.token, NOW, 500)
    assert staged.next_due == far


async def test_staging_says_how_long_runs_have_waited(shard: Shard) -> None:
    """So that the stager knows when the first of them times out."""
    await shard.create(once("a"), once("b", NOW + 5))
    await shard.stage(NOW)
    (later,) = await shard.stage(NOW + 5)
    assert (await shard.schedule.stage(shard.token, NOW + 9, 500)).oldest_start == NOW
    await shard.done(later.instance - 1)
    assert (await shard.schedule.stage(shard.token, NOW + 9, 500)).oldest_start == NOW + 5
