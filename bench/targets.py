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

    def cost(self, results: Results, row: Row) -> float | None:
        """The figure by its limit; above 1 it is not met. None: it was not measured."""
        value, limit = row.value(results), self.limit(results, row)
        if value is None or limit is None:
            return None
        over, under = (limit, value) if self.floor else (value, limit)
        return over / under if under else float(over > 0) * 2

    def holds(self, results: Results, row: Row) -> bool | None:
        """Whether it is met; None: it was not measured."""
        cost = self.cost(results, row)
        return None if cost is None else cost <= 1


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
    worst: bool = False
    """The worst round counts, not the median."""

    def value(self, results: Results, contender: str = PRODUCT) -> float | None:
        """What was measured."""
        if self.worst:
            spread = results.contender(self.workload, contender).get("spread", {})
            return spread[self.figure][1] if spread else None
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


READS = {
    "get": "get of 10 jobs",
    "list": "a page of 100 jobs",
    "upcoming": "100 upcoming runs",
    "overview": "overview",
}
"""The reads of `v1-reads`."""
FLOORS = {
    ("submit", "rate"): at_least(20_000),
    ("fire", "rate"): at_least(15_000),
    ("steady", "p50"): at_most(15),
    ("steady", "p99"): at_most(1_000),
    ("memory", "bytes"): at_most(600),
    ("noisy", "ratio"): at_most(3),
    **{("v1-reads", f"{kind}-p99"): at_most(50) for kind in READS},
}
"""What any machine reaches that is not busy: `make bench-quick`."""


def _steady(workload: str, rate: str, at_least_once_ms: float, *more: Target) -> list[Row]:
    """Lateness at a rate, in both modes."""
    loose = f"{workload}-at-least-once"
    return [
        Row(workload, "p50", f"{rate}, lateness p50", "ms", (within(BARE, plus=0.5), *more), 1),
        Row(workload, "p99", f"{rate}, lateness p99", "ms", (within(BARE, factor=1.2),), 1),
        Row(loose, "p50", f"{rate} at least once, p50", "ms", (at_most(at_least_once_ms),), 1),
        Row(loose, "p99", f"{rate} at least once, p99", "ms", (within(BARE, factor=1.3),), 1),
    ]


ROWS = (
    Row(
        "submit",
        "rate",
        "submit over gRPC, batches of 500, durable and announced",
        "jobs/s",
        (share(BARE, 0.52), times(BULLMQ, 1.7)),
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
        (at_least(30_000),),
        higher_is_better=True,
    ),
    Row(
        "fire",
        "rate",
        "100,000 due at one instant, drained to Kafka",
        "runs/s",
        (share(BARE, 0.65),),
        higher_is_better=True,
    ),
    *_steady("steady", "1,000/s", 1.5, within(BULLMQ, plus=4)),
    *_steady("steady-200", "200/s", 2.5),
    *_steady("steady-100", "100/s", 2.5),
    *_steady("steady-10", "10/s", 2.5),
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
    Row("kill", "lost", "killed while 20,000 are due: runs lost", "", (at_most(0),), worst=True),
    Row("kill", "doubled", "the same, runs repeated", "", (at_most(0),), worst=True),
    Row(
        "kill-at-least-once",
        "lost",
        "killed, at least once: runs lost",
        "",
        (at_most(0),),
        worst=True,
    ),
    Row(
        "kill-at-least-once",
        "doubled",
        "the same at least once, runs repeated",
        "",
        (at_most(100),),
        worst=True,
    ),
    Row("recurring", "missed", "10,000 recurring jobs of 1 s: runs missed", "", (at_most(0),)),
    Row("recurring", "p99", "the same, lateness p99", "ms", (at_most(60),), 1),
    Row("memory", "bytes", "Redis per waiting job", "bytes", (at_most(380),)),
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
    *(
        Row(
            "v1-reads",
            f"{kind}-p99",
            f"{title}, 10,000,000 waiting, beside 1,000/s: p99",
            "ms",
            (at_most(50),),
            1,
        )
        for kind, title in READS.items()
    ),
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
    Row(
        "crowded",
        "ratio",
        "single calls beside a flood of another caller with a quota: p99 to that without",
        "x",
        (at_most(2),),
        2,
    ),
    Row("traced", "cost", "CPU of a call with a trace to that without", "x", (at_most(2),), 2),
    Row("traced", "share", "the same, one call of a hundred", "x", (at_most(1.2),), 2),
    Row("viewed", "cost", "5,000/s beside 20 viewers: loss of rate", "%", (at_most(5),), 2),
    Row("viewed", "p50-cost", "the same, added to the lateness p50", "%", (at_most(5),), 2),
    Row("viewed", "p99-cost", "the same, added to the lateness p99", "%", (), 2),
    Row("viewed", "share", "the same, CPU of the service", "% of a core", (), 2),
    Row("viewed", "burst-cost", "due at one instant beside them: loss of rate", "%", (), 2),
    Row(
        "painted", "paint", "first paint of the slowest page, 1,000,000 jobs", "ms", (at_most(200),)
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
