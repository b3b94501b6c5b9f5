"""The audit log: its lines, and a file that is moved away or cannot be written."""

import errno
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_srv.adapters.audit_file import AuditFile, to_log
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.call import MOST_IDS, Call
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import metrics

CREATE, READ = "/io.restorecommerce.job.Service/Create", "/io.restorecommerce.job.Service/Read"
COMMAND = "/io.restorecommerce.commandinterface.Service/Command"


def call(method: str = CREATE, detail: str = "") -> Call:
    return Call(Caller("me", Role.ADMIN), "ipv4:10.0.0.1:5000", method, detail=detail)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("made", "outcome", "is_told"),
    [
        (call(CREATE), "OK", True),
        (call(CREATE), "UNAVAILABLE", True),
        (call(READ), "OK", False),
        (call(READ), "PERMISSION_DENIED", True),
        (call(READ), "UNAUTHENTICATED", True),
        (call(COMMAND, "version"), "OK", False),
        (call(COMMAND, "reset"), "OK", True),
        (call(COMMAND, "advance"), "OK", True),
        (call("/grpc.health.v1.Health/Check"), "OK", False),
    ],
)
def test_changes_and_refusals_are_told(made: Call, outcome: str, is_told: bool) -> None:
    told: list[Mapping[str, object]] = []
    AuditLog(told.append).note(made, outcome)
    assert bool(told) == is_told


def test_a_line_has_who_and_what_and_a_bounded_number_of_ids() -> None:
    told: list[Mapping[str, object]] = []
    made = call()
    made.note([str(number) for number in range(1_000)], 1_000)
    AuditLog(told.append).note(made, "OK")
    (line,) = told
    assert set(line) == set("time caller role peer method outcome count ids".split())
    assert line["count"] == 1_000
    assert line["ids"] == [str(number) for number in range(MOST_IDS)]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with closing(AuditFile(path)) as file:
        log = AuditLog(file)
        log.note(call(), "OK")
        path.rename(tmp_path / "audit.log.1")
        log.note(call(), "ABORTED")
    assert [line["outcome"] for line in lines_of(tmp_path / "audit.log.1")] == ["OK"]
    assert [line["outcome"] for line in lines_of(path)] == ["ABORTED"]


def test_a_line_that_cannot_be_written_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AuditFile(tmp_path / "audit.log")
    before = metrics.AUDIT_LINES_LOST._value.get()

    def full(_text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    stream = file._handler.stream
    with closing(file), monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(file._handler, "stream", Full(full, stream))
        file({"outcome": "OK"})
    assert metrics.AUDIT_LINES_LOST._value.get() == before + 1
    assert logs[0]["event"] == "the audit log cannot be written"
    assert "No space left on device" in logs[0]["reason"]


class Full:
    """A stream whose disk is full."""

    def __init__(self, write: Any, stream: Any) -> None:
        self.write = write
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_no_text_of_a_caller_breaks_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    name = 'ü "\n\ud800'
    with closing(AuditFile(path)) as file:
        file({"caller": name})
    assert [line["caller"] for line in lines_of(path)] == [name]


def test_a_place_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="SCHEDULING_AUDIT_LOG"):
        AuditFile(tmp_path)


def test_lines_go_to_the_log_of_the_service() -> None:
    with capture_logs() as logs:
        AuditLog(to_log).note(call(), "OK")
    assert [line["event"] for line in logs] == ["audit"]
    assert logs[0]["caller"] == "me"
