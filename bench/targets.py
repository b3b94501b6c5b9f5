"""The figures that are shown, and what each has to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results
from bench.workloads import BARE, BULLMQ, PRODUCT

NAMES = {BARE: "the bare loop", BULLMQ: "BullMQ"}
Holds = Callable[[Results, "Row"], bool | None]
"""Whether a target is met; None: it was not measured."""


@dataclass(frozen=True)
class Target:
    """What a figure has to reach."""

    text: str
    holds: Holds


@dataclass(frozen=True)
class Row:
    """One figure of one workload."""

    workload: str
    figure: str
    title: str
    unit: str
    targets: tuple[Target, ...]
    digits: int = 0
    higher_is_better: bool = False

    def value(self, results: Results, contender: str = PRODUCT) -> float | None:
        """What was measured."""
        return results.figure(self.workload, contender, self.figure)


def _against(text: str, bound: Callable[[Results, Row], float | None], *, at_least: bool) -> Target:
    def holds(results: Results, row: Row) -> bool | None:
        value, limit = row.value(results), bound(results, row)
        if value is None or limit is None:
            return None
        return value >= limit if at_least else value <= limit

    return Target(text, holds)


def at_least(value: float, text: str = "") -> Target:
    """An absolute floor."""
    return _against(text or f">= {value:,.0f}", lambda _, __: value, at_least=True)


def at_most(value: float) -> Target:
    """An absolute ceiling."""
    return _against(f"<= {value:,g}", lambda _, __: value, at_least=False)


def times(contender: str, factor: float, text: str = "") -> Target:
    """At least `factor` times what another contender reaches."""

    def bound(results: Results, row: Row) -> float | None:
        other = row.value(results, contender)
        return None if other is None else factor * other

    return _against(text or f">= {factor:g}x {NAMES[contender]}", bound, at_least=True)


def share(contender: str, part: float, name: str = "") -> Target:
    """At least a share of what another contender reaches."""
    return times(contender, part, f">= {part:.0%} of {name or NAMES[contender]}")


def within(contender: str, *, factor: float = 1.0, plus: float = 0.0) -> Target:
    """At most what another contender has, times `factor`, and `plus`."""

    def bound(results: Results, row: Row) -> float | None:
        other = row.value(results, contender)
        return None if other is None else factor * other + plus

    said = f"{factor:g}x {NAMES[contender]}'s" if plus == 0 else f"{NAMES[contender]}'s + {plus:g}"
    return _against(f"<= {said}", bound, at_least=False)


def within_workload(workload: str, factor: float, text: str) -> Target:
    """At most `factor` times the product's same figure of another workload."""

    def bound(results: Results, row: Row) -> float | None:
        other = results.figure(workload, PRODUCT, row.figure)
        return None if other is None else factor * other

    return _against(text, bound, at_least=False)


ROWS = (
    Row(
        "submit",
        "rate",
        "submit over gRPC, batches of 500, durable and announced",
        "jobs/s",
        (at_least(60_000), times(BULLMQ, 3)),
        higher_is_better=True,
    ),
    Row(
        "single",
        "rate",
        "submit one job a call, 64 in flight (bare: an empty grpc.aio echo)",
        "calls/s",
        (share(BARE, 0.6, "the echo"),),
        higher_is_better=True,
    ),
    Row(
        "records",
        "rate",
        "submit by createJobs records of 100 jobs",
        "jobs/s",
        (at_least(40_000),),
        higher_is_better=True,
    ),
    Row(
        "fire",
        "rate",
        "100,000 due at one instant, drained to Kafka",
        "runs/s",
        (at_least(40_000), share(BARE, 0.7), times(BULLMQ, 4)),
        higher_is_better=True,
    ),
    Row("steady", "p50", "1,000/s, lateness p50", "ms", (within(BARE, plus=2),), 1),
    Row("steady", "p99", "1,000/s, lateness p99", "ms", (within(BARE, factor=1.5),), 1),
    Row("steady-at-least-once", "p50", "the same at least once, p50", "ms", (at_most(2),), 1),
    Row("steady-at-least-once", "p99", "the same at least once, p99", "ms", (at_most(8),), 1),
    Row(
        "steady-10k",
        "rate",
        "10,000/s, sustained",
        "runs/s",
        (at_least(9_900),),
        higher_is_better=True,
    ),
    Row(
        "steady-10k",
        "p99",
        "10,000/s, lateness p99",
        "ms",
        (within_workload("steady", 2, "<= 2x that at 1,000/s"),),
        1,
    ),
    Row("recurring", "missed", "10,000 recurring jobs of 1 s: runs missed", "", (at_most(0),)),
    Row("recurring", "p99", "the same, lateness p99", "ms", (at_most(60),), 1),
    Row("memory", "bytes", "Redis per waiting job", "bytes", (at_most(420),)),
    Row(
        "waiting",
        "ratio",
        "10,000,000 waiting: lateness p99 to that with none",
        "x",
        (at_most(1.2),),
        2,
    ),
    Row("waiting", "first", "the same, start to first emission", "s", (at_most(1),), 2),
    Row("waiting", "memory", "the same, memory of the service", "MB", (at_most(150),)),
    Row(
        "cycle",
        "rate",
        "now, queued, answered, gone; 2,000 in flight",
        "jobs/s",
        (at_least(8_000),),
        higher_is_better=True,
    ),
    Row(
        "noisy",
        "ratio",
        "1,000/s beside a greedy client: lateness p99 to that without",
        "x",
        (at_most(3),),
        2,
    ),
    Row("restore", "seconds", "restore 1,000,000 jobs", "s", (at_most(20),), 1),
    Row("rebuild", "seconds", "rebuild an empty Redis with 1,000,000", "s", (at_most(20),), 1),
    Row("idle", "share", "idle with 1,000,000 waiting", "% of a core", (at_most(0.5),), 2),
    Row("mixed", "p99", "single creates while 100,000 fire, p99", "ms", (at_most(100),), 1),
)
