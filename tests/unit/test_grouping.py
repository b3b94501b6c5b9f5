"""Single calls that arrive together share one store call; each gets its own outcome."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app import gathering as gathering_module
from scheduling_srv.app import grouping
from scheduling_srv.app.gathering import Gathering
from scheduling_srv.app.grouping import GroupCommit
from scheduling_srv.app.ports import Receipt, Refusal, Source, WriteGroup, WriteMode, Written
from scheduling_srv.domain.errors import StoreUnavailable
from scheduling_srv.domain.job import NewJob
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class Store:
    """Only writes; each call waits for the gate, and refuses groups whose job is called so."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.faults: list[Exception] = []

    async def write(
        self, groups: Sequence[WriteGroup], now: int, source: Source | None = None
    ) -> Written:
        self.calls.append([group.jobs[0].id for group in groups])
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop()
        refusals = [
            Refusal("exists", 0) if group.jobs[0].id == "refused" else None for group in groups
        ]
        return Written(Receipt("i", len(self.calls)), refusals)

    def now(self) -> int:
        return 1000


def group(job_id: str, size: int = 1) -> WriteGroup:
    return WriteGroup(WriteMode.CREATE, [NewJob(job_id, 0, b"")] * size)


@pytest.fixture
def store() -> Store:
    return Store()


def commits(store: Any) -> GroupCommit:
    return GroupCommit(store, store)


async def start(
    commit: GroupCommit, *groups: WriteGroup
) -> list[asyncio.Task[tuple[Receipt, Refusal | None]]]:
    tasks = [asyncio.create_task(commit.write(each)) for each in groups]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_calls_gather_while_one_is_under_way(store: Store) -> None:
    commit = commits(store)
    tasks = await start(commit, group("a"))
    tasks += await start(commit, group("b"), group("refused"), group("c"))
    assert store.calls == [["a"]]
    store.gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert store.calls == [["a"], ["b", "refused", "c"]]
    assert [refusal for _, refusal in outcomes] == [None, None, Refusal("exists", 0), None]
    assert [receipt.number for receipt, _ in outcomes] == [1, 2, 2, 2]


async def test_one_call_takes_so_many_jobs_and_groups(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "CALL_JOBS", 10)
    monkeypatch.setattr(grouping, "MOST_GROUPS", 3)
    store.gate.set()
    commit = commits(store)
    sizes = {"a": 50, "b": 6, "c": 4, "d": 1, "e": 1, "f": 1, "g": 1}
    await asyncio.gather(*[commit.write(group(name, size)) for name, size in sizes.items()])
    assert store.calls == [["a"], ["b", "c"], ["d", "e", "f"], ["g"]]


async def test_a_fault_is_told_to_those_whom_it_concerns(store: Store) -> None:
    store.faults = [StoreUnavailable("gone")]
    commit = commits(store)
    tasks = await start(commit, group("a"))
    tasks += await start(commit, group("b"))
    store.gate.set()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, StoreUnavailable)
    assert second == (Receipt("i", 2), None)


async def test_who_gives_up_does_not_hold_the_others_up(store: Store) -> None:
    commit = commits(store)
    tasks = await start(commit, group("a"), group("b"))
    tasks[0].cancel()
    store.gate.set()
    assert await tasks[1] == (Receipt("i", 1), None)
    assert store.calls == [["a", "b"]]
    assert await commit.write(group("c")) == (Receipt("i", 2), None)


async def test_what_was_given_up_is_not_written(store: Store) -> None:
    """Nor does it wait in memory for a store that hangs."""
    commit = commits(store)
    (first,) = await start(commit, group("a"))
    second, third = await start(commit, group("b"), group("c"))
    second.cancel()
    store.gate.set()
    await asyncio.gather(first, third)
    assert store.calls == [["a"], ["c"]]


def gathering_commits(store: Store) -> tuple[GroupCommit, Gathering]:
    """Over a store that answers at once."""
    gathering = Gathering()
    store.gate.set()
    return GroupCommit(store, store, gathering), gathering  # type: ignore[arg-type]


