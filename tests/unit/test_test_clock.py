"""The clock of a service under test, step by step."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.adapters.clock import HeldClock
from scheduling_srv.app.commands import test_clock
from scheduling_srv.app.commands.clock_commands import ClockCommands
from scheduling_srv.app.commands.test_clock import TestClock as Steps
from scheduling_srv.app.replies import Agenda
from scheduling_srv.domain.errors import ClockHeld, InvalidRequest, StaleSource


class Shard:
    """Runs are due at these instants. They are emitted when the owner is called."""

    def __init__(self, clock: HeldClock, due: Sequence[int], unanswered: int = 0) -> None:
        self.clock, self.due, self.unanswered = clock, list(due), unanswered
        self.emitted: list[int] = []
        self.works = True

    def wake(self) -> None:
        while self.works and self.due and self.due[0] <= self.clock.now():
            self.due.pop(0)
            self.emitted.append(self.clock.now())

    async def look(self, now: int) -> Agenda:
        first = self.due[0] if self.due else None
        return Agenda(first is not None and first <= now, first, self.unanswered)


class Inputs:
    """Answers of before; the group reads them first, once."""

    def __init__(self) -> None:
        self.reads = 0

    async def prepare(self) -> None:
        """Nothing to do."""

    async def read(self) -> int:
        self.reads += 1
        if self.reads == 1:
            raise StaleSource
        return 0


def steps(*shards: Shard) -> Steps:
    def nudge() -> None:
        for shard in shards:
            shard.wake()

    return Steps(clock=shards[0].clock, shards=shards, inputs=Inputs(), nudge=nudge)


async def test_each_instant_is_emitted_before_the_next_one() -> None:
    clock = HeldClock(1000)
    one, other = Shard(clock, [2000, 5000, 9000]), Shard(clock, [3000, 5000])
    assert await steps(one, other).advance(6000) == clock.now() == 7000
    assert (one.emitted, other.emitted) == ([2000, 5000], [3000, 5000])


async def test_an_instant_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_clock, "EMIT_SECONDS", 0.01)
    clock = HeldClock(1000)
    shard = Shard(clock, [2000])
    shard.works = False
    with pytest.raises(ClockHeld, match="has not emitted within 0.01 s"):
        await steps(shard).advance(6000)
    assert clock.now() == 2000


async def test_runs_without_an_answer_hold_the_clock() -> None:
    clock = HeldClock(1000)
    shard = Shard(clock, [], unanswered=3)
    with pytest.raises(ClockHeld, match="3 runs have no answer after 0.01 s"):
        await steps(shard).advance(6000, 10)
    assert await steps(shard).advance(6000) == 7000


async def test_a_held_clock_never_goes_back() -> None:
    clock = HeldClock(5000)
    clock.set(4000)
    assert clock.now() == 5000
    assert clock.until(5001) == float("inf")
    assert clock.until(4000) == -1


class Others:
    """The commands of every service."""

    async def run(self, name: str, _payload: bytes | None) -> bytes:
        return name.encode()


async def test_the_command_checks_its_numbers() -> None:
    commands = ClockCommands(Others(), steps(Shard(HeldClock(1000), [])))
    assert await commands.run("version", None) == b"version"
    assert await commands.run("advance", b'{"milliseconds": 500}') == b'{"now": 1500}'
    wrong: Any = [b'{"milliseconds": -1}', b'{"milliseconds": true}', b'{"patience": "1s"}']
    for payload in wrong:
        with pytest.raises(InvalidRequest, match="is not a whole number from 0 to"):
            await commands.run("advance", payload)
