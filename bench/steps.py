"""Which step made runs late: the time stamps of `bench.stamped` beside the arrivals of the reader.

A run is due, comes from Redis (`staged`), goes to librdkafka (`handed`), Kafka has it (`kafka`),
and a consumer reads it (`read`). Each step counts from the one before, or from the due instant.
The slowest runs are shown with all that ran beside them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.actors import quantile

FILE = "BENCH_STEPS_FILE"
"""The variable that says where the service leaves its time stamps."""
STEPS = ("staged", "handed", "kafka", "read")
UNKNOWN = ("late",)
"""The only step of a contender that leaves no time stamps."""
SLOW_SHARE = 0.01
"""The part of the runs that are called slow."""
APART_SECONDS = 0.02
"""Slow runs that are due further apart have causes of their own."""
MOST_EPISODES, MOST_SPANS = 12, 6
COLLECTOR = "Kafka's collector"
PAUSE = re.compile(r"\[(\S+?)\] GC\(\d+\) Pause .* (\d+)M->(\d+)M\(\d+M\) ([\d.]+)ms")


class Span(NamedTuple):
    """Something that took a while. Epoch seconds."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.ended - self.began


class Timed(NamedTuple):
    """A run. Epoch seconds, and seconds."""

    due: float
    read: float
    steps: Mapping[str, float]
    """What each step took."""

    @property
    def late(self) -> float:
        """All steps together."""
        return self.read - self.due

    @property
    def slowest(self) -> str:
        """The step that took most."""
        return max(self.steps, key=self.steps.__getitem__)


def report(arrivals: Path, stamps: Path, pauses: Path) -> str:
    """Tables for people. Takes the file `stamps` away, which a contender may not have made."""
    noted: dict[str, Any] = json.loads(stamps.read_text()) if stamps.exists() else {}
    stamps.unlink(missing_ok=True)
    runs = sorted(_timed(noted, json.loads(arrivals.read_text())), key=_due)
    if not runs:
        return ""
    begin, end = runs[0].due, runs[-1].read
    spans = [*(Span(*each) for each in noted.get("spans", ())), *collections(pauses)]
    spans = [each for each in spans if begin <= each.ended and each.began <= end]
    slow = sorted(sorted(runs, key=_late)[-max(1, int(len(runs) * SLOW_SHARE)) :], key=_due)
    causes = Counter(run.slowest for run in slow)
    return "\n".join(
        [
            *_table(runs),
            *_totals(spans, end - begin),
            f"the slowest {len(slow)}: {', '.join(f'{n} {name}' for name, n in causes.items())}",
            *_worst(slow, spans, begin),
        ]
    )


def _timed(noted: Mapping[str, Any], arrivals: Iterable[Sequence[Any]]) -> Iterator[Timed]:
    """`arrivals`: job id, offset, and the instants when the run was due and read."""
    for job_id, offset, due, read in arrivals:
        if not noted:
            yield Timed(due, read, dict.fromkeys(UNKNOWN, read - due))
            continue
        # A transaction is readable before its commit returns.
        kafka = noted["confirmed"].get(str(offset)) or noted["committed"][job_id]
        instants = (noted["taken"][job_id], noted["handed"][job_id], min(kafka, read), read)
        yield Timed(due, read, dict(zip(STEPS, _gaps(due, instants), strict=True)))


def _gaps(last: float, instants: Iterable[float]) -> Iterator[float]:
    for instant in instants:
        yield max(0.0, instant - last)
        last = max(last, instant)


def collections(pauses: Path) -> Iterator[Span]:
    """The pauses in the log of Java's garbage collector."""
    for line in pauses.read_text().splitlines():
        if found := PAUSE.match(line):
            ended = datetime.fromisoformat(found[1]).timestamp()
            yield Span(COLLECTOR, ended - float(found[4]) / 1000, ended)


def episodes(slow: Iterable[Timed]) -> list[list[Timed]]:
    """Slow runs that are due one after another. `slow` is in the order of due instants."""
    found: list[list[Timed]] = []
    for run in slow:
        if found and run.due - found[-1][-1].due < APART_SECONDS:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def _table(runs: Sequence[Timed]) -> Iterator[str]:
    yield f"{'step, ms':<10}{'p50':>8}{'p99':>8}{'max':>8}"
    for name in runs[0].steps:
        yield f"{name:<10}{_quantiles(run.steps[name] for run in runs)}"
    yield f"{'all':<10}{_quantiles(run.late for run in runs)}"


def _quantiles(seconds: Iterable[float]) -> str:
    ms = sorted(each * 1000 for each in seconds)
    return f"{quantile(ms, 0.5):>8.1f}{quantile(ms, 0.99):>8.1f}{ms[-1]:>8.1f}"


def _totals(spans: Iterable[Span], seconds: float) -> Iterator[str]:
    """How often and how long each kind of span was."""
    kinds: dict[str, list[float]] = {}
    for span in spans:
        kinds.setdefault(span.name, []).append(span.seconds)
    if kinds:
        yield f"{'beside, ms':<22}{'p50':>8}{'p99':>8}{'max':>8}{'times':>8}{'of all':>8}"
    for name, lengths in sorted(kinds.items()):
        share = sum(lengths) / seconds
        yield f"{name:<22}{_quantiles(lengths)}{len(lengths):>8}{share:>8.1%}"


def _worst(slow: Sequence[Timed], spans: Iterable[Span], begin: float) -> Iterator[str]:
    """Each episode with what ran beside its latest run, from `begin` on."""
    ordered = sorted(((max(each, key=_late), each) for each in episodes(slow)), key=_first_late)
    for worst, runs in sorted(ordered[-MOST_EPISODES:], key=_first_due):
        steps = "  ".join(f"{name} {took * 1000:.1f}" for name, took in worst.steps.items())
        at, late = worst.due - begin, worst.late * 1000
        yield f"at {at:.3f} s: {len(runs)} runs, the latest {late:.1f}: {steps}"
        beside = [each for each in spans if each.began < worst.read and each.ended > worst.due]
        for span in sorted(beside, key=lambda each: -each.seconds)[:MOST_SPANS]:
            since, until = (span.began - worst.due) * 1000, (span.ended - worst.due) * 1000
            yield f"    {span.name}: {span.seconds * 1000:.1f}, from {since:+.1f} to {until:+.1f}"


def _due(run: Timed) -> float:
    return run.due


def _late(run: Timed) -> float:
    return run.late


def _first_late(episode: tuple[Timed, Sequence[Timed]]) -> float:
    return episode[0].late


def _first_due(episode: tuple[Timed, Sequence[Timed]]) -> float:
    return episode[0].due
