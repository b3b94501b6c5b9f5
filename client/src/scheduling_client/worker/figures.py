"""Counters of a worker, and their text for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

DONE, FAILED, RETRIED, DISCARDED = "done", "failed", "retry", "discarded"
REPEATED, ANSWERED, UNREADABLE, EXPIRED = "repeated", "answered", "unreadable", "expired"
BOUNDS_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Buckets of durations."""


class TypeFigures:
    """Runs of one type that ended."""

    def __init__(self) -> None:
        self.ended = dict.fromkeys((DONE, FAILED, RETRIED, DISCARDED), 0)
        self.durations = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0

    def end(self, outcome: str, took_seconds: float) -> None:
        """A run at work has ended."""
        self.ended[outcome] += 1
        self.durations[bisect_left(BOUNDS_SECONDS, took_seconds)] += 1
        self.seconds += took_seconds


class Figures:
    """Counts of the event loop. Reading them from another thread gives recent values."""

    def __init__(self, types: tuple[str, ...]) -> None:
        self.of = {kind: TypeFigures() for kind in types}
        self.skipped = dict.fromkeys((REPEATED, ANSWERED, UNREADABLE, EXPIRED), 0)
        self.at_work: Callable[[], Mapping[str, int]] = dict
        self.waiting: Callable[[], Mapping[str, int]] = dict
        self.answers = 0
        """Answers that Kafka has confirmed."""
        self.heartbeats = 0

    def text(self) -> str:
        """In the format of Prometheus."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        name = "scheduling_worker_runs_total"
        yield from _head(name, "counter", "Runs that ended, by type and outcome.")
        for kind, figures in self.of.items():
            for outcome, count in figures.ended.items():
                yield f'{name}{{type="{_quoted(kind)}",outcome="{outcome}"}} {count}'
        name = "scheduling_worker_runs_skipped_total"
        yield from _head(name, "counter", "Runs that were not begun, by reason.")
        for reason, count in self.skipped.items():
            yield f'{name}{{reason="{reason}"}} {count}'
        yield from _gauges("runs_at_work", "Runs at work.", self.at_work())
        yield from _gauges("runs_waiting", "Runs that wait for a place.", self.waiting())
        for plain, help_text, value in (
            ("answers_total", "Answers that Kafka has confirmed.", self.answers),
            ("heartbeats_total", "Heartbeats of long runs.", self.heartbeats),
        ):
            yield from _head(f"scheduling_worker_{plain}", "counter", help_text)
            yield f"scheduling_worker_{plain} {value}"
        yield from self._histogram("scheduling_worker_run_seconds")

    def _histogram(self, name: str) -> Iterator[str]:
        yield from _head(name, "histogram", "How long runs were at work.")
        for kind, figures in self.of.items():
            counts = figures.durations
            label = f'type="{_quoted(kind)}"'
            bounds = [*(str(each) for each in BOUNDS_SECONDS), "+Inf"]
            for bound, count in zip(bounds, accumulate(counts), strict=True):
                yield f'{name}_bucket{{{label},le="{bound}"}} {count}'
            yield f"{name}_sum{{{label}}} {figures.seconds:.6f}"
            yield f"{name}_count{{{label}}} {sum(counts)}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _gauges(name: str, text: str, values: Mapping[str, int]) -> Iterator[str]:
    yield from _head(f"scheduling_worker_{name}", "gauge", text)
    for kind, value in values.items():
        yield f'scheduling_worker_{name}{{type="{_quoted(kind)}"}} {value}'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
