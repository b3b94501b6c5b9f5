"""The log says who has deleted jobs, and how many."""

from structlog.testing import capture_logs
from structlog.typing import EventDict

from scheduling_srv.app import destructive
from scheduling_srv.app.destructive import DELETIONS, OTHERS, DeletionLog, called_by
from scheduling_srv.runtime.throttle import MINUTE_S, MOST_KINDS
from scheduling_srv.service.service import THROTTLES


class Told:
    """A log of deletions whose time the test holds, and its lines."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = DeletionLog(lambda: self.now)

    def delete(self, caller: str, ids: int) -> None:
        with called_by(caller):
            self.log.note(ids)


def rows(lines: list[EventDict]) -> list[tuple[str, int, int]]:
    return [(line["caller"], line["calls"], line["ids"]) for line in lines]


def test_deletions_by_id_share_a_line_a_minute_for_each_source() -> None:
    told = Told()
    with capture_logs() as lines:
        for number in range(3):
            told.delete(f"ipv4:10.0.0.1:{5_000 + number}", 10)
            told.delete(f"jobs:0@{number}", 1)
        told.now = MINUTE_S
        told.delete("ipv4:10.0.0.1:6000", 5)
    assert rows(lines) == [("ipv4:10.0.0.1", 1, 10), ("jobs:0", 1, 1), ("ipv4:10.0.0.1", 3, 25)]


def test_what_no_later_call_tells_is_told_by_a_tick() -> None:
    told = Told()
    with capture_logs() as lines:
        told.delete("jobs:0@1", 1)
        told.delete("jobs:0@2", 10_000)
        told.now = MINUTE_S - 1
        told.log.throttle.tick()
        told.now = MINUTE_S
        told.log.throttle.tick()
        told.log.throttle.tick()
    assert rows(lines) == [("jobs:0", 1, 1), ("jobs:0", 1, 10_000)]
    assert DELETIONS.throttle in THROTTLES  # a replica ticks it


def test_many_callers_share_a_line_and_make_room_after_a_minute() -> None:
    told = Told()
    with capture_logs() as lines:
        for number in range(MOST_KINDS + 50):
            told.delete(f"jobs:{number}@1", 1)
    assert len(lines) == MOST_KINDS + 1
    assert lines[-1]["caller"] == OTHERS
    with capture_logs() as lines:
        told.now = MINUTE_S
        told.log.throttle.tick()
        told.delete("ipv4:10.0.0.1:5000", 2)
    assert rows(lines) == [(OTHERS, 49, 49), ("ipv4:10.0.0.1", 1, 2)]


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
