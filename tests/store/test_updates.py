"""What a job keeps when it is updated or upserted (docs/contract.md, docs/decisions/0011)."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.redis.jobs import origin
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.ports import Refusal, WriteMode
from scheduling_srv.app.requests.jobs import REPLACING
from scheduling_srv.app.run_control_ports import Step
from scheduling_srv.domain.job import NewJob, Priority, TriggerKind
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.hot_path import check_job
from scheduling_srv.formats.job_record import Note, header, kind
from scheduling_srv.formats.messages import decode_job_list
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Run,
    Shard,
    at_once,
    briefly,
    cron,
    every,
    ids_of,
    kinds_of,
    of_version,
    once,
    runs_in,
)

CREATE, UPDATE, UPSERT = WriteMode.CREATE, WriteMode.UPDATE, WriteMode.UPSERT
BOTH = pytest.mark.parametrize("mode", [UPDATE, UPSERT])
FIVE_MINUTES = "*/5 * * * *"
FIRST = NOW + 100 * SECOND
"""22:15:00, the first time of that expression."""


def asked(mode: WriteMode, at: int = NOW, trace: bytes = b"", **fields: Any) -> NewJob:
    """A job as a client sends it, checked."""
    data = fields.pop("data", {})
    job = job_pb2.Job(**{"id": "a", "type": "t", **fields}, data=job_pb2.Data(**data))
    raw = job_pb2.JobList(items=[job]).SerializeToString()
    (request,) = decode_job_list(raw, trace)
    return check_job(request, at, Rules(), REPLACING[mode])


async def write(shard: Shard, mode: WriteMode, at: int = NOW, **fields: Any) -> None:
    written = await shard.write(mode, asked(mode, at, **fields), now=at)
    assert written.refusals == [None]


def creators(entries: Sequence[bytes]) -> list[bytes]:
    """Who made the jobs of the runs in these entries: `new` and `old` in these tests."""
    return [b"new" if b"new" in entry else b"old" for entry in entries if entry[:1] == b"Q"]


async def staged(shard: Shard, now: int) -> tuple[list[tuple[str, int]], list[bytes]]:
    """The runs of one staging call, and whose data they carry."""
    await shard.entries()
    await shard.schedule.stage(shard.token, now, 500)
    entries = await shard.entries()
    return briefly(runs_in(entries)), creators(entries)


# --- An identical definition ---

ABSOLUTE = "2100-01-01T00:00:00Z"
SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"interval": "2 minutes"}, {"interval": "120 seconds"}),
    ({"interval": "2 minutes"}, {"interval": "PT2M"}),
    ({"interval": "@hourly"}, {"interval": "0  * * * *"}),
    ({"interval": "0 9 * JAN Mon"}, {"interval": "0 9 * 1 1"}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "data": {"timezone": "UTC"}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "attempts": 1}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "backoff": {}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "trace": b"00-1-1-01"}),
    ({"interval": "1 hour", "trace": b"00-1-1-01"}, {"interval": "1 hour", "trace": b"00-2-2"}),
    ({"when": ABSOLUTE}, {"when": "Jan 1, 2100 00:00:00"}),
    ({"when": ABSOLUTE}, {"when": "2100-01-01T02:00:00+02:00"}),
    (
        {"interval": "1 day", "priority": -10, "attempts": 3, "parallel": 2, "when": "x"},
        {"interval": "24 hours", "priority": -10, "attempts": 3, "parallel": 2, "when": "x"},
    ),
    ({"when": ABSOLUTE, "backoff": {"delay": 5}}, {"when": ABSOLUTE, "backoff": {"delay": 5}}),
]
OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"interval": "2 minutes"}, {"interval": "3 minutes"}),
    ({"interval": "2 minutes"}, {"when": ABSOLUTE}),
    ({"interval": "1 hour"}, {"interval": "0 * * * *"}),
    ({"interval": "0 * * * *"}, {"interval": "0 0-23 * * *"}),
    ({"interval": "0 9 * * *"}, {"interval": "0 9 * * *", "data": {"timezone": "Asia/Kolkata"}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "data": {"timezone": "Asia/Kolkata"}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "data": {"creator": "me"}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "data": {"payload": [{"value": b"1"}]}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "type": "u"}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "priority": 10}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "attempts": 2}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "parallel": 1}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "backoff": {"delay": 5}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "backoff": {"type": 1}}),
    ({"interval": "1 hour"}, {"interval": "1 hour", "now": True}),
    ({"when": ABSOLUTE}, {"when": "2100-01-01T00:00:00.001Z"}),
    ({"when": ABSOLUTE}, {"when": ABSOLUTE, "attempts": 2}),
    ({"when": "in 90 seconds"}, {"when": "in 90 seconds"}),
    ({"when": "tomorrow at noon"}, {"when": "tomorrow at noon"}),
]


@pytest.mark.parametrize(("before", "after"), SAME)
async def test_an_identical_upsert_changes_and_announces_nothing(
    shard: Shard, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Triggers are compared as they are meant, defaults as if they had been given."""
    await write(shard, CREATE, **before)
    stored, receipt = await shard.jobs.get(["a"]), await shard.entries()
    assert receipt
    await write(shard, UPSERT, NOW + SECOND, **after)
    assert await shard.entries() == []
    assert await shard.jobs.get(["a"]) == stored


