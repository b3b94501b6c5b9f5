"""Failpoints: what their text means, what happens, and that it costs nothing without them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduling_srv.domain.errors import StartError, StoreUnavailable
from scheduling_srv.runtime import failpoints, points
from scheduling_srv.runtime.failpoints import Action, Unexpected, parse, passed, reached
from tests.harness.waiting import PATIENCE_SECONDS

COST = 3e-6
"""Seconds; it takes 0.1 us, and machines are busy."""


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    yield
    failpoints.enable({})


def enable(text: str) -> None:
    failpoints.enable({"SCHEDULING_FAILPOINTS": text})


def test_the_text_names_points_and_actions() -> None:
    assert parse("publish.produced=kill@3; stage.done=pause:5s; recover.fenced=raise;") == {
        "publish.produced": Action("kill", hit=3),
        "stage.done": Action("pause", 5.0),
        "recover.fenced": Action("raise"),
    }
    assert parse("stage.call=raise:unexpected") == {"stage.call": Action("raise", unexpected=True)}
    assert parse("stage.call=kill:5ms") == {"stage.call": Action("kill", 0.005)}
    assert parse("stage.call=stop:1500ms@2") == {"stage.call": Action("stop", 1.5, hit=2)}
    assert parse("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "stage.cal=kill",
        "stage.call",
        "stage.call=explode",
        "stage.call=pause",
        "stage.call=pause:long",
        "stage.call=raise:now",
        "stage.call=kill@x",
    ],
)
def test_what_is_no_action_is_told(text: str) -> None:
    with pytest.raises(StartError, match="SCHEDULING_FAILPOINTS"):
        parse(text)


async def test_nothing_happens_without_the_variable() -> None:
    failpoints.enable({})
    await reached(points.STAGE_CALL)
    passed(points.STAGE_CALL)


async def test_passing_a_point_costs_next_to_nothing() -> None:
    failpoints.enable({})
    best = 1.0
    for _ in range(5):
        began = time.thread_time()  # not the time that others take
        for _ in range(1000):
            await reached(points.STAGE_CALL)
            passed(points.STAGE_CALL)
        best = min(best, time.thread_time() - began)
    assert best / 2000 < COST


async def test_it_happens_at_its_turn_and_once() -> None:
    enable("stage.call=raise@2")
    await reached(points.STAGE_CALL)
    await reached(points.STAGE_DONE)
    with pytest.raises(StoreUnavailable, match="stage.call was reached"):
        await reached(points.STAGE_CALL)
    await reached(points.STAGE_CALL)


async def test_an_unexpected_error_is_nobodys() -> None:
    enable("stage.call=raise:unexpected; publish.begun=raise")
    with pytest.raises(Unexpected):
        await reached(points.STAGE_CALL)
    with pytest.raises(BufferError):
        passed(points.PUBLISH_BEGUN)


async def test_a_pause_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    enable("stage.call=pause:30ms; publish.begun=pause:40ms")
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "sleep", slept.append)
    await reached(points.STAGE_CALL)
    passed(points.PUBLISH_BEGUN)
    assert slept == [0.03, 0.04]


async def test_a_file_may_change(tmp_path: Path) -> None:
    """As tests do it: written beside it, then renamed."""
    file, beside = tmp_path / "points", tmp_path / "new"
    enable(f"@{file}")
    await reached(points.STAGE_CALL)
    for _ in range(2):
        beside.write_text("stage.call=raise")
        beside.rename(file)
        with pytest.raises(StoreUnavailable):
            await reached(points.STAGE_CALL)
        await reached(points.STAGE_CALL)
    beside.write_text("")
    beside.rename(file)
    await reached(points.STAGE_CALL)


def child(text: str, seconds: float) -> subprocess.Popen[bytes]:
    """A process that passes the point, and then lives so long."""
    program = (
        "import os, time\n"
        "from scheduling_srv.runtime import failpoints, points\n"
        "failpoints.enable(os.environ)\n"
        "failpoints.passed(points.PUBLISH_BEGUN)\n"
        f"time.sleep({seconds})\n"
    )
    environment = {**os.environ, "SCHEDULING_FAILPOINTS": text}
    return subprocess.Popen([sys.executable, "-c", program], env=environment)


@pytest.mark.parametrize("action", ["kill", "kill:10ms"])
def test_a_kill_is_one(action: str) -> None:
    assert (
        child(f"publish.begun={action}", PATIENCE_SECONDS).wait(PATIENCE_SECONDS) == -signal.SIGKILL
    )


def test_a_stop_stops_the_process_and_wakes_it_up() -> None:
    process = child("publish.begun=stop:300ms", 0.2)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert process.wait(PATIENCE_SECONDS) == 0
