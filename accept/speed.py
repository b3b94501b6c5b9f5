"""`make accept-speed`: measure the goals of speed in one run, and compare each with its limit.

A goal that `accept.speed_limits` records as not reached may be missed, but not by more than then.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from accept.speed_limits import LIMITS, Limit
from bench.__main__ import ALL, FOLDER, Run
from bench.contenders.rivals import versions
from bench.report import say, write_pages
from bench.results import Results, describe_machine
from bench.site import Site
from bench.targets import ROWS, Row, Target
from bench.workloads import BARE, BULLMQ, PRODUCT

ROUNDS = 5
MINUTES = 21.0
"""No further round begins later; the last one may take three more minutes."""
MARGIN = 0.15
"""A goal that is known as missed may be missed by so much more."""
PLAN = {
    "steady": (0.5, (PRODUCT, BARE, BULLMQ)),
    "steady-at-least-once": (0.5, (PRODUCT, BARE)),
    "steady-200-at-least-once": (0.5, (PRODUCT, BARE)),
    "kill": (1.0, (PRODUCT,)),
    "kill-at-least-once": (1.0, (PRODUCT,)),
    "submit": (1.0, (PRODUCT, BARE, BULLMQ)),
    "records": (1.0, (PRODUCT,)),
    "fire": (1.0, (PRODUCT, BARE)),
    "mixed": (1.0, (PRODUCT,)),
    "memory": (0.5, (PRODUCT,)),
    "restore": (1.0, (PRODUCT,)),
    "rebuild": (1.0, (PRODUCT,)),
}
"""Workloads, their sizes, and whom they measure."""
MET, KNOWN, MISSED, UNKNOWN = "met", "known, not reached", "NOT MET", "NOT MEASURED"
PASSED = {MET, KNOWN}


class Line(NamedTuple):
    """The verdict on a goal."""

    goal: str
    figure: str
    limit: str
    verdict: str
    why: str


def judge(results: Results, row: Row, target: Target, limits: Mapping[str, Limit]) -> Line:
    """Compare a figure with its target. A known miss may be a little larger than its record."""
    goal = f"{row.workload} {row.figure} {target.text}"
    figure, limit, cost = row.value(results), target.limit(results, row), target.cost(results, row)
    known = limits.get(goal)
    if figure is None or limit is None or cost is None:
        return Line(goal, "-", "-", UNKNOWN, "")
    allowed = known.cost * (1 + MARGIN) if known else 1.0
    verdict = MET if cost <= 1 else KNOWN if cost <= allowed else MISSED
    why = known.why if known and verdict != MET else ""
    return Line(goal, f"{figure:,.1f} {row.unit}", f"{limit:,.1f}", verdict, why)


def judged(results: Results, limits: Mapping[str, Limit] = LIMITS) -> list[Line]:
    """All goals."""
    rows = [row for row in ROWS if row.workload in PLAN]
    return [judge(results, row, target, limits) for row in rows for target in row.targets]


def table(lines: list[Line]) -> str:
    """A line a goal."""
    head = Line("goal", "measured", "limit", "verdict", "")
    return "\n".join(
        f"{each.goal:<58}{each.figure:>18}{each.limit:>10}  {each.verdict:<20}{each.why}".rstrip()
        for each in (head, *lines)
    )


def measure(run: Run, until: float, size: float) -> Results:
    """All workloads once, then again while there is time."""
    results = Results()
    planned = [(each, *PLAN[each.name]) for each in ALL if each.name in PLAN]
    run.warm_up(size)
    for number in range(ROUNDS):
        for workload, scale, contenders in planned:
            if number == 0 or not (workload.long or time.monotonic() > until):
                run.round(workload, contenders, size * scale)
    for workload, scale, _ in planned:
        run.keep(workload, size * scale, results)
    return results


def main() -> int:
    """Measure and judge; 0 if every goal is met, or is known as not reached."""
    parser = argparse.ArgumentParser(prog="python -m accept.speed", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--size", type=float, default=1.0, help="less for a trial")
    parser.add_argument("--pages", action="store_true", help="write the tables of `make bench`")
    options = parser.parse_args()
    load, until = os.getloadavg()[0], time.monotonic() + options.minutes * 60
    say(f"load before: {load:.2f}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speed-")))
        site = Site(folder, stack)
        run = Run(site, load)
        results = measure(run, until, options.size)
        results.machine = describe_machine(**site.versions(), **versions())
    results.write(Path(__file__).parents[1] / "build" / "accept" / "speed.json")
    if options.pages:
        shown = Results.read(FOLDER / "results.json")
        shown.machine = results.machine
        shown.workloads |= results.workloads
        shown.write(FOLDER / "results.json")
        write_pages(shown)
    lines = judged(results)
    say("\n" + table(lines))
    return int(run.broken or any(line.verdict not in PASSED for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
