"""SERVING follows from progress: what is due was emitted a moment ago, and the consumer polls."""

import pytest

from scheduling_srv.app.health.progress import Findings, Observer, judge
from scheduling_srv.app.replies import Progress
from tests.store.shard import NOW

WELL = Progress(working=True, oldest_due=None, waiting=0, idle_ms=3_600_000)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (WELL, ""),
        (WELL._replace(oldest_due=NOW + 1), ""),
        (WELL._replace(oldest_due=NOW - 5_000), ""),
        (
            WELL._replace(oldest_due=NOW - 5_001),
            "Nothing was published for 3600 s. The oldest due run has waited for 5 s.",
        ),
        (WELL._replace(waiting=1), "Nothing was published for 3600 s."),
        (WELL._replace(waiting=1, idle_ms=5_000), ""),
        (WELL._replace(working=False), "No replica is emitting due jobs."),
    ],
)
def test_a_problem_is_due_work_without_progress(found: Progress, problem: str) -> None:
    assert judge(found, NOW) == Findings([problem] if problem else (), ())


def test_a_backlog_that_drains_is_degraded() -> None:
    findings = judge(WELL._replace(oldest_due=NOW - 60_000, idle_ms=10), NOW)
    assert findings == Findings((), ["The oldest due run has waited for 60 s."])


class Shard:
    def __init__(self, found: Progress) -> None:
        self.found = found

    async def progress(self) -> Progress:
        return self.found

    def now(self) -> int:
        return NOW


def observer(*found: Progress, polled: float = 100.0, problem: str = "") -> Observer:
    shards = [Shard(each) for each in found]
    return Observer(
        shards,
        shards[0],
        polled_at=lambda: polled,
        problems=lambda: [problem] if problem else [],
        monotonic=lambda: 100.0,
    )


async def test_each_of_several_shards_counts_and_is_named() -> None:
    findings = await observer(WELL, WELL._replace(working=False)).observe()
    assert findings.problems == ["No replica is emitting due jobs of shard 1."]


async def test_a_consumer_that_does_not_poll_is_a_problem() -> None:
    assert (await observer(WELL, polled=95.0).observe()).problems == []
    assert (await observer(WELL, polled=94.0).observe()).problems == [
        "The consumer has not polled for 6 s."
    ]
    assert (await observer(WELL, polled=float("-inf")).observe()).problems == [
        "The consumer has not polled yet."
    ]


async def test_the_reason_of_this_replicas_owner_is_told() -> None:
    stalled = WELL._replace(working=False)
    findings = await observer(stalled, problem="Redis is full.").observe()
    assert findings.problems == ["No replica is emitting due jobs.", "Redis is full."]
    assert (await observer(WELL, problem="Redis is full.").observe()).problems == []
