"""The log says who has deleted jobs, and how many."""

from structlog.testing import capture_logs
from structlog.typing import EventDict

from scheduling_srv.app import destructive
from scheduling_srv.app.destructive import (
    LOG_EVERY_SECONDS,
    MAX_CALLERS,
    OTHERS,
    DeletionLog,
    called_by,
)


def told(lines: list[EventDict]) -> list[tuple[str, int, int]]:
    return [(line["caller"], line["calls"], line["ids"]) for line in lines]


def test_deletions_by_id_share_a_line_a_minute_for_each_host() -> None:
    now = 0.0
    log = DeletionLog(lambda: now)
    with capture_logs() as lines:
        for port in range(5_000, 5_003):
            with called_by(f"ipv4:10.0.0.1:{port}"):
                log.note(10)
        with called_by("jobs:0@7"):
            log.note(1)
        now = LOG_EVERY_SECONDS
        with called_by("ipv4:10.0.0.1:6000"):
            log.note(5)
    assert told(lines) == [("ipv4:10.0.0.1", 1, 10), ("jobs:0@7", 1, 1), ("ipv4:10.0.0.1", 3, 25)]


def test_many_callers_share_a_line_and_make_room_after_a_minute() -> None:
    now = 0.0
    log = DeletionLog(lambda: now)
    with capture_logs() as lines:
        for number in range(MAX_CALLERS + 50):
            with called_by(f"jobs:0@{number}"):
                log.note(1)
    assert len(lines) == MAX_CALLERS + 1
    assert lines[-1]["caller"] == OTHERS
    now = LOG_EVERY_SECONDS
    with capture_logs() as lines, called_by("jobs:0@900"):
        log.note(2)
    assert told(lines) == [("jobs:0@900", 1, 2)]


def test_what_empties_the_schedule_is_a_warning_with_its_caller() -> None:
    with capture_logs() as lines, called_by("ipv4:10.0.0.1:5000"):
        destructive.note_reset(0, 3, 1)
        destructive.note_cleared(1, 2)
        destructive.note_restore("resources", 5)
    assert {line["log_level"] for line in lines} == {"warning"}
    assert {line["caller"] for line in lines} == {"ipv4:10.0.0.1:5000"}
    with capture_logs() as lines:
        destructive.note_reset(0, 0, 0)
    assert lines[0]["caller"] == "unknown"
