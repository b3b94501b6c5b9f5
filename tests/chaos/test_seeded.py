"""Each bug that is planted into the product is found within a short campaign."""

from pathlib import Path

import pytest

from chaos.campaign import Campaign, Options
from chaos.checker import CATEGORIES
from chaos.seeded_v1 import BUGS_V1
from chaos.v1 import rules
from tests.harness.windows import in_time, with_enough_time

WHAT_PROVOKES = {
    "no_position_record": ("kill-in-transaction",),
    "trim_before_commit": ("kill-in-transaction",),
    "no_fencing": ("freeze-in-transaction",),
    "lease_without_epoch": ("flush-freeze",),
    "woken_early": ("terminate",),
    "never_held": ("terminate",),
    "stamped_in_time": ("terminate",),
    "random_occurrence_id": ("kill-in-transaction", "flush-stopped"),
    "blind_health": ("cut",),
    "updates_begin_anew": ("terminate",),
    "time_from_staging": ("kafka-hide",),
}
"""The faults under which the bug shows."""
SHOWS_AS = {
    "no_position_record": {"twice"},
    "trim_before_commit": {"lost", "announced"},
    "no_fencing": {"twice", "announced"},  # what the frozen one has in hand: runs, or jobs
    "lease_without_epoch": {"twice", "lost", "end", "parallel"},
    "woken_early": {"early", "attempts"},
    "never_held": {"early"},
    "stamped_in_time": {"early"},
    "random_occurrence_id": {"twice"},
    "blind_health": {"health"},
    "updates_begin_anew": {"phase", "lost"},
    "time_from_staging": {"attempts", "answers"},
}
"""At least one of these is found."""
NEEDS_LONG_FREEZES = {"lease_without_epoch", "no_fencing"}
"""Show only when a replica is frozen for longer than its lease, at the right moment."""
NEEDS_LONG_LEADS = {"never_held", "stamped_in_time"}
"""Show to a reader of uncommitted records: on a busy machine only if these come long before."""
NEEDS_TIME = {"blind_health": 45.0, "time_from_staging": 30.0}
"""Seconds of a campaign in which the bug has shown."""


@pytest.mark.slow
@pytest.mark.parametrize("bug", WHAT_PROVOKES)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    def attempt(window: int) -> set[str]:
        options = Options(
            tmp_path / f"chaos-{window}",
            seed=7,
            seconds=window / 1000,
            faults=WHAT_PROVOKES[bug],
            scale=1.0 if bug in NEEDS_LONG_FREEZES else 0.5,
            pace=0.35 if bug in NEEDS_LONG_FREEZES else 1.0,
            completion_timeout=2_000,
            stage_ahead=100 if bug in NEEDS_LONG_LEADS else 10,
            margin=1_500,
            sweeps=False,
            bug=bug,
        )
        violations = Campaign(options).run().violations
        found = {violation.category for violation in violations}
        in_time(bool(found & SHOWS_AS[bug]), f"the bug had time to show; {violations[:10]}")
        return found

    seconds = NEEDS_TIME.get(bug, 20 if bug in NEEDS_LONG_FREEZES else 15)
    assert with_enough_time(attempt, round(1000 * seconds), tries=2) <= {*CATEGORIES}


@pytest.mark.slow
def test_the_bugs_in_the_rules_of_scheduling_v1_are_found_together(tmp_path: Path) -> None:
    # Runs that are cancelled and would then be tried again are rare: the unit tests have them.
    wanted = {*rules.CATEGORIES, "early", "attempts"} - {"cancel"}

    def attempt(window: int) -> None:
        options = Options(
            tmp_path / f"chaos-{window}",
            seed=2,
            seconds=window / 1000,
            faults=("outage",),
            scale=0.7,
            pace=12,
            callers=0,
            v1=5,
            completion_timeout=2_000,
            margin=1_500,
            sweeps=False,
            bug=",".join(bug.__name__ for bug in BUGS_V1),
        )
        violations = Campaign(options).run().violations
        found = {violation.category for violation in violations}
        in_time(wanted <= found, f"the bugs had time to show; missing: {wanted - found}")

    with_enough_time(attempt, 50_000, tries=2)
