"""Runs that have failed for good leave a trace: a count, and a line in the log."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_srv.app.ended import ENDED, LONGEST_ERROR, PAUSE_SECONDS, EndedLog
from scheduling_srv.app.replies import Ended
from scheduling_srv.service.service import THROTTLES


def counted(outcome: str) -> float:
    labels = {"outcome": outcome, "type": "other"}
    return REGISTRY.get_sample_value("scheduling_runs_ended_total", labels) or 0.0


def test_each_is_counted_and_one_line_a_second_tells_of_them() -> None:
    now = 0.0
    log = EndedLog(lambda: now)
    before = {outcome: counted(outcome) for outcome in ("done", "failed", "timed-out")}
    with capture_logs() as lines:
        log.note(Ended(done=5, types=[b"t", 5, 0]), "failed")
        log.note(Ended(failed=1, job=b"a", types=[b"t", 0, 1]), "failed")
        log.note(Ended(failed=2, job=b"b", types=[b"t", 0, 1, b"u", 0, 1]), "timed-out")
        now = PAUSE_SECONDS
        log.note(Ended(done=1, failed=3, job=b"c", types=[b"t", 1, 3]), "failed")
    told = [(line["job"], line["failed_since_last_line"], line["outcome"]) for line in lines]
    assert told == [("a", 1, "failed"), ("c", 5, "failed")]
    assert {line["log_level"] for line in lines} == {"warning"}
    gained = {outcome: counted(outcome) - before[outcome] for outcome in before}
    assert gained == {"done": 6, "failed": 4, "timed-out": 2}


def test_a_line_says_how_a_run_has_failed() -> None:
    said = ("no such host: " + "\u00e9" * 500).encode()[:801]
    ended = Ended(failed=1, job=b"a", types=[b"mail", 0, 1], type=b"mail", attempts=3, error=said)
    with capture_logs() as lines:
        EndedLog(lambda: 0.0).note(ended, "failed")
    (line,) = lines
    assert (line["type"], line["attempts"]) == ("mail", 3)
    assert line["error"] == "no such host: " + "\u00e9" * (LONGEST_ERROR - 14)


def test_failures_within_the_pause_are_told_even_if_none_follows() -> None:
    now = 0.0
    log = EndedLog(lambda: now)
    with capture_logs() as lines:
        log.note(Ended(failed=1, job=b"a"), "failed")
        log.note(Ended(failed=2, job=b"b"), "failed")
        log.throttle.tick()
        now = PAUSE_SECONDS
        log.throttle.tick()
        log.throttle.tick()
    assert [(line["job"], line["failed_since_last_line"]) for line in lines] == [("a", 1), ("b", 2)]
    assert ENDED.throttle in THROTTLES  # a replica ticks it


def test_every_outcome_is_there_from_the_start() -> None:
    for outcome in ("done", "failed", "timed-out"):
        labels = {"outcome": outcome, "type": "other"}
        assert REGISTRY.get_sample_value("scheduling_runs_ended_total", labels) is not None
