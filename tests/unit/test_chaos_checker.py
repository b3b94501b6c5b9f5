"""The chaos checker finds each kind of broken promise, and nothing in what is right."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checker import CATEGORIES, violations
from chaos.generator import to_job, without_padding
from chaos.history import (
    CREATE,
    DELETE,
    INTERVAL,
    NOW,
    UPDATE,
    UPSERT,
    Ask,
    Fault,
    History,
    Quiet,
    Recorder,
)
from chaos.v1 import rules
from tests.client.contract import Deleted, Job
from tests.unit.chaos_story import (
    T0,
    TIMEOUT,
    Story,
    call_of,
    change,
    find,
    find_answer,
    find_deleted,
    good,
    instance_of,
    live_on,
    repeat,
    when,
    with_instance,
)


def found(history: History) -> set[str]:
    return {violation.category for violation in violations(history)}


def test_a_good_history_passes() -> None:
    assert violations(good()) == []


def test_an_aborted_copy_is_no_second_run() -> None:
    history = good()
    repeat(history, find(history, "queuedJob", "w"), later=-1, committed=False)
    assert violations(history) == []


def test_a_second_answer_changes_nothing() -> None:
    history = good()
    instance = instance_of(history.records[find(history, "queuedJob", "w")])
    repeat(history, find_answer(history, instance))
    assert violations(history) == []


# --- Each way to break it ---------------------------------------------------------------------


def lose_a_when_job(history: History) -> None:
    """With all that came of it."""
    del history.records[find_deleted(history, "id-w")]
    live_on(history, "id-w")
    del history.records[find(history, "queuedJob", "w")]


def lose_a_now_job(history: History) -> None:
    del history.records[find(history, "queuedJob", "now")]


def lose_an_events_now_job(history: History) -> None:
    del history.records[find(history, "queuedJob", "event-now")]


def lose_one_of_an_interval(history: History) -> None:
    del history.records[find(history, "queuedJob", "i", nominal=9_104)]


def lose_one_of_a_cron(history: History) -> None:
    del history.records[find(history, "queuedJob", "c", nominal=10_000)]


def lose_the_last_of_an_interval(history: History) -> None:
    del history.records[find(history, "queuedJob", "i", nominal=20_104)]
    del history.records[find(history, "queuedJob", "i", nominal=19_104)]


def lose_what_was_overtaken(history: History) -> None:
    """It was deleted much later, but less urgent jobs that were due later ran before that."""
    del history.records[find(history, "queuedJob", "w")]
    change(history, find_deleted(history, "id-w"), at=T0 + 2_205)
    history.calls.append(
        replace(call_of(history, "u1"), number=99, op="delete", jobs=(), ids=("id-w",),
                begun=T0 + 2_200, ended=T0 + 2_210)
    )  # fmt: skip


def lose_a_retry(history: History) -> None:
    del history.records[find(history, "queuedJob", "tries", attempt=3)]
    del history.records[find_deleted(history, "id-tries")]
    live_on(history, "id-tries")


def lose_a_retry_after_silence(history: History) -> None:
    del history.records[find(history, "queuedJob", "silent", attempt=2)]
    del history.records[find_deleted(history, "id-silent")]
    live_on(history, "id-silent")


def double_a_run(history: History) -> None:
    place = find(history, "queuedJob", "w")
    repeat(history, place, value=with_instance(history.records[place], 900))


def double_a_recurring_run(history: History) -> None:
    repeat(history, find(history, "queuedJob", "i", nominal=9_104))


def double_a_retry(history: History) -> None:
    place = find(history, "queuedJob", "tries", attempt=2)
    repeat(history, place, value=with_instance(history.records[place], 900))


def name_a_copy_differently(history: History) -> None:
    place = find(history, "queuedJob", "w")
    headers = {**history.records[place].headers, "occurrence-id": "by chance"}
    repeat(history, place, later=-1, committed=False, headers=headers)


def come_early(history: History) -> None:
    change(history, find(history, "queuedJob", "w"), at=T0 + 399)


def come_early_each_time(history: History) -> None:
    change(history, find(history, "queuedJob", "i", nominal=9_104), at=T0 + 9_103)


def be_readable_early(history: History) -> None:
    """Whatever the record says."""
    place = find(history, "queuedJob", "w")
    history.readable[history.records[place].offset] = T0 + 399


def be_readable_early_and_aborted(history: History) -> None:
    repeat(history, find(history, "queuedJob", "w"), committed=False, at=T0 + 399)


def shift_a_phase(history: History) -> None:
    place = find(history, "queuedJob", "i", nominal=9_104)
    headers = {**history.records[place].headers, "nominal-time": "2023-11-14T22:13:29.105Z"}
    change(history, place, headers=headers)


def begin_a_phase_late(history: History) -> None:
    del history.records[find(history, "queuedJob", "i", nominal=5_104)]


def begin_a_cron_late(history: History) -> None:
    del history.records[find(history, "queuedJob", "c", nominal=6_000)]


def move_a_due_time(history: History) -> None:
    place = find(history, "queuedJob", "w")
    headers = {**history.records[place].headers, "nominal-time": "2023-11-14T22:13:20.399Z"}
    change(history, place, headers=headers)


def run_after_a_delete(history: History) -> None:
    repeat(
        history,
        find(history, "queuedJob", "i", nominal=20_104),
        at=T0 + 21_107,
        offset=21_107_000,
        headers={
            "occurrence-id": "later",
            "job-id": "id-i",
            "nominal-time": "2023-11-14T22:13:41.104Z",
            "attempt": "1",
        },
        value=with_instance(history.records[find(history, "queuedJob", "i", nominal=20_104)], 901),
    )


def run_after_an_update(history: History) -> None:
    """The version before, due already, comes when the Update was answered."""
    place = find(history, "queuedJob", "u2")
    ask = replace(call_of(history, "u1").jobs[0], due=T0 + 915)
    call_of(history, "u1").jobs = (ask,)
    record = history.records[place]
    value = record.value.replace(b"u2", b"u1")
    headers = {**record.headers, "occurrence-id": "u1", "nominal-time": "2023-11-14T22:13:20.915Z"}
    job = replace(record, value=value, headers=headers, at=T0 + 940, offset=record.offset - 1)
    history.records.append(replace(job, value=with_instance(job, 902)))


def forget_a_created(history: History) -> None:
    del history.records[find(history, "jobsCreated", "far")]
    quiet = history.quiet
    assert quiet
    history.quiet = replace(quiet, living=tuple(each for each in quiet.living if each != "id-far"))
    call = call_of(history, "far")
    near, far = call.jobs
    call.jobs = (near,)
    history.calls.append(replace(call, number=98, jobs=(far,)))


def forget_a_deleted(history: History) -> None:
    """Of a job whose last answer came."""
    del history.records[find_deleted(history, "id-w")]
    live_on(history, "id-w")


def announce_created_twice(history: History) -> None:
    repeat(history, find(history, "jobsCreated", "far"))


def announce_deleted_twice(history: History) -> None:
    repeat(history, find_deleted(history, "id-w"))


def announce_in_wrong_order(history: History) -> None:
    first, second = find_deleted(history, "id-gone"), find(history, "jobsCreated", "gone")
    one, two = history.records[first].offset, history.records[second].offset
    change(history, first, offset=two)
    change(history, second, offset=one)
    live_on(history, "id-gone")


def announce_after_the_answer(history: History) -> None:
    change(history, find(history, "jobsCreated", "far"), at=T0 + 60)


def outlive_a_delete(history: History) -> None:
    change(history, find_deleted(history, "id-gone"), at=T0 + 1_061)


def delete_without_a_reason(history: History) -> None:
    repeat(
        history,
        find_deleted(history, "id-gone"),
        value=Deleted(id="id-u3").SerializeToString(),
    )
    quiet = history.quiet
    assert quiet
    history.quiet = replace(quiet, living=("id-far", "id-event"))


def announce_a_now_job(history: History) -> None:
    place = find(history, "jobsCreated", "far")
    value = (
        history.records[place].value.replace(b"id-far", b"id-now").replace(b"\x03far", b"\x03now")
    )
    repeat(history, place, value=value, at=T0 + 5)
    quiet = history.quiet
    assert quiet
    history.quiet = replace(quiet, living=(*quiet.living, "id-now"))
    change(
        history,
        find(history, "queuedJob", "now"),
        headers={**history.records[find(history, "queuedJob", "now")].headers, "job-id": "id-now"},
    )


def refuse_an_event_twice(history: History) -> None:
    repeat(history, next(n for n, r in enumerate(history.records) if r.topic == "dead_letter"))


def apply_what_was_refused(history: History) -> None:
    call = call_of(history, "now")
    call.outcome, call.code = "refused", "INVALID_ARGUMENT"


def emit_what_nobody_asked_for(history: History) -> None:
    place = find(history, "queuedJob", "w")
    record = history.records[place]
    value = with_instance(record, 903).replace(b"\x01w", b"\x01z")
    repeat(history, place, value=value, headers={**record.headers, "occurrence-id": "z"})


def spell_the_type_wrongly(history: History) -> None:
    place = find(history, "queuedJob", "w")
    change(history, place, value=history.records[place].value.replace(b"ONCE", b"NOWW"))


def apply_a_part(history: History) -> None:
    del history.records[find_deleted(history, "id-unknown-3")]
    del history.records[find(history, "queuedJob", "unknown-3")]
    del history.records[find(history, "jobsCreated", "unknown-3")]


def use_an_instance_again(history: History) -> None:
    place = find(history, "queuedJob", "i", nominal=9_104)
    other = history.records[find(history, "queuedJob", "i", nominal=8_104)]
    change(history, place, value=with_instance(history.records[place], instance_of(other)))


def use_an_occurrence_again(history: History) -> None:
    place = find(history, "queuedJob", "i", nominal=9_104)
    other = history.records[find(history, "queuedJob", "i", nominal=8_104)]
    name = other.headers["occurrence-id"]
    change(history, place, headers={**history.records[place].headers, "occurrence-id": name})


def give_a_job_id_again(history: History) -> None:
    ask = replace(call_of(history, "given").jobs[0], tag="taken")
    history.calls.append(
        replace(call_of(history, "given"), number=97, jobs=(ask,), outcome="unknown")
    )


def exceed_a_limit(history: History) -> None:
    """Before the answer, as the topic has it."""
    first = history.records[find(history, "queuedJob", "one-1")]
    change(history, find(history, "queuedJob", "one-2"), offset=first.offset + 1, at=T0 + 4_004)


def ignore_a_limit(history: History) -> None:
    """The answer that made room never came; it was given up much later."""
    del history.records[find_answer(history, instance_of(
        history.records[find(history, "queuedJob", "one-1")]
    ))]  # fmt: skip
    change(history, find_deleted(history, "id-one-1"), at=T0 + 10_010)


def swap(history: History, one: str, two: str) -> None:
    first, second = find(history, "queuedJob", one), find(history, "queuedJob", two)
    offsets = history.records[first].offset, history.records[second].offset
    change(history, first, offset=offsets[1])
    change(history, second, offset=offsets[0])


def invert_priorities(history: History) -> None:
    swap(history, "urgent", "low")


def invert_neighbours(history: History) -> None:
    swap(history, "second", "low")


def invert_creation(history: History) -> None:
    swap(history, "first", "second")


def hurry_a_backoff(history: History) -> None:
    change(history, find(history, "queuedJob", "tries", attempt=2), at=T0 + 20_908)


def try_once_too_often(history: History) -> None:
    ask = replace(call_of(history, "tries").jobs[0], attempts=2)
    call_of(history, "tries").jobs = (ask,)


def retry_what_was_done(history: History) -> None:
    instance = instance_of(history.records[find(history, "queuedJob", "tries")])
    change(history, find_answer(history, instance), key="jobDone")


def retry_without_an_answer(history: History) -> None:
    instance = instance_of(history.records[find(history, "queuedJob", "tries")])
    del history.records[find_answer(history, instance)]


def skip_an_attempt(history: History) -> None:
    place = find(history, "queuedJob", "tries", attempt=1)
    del history.records[place]


def time_out_too_soon(history: History) -> None:
    change(history, find(history, "queuedJob", "silent", attempt=2), at=T0 + 17_900)


def count_an_answer_twice(history: History) -> None:
    """Of two jobFailed for the first attempt the second is held against the second attempt."""
    first = history.records[find(history, "queuedJob", "tries")]
    second = history.records[find(history, "queuedJob", "tries", attempt=2)]
    repeat(history, find_answer(history, instance_of(first)))
    del history.records[find_answer(history, instance_of(second))]


def count_an_answer_twice_at_once(history: History) -> None:
    """The third attempt comes although the second one was done."""
    first = history.records[find(history, "queuedJob", "tries")]
    second = history.records[find(history, "queuedJob", "tries", attempt=2)]
    repeat(history, find_answer(history, instance_of(first)))
    change(history, find_answer(history, instance_of(second)), key="jobDone")


def refuse_an_update_wrongly(history: History) -> None:
    call = call_of(history, "late")
    call.jobs = (replace(call.jobs[0], id="id-u3"),)


def refuse_a_new_id(history: History) -> None:
    call = call_of(history, "again")
    call.jobs = (replace(call.jobs[0], id="id-new"),)


def refuse_what_is_valid(history: History) -> None:
    call_of(history, "v").jobs = call_of(history, "v").jobs[:1]


def fail_inside(history: History) -> None:
    call_of(history, "unknown-1").code = "INTERNAL"


def hide_a_job(history: History) -> None:
    next(call for call in history.calls if call.op == "read").answered = ()


def show_a_dead_job(history: History) -> None:
    next(call for call in history.calls if call.op == "read").answered = ("id-i", "id-w")


def show_a_stranger_at_the_end(history: History) -> None:
    assert history.quiet
    history.quiet = replace(history.quiet, living=(*history.quiet.living, "stranger"))


def hide_a_job_at_the_end(history: History) -> None:
    assert history.quiet
    history.quiet = replace(history.quiet, living=history.quiet.living[1:])


def leave_a_key(history: History) -> None:
    history.keys_left = ["chaos:{0}:runs (hash)"]


def leave_two_keys(history: History) -> None:
    history.keys_left = ["chaos:{0}:blocked:1:one (zset)", "chaos:{0}:plan (zset)"]


def break_a_replica(history: History) -> None:
    history.troubles.append("a replica broke")


def never_end(history: History) -> None:
    history.quiet = None


BROKEN = {
    "lost": [
        lose_a_when_job, lose_a_now_job, lose_an_events_now_job, lose_one_of_an_interval,
        lose_one_of_a_cron, lose_the_last_of_an_interval, lose_what_was_overtaken, lose_a_retry,
        lose_a_retry_after_silence,
    ],
    "twice": [double_a_run, double_a_recurring_run, double_a_retry, name_a_copy_differently],
    "early": [
        come_early,
        come_early_each_time,
        be_readable_early,
        be_readable_early_and_aborted,
    ],
    "phase": [shift_a_phase, begin_a_phase_late, begin_a_cron_late, move_a_due_time],
    "after": [run_after_a_delete, run_after_an_update],
    "announced": [
        forget_a_created, forget_a_deleted, announce_created_twice, announce_deleted_twice,
        announce_in_wrong_order, announce_after_the_answer, outlive_a_delete,
        delete_without_a_reason, announce_a_now_job, refuse_an_event_twice,
    ],
    "unasked": [apply_what_was_refused, emit_what_nobody_asked_for, spell_the_type_wrongly],
    "atomic": [apply_a_part],
    "ids": [use_an_instance_again, use_an_occurrence_again, give_a_job_id_again],
    "parallel": [exceed_a_limit, ignore_a_limit],
    "priority": [invert_priorities, invert_neighbours, invert_creation],
    "attempts": [
        hurry_a_backoff, try_once_too_often, retry_what_was_done, retry_without_an_answer,
        skip_an_attempt, time_out_too_soon,
    ],
    "answers": [count_an_answer_twice, count_an_answer_twice_at_once],
    "told": [refuse_an_update_wrongly, refuse_a_new_id, refuse_what_is_valid, fail_inside],
    "read": [
        hide_a_job, show_a_dead_job, show_a_stranger_at_the_end, hide_a_job_at_the_end,
    ],
    "keys": [leave_a_key, leave_two_keys],
    "end": [never_end, break_a_replica],
}  # fmt: skip

ALSO = {apply_what_was_refused: {"unasked", "told"}}
"""What cannot be broken alone."""


def test_every_category_can_be_broken() -> None:
    others = {"health", *rules.CATEGORIES}  # test_chaos_health.py, test_chaos_v1.py
    assert {*BROKEN} | others == {*CATEGORIES}


@pytest.mark.parametrize(
    ("category", "broken"),
    [(category, each) for category, all_of_it in BROKEN.items() for each in all_of_it],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_broken_is_found_and_nothing_else(category: str, broken: object) -> None:
    assert callable(broken)
    history = good()
    broken(history)
    assert found(history) == ALSO.get(broken, {category}), violations(history)


# --- At least once ----------------------------------------------------------------------------


def sent_again(**fields: object) -> set[str]:
    """What is found when a run is on the topic again, long after all is over."""
    history = good()
    history.settings = replace(history.settings, delivery="at_least_once")
    repeat(history, find(history, "queuedJob", "w"), later=15_000, **fields)
    return found(history)


def test_a_run_may_come_again_where_that_is_allowed() -> None:
    """It may even be late: its first record has kept every promise of time and order."""
    assert sent_again() == set()


def test_a_run_that_comes_again_has_the_same_names() -> None:
    """By its occurrence id a consumer knows it, by its instance id its answer is known."""
    record = good().records[find(good(), "queuedJob", "w")]
    assert sent_again(value=with_instance(record, 4_000)) == {"twice"}
    for name in ("occurrence-id", "event-id"):
        assert sent_again(headers={**record.headers, name: "another"}) == {"twice"}


def test_nothing_else_is_forgiven_where_runs_may_come_again() -> None:
    history = good()
    history.settings = replace(history.settings, delivery="at_least_once")
    repeat(history, find_deleted(history, "id-w"))
    lose_a_now_job(history)
    assert found(history) == {"announced", "lost"}


def test_a_history_is_the_same_when_it_was_written_and_read(tmp_path: Path) -> None:
    history = good()
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.campaign(history.seed, history.settings)
    for call in history.calls:
        recorder.call(call.op, call.via, call.begun, jobs=call.jobs, ids=call.ids)
        assert call.ended is not None
        recorder.told(call.number, call.ended, call.outcome, call.code, call.answered)
    for record in history.records:
        recorder.record(record)
    for fault in history.faults:
        recorder.fault(fault)
    assert history.quiet
    recorder.quiet(history.quiet)
    recorder.write("left", keys=history.keys_left)
    recorder.close()
    assert History.load(recorder.path) == history


# --- After an outage --------------------------------------------------------------------------


def outage(first_after: int, *, others_ran: bool = False) -> History:
    """Every second a run; then nothing from 5 s to 25 s, with a window of ten."""
    story = Story()
    story.history.settings = replace(story.history.settings, catch_up_window=10_000)
    story.call("create", 0, 10, Ask("i", "interval", id="id-i", period=1_000), when("b", 12_000))
    story.created("i", 4)
    story.created("b", 4)
    for nominal in range(1_004, 6_000, 1_000):
        story.answer(story.run("i", nominal, nominal + 1), nominal + 5)
    story.once("b", 12_000, late=3 if others_ran else 13_000)
    for nominal in range(first_after, 30_000, 1_000):
        at = max(nominal, 25_000) + 2
        story.answer(story.run("i", nominal, at), at + 5)
    story.history.quiet = Quiet(T0 + 29_100, T0 + 29_500, ("id-i",))
    story.history.keys_left = []
    return story.history


def test_what_was_missed_before_the_window_may_be_one_run() -> None:
    assert violations(outage(14_004)) == []


def test_nothing_within_the_window_is_left_out() -> None:
    assert found(outage(16_004)) == {"lost"}


def test_only_outages_are_a_reason() -> None:
    assert found(outage(14_004, others_ran=True)) == {"lost"}


def test_every_occurrence_may_come_late() -> None:
    assert violations(outage(6_004)) == []


def test_clocks_that_differ_are_allowed_for() -> None:
    history = good()
    history.settings = replace(history.settings, skew=200)
    change(history, find(history, "queuedJob", "w"), at=T0 + 201)
    assert violations(history) == []
    change(history, find(history, "queuedJob", "w"), at=T0 + 199)
    assert found(history) == {"early"}


def ended_at(delete: int, *, skew: int) -> History:
    """An interval job of 300 ms that never ran, while another one did."""
    story = Story()
    story.history.settings = replace(story.history.settings, skew=skew)
    story.call("create", 0, 10, Ask("other", "interval", id="id-o", period=100))
    story.call("create", 11, 20, Ask("i", "interval", id="id-i", period=300))
    story.created("other", 4)
    story.created("i", 15)
    for nominal in range(104, 20_000, 100):
        story.answer(story.run("other", nominal, nominal + 1), nominal + 5)
    story.call("delete", delete, delete + 10, ids=("id-i",))
    story.deleted("i", delete + 5)
    story.history.quiet = Quiet(T0 + 19_900, T0 + 19_950, ("id-o",))
    story.history.keys_left = []
    return story.history


def test_a_first_run_is_due_by_the_clock_of_whoever_created_the_job() -> None:
    """Found by a campaign: a clock 200 ms ahead made the first run due after the Delete."""
    assert found(ended_at(450, skew=0)) == {"lost"}
    assert violations(ended_at(450, skew=200)) == []
    assert found(ended_at(950, skew=200)) == {"lost"}


# --- Updates (docs/decisions/0011) ----------------------------------------------------------------


def updated(
    old: Ask, new: Ask, runs: list[tuple[str, int]], *, op: str = UPDATE, end: int = 9_900
) -> History:
    """`old` from 0 on, `new` in its place at 4,000; runs as (tag, nominal)."""
    story = Story()
    story.call(CREATE, 0, 10, old)
    story.created(old.tag, 5)
    for tag, nominal in runs:
        if tag == old.tag:
            story.answer(story.run(tag, nominal, nominal + 3), nominal + 10)
    story.call(op, 4_000, 4_010, new)
    if new.tag != old.tag:
        story.deleted(old.tag, 4_005)
        story.created(new.tag, 4_005)
    for tag, nominal in runs:
        if tag != old.tag:
            at = max(nominal, 4_010) + 3
            story.answer(story.run(tag, nominal, at), at + 10)
    story.call(DELETE, end, end + 10, ids=("id",))
    story.deleted(new.tag, end + 5)
    story.history.quiet = Quiet(T0 + 9_000, T0 + 12_000, ())
    story.history.keys_left = []
    return story.history


OLD = Ask("old", INTERVAL, id="id", period=1_500)
SAME = replace(OLD, tag="new", creator="somebody", priority=-10)
OTHER = replace(OLD, tag="new", period=2_000)
PHASE = [("old", 1_505), ("old", 3_005)]
GOES_ON = [*PHASE, ("new", 4_505), ("new", 6_005), ("new", 7_505), ("new", 9_005)]
ANEW = [("new", 6_005), ("new", 8_005)]


@pytest.mark.parametrize("op", [UPDATE, UPSERT])
def test_an_unchanged_schedule_goes_on(op: str) -> None:
    assert violations(updated(OLD, SAME, GOES_ON, op=op)) == []


def test_a_due_run_comes_for_the_new_version() -> None:
    runs = [("old", 1_505), ("new", 3_005), *GOES_ON[2:]]
    assert violations(updated(OLD, SAME, runs)) == []


def test_a_changed_schedule_begins_anew_and_leaves_what_was_due() -> None:
    assert violations(updated(OLD, OTHER, [*PHASE, *ANEW])) == []
    assert violations(updated(OLD, OTHER, [("old", 1_505), ("new", 3_005), *ANEW])) == []


def test_a_run_that_both_schedules_explain_belongs_to_the_new_one() -> None:
    """Before, the checker called it lost: the old schedule, announced late, might have left it."""
    story = Story()
    story.call(CREATE, 0, 910, replace(OLD, period=2_000))
    story.created("old", 905)  # so it may be due first at any instant from 2,000 to 2,905
    story.call(UPDATE, 1_000, 2_710, replace(SAME, period=300))
    story.deleted("old", 2_705)
    story.created("new", 2_705)
    for nominal in range(1_350, 9_900, 300):
        at = max(nominal, 2_710) + 3
        story.answer(story.run("new", nominal, at), at + 10)
    story.call(DELETE, 9_900, 9_910, ids=("id",))
    story.deleted("new", 9_905)
    story.history.quiet = Quiet(T0 + 9_000, T0 + 12_000, ())
    story.history.keys_left = []
    assert violations(story.history) == []


def test_an_identical_upsert_is_no_change() -> None:
    runs = [("old", nominal) for nominal in (1_505, 3_005, 4_505, 6_005, 7_505, 9_005)]
    assert violations(updated(OLD, OLD, runs, op=UPSERT)) == []
    late = [*runs[:2], ("old", 5_505), ("old", 7_005), ("old", 8_505)]
    assert found(updated(OLD, OLD, late, op=UPSERT)) == {"phase"}
    announced = updated(OLD, OLD, runs, op=UPSERT)
    repeat(announced, find(announced, "jobsCreated", "old"), later=4_000)
    assert "announced" in found(announced)


@pytest.mark.parametrize(
    ("new", "runs", "category"),
    [
        (SAME, [*PHASE, ("new", 5_505), ("new", 7_005), ("new", 8_505)], "phase"),
        (SAME, [*PHASE, *GOES_ON[3:]], "lost"),
        (SAME, PHASE, "lost"),
        (SAME, [*PHASE, ("new", 3_005), *GOES_ON[2:]], "twice"),
        (SAME, [("old", 1_505), *GOES_ON[2:]], "lost"),
        (OTHER, [("old", 1_505), *ANEW], "lost"),
        (OTHER, [*PHASE, ("new", 4_505), *ANEW], "phase"),
    ],
)
def test_broken_updates_are_found(new: Ask, runs: list[tuple[str, int]], category: str) -> None:
    """Phase lost, one or all skipped, one repeated, a due run dropped, one that was not due."""
    assert category in found(updated(OLD, new, runs))


# --- Answers that arrived before the time-out (docs/decisions/0012) ----------------------


def timed_out_at(deadline: int, *, arrived: int, faults: Sequence[Fault] = ()) -> History:
    """A run that succeeded, and was tried again at its time-out."""
    story = Story()
    story.call(CREATE, 0, 10, when("w", 100, id="id", attempts=2))
    story.created("w", 5)
    story.answer(story.run("w", 100, 103), 150)
    story.history.arrived[story.history.records[-1].offset] = T0 + arrived
    story.answer(story.run("w", 100, deadline, 2), deadline + 10)
    story.deleted("w", deadline + 15)
    story.history.faults = list(faults)
    story.history.quiet = Quiet(T0 + 19_000, T0 + 19_000, ())
    story.history.keys_left = []
    return story.history


def test_an_answer_in_time_wins_against_the_time_out() -> None:
    deadline = 100 + TIMEOUT
    assert found(timed_out_at(deadline, arrived=160)) == {"answers"}
    assert found(timed_out_at(deadline, arrived=deadline - 1)) == {"answers"}
    assert violations(timed_out_at(deadline, arrived=deadline + 1)) == []


def test_an_owner_that_cannot_read_kafka_may_give_up() -> None:
    hidden = Fault("kafka-hide", "refused", T0 + 140, T0 + 900)
    assert violations(timed_out_at(100 + TIMEOUT, arrived=160, faults=[hidden])) == []


@pytest.mark.parametrize(("hidden_from", "wrong"), [(-27_000, set()), (-5_000, {"read"})])
def test_a_loss_of_redis_is_not_noticed_while_kafka_is_away(
    hidden_from: int, wrong: set[str]
) -> None:
    """Times are ms after a Read; by then the loss should have been noticed."""
    history = good()
    read = next(call for call in history.calls if call.op == "read")
    read.answered = ()
    history.faults = [
        Fault("fail-over", "1.0 s behind", read.begun - 30_000, read.begun - 28_000),
        Fault("kafka-hide", "swallowed", read.begun + hidden_from, read.begun - 1_000),
    ]
    assert found(history) == wrong


def late(published: int, again: int) -> History:
    """A run that Kafka got long after it was due, and its second attempt; nobody answered."""
    story = Story()
    story.call(CREATE, 0, 10, when("w", 100, id="id", attempts=2))
    story.created("w", 5)
    story.run("w", 100, published)
    story.answer(story.run("w", 100, again, 2), again + 10)
    story.deleted("w", again + 15)
    story.history.quiet = Quiet(T0 + 39_000, T0 + 39_000, ())
    story.history.keys_left = []
    return story.history


def test_a_run_does_not_time_out_before_a_worker_had_its_time() -> None:
    """Its time begins when it is published, less a second."""
    published = 27_000
    assert found(late(published, published + 3)) == {"attempts"}
    assert found(late(published, published + TIMEOUT - 1_001)) == {"attempts"}
    assert violations(late(published, published + TIMEOUT - 1_000)) == []
    assert violations(late(published, published + TIMEOUT)) == []


# --- Large jobs -----------------------------------------------------------------------------------


def large(*, refused_until: int = 0, refused_from: int = 500, size: int = 300_000) -> History:
    """A large job that never runs. Kafka may have refused such records for a while."""
    story = Story()
    story.call(CREATE, 0, 10, when("w", 1_000, id="id", large=size))
    story.created("w", 5)
    story.deleted("w", 1_010)
    if refused_until:
        story.history.faults = [Fault("refuse-large", "", T0 + refused_from, T0 + refused_until)]
    story.history.quiet = Quiet(T0 + 19_000, T0 + 19_000, ())
    story.history.keys_left = []
    return story.history


def test_a_large_job_may_be_refused_while_kafka_refuses_such_records() -> None:
    assert violations(large(refused_until=2_000)) == []
    assert found(large()) == {"announced"}
    assert found(large(refused_until=2_000, size=0)) == {"announced"}
    assert found(large(refused_from=200_000, refused_until=203_000)) == {"announced"}


@pytest.mark.parametrize(("read_at", "wrong"), [(60_500, set()), (30_000, {"told"})])
def test_a_large_event_may_be_refused_when_it_is_read(read_at: int, wrong: set[str]) -> None:
    """Events wait on their topic during an outage, and meet a later fault."""
    story = Story()
    story.event(CREATE, 0, Ask("w", NOW, large=300_000))
    asked = next(each for each in story.history.records if each.topic == "jobs")
    headers = {"status": "FAILED_PRECONDITION", "offset": str(asked.offset)}
    story.record("dead_letter", read_at, "createJobs", b"", headers)
    story.history.faults = [Fault("refuse-large", "", T0 + 60_000, T0 + 62_000)]
    story.history.quiet = Quiet(T0 + 90_000, T0 + 90_000, ())
    story.history.keys_left = []
    assert found(story.history) == wrong


def test_the_checker_knows_a_large_job_by_its_tag() -> None:
    job = to_job(when("w", 1_000, id="id", large=300_000))
    small = Job.FromString(without_padding("jobsCreated", job.SerializeToString()))
    assert [each.value for each in small.data.payload] == [b"w"]


def test_letters_that_tell_of_refused_runs_belong_to_no_event() -> None:
    """Two of them were taken for one event that was refused twice."""
    story = Story()
    for _ in range(2):
        story.record("dead_letter", 100, "queuedJob", b"", {"reason": "too large"})
    story.history.quiet = Quiet(T0 + 19_000, T0 + 19_000, ())
    story.history.keys_left = []
    assert violations(story.history) == []
