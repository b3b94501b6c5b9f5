"""How long no replica emits when the owner dies, restarts, or hands over.

The figures are those of `python -m bench.takeover`, which also checks every occurrence: once, none
early. Here a machine that is busy with other tests may take longer.
"""

import time
from pathlib import Path

import pytest

from bench import takeover
from tests.harness.given import Kafka, Store

pytestmark = pytest.mark.slow

TRIALS = 2


@pytest.mark.parametrize("name", takeover.CHANGES)
def test_there_is_soon_somebody_who_emits(
    kafka: Kafka, valkey: Store, tmp_path: Path, name: str
) -> None:
    """The lease of the former owner, which lasts longer, is not waited for."""
    change = takeover.CHANGES[name]
    with takeover.running(tmp_path, kafka, valkey, change.replicas, lease="5m") as site:
        times = [change.happen(site) for _ in range(TRIALS)]
    assert max(times) < 60, times


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
        assert gap > 0.5
        assert site.settled_owner() is not owner
