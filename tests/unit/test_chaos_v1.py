"""The oracle finds each broken promise to jobs of scheduling.v1, and nothing in what is right."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chaos.history import Fault, History, Seen
from chaos.model import Model
from chaos.v1 import facts
from chaos.v1.caller import V1Caller
from chaos.v1.rules import CATEGORIES, violations
from chaos.v1.specs import Spec
from chaos.workers import is_overdue
from tests.client.contract import ScheduledJob
from tests.unit.chaos_story import T0, rfc3339, with_instance
from tests.unit.chaos_v1_story import V1Story, final, good, run_of, spec


def found(history: History) -> set[str]:
    return {violation.category for violation in violations(Model(history))}


def test_a_good_history_passes() -> None:
    assert list(violations(Model(good().history))) == []


def test_refusals_that_have_a_reason_pass() -> None:
    story = good()
    new = replace(story.specs["changed-2"], tag="changed-3")
    update: dict[str, Any] = {"specs": (new,), "paths": ["payload"]}
    refused(story, "ABORTED", facts.UPDATE, new.id, revision=1, **update)
    story.v1(facts.UPDATE, 16_000, 16_010, new.id, outcome="unknown", revision=2, **update)
    story.v1(
        facts.UPDATE, 17_000, 17_010, new.id, outcome="refused", code="ABORTED", revision=2,
        **update,
    )  # fmt: skip
    ahead: dict[str, Any] = {"from": T0, "until": T0 + 20_000, "most": 1, "request": "g"}
    refused(story, "INVALID_ARGUMENT", facts.BACKFILL, "v1:hand", **ahead)
    past = spec("past", "when", due=T0 + 14_000)
    refused(story, "INVALID_ARGUMENT", facts.CREATE, specs=(past,), request="")
    ends = spec("ends", period=5_000, end=T0 + 18_000)
    refused(story, "INVALID_ARGUMENT", facts.CREATE, specs=(ends,), request="")
    assert list(violations(Model(story.history))) == []


def test_a_job_whose_last_occurrences_were_skipped_ends_before_its_end() -> None:
    """Its next occurrence would come after the end."""
    story = good()
    story.create(
        spec("skipped", period=1_000, start=T0 + 2_500, end=T0 + 5_600, overlap="skip"), 10
    )
    story.done("skipped", 2_500, 2_503)
    story.gone("v1:skipped", 5_510, "finished")
    found = [each for each in violations(Model(story.history)) if each.category == "announced"]
    assert found == []


def test_a_job_with_an_occurrence_before_its_end_does_not_end() -> None:
    story = good()
    story.create(spec("early", period=1_000, start=T0 + 2_500, end=T0 + 5_600), 10)
    story.done("early", 2_500, 2_503)
    story.gone("v1:early", 3_200, "finished")
    assert "announced" in found(story.history)


def test_a_job_whose_creation_has_not_come_is_not_found() -> None:
    story = good()
    unborn = spec("unborn", period=1_000)
    story.v1(facts.CREATE, 14_000, 14_010, specs=(unborn,), outcome="unknown", request="")
    span: dict[str, Any] = {"from": T0, "until": T0 + 2_000, "most": 1, "request": "u"}
    refused(story, "NOT_FOUND", facts.BACKFILL, unborn.id, **span)
    assert list(violations(Model(story.history))) == []


def test_copies_pass_where_they_may_be() -> None:
    story = good()
    uncommitted(story, run_of(story.history, "limited", 10_000), 10_001)
    story.history.settings = replace(story.history.settings, delivery="at_least_once")
    record = run_of(story.history, "limited", 20_000)
    story.history.records.append(replace(record, offset=record.offset + 50))
    assert list(violations(Model(story.history))) == []


@pytest.mark.parametrize(
    ("tag", "nominal", "begun"),
    [
        ("skips", 3_045, 3_040),  # perhaps before it
        ("skips", 3_045, 8_001),
        ("tries", 1_000, 9_000),
        ("three", 3_005, 3_015),  # with its last run the job was gone
        ("cancelled", 1_000, 1_120),
        ("hand", 9_999, 10_000),
    ],
)
def test_a_cancel_may_find_nothing(tag: str, nominal: int, begun: int) -> None:
    story = good()
    run_id = story.run_id(tag, nominal)
    story.v1(facts.CANCEL, begun, begun + 10, run_id, answer={"changed": 0})
    assert list(violations(Model(story.history))) == []


def move(history: History, record: Seen, at: int) -> None:
    """The record comes at another time."""
    history.records.remove(record)
    offset = at * 1_000 + 999
    history.records.append(replace(record, at=T0 + at, offset=offset))


def too_many_runs(story: V1Story) -> None:
    story.done("three", 4_005, 4_008, number=4)


def a_count_that_begins_anew(story: V1Story) -> None:
    record = run_of(story.history, "three", 3_005)
    record.headers["run-number"] = "1"


def a_job_that_does_not_finish(story: V1Story) -> None:
    drop_deletion(story, "finished", 0)


def a_count_lost_at_the_end(story: V1Story) -> None:
    story.update(replace(story.specs["three"], tag="three-2", max_runs=9), ["max_runs"], 2, 2_500)
    a_job_that_does_not_finish(story)
    finals_of(story).append(final("three-2", 2, id="v1:three", counted=1))


def drop_deletion(story: V1Story, outcome: str, number: int) -> None:
    gone = [each for each in story.history.records if each.headers.get("outcome") == outcome]
    story.history.records.remove(gone[number])


def a_run_before_the_start(story: V1Story) -> None:
    story.done("bounded", 1_500, 1_503)


def a_run_after_the_end(story: V1Story) -> None:
    story.done("bounded", 6_500, 6_503)


def a_run_between_two_others(story: V1Story) -> None:
    story.done("limited", 15_000, 15_003)
    story.done("limited", 15_500, 15_503)


def a_run_without_its_jitter(story: V1Story) -> None:
    move(story.history, run_of(story.history, "later", 5_025), 5_026)


def a_run_after_its_deadline(story: V1Story) -> None:
    move(story.history, run_of(story.history, "later", 20_025), 29_000)


def runs_before_the_window(story: V1Story) -> None:
    """Nothing for nineteen seconds; then all of it."""
    story.history.faults.append(Fault("outage", "", T0 + 5_200, T0 + 24_000))
    for nominal in (10_025, 15_025):
        move(story.history, run_of(story.history, "later", nominal), 24_010 + nominal // 1_000)


def a_run_beside_another(story: V1Story) -> None:
    story.done("skips", 6_045, 6_048)


def a_run_that_does_not_wait(story: V1Story) -> None:
    move(story.history, run_of(story.history, "waits", 6_055), 6_058)


def a_lost_run(story: V1Story) -> None:
    story.history.records.remove(run_of(story.history, "limited", 10_000))


def a_lost_run_of_skip(story: V1Story) -> None:
    story.history.records.remove(run_of(story.history, "skips", 15_045))


def a_one_time_job_that_never_runs(story: V1Story) -> None:
    story.create(spec("silent", "when", due=T0 + 1_000), 100)


def a_delay_that_is_too_short(story: V1Story) -> None:
    record = run_of(story.history, "tries", 1_000, 2)
    move(story.history, record, record.at - T0 - 5)


def one_attempt_too_many(story: V1Story) -> None:
    story.done("tries", 1_000, 9_000, attempt=4)


def a_retry_is_lost(story: V1Story) -> None:
    records = story.history.records
    for attempt in (2, 3):
        records.remove(run_of(story.history, "tries", 1_000, attempt))


def a_heartbeat_that_does_not_count(story: V1Story) -> None:
    move(story.history, run_of(story.history, "beats", 1_000, 2), 3_003)


def an_attempt_after_its_cancel(story: V1Story) -> None:
    story.done("cancelled", 1_000, 1_600, attempt=2)


def a_run_in_a_pause(story: V1Story) -> None:
    story.done("paused", 4_095, 4_098)


def a_run_that_had_passed(story: V1Story) -> None:
    """The job was paused from 3,510 on."""
    story.v1(facts.RESUME, 8_000, 8_010, "v1:paused")
    story.done("paused", 5_095, 9_000)
    final_of(story, "v1:paused")["paused"] = False


def a_run_of_a_paused_type(story: V1Story) -> None:
    move(story.history, run_of(story.history, "rests", 5_025), 5_030)


def a_pause_that_is_lost(story: V1Story) -> None:
    final_of(story, "v1:paused")["paused"] = False


def a_pause_that_nobody_asked_for(story: V1Story) -> None:
    final_of(story, "v1:hand")["paused"] = True


def final_of(story: V1Story, job_id: str) -> dict[str, Any]:
    return next(each for each in finals_of(story) if each["id"] == job_id)


def finals_of(story: V1Story) -> list[dict[str, Any]]:
    (line,) = (each for each in story.history.v1 if each["kind"] == facts.FINAL)
    jobs: list[dict[str, Any]] = line["jobs"]
    return jobs


def a_run_by_hand_that_never_comes(story: V1Story) -> None:
    story.history.records.remove(run_of(story.history, "hand", 1_005))


def two_runs_for_one_request(story: V1Story) -> None:
    story.done("hand", 1_025, 1_028, origin="manual")


def two_answers_to_one_request(story: V1Story) -> None:
    told_of(story, facts.RUN, 1)["answer"] = {"runs": ["v1:hand/9/1m"]}


def told_of(story: V1Story, op: str, number: int = 0) -> dict[str, Any]:
    numbers = [each["number"] for each in story.history.v1 if each.get("op") == op]
    return next(
        each
        for each in story.history.v1
        if each["kind"] == facts.TOLD and each["number"] == numbers[number]
    )


def a_backfill_with_a_gap(story: V1Story) -> None:
    story.history.records.remove(run_of(story.history, "filled", -4_000))
    drop_deletion(story, "deleted", 0)
    deletion = told_of(story, facts.DELETE)["number"]
    story.history.v1[:] = [each for each in story.history.v1 if each.get("number") != deletion]


def a_backfill_beside_itself(story: V1Story) -> None:
    move(story.history, run_of(story.history, "filled", -4_000), 1_021)
    record = run_of(story.history, "filled", -4_000)
    story.history.records.remove(record)
    story.history.records.append(replace(record, offset=1_020_950))


def a_run_of_no_backfill(story: V1Story) -> None:
    story.done("filled", -8_000, 1_500, origin="backfill")


def a_run_after_its_delete(story: V1Story) -> None:
    story.done("filled", 100_000, 100_001)


def two_jobs_with_a_key(story: V1Story) -> None:
    fourth = replace(story.specs["key-3"], tag="key-4", id="v1:key-4")
    story.announce(fourth, 1_800)
    create(story, fourth, 1_790)


def create(story: V1Story, made: Spec, at: int) -> None:
    answer = {"ids": [made.id], "existing": [False]}
    story.v1(facts.CREATE, at, at + 20, specs=(made,), answer=answer, request="")


def a_key_of_no_job(story: V1Story) -> None:
    second = replace(story.specs["key-1"], tag="key-5", id="v1:key-5", key="other")
    answer = {"ids": ["v1:key-1"], "existing": [True]}
    story.v1(facts.CREATE, 800, 810, specs=(second,), answer=answer, request="")


def a_stale_update_is_applied(story: V1Story) -> None:
    stale = replace(story.specs["changed"], tag="stale")
    story.announce(stale, 505)


def a_revision_is_lost(story: V1Story) -> None:
    final_of(story, "v1:changed")["revision"] = 1


def a_property_is_lost(story: V1Story) -> None:
    told_of(story, facts.UPDATE)["answer"]["shown"]["label"] = "x"


def an_old_definition_comes_back(story: V1Story) -> None:
    final_of(story, "v1:changed")["tag"] = "changed"


def a_wrong_refusal(story: V1Story) -> None:
    told_of(story, facts.PAUSE).update(outcome="refused", code="NOT_FOUND")


def refused(story: V1Story, code: str, op: str, *names: str, **fields: Any) -> None:
    story.v1(op, 15_000, 15_010, *names, outcome="refused", code=code, **fields)


def an_abort_of_a_present_revision(story: V1Story) -> None:
    new = replace(story.specs["changed-2"], tag="changed-3")
    refused(story, "ABORTED", facts.UPDATE, new.id, specs=(new,), paths=["payload"], revision=2)


def an_update_that_is_called_invalid(story: V1Story) -> None:
    new = replace(story.specs["later"], tag="later-2", end=T0 + 25_000)
    refused(story, "INVALID_ARGUMENT", facts.UPDATE, new.id, specs=(new,), paths=[], revision=0)


def a_job_that_is_called_past(story: V1Story) -> None:
    ahead = spec("ahead", "when", due=T0 + 20_000)
    refused(story, "INVALID_ARGUMENT", facts.CREATE, specs=(ahead,), request="")


def a_backfill_that_is_called_invalid(story: V1Story) -> None:
    span = {"from": T0 - 6_000, "until": T0}
    refused(story, "INVALID_ARGUMENT", facts.BACKFILL, "v1:hand", most=1, request="g", **span)


def a_read_of_an_old_revision(story: V1Story) -> None:
    told_of(story, facts.GET)["answer"]["revisions"]["v1:changed"] = 1


def uncommitted(story: V1Story, record: Seen, at: int, **headers: str) -> None:
    """A copy of the run whose transaction was aborted."""
    copy = replace(
        record, at=T0 + at, offset=at * 1_000 + 998, committed=False,
        headers={**record.headers, **headers},
    )  # fmt: skip
    story.history.records.append(copy)


def an_uncommitted_run_before_its_time(story: V1Story) -> None:
    uncommitted(story, run_of(story.history, "limited", 20_000), 19_000)


def an_uncommitted_run_under_another_id(story: V1Story) -> None:
    record = run_of(story.history, "limited", 20_000)
    name = record.headers["occurrence-id"].replace(f"/{story.seqs['limited']}/", "/99/")
    uncommitted(story, record, 20_001, **{"occurrence-id": name})


def an_uncommitted_run_under_the_id_of_another(story: V1Story) -> None:
    name = run_of(story.history, "limited", 10_000).headers["occurrence-id"]
    uncommitted(story, run_of(story.history, "limited", 20_000), 20_001, **{"occurrence-id": name})


def an_uncommitted_run_of_nobody(story: V1Story) -> None:
    record = run_of(story.history, "limited", 20_000)
    uncommitted(story, record, 20_001)
    job = ScheduledJob.FromString(record.value)
    job.data.payload[0].value = b"nobody"
    copy = story.history.records.pop()
    story.history.records.append(replace(copy, value=job.SerializeToString()))


def a_copy_of_another_instance(story: V1Story) -> None:
    """Where runs may come twice, they are the same."""
    story.history.settings = replace(story.history.settings, delivery="at_least_once")
    a_run_twice(story)


def a_refused_job_is_announced(story: V1Story) -> None:
    never = spec("never", "when", due=T0)
    refused(story, "INVALID_ARGUMENT", facts.CREATE, specs=(never,), request="")
    story.announce(never, 15_005)


def a_job_of_nobody_is_announced(story: V1Story) -> None:
    story.announce(spec("nobody"), 15_000)


def a_job_of_nobody_is_deleted(story: V1Story) -> None:
    story.gone("v1:nobody", 15_000, "deleted")


def a_definition_of_nobody_is_announced(story: V1Story) -> None:
    story.gone("v1:hand", 14_999, "replaced")
    story.announce(replace(story.specs["hand"], tag="nobody"), 15_000)


def a_cancel_that_finds_no_open_run(story: V1Story) -> None:
    run_id = story.run_id("skips", 3_045)
    story.v1(facts.CANCEL, 5_000, 5_010, run_id, answer={"changed": 0})


def a_cancel_that_finds_no_retry(story: V1Story) -> None:
    """Between the first attempt, which has failed, and the second."""
    run_id = story.run_id("tries", 1_000)
    story.v1(facts.CANCEL, 1_100, 1_110, run_id, answer={"changed": 0})


def a_fault_inside(story: V1Story) -> None:
    told_of(story, facts.PAUSE).update(outcome="unknown", code="INTERNAL")


def a_job_that_nobody_shows(story: V1Story) -> None:
    finals_of(story).remove(final_of(story, "v1:hand"))


def a_deletion_without_a_reason(story: V1Story) -> None:
    story.gone("v1:hand", 3_000, "finished")
    a_job_that_nobody_shows(story)


def a_run_twice(story: V1Story) -> None:
    record = run_of(story.history, "limited", 10_000)
    again = with_instance(record, 900)
    story.history.records.append(replace(record, offset=record.offset + 50, value=again))


def an_instance_twice(story: V1Story) -> None:
    record = run_of(story.history, "limited", 20_000)
    story.history.records.remove(record)
    other = run_of(story.history, "limited", 10_000)
    instance = ScheduledJob.FromString(other.value).id
    story.history.records.append(replace(record, value=with_instance(record, instance)))


BREAKS: dict[Callable[[V1Story], None], str] = {
    too_many_runs: "count",
    a_count_that_begins_anew: "count",
    a_job_that_does_not_finish: "count",
    a_count_lost_at_the_end: "count",
    a_run_before_the_start: "phase",
    a_run_after_the_end: "phase",
    a_run_between_two_others: "phase",
    a_run_without_its_jitter: "early",
    a_run_after_its_deadline: "deadline",
    runs_before_the_window: "missed",
    a_run_beside_another: "overlap",
    a_run_that_does_not_wait: "overlap",
    a_lost_run: "lost",
    a_lost_run_of_skip: "lost",
    a_one_time_job_that_never_runs: "lost",
    a_delay_that_is_too_short: "attempts",
    one_attempt_too_many: "attempts",
    a_retry_is_lost: "lost",
    a_heartbeat_that_does_not_count: "attempts",
    an_attempt_after_its_cancel: "cancel",
    a_run_in_a_pause: "pause",
    a_run_that_had_passed: "pause",
    a_run_of_a_paused_type: "pause",
    a_pause_that_is_lost: "pause",
    a_pause_that_nobody_asked_for: "pause",
    a_run_by_hand_that_never_comes: "by hand",
    two_runs_for_one_request: "by hand",
    two_answers_to_one_request: "by hand",
    a_backfill_with_a_gap: "backfill",
    a_backfill_beside_itself: "backfill",
    a_run_of_no_backfill: "backfill",
    a_run_after_its_delete: "after",
    two_jobs_with_a_key: "unique",
    a_key_of_no_job: "unique",
    a_stale_update_is_applied: "unasked",
    a_revision_is_lost: "update",
    a_property_is_lost: "update",
    an_old_definition_comes_back: "update",
    a_wrong_refusal: "told",
    an_abort_of_a_present_revision: "told",
    an_update_that_is_called_invalid: "told",
    a_job_that_is_called_past: "told",
    a_backfill_that_is_called_invalid: "told",
    a_read_of_an_old_revision: "update",
    an_uncommitted_run_before_its_time: "early",
    an_uncommitted_run_under_another_id: "twice",
    an_uncommitted_run_under_the_id_of_another: "ids",
    an_uncommitted_run_of_nobody: "unasked",
    a_copy_of_another_instance: "twice",
    a_refused_job_is_announced: "unasked",
    a_job_of_nobody_is_announced: "unasked",
    a_job_of_nobody_is_deleted: "unasked",
    a_definition_of_nobody_is_announced: "unasked",
    a_cancel_that_finds_no_open_run: "cancel",
    a_cancel_that_finds_no_retry: "cancel",
    a_fault_inside: "told",
    a_job_that_nobody_shows: "read",
    a_deletion_without_a_reason: "announced",
    a_run_twice: "twice",
    an_instance_twice: "ids",
}


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda each: each.__name__)
def test_each_broken_promise_is_found(break_it: Callable[[V1Story], None]) -> None:
    story = good()
    break_it(story)
    assert BREAKS[break_it] in found(story.history), found(story.history)


def test_every_category_can_be_broken() -> None:
    assert {*CATEGORIES} <= {*BREAKS.values()}


@pytest.mark.parametrize(("away", "wrong"), [(True, set()), (False, {"lost"})])
def test_a_job_that_ended_in_an_outage_has_lost_nothing(away: bool, wrong: set[str]) -> None:
    """A campaign took its last occurrences for lost: they were due while no replica ran."""
    story = good()
    story.create(spec("ended", period=1_000), 8_000)
    story.v1(facts.DELETE, 18_000, 19_010, "v1:ended", answer={"changed": 1})
    story.gone("v1:ended", 19_005, "deleted")
    if away:
        story.history.records = [
            each
            for each in story.history.records
            if each.headers.get("job-id") != "m" or not 8_500 < each.at - T0 < 19_000
        ]
    assert found(story.history) == wrong


@pytest.mark.parametrize(("served", "wrong"), [(1_000, set()), (4_000, {"lost"})])
@pytest.mark.parametrize("by", ["silence", "fault"])
def test_a_job_that_ended_while_the_service_caught_up_has_lost_nothing(
    served: int, wrong: set[str], by: str
) -> None:
    """Seed 77: Kafka was away, then a failover and an outage; a few runs came between them.

    `served`: ms from the end of the outage to the end of the job.
    """
    story, back = good(), 14_000
    ended = back + served
    story.create(spec("ended", period=1_000), 8_000)
    story.v1(facts.DELETE, ended, ended + 10, "v1:ended", answer={"changed": 1})
    story.gone("v1:ended", ended + 5, "deleted")
    if by == "silence":  # but for one run of 2018
        story.history.records = [
            each
            for each in story.history.records
            if each.headers.get("job-id") != "m"
            or not 8_500 < each.at - T0 < back
            or each.at == T0 + 12_000
        ]
    else:
        story.history.faults.append(Fault("cut", "", T0 + 8_500, T0 + back))
    assert found(story.history) == wrong


@pytest.mark.parametrize(("silent", "wrong"), [("other", set()), ("m", {"lost"})])
def test_only_an_outage_of_its_own_shard_excuses_a_job(silent: str, wrong: set[str]) -> None:
    """A campaign took occurrences for lost: the owner of another shard emitted all the time."""
    story = good()
    settings = replace(story.history.settings, shards=3)
    assert settings.shard("t") == settings.shard("v1-a") != settings.shard("metronome")
    story.history.settings = settings
    story.metronome("other", "v1-a", 200_000)
    finals_of(story).append(final("away"))
    story.create(spec("away", period=1_000, older="skip", window=3_000), 90)
    for nominal in (*range(1_095, 8_500, 1_000), *range(16_095, 29_000, 1_000)):
        story.done("away", nominal, max(nominal, 19_000 if nominal > 8_500 else 0) + 3)
    story.history.records = [
        each
        for each in story.history.records
        if each.headers.get("job-id") != silent or not 8_500 < each.at - T0 < 19_000
    ]
    assert found(story.history) == wrong


@pytest.mark.parametrize(("hidden_from", "wrong"), [(-12_000, set()), (15_500, {"told"})])
def test_an_update_may_be_refused_while_a_loss_of_redis_is_not_noticed(
    hidden_from: int, wrong: set[str]
) -> None:
    """Seed 77: Kafka was away from the loss to the call."""
    story = good()
    an_abort_of_a_present_revision(story)
    story.history.faults += [
        Fault("fail-over", "1.0 s behind", T0 - 15_000, T0 - 13_000),
        Fault("kafka-hide", "swallowed", T0 + hidden_from, T0 + 16_000),
    ]
    assert found(story.history) == wrong


@pytest.mark.parametrize(
    ("nominal", "attempt", "wrong"), [(-1, "1", True), (-1, "2", False), (0, "1", False)]
)
def test_recurring_jobs_have_to_catch_up_before_they_end(
    nominal: int, attempt: str, wrong: bool
) -> None:
    """Campaign 201 ended a job that was 7 s behind, one occurrence after another."""
    headers = {"nominal-time": rfc3339(T0 + nominal), "attempt": attempt}
    assert is_overdue(headers, T0) is wrong


@pytest.mark.parametrize(("finished", "wrong"), [(4_500, set()), (9_000, {"pause"})])
def test_a_finished_job_is_not_paused(finished: int, wrong: set[str]) -> None:
    """Seed 77: it was no job any more when it was paused, and a retry of its last run came."""
    story = good()
    story.create(spec("last", period=1_000, max_runs=1, attempts=2), 90)
    first = story.emit("last", 1_095, 1_098, number=1)
    story.gone("v1:last", finished, "finished")
    story.v1(facts.PAUSE, 5_000, 5_010, "v1:last", answer={"changed": 0})
    story.answer(first, 5_100, failed=True)
    story.answer(story.emit("last", 1_095, 5_105, 2, number=1), 5_125)
    assert found(story.history) - {"count"} == wrong


class Backfills:
    """Takes calls of a caller."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def backfill(self, _job: str, span: tuple[int, int], *_: object) -> None:
        self.spans.append(span)


