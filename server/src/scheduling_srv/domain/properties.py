"""The properties that jobs of scheduling.v1 have beside those of 2018, and their checks.

Instants are epoch ms, durations ms; None: not given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduling_srv.domain import labels
from scheduling_srv.domain.backoff import LONGEST_MS
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.run_rules import MissedRule, Overlap

LONGEST_KEY_BYTES = 255
MOST_RUNS = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Properties:
    """What a client asks for; their meaning is that of `scheduling.v1.JobSpec`."""

    start: int | None = None
    end: int | None = None
    max_runs: int = 0
    start_deadline: int | None = None
    jitter: int | None = None
    max_delay: int | None = None
    random_share: float = 0.0
    overlap: Overlap = Overlap.ALLOW
    missed: MissedRule | None = None
    completion_timeout: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unique_key: str = ""


class Timing(NamedTuple):
    """The schedule that the properties belong to."""

    first: int
    """Nominal time of the first run."""
    shortest_gap: int | None
    """Between two runs; None: there is one run."""


def check_properties(asked: Properties, timing: Timing) -> None:
    """Raise `InvalidRequest` with all faults; its sentence is the first one."""
    violations = [Violation(field, sentence) for field, sentence in _faults(asked, timing)]
    if violations:
        raise InvalidRequest(violations[0].description, violations)


def _faults(asked: Properties, timing: Timing) -> Iterator[tuple[str, str]]:
    yield from _bounds(asked, timing)
    yield from _durations(asked)
    gap = timing.shortest_gap
    if asked.jitter and gap is not None and asked.jitter >= gap:
        sentence = (
            f"The jitter is shorter than the time between two runs, {gap} ms at its shortest."
        )
        yield "jitter", sentence
    if not 0 <= asked.random_share <= 1:
        yield "retry.random_share", "The random share of a delay is a number from 0 to 1."
    for sentence in labels.faults(asked.labels):
        yield "labels", sentence
    if len(asked.unique_key.encode()) > LONGEST_KEY_BYTES or not asked.unique_key.isprintable():
        yield (
            "unique_key",
            f"A unique key has at most {LONGEST_KEY_BYTES} bytes, and only printable characters.",
        )


def _bounds(asked: Properties, timing: Timing) -> Iterator[tuple[str, str]]:
    given = {
        "start_time": asked.start is not None,
        "end_time": asked.end is not None,
        "max_runs": bool(asked.max_runs),
    }
    if timing.shortest_gap is None:
        for name in (name for name, is_given in given.items() if is_given):
            yield name, f"Only a recurring job has a property {name}."
        return
    if asked.end is not None and asked.end < timing.first:
        yield "end_time", "The job ends before its first run."
    if not 0 <= asked.max_runs <= MOST_RUNS:
        yield "max_runs", f"The number of runs is from 1 to {MOST_RUNS}; 0: any number."


def _durations(asked: Properties) -> Iterator[tuple[str, str]]:
    given = {
        "start_deadline": asked.start_deadline,
        "retry.max_delay": asked.max_delay,
        "completion_timeout": asked.completion_timeout,
        "missed.window": asked.missed.window if asked.missed else None,
    }
    for name, duration in given.items():
        if duration is not None and not 0 < duration <= LONGEST_MS:
            yield name, f"The duration {name} is longer than zero, and at most 100 years."
    if asked.jitter is not None and not 0 <= asked.jitter <= LONGEST_MS:
        yield "jitter", "The jitter is not negative, and at most 100 years."
