"""Lines of the log that stand for many."""

import logging

import pytest
from structlog.testing import capture_logs

from scheduling_srv.app.given_up import GIVEN_UP, GivenUpLog
from scheduling_srv.app.owner import refusals
from scheduling_srv.app.replies import GivenUp
from scheduling_srv.formats.kafka_records import Refusal, Topic
from scheduling_srv.runtime.throttle import MINUTE_S, MOST_KINDS, Throttle
from scheduling_srv.service.service import THROTTLES


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_has_the_sum_of_some_fields_and_the_last_value_of_others() -> None:
    clock = Clock()
    throttle = Throttle("e", counted="times", added=("bytes",), monotonic=clock)
    with capture_logs() as lines:
        for size in (1, 20, 300):
            throttle.note("kind", bytes=size, last=size)
        clock.now = MINUTE_S
        throttle.tick()
        clock.now = 2 * MINUTE_S
        throttle.note("kind", bytes=4_000, last=4_000)
    told = [(line["times"], line["bytes"], line["last"]) for line in lines]
    assert told == [(1, 1, 1), (2, 320, 300), (1, 4_000, 4_000)]


def test_a_kind_that_does_not_happen_any_more_makes_room() -> None:
    clock = Clock()
    throttle = Throttle("e", counted="times", level=logging.INFO, monotonic=clock)
    with capture_logs():
        for number in range(MOST_KINDS):
            throttle.note(str(number))
    assert throttle.has_room("0")
    assert not throttle.has_room("another")
    clock.now = MINUTE_S - 1
    throttle.tick()
    assert not throttle.has_room("another")
    clock.now = MINUTE_S
    throttle.tick()
    assert throttle.has_room("another")


def test_retries_that_are_given_up_share_a_line_a_minute() -> None:
    clock = Clock()
    log = GivenUpLog(clock)
    with capture_logs() as lines:
        log.note(GivenUp())
        for runs in (2, 3, 4):
            log.note(GivenUp(runs, b"job"))
        clock.now = MINUTE_S
        log.throttle.tick()
    assert [(line["runs"], line["last_job"]) for line in lines] == [(2, "job"), (7, "job")]
    assert GIVEN_UP.throttle in THROTTLES  # a replica ticks it


def test_records_that_kafka_refuses_share_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a dead letter."""
    clock = Clock()
    monkeypatch.setattr(refusals.REFUSED, "monotonic", clock)
    monkeypatch.setattr(refusals.REFUSED, "_kinds", {})
    refusal = Refusal(0, Topic.JOBS, "too large", of_topic=False)
    with capture_logs() as lines:
        for number in range(3):
            refusals._count("run", refusal, job=f"j{number}")
        refusals._count("job", refusal, job="other")
        clock.now = MINUTE_S
        refusals.REFUSED.tick()
    told = [(line["kind"], line["job"], line["refused_since_last_line"]) for line in lines]
    assert told == [("run", "j0", 1), ("job", "other", 1), ("run", "j2", 2)]
    assert {line["log_level"] for line in lines} == {"error"}
    assert refusals.REFUSED in THROTTLES


def test_each_dead_letter_that_is_lost_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else has its pointer."""
    monkeypatch.setattr(refusals.REFUSED, "_kinds", {})
    refusal = Refusal(0, Topic.DEAD_LETTER, "too large", of_topic=False)
    with capture_logs() as lines:
        for number in range(3):
            refusals._count("dead_letter", refusal, dropped=True, letter={"offset": str(number)})
    assert [line["letter"]["offset"] for line in lines] == ["0", "1", "2"]
