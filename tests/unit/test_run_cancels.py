"""The steps that cancel runs, by ids and by filters."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.requests.run_cancels import RunCancels, open_only
from scheduling_srv.app.run_control_ports import Cancelled, Target
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.run import (
    OPEN,
    Run,
    RunBulkCall,
    RunFilter,
    RunId,
    RunOutcome,
    RunPage,
    RunState,
)

A, B, C = (RunId(name, 1, 2) for name in "abc")


class Rooms:
    """A list of runs, and two shards; each call of a shard comes to two runs at most."""

    def __init__(self, *runs: Run, token: str = "") -> None:
        self.page = RunPage(runs, token)
        self.asked: list[RunFilter] = []
        self.waited: list[int] = []
        self.announcements, self.number = self, 7
        self.shards: list[Any] = [self, self]
        self.cancelled: list[tuple[Sequence[Target], bool]] = []

    def now(self) -> int:
        return 1

    async def list(self, wanted: RunFilter, _limit: int, _token: str) -> RunPage:
        self.asked.append(wanted)
        return self.page

    async def announced(self, stored: Sequence[Any]) -> None:
        self.waited += [each.receipt.number for each in stored]

    async def cancel(
        self, runs: Sequence[Target], _now: int, *, dry_run: bool, within: object
    ) -> Cancelled:
        """Only runs of `a` are here."""
        self.cancelled.append((runs, dry_run))
        some = runs[:2]
        number = len(self.cancelled)
        return Cancelled(Receipt("l", number), len(some), sum(run.id == A for run in some))


def use_case(rooms: Any, shards: int = 1) -> RunCancels:
    return RunCancels(rooms, rooms, rooms.shards[:shards], rooms)


async def test_runs_of_a_filter_are_looked_for_where_they_were_seen() -> None:
    running = Run(A, "t", RunState.RUNNING, attempts=2, instance=9)
    retrying = Run(B, "t", RunState.RETRYING, attempts=2)
    held = Run(C, "t", RunState.HELD)
    rooms = Rooms(running, retrying, held, token="more")
    call = RunBulkCall(RunFilter(type="t"), dry_run=False, token="")
    assert await use_case(rooms).cancel(call) == Progress(1, 1, "more")
    assert rooms.asked == [RunFilter(type="t", states=OPEN)]
    first, second = (runs for runs, _ in rooms.cancelled)
    assert first == [Target(A, 9), Target(B, attempt=3), Target(C, attempt=1)]
    assert second == first[2:]
    assert rooms.waited == [2], "the last receipt comes after the others"


async def test_ids_are_looked_for_in_every_shard() -> None:
    rooms = Rooms()
    call = RunBulkCall([str(A), "none", str(B)], dry_run=True, token="")
    assert await use_case(rooms, shards=2).cancel(call) == Progress(2, 2, "")
    assert rooms.cancelled == [([Target(A), Target(B)], True)] * 2
    assert (rooms.asked, rooms.waited) == ([], [])


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(states=frozenset({RunState.ENDED})),
        RunFilter(outcomes=frozenset({RunOutcome.DONE})),
        RunFilter(error="boom"),
    ],
)
async def test_a_filter_of_ended_runs_finds_none(wanted: RunFilter) -> None:
    rooms = Rooms(Run(A, "t", RunState.ENDED))
    call = RunBulkCall(wanted, dry_run=False, token="")
    assert await use_case(rooms).cancel(call) == Progress(0, 0, "")
    assert (rooms.asked, rooms.cancelled) == ([], [])


def test_the_states_of_a_filter_stay() -> None:
    some = frozenset({RunState.HELD, RunState.ENDED})
    assert open_only(RunFilter(states=some)) == RunFilter(states=frozenset({RunState.HELD}))
