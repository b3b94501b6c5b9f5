"""`python -m bench.scale`: what one shard holds and what several need, simulated from `make bench`.

What a run costs was measured (`build/bench/results.json`); what several machines do with it is
simulated (`bench/scale_model.py`), after the simulation has been compared with what was measured.
`--shards 10 --redis 1 --rate 50000` simulates one setup instead of making the tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.report import ROOT, facts, markdown, number, replaced
from bench.results import Results
from bench.scale_model import (
    BROKERS,
    PYTHON,
    REDIS,
    RULES,
    TRANSACTIONS,
    Costs,
    Load,
    Outcome,
    Setup,
    Work,
    busiest,
    shares,
    simulate,
)
from bench.workloads import PRODUCT

RESULTS = ROOT / "build" / "bench" / "results.json"
PAGE = ROOT / "docs" / "scale.md"
COMMAND = "make bench-scale"
PARTS = ("valkey", "service", "kafka", "reader")
STEADY, STEADY_10K = 1_000, 10_000
"""Runs a second of the workloads `steady` and `steady-10k`."""
BACKLOG = 100_000
"""Runs of a shard, or of all types together; as many as in the workload `fire`."""
SECONDS = 5
"""For which a rate is simulated."""
RATES = (100, 1_000, 5_000, 10_000, 20_000, 30_000, 40_000)
SHARDS = (1, 2, 4, 10)
MANY = SHARDS[-1]
TYPES = (10, 30, 100, 1_000)
SKEWS = {0.0: "all as frequent", 1.0: "Zipf, exponent 1"}
ENOUGH = 0.98
"""Of the rate with a machine for each shard, that fewer machines have to reach."""


class Unusable(Exception):
    """What was measured does not do, and why."""


class Measured(NamedTuple):
    """What the simulation is made from, and compared with."""

    results: Results
    steady: dict[str, float]
    """Seconds of CPU a run by part, with few runs a transaction."""
    fire: dict[str, float]
    """The same with as many as one transaction holds."""
    cycle: float
    """Seconds of a staging call and its transaction in `steady`."""

    @property
    def few(self) -> float:
        """Runs a transaction in `steady`: those that come due in a cycle."""
        return max(1.0, STEADY * self.cycle)

    @property
    def curve(self) -> list[int]:
        """Rates of the workload `load-curve`, if it was measured."""
        names = self.results.contender("load-curve", PRODUCT).get("figures", {})
        return sorted(int(name.split()[1]) for name in names if name.startswith("p50 "))

    def figure(self, workload: str, figure: str) -> float | None:
        """The product's."""
        return self.results.figure(workload, PRODUCT, figure)


def read(path: Path, *, small: bool = True) -> Measured:
    """What `make bench` has left; `small`: also with fewer jobs. Raises `Unusable`."""
    try:
        results = Results.read(path)
    except (ValueError, TypeError) as fault:
        raise Unusable(f"{path} is not what `make bench` writes: {fault}.") from fault
    if not results.workloads:
        raise Unusable(f"There is no measurement in {path}: run `make bench` first.")
    if not small and any(entry["scale"] != 1 for entry in results.workloads.values()):
        raise Unusable(f"{path} was measured with SIZE: it is not for pages.")
    each: dict[str, dict[str, float]] = {}
    for workload, needed in {"fire": ["rate"], "steady": ["p50", "p99"]}.items():
        entry = results.contender(workload, PRODUCT)
        jobs, cpu, figures = (entry.get(name) for name in ("jobs", "cpu", "figures"))
        if not jobs or not cpu or not figures or {*PARTS} - {*cpu} or {*needed} - {*figures}:
            raise Unusable(
                f"{path} says nothing of `{workload}` with the product:"
                f" run `make bench ONLY={workload}` first."
            )
        each[workload] = {part: cpu[part] / jobs for part in PARTS}
    # A run comes due at any moment of a cycle: it waits for the rest of that one, half of it in the
    # middle, and then for the whole of its own. Whoever is alone waits for its own only.
    middle = results.contender("steady", PRODUCT)["figures"]["p50"] / 1000
    cycle = middle / 1.5 if STEADY * middle / 1.5 > 1 else middle
    return Measured(results, each["steady"], each["fire"], cycle)


def fit(few: float, few_runs: float, many: float, many_runs: float) -> Work:
    """The line through two points: CPU a run with few and with many runs a transaction.

    Neither part of it is below nothing: if one would be, what many runs cost is kept.
    """
    fixed = (few - many) / (1 / few_runs - 1 / many_runs) if few_runs < many_runs else 0.0
    fixed = min(max(0.0, fixed), many * many_runs)
    return Work(fixed, many - fixed / many_runs)