async def test_few_jobs_wait_until_what_is_under_way_is_published(store: Store) -> None:
    """Stored sooner they would be announced no sooner; many do not wait."""
    commit, gathering = gathering_commits(store)
    with gathering.under_way():
        tasks = await start(commit, group("a"))
        tasks += await start(commit, group("b"))
        assert store.calls == []
    await asyncio.gather(*tasks)
    assert store.calls == [["a", "b"]]
    with gathering.under_way():
        await asyncio.gather(*await start(commit, group("many", grouping.FEW_JOBS)))
    assert store.calls[1:] == [["many"]]


async def test_nobody_waits_while_kafka_is_behind(store: Store) -> None:
    """The next transaction is full already: a change that is stored later is announced later."""
    commit, gathering = gathering_commits(store)
    with gathering.under_way(behind=True):
        await asyncio.gather(*await start(commit, group("a")))
        await asyncio.gather(*await start(commit, group("b")))
    assert store.calls == [["a"], ["b"]]
    with gathering.under_way():
        tasks = await start(commit, group("c"))
        assert store.calls == [["a"], ["b"]]
    await asyncio.gather(*tasks)


async def test_few_jobs_wait_until_what_was_stored_is_published(store: Store) -> None:
    """Its transaction is about to begin: theirs would be another one."""
    commit, gathering = gathering_commits(store)
    gathering.published("i", 0, 0)
    await asyncio.gather(*await start(commit, group("a")))
    tasks = await start(commit, group("b"))
    tasks += await start(commit, group("c"))
    assert store.calls == [["a"]]
    gathering.published("i", 1, 1)
    await asyncio.gather(*tasks)
    assert store.calls == [["a"], ["b", "c"]]


async def test_nobody_waits_for_what_was_refused_or_stored_in_another_life(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never announced."""
    monkeypatch.setattr(gathering_module, "PATIENCE_SECONDS", 60.0)
    commit, gathering = gathering_commits(store)
    gathering.published("i", 0, 0)
    async with asyncio.timeout(5):
        await commit.write(group("refused"))
        await commit.write(group("a"))
        gathering.published("another life", 0, 0)
        await commit.write(group("b"))
    assert store.calls == [["refused"], ["a"], ["b"]]


async def test_calls_of_those_who_were_just_answered_are_waited_for(store: Store) -> None:
    """They go into one store call, and one transaction."""
    commit, gathering = gathering_commits(store)
    gathering.published("i", 0, 4)
    tasks = await start(commit, group("a"))
    tasks += await start(commit, group("b"))
    assert store.calls == []
    tasks += await start(commit, group("c"))
    await asyncio.gather(*tasks)
    assert store.calls == [["a", "b", "c"]]


async def test_one_call_after_the_other_never_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering_module, "GAP_SECONDS", 60.0)
    commit, gathering = gathering_commits(store)
    async with asyncio.timeout(5):
        for name in "abc":
            await commit.write(group(name))
            gathering.published("i", len(store.calls), 1)
    assert store.calls == [["a"], ["b"], ["c"]]


async def test_who_does_not_come_back_is_waited_for_only_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering_module, "GAP_SECONDS", 0.01)
    commit, gathering = gathering_commits(store)
    gathering.published("i", 0, 100)
    await commit.write(group("a"))
    monkeypatch.setattr(gathering_module, "GAP_SECONDS", 60.0)
    async with asyncio.timeout(5):
        await commit.write(group("b"))


async def test_while_they_keep_coming_back_the_others_are_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many need longer to come back than a few; but nobody waits for ever."""
    monkeypatch.setattr(gathering_module, "GAP_SECONDS", 0.02)
    now = [0.0]
    gathering = Gathering(lambda: now[0])
    store.gate.set()
    commit = GroupCommit(store, store, gathering)  # type: ignore[arg-type]
    gathering.published("i", 0, 100)
    tasks = await start(commit, group("0"))
    for number in range(1, 6):
        await asyncio.sleep(0.01)
        tasks += await start(commit, group(str(number)))
    assert store.calls == []
    now[0] = gathering_module.LONGEST_SECONDS + 0.001
    tasks += await start(commit, group("last"))
    await asyncio.gather(*tasks)
    assert store.calls == [["0", "1", "2", "3", "4", "5", "last"]]
