"""SIGKILL at random moments under load, and nothing else: the short form of a campaign.

SCHEDULING_KILLS is about how many kills there are in each, SCHEDULING_KILL_SEED repeats a run.
"""

import os
import random
from pathlib import Path

import pytest

from chaos.campaign import Campaign, Options
from chaos.measure import report
from tests.harness.windows import in_time, with_enough_time

KILLS = int(os.environ.get("SCHEDULING_KILLS", "15"))
SECONDS = 1.2
"""Between two kills: now and then a replica is killed while it starts, or recovers."""


@pytest.mark.slow
@pytest.mark.timeout(480 + 10 * KILLS)
@pytest.mark.parametrize(
    ("replicas", "fault", "shards"), [(1, "kill", 1), (2, "kill-emitter", 1), (2, "kill", 3)]
)
def test_every_promise_is_kept(tmp_path: Path, replicas: int, fault: str, shards: int) -> None:
    given = os.environ.get("SCHEDULING_KILL_SEED")
    seed = int(given or random.SystemRandom().randrange(10**6))
    print(f"SCHEDULING_KILL_SEED={seed}")  # noqa: T201 - to repeat it

    def attempt(window: int) -> None:
        options = Options(
            tmp_path / f"chaos-{window}",
            seed=seed,
            seconds=window / 1000,
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
        in_time(len(outcome.history.faults) > KILLS // 2, "there was time for enough kills")

    with_enough_time(attempt, round(1000 * KILLS * SECONDS), tries=2)