def costs_of(measured: Measured) -> Costs:
    """Fixed and by run, and what is left of a cycle when all its CPU has been used."""
    redis, python, kafka, reader = (
        fit(measured.steady[part], measured.few, measured.fire[part], RULES.batch_records)
        for part in PARTS
    )
    used = sum(work.fixed + work.each * measured.few for work in (redis, python, kafka, reader))
    return Costs(redis, python, kafka, reader, max(0.0, measured.cycle - used))


def drain(costs: Costs, setup: Setup, load: Load | None = None) -> Outcome:
    """A backlog; without another load the same for each shard."""
    return simulate(costs, setup, load or Load(BACKLOG * setup.shards))


def at_rate(costs: Costs, setup: Setup, rate: int) -> Outcome:
    """Runs at equal distances."""
    return simulate(costs, setup, Load(max(1_000, rate * SECONDS), rate))


def percent(part: float) -> str:
    """A part of the time."""
    return f"{part:.0%}"


def costs_table(measured: Measured, costs: Costs) -> str:
    """Measured microseconds, and the line through them."""
    works = (costs.redis, costs.python, costs.kafka, costs.reader)
    body = []
    for part, work in zip(PARTS, works, strict=True):
        points = [number(each[part] * 1e6, 1) for each in (measured.steady, measured.fire)]
        body.append([part, *points, number(work.fixed * 1e6), number(work.each * 1e6, 1)])
    head = ["us of CPU", "a run, `steady`", "a run, `fire`", "fixed", "and a run"]
    return (
        "**Costs.** The first two columns are measured, the last two the line through them: a fixed"
        " cost a transaction\n(with its staging call) and a cost a run. `fire` has"
        f" {RULES.batch_records:,} runs a transaction; `steady`"
        f" {measured.few:.1f}, from its p50. What a\ntransaction waits without using CPU:"
        f" {costs.wait * 1000:.1f} ms.\n\n" + markdown(head, body, left=1)
    )


def check_table(measured: Measured, costs: Costs) -> str:
    """Simulated beside measured: one shard, everything on the same two cores."""
    setup = Setup(shared=True)
    fire = drain(costs, setup)
    points = [("`fire`, runs/s", measured.figure("fire", "rate"), fire.rate, "no")]
    for workload, rate in {"steady": STEADY, "steady-10k": STEADY_10K}.items():
        late = at_rate(costs, setup, rate)
        for name, part in {"p50": 0.5, "p99": 0.99}.items():
            used = "yes" if (workload, name) == ("steady", "p50") else "no"
            value = measured.figure(workload, name)
            points.append((f"`{workload}`, {name} ms", value, late.late(part) * 1000, used))
    for rate in measured.curve:
        value = measured.figure("load-curve", f"p50 {rate}")
        made = at_rate(costs, setup, rate).late(0.5) * 1000
        points.append((f"`load-curve`, p50 ms at {rate:,}/s", value, made, "no"))
    body = []
    for name, value, made, used in points:
        if value:
            digits = 1 if " ms" in name else 0
            both = [number(value, digits), number(made, digits)]
            body.append([name, *both, f"{made / value:.2f}", used])
    head = ["one shard, two cores for everything", "measured", "simulated", "ratio", "used"]
    return (
        "**How far to trust it.** *Used*: the costs were made from this figure, so that its ratio"
        " says little.\nWaits always take the same time in the simulation, which p99 shows.\n\n"
        + markdown(head, body, left=1)
    )


def one_shard_tables(costs: Costs) -> str:
    """What one shard holds on machines of its own."""
    full = drain(costs, Setup())
    named = [*full.busy.items()]
    drained = markdown(
        ["a backlog", *(name for name, _ in named), "what limits"],
        [[f"{full.rate:,.0f} runs/s", *(percent(part) for _, part in named), busiest(full.busy)]],
        left=1,
    )
    body = []
    for rate in RATES:
        if rate < full.rate * ENOUGH:
            found = at_rate(costs, Setup(), rate)
            late = [number(found.late(part) * 1000, 1) for part in (0.5, 0.99)]
            body.append([f"{rate:,}", *late, *(percent(found.busy[name]) for name, _ in named)])
        else:
            body.append([f"{rate:,}", "grows", "grows", *["-"] * len(named)])
    head = ["runs/s", "p50 ms", "p99 ms", *(name for name, _ in named)]
    return (
        "**One shard** (simulated): a Redis server, a replica and a broker on machines of their"
        " own, without a consumer.\nHow much of the time each is busy; *transactions*: one is under"
        f" way.\n\n{drained}\nLateness from due to committed; *grows*: more than is"
        " drained. With few runs a transaction is under way\nnearly all the time: that is no limit,"
        f" the next one takes more runs.\n\n{markdown(head, body, left=1)}"
    )


