"""Failpoints: a test makes the process die, fail or hang at a named point.

`SCHEDULING_FAILPOINTS` holds `point=action` pairs, separated by `;`. Without it, the points around
ports do not exist. Passing one of the others costs 0.1 us, once a batch or a call, never once a
job. A test checks this cost.

| action | effect |
|---|---|
| `kill` | SIGKILL; with `kill:5ms` 5 ms later, and the process continues until then |
| `raise` | an error of the kind that this step may really meet |
| `raise:unexpected` | an error of a kind that the code does not expect |
| `pause:5s` | this step waits, all others continue |
| `stop:5s` | the whole process stops, as by SIGSTOP, and continues after this time |

Each action happens once, when the point is passed for the first time. With `@3` appended it
happens the third time. The value `@FILE` names a file that holds the pairs. The counts begin anew
whenever that file is written.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from scheduling_client.schedules.durations import parse_duration
from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime.points import POINTS, Point

VARIABLE = "SCHEDULING_FAILPOINTS"

log = structlog.get_logger(__name__)

_ONE = re.compile(r"([\w.]+)=(kill|raise|pause|stop)(?::(\w+))?(?:@(\d+))?")
_NAMES = frozenset(point.name for point in POINTS)


class Unexpected(Exception):
    """An error that no code handles."""


class Action(NamedTuple):
    """The action at a point, when it is passed for the `hit`-th time."""

    kind: str
    seconds: float = 0.0
    unexpected: bool = False
    hit: int = 1


def parse(text: str) -> dict[str, Action]:
    """Point -> action. Raises `StartError`."""
    return dict(_parse_one(part.strip()) for part in text.split(";") if part.strip())


def _parse_one(text: str) -> tuple[str, Action]:
    found = _ONE.fullmatch(text)
    if not found or found[1] not in _NAMES:
        raise StartError(
            f"{VARIABLE}: {text} is not a point and an action: see docs/failpoints.md."
        )
    name, kind, argument, hit = found.groups(default="")
    number = int(hit or 1)
    if kind == "raise" and argument in {"", "unexpected"}:
        return name, Action(kind, unexpected=bool(argument), hit=number)
    try:
        seconds = parse_duration(argument) / 1000 if argument or kind != "kill" else 0.0
    except ValueError as fault:
        raise StartError(f"{VARIABLE}: {argument or 'the time'} in {text} {fault}.") from None
    return name, Action(kind, seconds, hit=number)


class Failpoints:
    """Counts how often points are passed. For all threads."""

    def __init__(self, text: str) -> None:
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._actions = {} if self._file else parse(text)
        self._version = (0, 0)
        self._passed: dict[str, int] = {}
        self._lock = threading.Lock()

    def action(self, point: Point) -> Action | None:
        """The action for this passing, if any."""
        with self._lock:
            self._look()
            action = self._actions.get(point.name)
            if action is None:
                return None
            passed = self._passed[point.name] = self._passed.get(point.name, 0) + 1
            return action if passed == action.hit else None

    def _look(self) -> None:
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return
        version = (found.st_ino, found.st_mtime_ns)
        if version != self._version:
            self._version, self._passed = version, {}
            self._actions = parse(self._file.read_text())


_enabled: Failpoints | None = None


def enable(environment: Mapping[str, str]) -> None:
    """Switch on the failpoints of `SCHEDULING_FAILPOINTS`. Raises `StartError`."""
    global _enabled  # noqa: PLW0603 - one a process, like its environment
    text = environment.get(VARIABLE, "")
    _enabled = Failpoints(text) if text else None


def are_enabled() -> bool:
    """Whether `enable` was given any."""
    return _enabled is not None


async def reached(point: Point) -> None:
    """The event loop passes a point."""
    if _enabled is not None and (action := _enabled.action(point)):
        if action.kind == "pause":
            _say(point, action)
            await asyncio.sleep(action.seconds)
        else:
            _act(point, action)


def passed(point: Point) -> None:
    """Another thread passes a point."""
    if _enabled is not None and (action := _enabled.action(point)):
        if action.kind == "pause":
            _say(point, action)
            time.sleep(action.seconds)
        else:
            _act(point, action)


def _say(point: Point, action: Action) -> None:
    log.warning("failpoint", point=point.name, action=action.kind, seconds=action.seconds)


def _act(point: Point, action: Action) -> None:
    _say(point, action)
    if action.kind == "raise":
        fault = Unexpected if action.unexpected else point.fault
        raise fault(f"The failpoint {point.name} was reached.")
    if action.kind == "stop":
        _stop(action.seconds)
    elif action.seconds:
        _later(action.seconds, lambda: os.kill(os.getpid(), signal.SIGKILL))
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _stop(seconds: float) -> None:
    """Stop the process; a child wakes it up, as a stopped process cannot."""
    command = f"sleep {seconds}; kill -CONT {os.getpid()}"
    waker = subprocess.Popen(["/bin/sh", "-c", command])  # noqa: S603 - two numbers
    os.kill(os.getpid(), signal.SIGSTOP)
    waker.wait()