@pytest.mark.parametrize(("before", "after"), SAME)
async def test_an_identical_update_is_announced(
    shard: Shard, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """It deletes the job and creates it again, as clients of 2018 expect."""
    await write(shard, CREATE, **before)
    due = (await shard.schedule.stage(shard.token, NOW, 9)).next_due
    await shard.entries()
    await write(shard, UPDATE, NOW + SECOND, **after)
    assert kinds_of(await shard.entries()) == "DC"
    assert (await shard.schedule.stage(shard.token, NOW + SECOND, 9)).next_due == due


@pytest.mark.parametrize(("before", "after"), OTHER)
async def test_any_other_upsert_is_a_change(
    shard: Shard, before: dict[str, Any], after: dict[str, Any]
) -> None:
    await write(shard, CREATE, **before)
    await shard.entries()
    await write(shard, UPSERT, **after)
    assert kinds_of(await shard.entries()) == "DC"


async def test_fields_of_later_versions_are_part_of_the_definition(shard: Shard) -> None:
    """They are compared as they are."""
    plain = job_pb2.Job(id="a", type="t", interval="1 hour", data=job_pb2.Data())
    raw = plain.SerializeToString()
    texts = [raw, raw + b"\xa2\x06\x01x", raw + b"\xa2\x06\x01x", raw + b"\xa0\x06\x01", raw]
    seen = []
    for text in texts:
        (request,) = decode_job_list(b"\x0a" + bytes([len(text)]) + text)
        await shard.upsert(check_job(request, NOW, Rules(), Note.NONE))
        seen.append(kinds_of(await shard.entries()))
    assert seen == ["C", "DC", "", "DC", "DC"]


async def test_an_upsert_of_a_list_announces_what_has_changed_alone(shard: Shard) -> None:
    await shard.create(every("a", HOUR), every("b", HOUR), once("c", NOW + DAY))
    await shard.entries()
    await shard.upsert(every("a", HOUR), every("b", MINUTE), once("c", NOW + DAY), once("d"))
    assert kinds_of(await shard.entries()) == "DCC"
    assert await shard.ids() == ["a", "c", "b", "d"]


async def test_an_upsert_of_a_now_job_runs_again(shard: Shard) -> None:
    """`now` is never the same instant."""
    await shard.create(at_once("n"))
    await shard.upsert(at_once("n"))
    assert ids_of(await shard.drain(NOW)) == ["n"]


async def test_an_upsert_of_what_a_delete_of_everything_has_taken_creates_it(shard: Shard) -> None:
    """It is gone, although it has not been swept yet: it is not unchanged, and keeps nothing."""
    await shard.create(every("a", HOUR, NOW - 5))
    await shard.jobs.scripts.run("clear", now=NOW, mark="cleared", **origin(None))
    await shard.entries()
    await shard.upsert(every("a", HOUR, NOW + HOUR))
    assert kinds_of(await shard.entries()) == "DC"
    await shard.jobs.sweep()
    assert await shard.ids() == ["a"]
    assert await shard.drain(NOW) == []
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


# --- An unchanged schedule ---


@BOTH
async def test_an_unchanged_schedule_keeps_its_phase(shard: Shard, mode: WriteMode) -> None:
    """However often it is written: the next run comes when it was due, with the last data."""
    await shard.create(every("a", 3 * SECOND, creator="old"))
    for at in range(1, 10):
        now = NOW + at * SECOND
        job = every("a", 3 * SECOND, now + 3 * SECOND, creator=f"new{at}")
        await shard.write(mode, job, now=now)
        runs, whose = await staged(shard, now)
        assert runs == ([("a", at * SECOND)] if at % 3 == 0 else [])
        assert whose == [b"new"] * len(runs)


@BOTH
async def test_a_run_that_is_due_stays_and_carries_the_new_data(
    shard: Shard, mode: WriteMode
) -> None:
    """With the occurrence's nominal time, under the number of the new generation."""
    await shard.create(every("a", HOUR, NOW, creator="old"))
    before = await number(shard, "a")
    await shard.write(mode, every("a", HOUR, NOW + HOUR + 7, creator="new"), now=NOW + 7)
    runs, whose = await staged(shard, NOW + 7)
    assert (runs, whose) == ([("a", 0)], [b"new"])
    assert await number(shard, "a") > before
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


async def number(shard: Shard, job_id: str) -> int:
    (found,) = await shard.jobs.get([job_id])
    assert found
    return header(found.record).seq


@BOTH
async def test_all_occurrences_that_are_due_stay(shard: Shard, mode: WriteMode) -> None:
    await shard.create(every("a", 10 * SECOND, NOW))
    await shard.write(mode, every("a", 10 * SECOND, NOW + DAY, creator="new"), now=NOW + 25_000)
    assert briefly(await shard.drain(NOW + 25_000)) == [("a", 0), ("a", 10_000), ("a", 20_000)]


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"creator": "new"}, 1),
        ({"creator": "new", "priority": Priority.HIGH}, 1),
        ({"creator": "new", "parallel": 2}, 2),
        ({"creator": "new", "type": "u"}, 1),
    ],
)
@BOTH
async def test_a_held_run_stays_and_waits_by_the_new_rules(
    shard: Shard, mode: WriteMode, changes: dict[str, Any], limit: int
) -> None:
    """It moves to where runs of its new type, limit and priority wait."""
    busy = [once(f"busy{n}", NOW - 2, type=changes.get("type", "t")) for n in range(limit)]
    await shard.create(once("first", NOW - 2), *busy)
    running = await shard.drain(NOW - 1)
    await shard.create(every("a", HOUR, NOW, creator="old", parallel=1))
    assert await shard.drain(NOW) == []
    fields = {"parallel": 1, **changes}
    await shard.write(mode, every("a", HOUR, NOW + HOUR + 9, **fields), now=NOW + 9)
    first, *others = running
    await shard.done(first, now=NOW + 9)
    assert await shard.drain(NOW + 9) == []
    await shard.done(others[0], now=NOW + 9)
    assert await staged(shard, NOW + 9) == ([("a", 0)], [b"new"])
    await shard.forget_runs(NOW + 9)
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