def test_a_caller_fills_no_instant_twice() -> None:
    """Campaign 207 took the runs of a second backfill for repeated: they have the same ids."""
    calls: Any = Backfills()
    caller = V1Caller("p0", 1, calls, pause=1)
    caller.living["v1:a"] = spec("a")
    for _ in range(20):
        caller._backfill()
    ordered = sorted(calls.spans)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ordered))


VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "scheduling_v1.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["jitter"], ids=str)
def test_the_oracle_knows_the_jitter(vector: dict[str, Any]) -> None:
    job = Spec("", vector["id"], "", "interval", jitter=vector["jitter"])
    assert job.delayed(vector["nominal"]) - vector["nominal"] == vector["delay"]


@pytest.mark.parametrize("vector", [each for each in VECTORS["retry"] if each["wait"] > 0], ids=str)
def test_the_oracle_knows_the_delays(vector: dict[str, Any]) -> None:
    job = Spec(
        "", vector["id"], "", "interval", delay=vector["delay"],
        exponential=vector["backoff"] == "EXPONENTIAL", max_delay=vector["max_delay"],
        share=vector["random_share"],
    )  # fmt: skip
    wait = job.backoff(vector["nominal"], vector["failures"] + 1, vector["cap"])
    assert wait == vector["wait"]
