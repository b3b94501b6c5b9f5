"""The lines in Lua that compute what comes next say the same as `domain/trigger.py`."""

import random

import pytest

from scheduling_client.schedules.recurrence import Every
from tests.store.shard import HOUR, NOW, Shard, every

WINDOW = 60_000
"""The catch-up window: older occurrences are missed (docs/contract.md, After an outage)."""


def expected(job: Every, start: int, now: int, missed: str) -> list[int]:
    """The occurrences that run after an outage from `start` to `now`."""
    cutoff = now - WINDOW
    due, runs = job.next_after(start), list[int]()
    if due < cutoff:
        latest = job.latest_before(cutoff, due)
        runs += [latest] if missed == "latest" else []
        due = job.next_after(latest)
    while due <= now:
        runs.append(due)
        due = job.next_after(due)
    return runs


@pytest.mark.parametrize("missed", ["latest", "skip"])
@pytest.mark.parametrize("seed", range(10))
async def test_outages_of_interval_jobs(shard: Shard, missed: str, seed: int) -> None:
    shard.rule(missed_runs=missed)
    chance = random.Random(f"{seed} {missed}")
    jobs = {
        f"job-{number}": Every(NOW + chance.randrange(1, 5_000), chance.randrange(900, 40_000))
        for number in range(5)
    }
    await shard.create(*(every(name, job.period, job.first) for name, job in jobs.items()))
    await shard.drain(NOW)
    began, now = NOW, NOW
    for _ in range(4):
        began, now = now, now + chance.choice((1_000, 4_000, 200_000, HOUR))
        found: dict[str, list[int]] = {name: [] for name in jobs}
        for run in await shard.drain(now):
            found[run.id].append(run.nominal)
        await shard.forget_runs(now)
        for name, job in jobs.items():
            assert found[name] == expected(job, began, now, missed), name
