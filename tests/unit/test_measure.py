"""What is counted of published runs: all of them, and how late those are that were not put off."""

import struct

from prometheus_client import REGISTRY

from scheduling_srv.app.publisher import measure
from tests.store.shard import NOW

QUEUED = struct.Struct("<cBIQIQHHHI")


def run(nominal: int, attempt: int) -> bytes:
    return QUEUED.pack(b"Q", 2, 7, nominal, attempt, 1, 1, 0, 0, 0) + b"a"


def figure(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def test_a_retry_is_emitted_but_says_nothing_about_lateness() -> None:
    emitted, observed, late = (
        "scheduling_runs_emitted_total",
        "scheduling_lateness_seconds_count",
        "scheduling_lateness_seconds_sum",
    )
    before = [figure(name) for name in (emitted, observed, late)]
    hour = 3_600_000
    measure([run(NOW - hour, 2), run(NOW - 10, 1), run(NOW - 20, 1), run(NOW - hour, 3)], NOW)
    measure([run(NOW - hour, 2)], NOW)
    after = [figure(name) for name in (emitted, observed, late)]
    assert [b - a for a, b in zip(before, after, strict=True)][:2] == [5, 2]
    assert round(after[2] - before[2], 3) == 0.03