async def test_held_runs_start_in_the_new_order(shard: Shard) -> None:
    await shard.create(once("busy", NOW - 1, parallel=1))
    running = await shard.drain(NOW)
    await shard.create(*[every(name, HOUR, NOW, parallel=1) for name in ("a", "b")])
    assert await shard.drain(NOW) == []
    await shard.upsert(every("b", HOUR, NOW + 5, parallel=1, priority=Priority.CRITICAL))
    order = []
    while running:
        await shard.done(*running)
        running = await shard.drain(NOW)
        order += ids_of(running)
    assert order == ["b", "a"]


async def test_a_held_run_that_needs_no_place_any_more_starts(shard: Shard) -> None:
    await shard.create(once("busy", NOW - 1, parallel=1), every("a", HOUR, NOW, parallel=1))
    assert ids_of(await shard.drain(NOW)) == ["busy"]
    await shard.update(every("a", HOUR, NOW + HOUR), now=NOW + 1)
    assert briefly(await shard.drain(NOW + 1)) == [("a", 0)]


@BOTH
@pytest.mark.parametrize("missed", ["latest", "skip"])
async def test_a_missed_run_is_not_lost(shard: Shard, mode: WriteMode, missed: str) -> None:
    """An application that is deployed with the service writes its jobs before the owner is back."""
    shard.rule(missed_runs=missed)
    await shard.create(every("a", HOUR, NOW + HOUR), cron("c", FIVE_MINUTES, FIRST))
    await shard.drain(NOW)
    back = NOW + 10 * HOUR + 4 * MINUTE
    jobs = [every("a", HOUR, back + HOUR, creator="x"), cron("c", FIVE_MINUTES, back, creator="x")]
    await shard.write(mode, *jobs, now=back)
    runs = briefly(await shard.drain(back))
    latest = back - NOW - (back - FIRST) % (5 * MINUTE)
    expected = [("c", latest), ("a", 10 * HOUR)] if missed == "latest" else []
    assert sorted(runs) == sorted(expected)
    assert ("a", 11 * HOUR) in briefly(await shard.drain(NOW + 11 * HOUR))


