"""SIGKILL at random moments under load, and nothing else: the short form of a campaign.

SCHEDULING_KILLS is about how many kills there are in each, SCHEDULING_KILL_SEED repeats a run.
"""

import os
import random
from pathlib import Path

import pytest

from chaos.campaign import Campaign, Options
from chaos.measure import report

KILLS = int(os.environ.get("SCHEDULING_KILLS", "15"))
SECONDS = 1.2
"""Between two kills: now and then a replica is killed while it starts, or recovers."""


@pytest.mark.slow
@pytest.mark.timeout(240 + 5 * KILLS)
@pytest.mark.parametrize(
    ("replicas", "fault", "shards"), [(1, "kill", 1), (2, "kill-emitter", 1), (2, "kill", 3)]
)
def test_every_promise_is_kept(tmp_path: Path, replicas: int, fault: str, shards: int) -> None:
    given = os.environ.get("SCHEDULING_KILL_SEED")
    seed = int(given or random.SystemRandom().randrange(10**6))
    print(f"SCHEDULING_KILL_SEED={seed}")  # noqa: T201 - to repeat it
    options = Options(
        tmp_path / "chaos",
        seed=seed,
        seconds=KILLS * SECONDS,
        replicas=replicas,
        faults=(fault,),
        pace=SECONDS / 2,
        completion_timeout=4_000,
        sweeps=False,
        shards=shards,
    )
    outcome = Campaign(options).run()
    print(report(outcome.history))  # noqa: T201 - what the test was worth
    assert outcome.violations == []
    assert len(outcome.history.faults) > KILLS // 2
