"""All rules of jobs of scheduling.v1, and their categories."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chaos.model import Model, Violation
from chaos.v1 import rules_attempts, rules_changes, rules_control, rules_runs
from chaos.v1.model import V1Model

CATEGORIES = {
    "count": "max_runs: too many runs, wrong numbers, or a job that does not finish",
    "deadline": "a run started after its start deadline",
    "overlap": "a run of SKIP or ONE started while another one was open",
    "missed": "occurrences of an outage before the window of the job ran",
    "pause": "a run came in a pause, or a pause was lost",
    "by hand": "a run by hand that did not come, or came twice",
    "backfill": "a run of no backfill, one that is missing, or too many at a time",
    "cancel": "an attempt of a cancelled run",
    "unique": "two jobs with one unique key",
    "update": "a revision or a property that an Update should not have changed, or should have",
}
RULES: tuple[Callable[[V1Model], Iterator[Violation]], ...] = (
    rules_runs.asked_for,
    rules_runs.once,
    rules_runs.in_time,
    rules_runs.in_phase,
    rules_runs.counted,
    rules_runs.before_deadline,
    rules_runs.alone,
    rules_runs.made_up,
    rules_runs.lost,
    rules_attempts.retried,
    rules_attempts.cancelled,
    rules_control.paused,
    rules_control.passed,
    rules_control.by_hand,
    rules_control.backfilled,
    rules_changes.announced,
    rules_changes.unique,
    rules_changes.changed,
    rules_changes.told,
    rules_changes.living,
)


def violations(model: Model) -> Iterator[Violation]:
    """All broken promises to jobs of scheduling.v1."""
    if not model.history.v1 and not model.v1_runs:
        return
    judged = V1Model(model)
    for rule in RULES:
        yield from rule(judged)