async def test_a_held_run_is_not_taken_for_a_missed_one(shard: Shard) -> None:
    """It was there in time; an outage that follows swallows neither it nor its successors."""
    await shard.create(once("busy", NOW - 1, parallel=1), every("a", HOUR, NOW, parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.update(every("a", HOUR, NOW + HOUR, parallel=1, creator="new"), now=NOW + 1)
    late = NOW + 3 * HOUR
    assert await shard.drain(late) == []
    await shard.done(busy, now=late)
    assert briefly(await shard.drain(late)) == [("a", 0)]


@BOTH
async def test_a_run_that_waits_for_its_retry_is_superseded(shard: Shard, mode: WriteMode) -> None:
    """Also in the journal; the schedule goes on."""
    await shard.create(every("a", HOUR, NOW, attempts=3, delay=MINUTE, creator="old"))
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    await shard.entries()
    new = every("a", HOUR, NOW + HOUR + 1, attempts=3, delay=MINUTE, creator="new")
    await shard.write(mode, new, now=NOW + 1)
    assert kinds_of(await shard.entries()) == "XDC"
    assert await shard.raw("EXISTS", "retries") == 0
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


@BOTH
async def test_a_run_under_way_is_left_to_its_answer(shard: Shard, mode: WriteMode) -> None:
    await shard.create(every("a", HOUR, NOW, attempts=3))
    (run,) = await shard.drain(NOW)
    await shard.write(mode, every("a", HOUR, NOW + HOUR, attempts=3, creator="new"))
    assert await shard.fail(run) == 1
    assert await shard.drain(NOW + HOUR - 1) == []
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


# --- Cron jobs that wait to be planned ---


@BOTH
async def test_a_cron_job_that_waits_to_be_planned_keeps_its_place(
    shard: Shard, mode: WriteMode
) -> None:
    """Its owner died between staging and planning: nothing is lost, and nothing comes twice."""
    shard.rule(catch_up_window=HOUR)
    await shard.create(cron("a", FIVE_MINUTES, FIRST))
    assert len(await shard.stage(FIRST)) == 1
    later = FIRST + 12 * MINUTE
    await shard.write(mode, cron("a", FIVE_MINUTES, FIRST + 15 * MINUTE, creator="new"), now=later)
    runs = await shard.drain(later)
    assert [run.nominal - FIRST for run in runs] == [5 * MINUTE, 10 * MINUTE]


async def test_what_was_emitted_before_it_was_planned_is_in_the_journal(shard: Shard) -> None:
    """As attempt 0, until the job is written again or goes."""
    await shard.create(cron("a", FIVE_MINUTES, FIRST))
    await shard.stage(FIRST)
    await shard.update(cron("a", FIVE_MINUTES, FIRST + DAY, creator="new"), now=FIRST + 1)
    entries = await shard.entries()
    assert kinds_of(entries) == "DCR"
    assert waiting(entries) == [(await number(shard, "a"), FIRST, 0, FIRST)]
    (created,) = [entry for entry in entries if entry[:1] == b"C"]
    assert struct.unpack_from("<xQ", created) == (FIRST,)
    await shard.plan()
    await shard.update(cron("a", FIVE_MINUTES, FIRST + DAY, creator="newer"), now=FIRST + 2)
    assert kinds_of(await shard.entries()) == "XDC"
    assert await shard.raw("EXISTS", "retries") == 0


def waiting(entries: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Seq, nominal, attempt and due of what the journal is told of."""
    return [struct.unpack("<QQIQ", entry[-28:]) for entry in entries if entry[:1] == b"R"]


async def test_a_missed_cron_run_that_waits_to_be_planned_is_kept(shard: Shard) -> None:
    await shard.create(cron("a", FIVE_MINUTES, FIRST))
    await shard.drain(NOW)
    back = FIRST + DAY + 2 * MINUTE
    assert await shard.stage(back) == []
    await shard.update(cron("a", FIVE_MINUTES, back + HOUR, creator="new"), now=back)
    assert [run.nominal - FIRST for run in await shard.drain(back)] == [DAY]


async def test_cron_jobs_of_older_versions_are_compared_by_their_text(shard: Shard) -> None:
    """Their records hold no fingerprint."""
    await shard.create(without_fingerprint(cron("a", FIVE_MINUTES, FIRST)))
    await shard.entries()
    await shard.upsert(cron("a", FIVE_MINUTES, NOW + DAY))
    assert await shard.entries() == []
    await shard.upsert(cron("a", FIVE_MINUTES, NOW + DAY, creator="new"))
    assert (await shard.schedule.stage(shard.token, NOW, 9)).next_due == FIRST
    await shard.create(without_fingerprint(cron("b", FIVE_MINUTES, FIRST)))
    await shard.upsert(cron("b", "*/4 * * * *", FIRST + MINUTE))
    assert ids_of(await shard.drain(FIRST)) == ["a"]


def without_fingerprint(job: NewJob) -> NewJob:
    record = bytearray(of_version(job.record, 0))
    assert record[6] == 0x80 | TriggerKind.CRON
    record[6] = TriggerKind.CRON
    record[16:20] = bytes(4)  # no creator
    return NewJob(job.id, job.due, bytes(record[:20] + record[45:]))


# --- A changed schedule ---

CHANGED = pytest.mark.parametrize(
    "new",
    [
        every("a", DAY, NOW + DAY, creator="new"),
        cron("a", "0 0 * * *", NOW + DAY, creator="new"),
        every("a", HOUR, NOW + DAY, creator="new", timezone="Asia/Kolkata"),
    ],
)


@BOTH
@CHANGED
async def test_a_changed_schedule_begins_anew(shard: Shard, mode: WriteMode, new: NewJob) -> None:
    await shard.create(every("a", HOUR, creator="old"))
    await shard.write(mode, new)
    assert await shard.drain(NOW + DAY - 1) == []
    assert briefly(await shard.drain(NOW + DAY)) == [("a", DAY)]


@BOTH
@CHANGED
async def test_what_was_already_due_still_runs(shard: Shard, mode: WriteMode, new: NewJob) -> None:
    """With the new data, once, and nothing of the old schedule follows."""
    await shard.create(every("a", HOUR, NOW, creator="old"))
    await shard.write(mode, new, now=NOW + 5)
    runs, whose = await staged(shard, NOW + 5)
    assert (runs, whose) == ([("a", 0)], [b"new"])
    assert await shard.drain(NOW + DAY - 1) == []
    assert briefly(await shard.drain(NOW + DAY)) == [("a", DAY)]


@BOTH
@pytest.mark.parametrize("first", [NOW, NOW - 1_000])
async def test_an_occurrence_of_both_schedules_is_one_run(
    shard: Shard, mode: WriteMode, first: int
) -> None:
    """The check computed when the new schedule begins; the write comes after that instant."""
    await shard.create(cron("a", "*/2 * * * * *", NOW, creator="old"))
    new = cron("a", "* * * * * *", first, creator="new")
    await shard.write(mode, new, now=NOW + 5)
    runs, whose = await staged(shard, NOW + 5)
    assert (runs, whose) == ([("a", first - NOW)], [b"new"])


async def test_a_held_run_outlives_changes_of_its_schedule(shard: Shard) -> None:
    """Each change leaves the run that was due by then."""
    await shard.create(once("busy", NOW - 1, parallel=1), every("a", HOUR, NOW, parallel=1))
    running = await shard.drain(NOW)
    await shard.update(every("a", 2 * HOUR, NOW + MINUTE, parallel=1), now=NOW + 1)
    assert await shard.drain(NOW + 2 * MINUTE) == []
    new = every("a", 3 * HOUR, NOW + HOUR, parallel=1, creator="new")
    await shard.update(new, now=NOW + 2 * MINUTE)
    nominals = []
    while running:
        await shard.done(*running, now=NOW + HOUR)
        running = await shard.drain(NOW + HOUR)
        nominals += briefly(running)
    assert nominals == [("a", 0), ("a", MINUTE), ("a", HOUR)]
    assert await shard.raw("EXISTS", "retries") == 0


async def test_a_run_that_was_left_is_in_the_journal_until_it_is_emitted(shard: Shard) -> None:
    await shard.create(every("a", HOUR, NOW))
    await shard.update(every("a", DAY, NOW + DAY), now=NOW + 5)
    entries = await shard.entries()
    assert kinds_of(entries) == "CDCR"
    assert waiting(entries) == [(await number(shard, "a"), NOW, 1, NOW)]
    await shard.schedule.stage(shard.token, NOW + 5, 9)
    assert kinds_of(await shard.entries()) == "QX"


@pytest.mark.parametrize("how", ["delete", "clear", "reset", "when"])
async def test_a_run_that_was_left_goes_with_its_job(shard: Shard, how: str) -> None:
    """From all indexes and the journal."""
    await shard.create(once("busy", NOW - 1, parallel=1), every("a", HOUR, NOW, parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.update(every("a", DAY, NOW + DAY, parallel=1), now=NOW + 5)
    assert await shard.drain(NOW + 5) == []
    await shard.entries()
    if how == "delete":
        await shard.delete("a")
    elif how == "when":
        await shard.update(once("a", NOW + DAY, parallel=1))
    else:
        await (shard.clear() if how == "clear" else shard.reset())
    assert kinds_of(await shard.entries()).count("X") >= 1
    await shard.done(busy)
    assert await shard.drain(NOW + DAY - 1) == []
    await shard.delete("a", "busy")
    await shard.forget_runs(NOW)
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]


async def test_a_failed_run_of_a_former_schedule_is_tried_again(shard: Shard) -> None:
    """It is a run like any other once it has begun."""
    await shard.create(every("a", HOUR, NOW, attempts=2, delay=10))
    await shard.update(every("a", DAY, NOW + DAY, attempts=2, delay=10), now=NOW + 5)
    (run,) = await shard.drain(NOW + 5)
    await shard.fail(run, now=NOW + 5)
    (again,) = await shard.drain(NOW + 15)
    assert (again.nominal, again.attempt) == (NOW, 2)
    await shard.done(again)
    assert await shard.drain(NOW + DAY - 1) == []


# --- One-time jobs and other kinds of trigger ---

HELD = once("a", NOW, parallel=1, creator="old")


async def held(shard: Shard) -> Run:
    """A one-time job of `NOW` that waits for a place; returns the run that has it."""
    await shard.create(once("busy", NOW - 1, parallel=1), HELD)
    (busy,) = await shard.drain(NOW)
    return busy


def past(**changes: Any) -> NewJob:
    """The same job a minute later, as the check leaves it."""
    return once("a", NOW, **{"parallel": 1, "creator": "new", "notes": Note.ELAPSED, **changes})


@BOTH
@pytest.mark.parametrize("text", [None, "Nov 14, 2023 22:13:20"])
async def test_an_unchanged_when_in_the_past_keeps_its_held_run(
    shard: Shard, mode: WriteMode, text: str | None
) -> None:
    busy = await held(shard)
    written = await shard.write(mode, past(when=text), now=NOW + MINUTE)
    assert written.refusals == [None]
    assert await shard.drain(NOW + MINUTE) == []
    await shard.done(busy)
    runs, whose = await staged(shard, NOW + MINUTE)
    assert (runs, whose) == ([("a", 0)], [b"new"])


@BOTH
async def test_any_other_when_in_the_past_is_refused(shard: Shard, mode: WriteMode) -> None:
    """Nothing of the list is applied."""
    await held(shard)
    await shard.create(every("r", HOUR), every("other", HOUR))
    await shard.entries()
    for wrong in (
        once("a", NOW - 1, notes=Note.ELAPSED),
        once("a", NOW, notes=Note.ELAPSED | Note.RELATIVE),
        once("r", NOW, notes=Note.ELAPSED),
    ):
        written = await shard.write(mode, every("other", DAY), wrong)
        assert written.refusals == [Refusal("elapsed", 1)]
        assert await shard.entries() == []


async def test_a_when_in_the_past_needs_a_job_that_lives(shard: Shard) -> None:
    written = await shard.write(UPSERT, past())
    assert written.refusals == [Refusal("elapsed", 0)]
    written = await shard.write(UPDATE, past())
    assert written.refusals == [Refusal("missing", 0)]
    await held(shard)
    await shard.jobs.scripts.run("clear", now=NOW, mark="cleared", **origin(None))
    written = await shard.write(UPSERT, past())
    assert written.refusals == [Refusal("elapsed", 0)]


async def test_an_identical_when_in_the_past_changes_nothing(shard: Shard) -> None:
    """Whether its run waits or is under way."""
    busy = await held(shard)
    same = past(creator="old")
    await shard.entries()
    await shard.upsert(same, now=NOW + MINUTE)
    assert await shard.entries() == []
    await shard.done(busy)
    (run,) = await shard.drain(NOW + MINUTE)
    await shard.entries()
    await shard.upsert(same, now=NOW + MINUTE)
    assert await shard.entries() == []
    await shard.done(run)
    assert await shard.ids() == []


@BOTH
async def test_an_unchanged_when_whose_run_is_under_way_does_not_run_twice(
    shard: Shard, mode: WriteMode
) -> None:
    """The run ends the job, as it is now."""
    await shard.create(once("a", NOW, attempts=2, delay=5, creator="old"))
    (run,) = await shard.drain(NOW)
    new = past(parallel=0, attempts=3, delay=50)
    await shard.write(mode, new, now=NOW + MINUTE)
    assert await shard.drain(NOW + MINUTE) == []
    await shard.fail(run, now=NOW + MINUTE)
    runs, whose = await staged(shard, NOW + MINUTE + 50)
    assert (runs, whose) == ([("a", 0)], [b"new"])
    await shard.done(run.instance + 1, now=NOW + MINUTE)
    assert await shard.ids() == []
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]


async def test_its_new_type_has_not_seen_that_run(shard: Shard) -> None:
    """So the job runs for the new type."""
    await shard.create(once("a", NOW))
    (run,) = await shard.drain(NOW)
    await shard.update(past(type="u", parallel=0), now=NOW + MINUTE)
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", 0)]
    await shard.done(run)
    assert await shard.ids() == ["a"]


async def test_an_unchanged_when_whose_run_waits_for_its_retry_runs_anew(shard: Shard) -> None:
    """The retry is superseded."""
    await shard.create(once("a", NOW, attempts=2, delay=HOUR))
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    await shard.update(past(parallel=0, attempts=2, delay=HOUR), now=NOW + MINUTE)
    (again,) = await shard.drain(NOW + MINUTE)
    assert (again.nominal, again.attempt) == (NOW, 1)
    assert again.seq > run.seq


@BOTH
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (once("a", NOW), once("a", NOW + DAY)),
        (once("a", NOW), every("a", DAY, NOW + DAY)),
        (every("a", HOUR, NOW), once("a", NOW + DAY)),
        (cron("a", FIVE_MINUTES, NOW), once("a", NOW + DAY)),
    ],
)
@pytest.mark.parametrize("is_held", [False, True])
async def test_another_when_or_kind_of_trigger_replaces_the_pending_run(
    shard: Shard, mode: WriteMode, before: NewJob, after: NewJob, is_held: bool
) -> None:
    limit = {"parallel": 1} if is_held else {}
    jobs = [relimited(job, **limit) for job in (before, after)]
    await shard.create(once("busy", NOW - 1, parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.create(jobs[0])
    if is_held:
        assert await shard.drain(NOW) == []
    await shard.write(mode, jobs[1])
    await shard.done(busy)
    assert await shard.drain(NOW + DAY - 1) == []
    assert briefly(await shard.drain(NOW + DAY)) == [("a", DAY)]


def relimited(job: NewJob, parallel: int = 0) -> NewJob:
    head = header(job.record)
    if kind(job.record) == TriggerKind.ONCE:
        return once("a", job.due, parallel=parallel)
    if kind(job.record) == TriggerKind.CRON:
        return cron("a", FIVE_MINUTES, job.due, parallel=parallel)
    return every("a", head.interval, job.due, parallel=parallel)


# --- Restores compare in the same way ---


async def test_a_restore_leaves_alone_what_is_only_spelled_differently(shard: Shard) -> None:
    before = asked(CREATE, interval="2 minutes")
    await shard.create(before)
    stored = await shard.jobs.get(["a"])
    await shard.put_back([asked(CREATE, NOW + 5, interval="120 seconds")], [], 2**40)
    assert await shard.jobs.get(["a"]) == stored
    await shard.put_back([asked(CREATE, NOW + 5, interval="121 seconds")], [], 2**40)
    assert await shard.jobs.get(["a"]) != stored
    await shard.delete("a")
    await shard.create(without_fingerprint(cron("a", FIVE_MINUTES, FIRST)))
    stored = await shard.jobs.get(["a"])
    await shard.put_back([cron("a", FIVE_MINUTES, FIRST + DAY)], [], 2**40)
    assert await shard.jobs.get(["a"]) == stored


async def test_a_run_that_is_due_stays_behind_many_runs_by_hand(shard: Shard) -> None:
    """They stand in one index, in any number."""
    await shard.create(every("a", HOUR, NOW, parallel=1), once("busy", NOW - 1, parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.update(every("a", DAY, NOW + DAY, parallel=1), now=NOW + 1)  # leaves one run
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    for n in range(120):
        await control.run(Step(["a"], 1, ""), NOW + 2 + n, "")
    await shard.update(every("a", DAY, NOW + DAY, parallel=1, creator="new"), now=NOW + MINUTE)
    await shard.done(busy, now=NOW + MINUTE)
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", 0)]
