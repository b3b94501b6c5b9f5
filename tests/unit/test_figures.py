"""Figures of Redis for `/metrics`: asked seldom, never waited for long, never old."""

import asyncio
from collections.abc import Sequence

import pytest

from scheduling_srv.app.health import figures
from scheduling_srv.app.health.figures import Figures
from scheduling_srv.app.replies import Counts
from scheduling_srv.domain.errors import StoreUnavailable
from scheduling_srv.runtime.metrics import StoreMetrics
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class Shard:
    def __init__(self, counts: Counts) -> None:
        self.answer = counts
        self.asked = 0
        self.fault: Exception | None = None
        self.hangs = False

    async def counts(self, _types: Sequence[str]) -> Counts:
        self.asked += 1
        if self.fault:
            raise self.fault
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer


class World:
    def __init__(self) -> None:
        self.time = 0.0
        self.store = StoreMetrics()
        self.store.types = ("mail",)
        self.shards = [
            Shard(Counts(10, 8, 1, 3, 2, {"mail": 2})),
            Shard(Counts(5, 4, 0, 0, 4, {"mail": 1})),
        ]
        self.figures = Figures(self.shards, store=self.store, monotonic=lambda: self.time)

    def shown(self) -> dict[tuple[str, ...], float]:
        return {
            (family.name, *sample.labels.values()): sample.value
            for family in self.store.collect()
            for sample in family.samples
        }


async def test_shards_are_added_up() -> None:
    world = World()
    assert world.shown() == {}
    await world.figures.refresh()
    assert world.shown() == {
        ("scheduling_jobs",): 15,
        ("scheduling_jobs_waiting",): 12,
        ("scheduling_retries_waiting",): 1,
        ("scheduling_runs_held",): 3,
        ("scheduling_runs_unanswered", "mail"): 3,
        ("scheduling_runs_unanswered", "other"): 3,
    }


async def test_many_pages_are_one_question_a_second() -> None:
    world = World()
    await asyncio.gather(*[world.figures.refresh() for _ in range(10)])
    assert world.shards[0].asked == 1
    world.time = 1.0
    await world.figures.refresh()
    assert world.shards[0].asked == 2


@pytest.mark.parametrize("how", ["away", "hangs"])
async def test_while_redis_does_not_answer_they_are_left_out(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also the page must not fail, or hang."""
    monkeypatch.setattr(figures, "PATIENCE_SECONDS", 0.01)
    world = World()
    await world.figures.refresh()
    shard, world.time = world.shards[1], 1.0
    shard.fault, shard.hangs = (StoreUnavailable("away") if how == "away" else None), True
    await world.figures.refresh()
    assert world.shown() == {}
    shard.fault, shard.hangs, world.time = None, False, 2.0
    await world.figures.refresh()
    assert world.shown()[("scheduling_jobs",)] == 15