def fewest(costs: Costs, setup: Setup) -> tuple[Setup, Outcome]:
    """As few brokers, then replicas, as do not slow it down."""
    best = drain(costs, setup)
    least = best.rate * ENOUGH
    for brokers in range(1, setup.shards + 1):
        best = drain(costs, replace(setup, brokers=brokers))
        if best.rate >= least:
            setup = replace(setup, brokers=brokers)
            break
    for replicas in range(1, setup.shards + 1):
        best = drain(costs, replace(setup, replicas=replicas))
        if best.rate >= least:
            return replace(setup, replicas=replicas), best
    return setup, best


def shards_table(costs: Costs) -> str:
    """More shards, with one Redis server and with one each."""
    alone = drain(costs, Setup()).rate
    body = []
    for shards in SHARDS:
        for servers in sorted({1, shards}):
            plenty = Setup(shards, shards, servers, shards)
            setup, found = fewest(costs, plenty)
            body.append(
                [
                    *(f"{count}" for count in (shards, servers, setup.replicas, setup.brokers)),
                    number(found.rate),
                    f"{found.rate / alone:.1f}",
                    *(percent(found.busy[name]) for name in (REDIS, PYTHON, BROKERS, TRANSACTIONS)),
                    busiest(drain(costs, plenty).busy),
                ]
            )
    head = ["shards", "Redis servers", "replicas", "broker machines", "runs/s", "x one shard"]
    head += [REDIS, PYTHON, BROKERS, TRANSACTIONS, "what limits"]
    return (
        "**More shards** (simulated): a backlog, the same for each shard. Replicas and broker"
        " machines of two cores, as few\nas do not slow it down by more than"
        f" {1 - ENOUGH:.0%}; the percentages are those of the busiest of each.\n*What limits*: with"
        " a replica and a broker machine for each shard.\n\n" + markdown(head, body, left=0)
    )


def types_table(costs: Costs) -> str:
    """How types and their frequencies bound what ten shards do."""
    setup = Setup(MANY, MANY, MANY, MANY)
    alone = drain(costs, Setup()).rate
    body = []
    for skew, text in SKEWS.items():
        for types in TYPES:
            parts = shares(types, skew, MANY)
            found = drain(costs, setup, Load(BACKLOG, types=types, skew=skew))
            idle = sum(part == 0 for part in parts)
            body.append(
                [
                    text,
                    f"{types:,}",
                    percent(max(parts)),
                    f"{idle}",
                    number(alone / max(parts)),
                    number(found.rate),
                ]
            )
    head = ["types", "how many", "busiest shard has", "shards without", "bound, runs/s", "runs/s"]
    return (
        f"**Types at {MANY} shards** (simulated): types `type-0`, `type-1`, ... by crc32, a server,"
        " a replica and a broker machine\nfor each shard, a backlog until its last run. *Bound*:"
        " what one shard drains, divided by the busiest one's part.\n\n"
        + markdown(head, body, left=1)
    )


def tables(measured: Measured) -> str:
    """All of them, as they stand on the page."""
    costs = costs_of(measured)
    parts = (
        facts(measured.results),
        costs_table(measured, costs),
        check_table(measured, costs),
        one_shard_tables(costs),
        shards_table(costs),
        types_table(costs),
    )
    return "\n".join(parts)


def one(costs: Costs, options: argparse.Namespace) -> str:
    """A setup of the reader's own."""
    shards = options.shards
    setup = Setup(
        shards, *(each or shards for each in (options.replicas, options.redis, options.brokers))
    )
    runs = max(1_000, int(options.rate * SECONDS)) if options.rate else BACKLOG * shards
    load = Load(runs, options.rate, options.types, options.zipf, options.seed)
    found = simulate(costs, setup, load)
    busy = "  ".join(f"{name} {percent(part)}" for name, part in found.busy.items())
    late = "  ".join(f"p{part} {found.late(part / 100) * 1000:,.1f} ms" for part in (50, 99))
    return f"{found.rate:,.0f} runs/s  {late}  busy: {busy}  busiest: {busiest(found.busy)}\n"


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least one")
    return count


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="what `make bench` has left")
    parser.add_argument("--pages", action="store_true", help="write the tables into docs/scale.md")
    parser.add_argument("--page", type=Path, default=PAGE, help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=_count, help="simulate this setup only")
    for kind in ("replicas", "redis", "brokers"):
        parser.add_argument(f"--{kind}", type=_count, help="how many; as many as shards")
    parser.add_argument("--rate", type=float, default=0.0, help="runs a second; 0: a backlog")
    parser.add_argument("--types", type=int, default=0, help="0: the same for each shard")
    parser.add_argument("--zipf", type=float, default=0.0, help="exponent; 0: all as frequent")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print; 2 if there is nothing to simulate from."""
    options = _options(arguments)
    try:
        measured = read(options.results, small=not options.pages)
    except Unusable as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    if options.shards:
        sys.stdout.write(one(costs_of(measured), options))
        return 0
    made = tables(measured)
    sys.stdout.write(made)
    if options.pages:
        options.page.write_text(replaced(options.page.read_text(), "scale", made, COMMAND))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
