"""How long no replica emits when the owner dies, restarts, or hands over.

The figures are those of `python -m bench.takeover`, which also checks every occurrence: once, none
early. The bounds here leave room for a machine that is busy with other tests.
"""

import time
from pathlib import Path

import pytest

from bench import takeover
from tests.harness.given import Kafka, Store

pytestmark = pytest.mark.slow

TRIALS = 2


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("change", "bounds"),
    [
        ("standby", (2.5, 5.0)),  # half a second to be sure that it is dead, then recovery
        ("restart", (1.5, 3.0)),
        ("handover", (0.2, 1.0)),
    ],
)
def test_there_is_soon_somebody_who_emits(
    kafka: Kafka, valkey: Store, tmp_path: Path, change: str, bounds: tuple[float, float]
) -> None:
    usual, longest = bounds
    times = takeover.measure(tmp_path, kafka, valkey, change, TRIALS).times
    assert min(times) <= usual, times
    assert max(times) <= longest, times


@pytest.mark.timeout(120)
def test_a_silent_owner_is_replaced_when_its_lease_ends(
    kafka: Kafka, valkey: Store, tmp_path: Path
) -> None:
    """It is not dead, and may wake up: its connection is there, but it does not renew its lease."""
    with takeover.running(tmp_path, kafka, valkey, 2, lease="1s") as site:
        owner = site.settled_owner()
        began = time.time()
        owner.pause()
        gap = site.gap(began)
        owner.resume()
        assert 0.5 < gap < 5
        assert site.settled_owner() is not owner
