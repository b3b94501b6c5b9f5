"""The last runs of a job as a strip: how each ended, and whether it began late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from scheduling_client.api.jobs import Origin, Outcome, Run, RunState

LATE = timedelta(seconds=1)
"""A first attempt that began so long after its time is late."""
_NONE = timedelta()
SIGNS: Mapping[str, str] = {
    "done": "✓",
    "failed": "✗",
    "timed_out": "◷",
    "refused": "⊘",
    "cancelled": "⊖",
    "skipped": "»",
    "missed": "!",
    "running": "▶",
    "retrying": "↻",
    "held": "‖",
    "unknown": "?",
}
"""Beside the colour: not everybody sees it."""


class Cell(NamedTuple):
    """One run."""

    run: Run
    word: str
    """How it ended, or how it stands."""
    sign: str
    late: timedelta | None
    """How late it began; None: in time, or not known."""


class Strip(NamedTuple):
    """Runs by their time, the oldest first."""

    cells: Sequence[Cell]
    counts: Sequence[tuple[str, int]]
    """How many there are of each word, and of late ones."""


def of_runs(runs: Sequence[Run], jitter: timedelta | None) -> Strip:
    """The strip of these runs. A run may be delayed by `jitter`, and is not late then."""
    dated = [(run.nominal_time, run) for run in runs if run.nominal_time]
    dated.sort(key=lambda each: (each[0], each[1].run_id))
    cells = [_cell(run, jitter or _NONE) for _, run in dated]
    words = Counter(cell.word for cell in cells)
    counts = [(word, words[word]) for word in SIGNS if words[word]]
    late = sum(cell.late is not None for cell in cells)
    return Strip(cells, [*counts, ("late", late)] if late else counts)


def word_of(run: Run) -> str:
    """How it ended, or how it stands."""
    ended = run.outcome is not Outcome.UNKNOWN
    return (run.outcome if ended else run.state).name.lower()


def _cell(run: Run, jitter: timedelta) -> Cell:
    word = word_of(run)
    return Cell(run, word, SIGNS[word] if word in SIGNS else SIGNS["unknown"], _late(run, jitter))


def _late(run: Run, jitter: timedelta) -> timedelta | None:
    """Only of first attempts of the schedule: others begin when they may."""
    if run.origin is not Origin.SCHEDULE or run.attempts != 1 or not run.start_time:
        return None
    if run.state is RunState.HELD or not run.nominal_time:
        return None
    late = run.start_time - run.nominal_time - jitter
    return late if late > LATE else None
