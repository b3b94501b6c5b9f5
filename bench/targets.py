"""The figures that are shown, and what each has to reach."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bench.results import Results
from bench.workloads import BARE, BULLMQ, PRODUCT

NAMES = {BARE: "the bare loop", BULLMQ: "BullMQ"}
Limit = Callable[[Results, "Row"], float | None]
"""What a figure is compared with; None: it was not measured."""


@dataclass(frozen=True)
class Target:
    """What a figure has to reach."""

    text: str
    limit: Limit
    floor: bool = False
    """At least the limit, else at most."""

    def holds(self, results: Results, row: Row) -> bool | None:
        """Whether it is met; None: it was not measured."""
        value, limit = row.value(results), self.limit(results, row)
        if value is None or limit is None:
            return None
        return value >= limit if self.floor else value <= limit


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


def _of(contender: str, factor: float = 1.0, plus: float = 0.0, workload: str = "") -> Limit:
    """A contender's figure, times `factor`, and `plus`; the row's workload unless one is named."""

    def limit(results: Results, row: Row) -> float | None:
        other = results.figure(workload or row.workload, contender, row.figure)
        return None if other is None else factor * other + plus

    return limit


def at_least(value: float) -> Target:
    """An absolute floor."""
    return Target(f">= {value:,.0f}", lambda _, __: value, floor=True)


def at_most(value: float) -> Target:
    """An absolute ceiling."""
    return Target(f"<= {value:,g}", lambda _, __: value)


def times(contender: str, factor: float) -> Target:
    """At least `factor` times what another contender reaches."""
    return Target(f">= {factor:g}x {NAMES[contender]}", _of(contender, factor), floor=True)


def share(contender: str, part: float, name: str = "") -> Target:
    """At least a share of what another contender reaches."""
    return Target(f">= {part:.0%} of {name or NAMES[contender]}", _of(contender, part), floor=True)


def within(contender: str, *, factor: float = 1.0, plus: float = 0.0) -> Target:
    """At most what another contender has, times `factor`, and `plus`."""
    said = f"{factor:g}x {NAMES[contender]}'s" if plus == 0 else f"{NAMES[contender]}'s + {plus:g}"
    return Target(f"<= {said}", _of(contender, factor, plus))


FLOORS = {
    ("submit", "rate"): at_least(20_000),
    ("fire", "rate"): at_least(15_000),
    ("steady", "p50"): at_most(15),
    ("steady", "p99"): at_most(1_000),
    ("memory", "bytes"): at_most(600),
}
"""What any machine reaches that is not busy: `make bench-quick`."""

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
        (Target("<= 2x that at 1,000/s", _of(PRODUCT, 2, workload="steady")),),
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
    Row("standby", "p99", "the owner is killed: longest pause", "ms", (at_most(5_000),)),
    Row("restart", "p99", "the only replica restarts: to its first run", "ms", (at_most(2_000),)),
    Row("handover", "p99", "the owner is stopped: longest pause", "ms", (at_most(200),)),
)


def below_floors(results: Results, workloads: Collection[str]) -> list[str]:
    """A line for each figure of these workloads that does not reach its floor."""
    return [
        f"{row.title}: {row.value(results):,.1f} {row.unit}, but the floor is {floor.text}"
        for row in ROWS
        if row.workload in workloads
        and (floor := FLOORS.get((row.workload, row.figure)))
        and floor.holds(results, row) is False
    ]
