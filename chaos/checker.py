"""`python -m chaos.checker FILE`: what a campaign's history says of the promises."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos import rules_changes, rules_health, rules_limits, rules_runs
from chaos.history import History
from chaos.model import Model, Violation
from chaos.v1 import rules as rules_v1

CATEGORIES = {
    "lost": "a run that was due, or a retry, did not come",
    "twice": "a run was committed more than once",
    "early": "a run came before its time",
    "phase": "a run was due when its job was not",
    "after": "a run came after its Delete or Update was answered",
    "announced": "jobsCreated or jobsDeleted missing, doubled, or in a wrong order",
    "unasked": "something that nobody asked for, or that was refused",
    "atomic": "a part of a list was applied",
    "ids": "an id was used again",
    "parallel": "more unanswered runs of a type than allowed",
    "priority": "a less urgent run came first",
    "attempts": "an attempt without a reason, before its backoff, or too many",
    "answers": "an answer was applied twice",
    "told": "a call was refused wrongly, or failed inside",
    "read": "Read showed what was gone, or not what lived",
    "keys": "keys left over in Redis",
    "health": "SERVING while due runs made no progress",
    "end": "the service did not come back by itself",
    **rules_v1.CATEGORIES,
}
RULES: tuple[Callable[[Model], Iterator[Violation]], ...] = (
    rules_runs.nobody_asked,
    rules_runs.twice,
    rules_runs.ids,
    rules_runs.early,
    rules_runs.after_end,
    rules_runs.phase,
    rules_runs.lost,
    rules_changes.announced,
    rules_changes.deleted,
    rules_changes.atomic,
    rules_changes.living,
    rules_changes.told,
    rules_changes.left,
    rules_limits.attempts,
    rules_limits.after_answer,
    rules_limits.parallel,
    rules_limits.priority,
    rules_health.falsely_serving,
)


def violations(history: History) -> list[Violation]:
    """All broken promises; a history without an end is one."""
    model = Model(history)
    found = [Violation("end", trouble) for trouble in history.troubles]
    if not history.quiet and not found:
        found.append(Violation("end", "the campaign has no end"))
    found += [violation for rule in RULES for violation in rule(model)]
    return [*found, *rules_v1.violations(model)]


def table(found: list[Violation]) -> str:
    """One line a category."""
    counts = Counter(violation.category for violation in found)
    return "\n".join(
        f"  {name:<10} {counts[name]:>6}   {meaning}" for name, meaning in CATEGORIES.items()
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m chaos.checker", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--most", type=int, default=50, help="violations to print")
    options = parser.parse_args()
    history = History.load(options.file)
    found = violations(history)
    print(f"{len(history.calls)} calls, {len(history.records)} records, seed {history.seed}")
    print(table(found))
    for violation in found[: options.most]:
        print(f"{violation.category}: {violation.text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
