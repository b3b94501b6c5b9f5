"""`make bench`: every workload, each contender in turn, checked; a table, JSON and pictures.

What was lost, doubled or early makes the run fail, and its figure is dropped.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from bench import pure, report
from bench.actors import Failed
from bench.contenders.rivals import RIVALS, versions
from bench.profiling import SUFFIX, spans
from bench.report import listed, say
from bench.results import Kept, Results, describe_machine
from bench.site import Broken, Sample, Site, Skipped
from bench.targets import below_floors
from bench.workloads import (
    BARE,
    PRODUCT,
    Workload,
    changing,
    crowding,
    firing,
    keeping,
    reading,
    submitting,
    tracing,
    viewing,
)

ALL = (
    *submitting.WORKLOADS,
    *firing.WORKLOADS,
    *changing.WORKLOADS,
    *crowding.WORKLOADS,
    *tracing.WORKLOADS,
    *reading.WORKLOADS,
    *keeping.WORKLOADS,
    *viewing.WORKLOADS,
)
WARM_UP = (submitting.WORKLOADS[0], firing.WORKLOADS[0])
CONTENDERS = (PRODUCT, BARE, *(each.name for each in RIVALS))
NOTHING_KEPT = Kept(None)
FOLDER = Path(__file__).parents[1] / "build" / "bench"


def _show(workload: str, contender: str, sample: Sample, seconds: float) -> None:
    figures = "  ".join(f"{name} {value:,.2f}" for name, value in sample.figures.items())
    say(f"{workload:<25}{contender:<12}{figures}  ({seconds:.0f} s)")
    if sample.jobs and sample.cpu:
        each = {part: used / sample.jobs * 1e6 for part, used in sample.cpu.items()}
        parts = "  ".join(f"{part} {used:.1f}" for part, used in each.items())
        say(f"{'':<37}us of CPU a job: {parts}  all {sum(each.values()):.1f}")


class Run:
    """Measurements on one site, in rounds."""

    def __init__(self, site: Site, load: float, kept: Kept = NOTHING_KEPT) -> None:
        self.site = site
        self.load = load
        self._kept = kept
        self.broken = False
        self._measures = False
        """Not while Kafka warms up."""
        self._samples: dict[str, dict[str, list[Sample]]] = defaultdict(dict)
        self._faults: dict[str, dict[str, str]] = defaultdict(dict)

    def warm_up(self, scale: float) -> None:
        """Let Kafka compile its hot code, for which the first contender would have to wait."""
        say("not counted, Kafka warms up:")
        for workload in WARM_UP:
            self._once(workload, PRODUCT, scale)
        self._samples.clear()
        self._measures = True
        say("measured:")

    def resume(self, workload: Workload, contenders: Collection[str], scale: float) -> int:
        """Take the samples that are kept. Returns how many rounds they are."""
        found = {
            name: self._kept.samples(workload.name, name, scale)
            for name in workload.contenders
            if name in contenders
        }
        rounds = min(map(len, found.values()), default=0)
        self._samples[workload.name] = {name: each[:rounds] for name, each in found.items()}
        if rounds:
            say(f"{workload.name:<25}{rounds} rounds were measured before")
        return rounds

    def round(self, workload: Workload, contenders: Collection[str], scale: float) -> None:
        """Each contender once, but for one that has failed before."""
        for contender in workload.contenders:
            if contender in contenders and contender not in self._faults[workload.name]:
                self._once(workload, contender, scale)

    def keep(self, workload: Workload, scale: float, results: Results) -> None:
        """Add all rounds of a workload to the results."""
        faults = self._faults[workload.name]
        samples = self._samples[workload.name]
        kept = {name: found for name, found in samples.items() if found and name not in faults}
        if kept or faults:
            results.add(workload.name, scale, kept, faults, self.load)

    def _once(self, workload: Workload, contender: str, scale: float) -> None:
        samples = self._samples[workload.name].setdefault(contender, [])
        self.site.label, self.site.round = f"{workload.name}-{contender}", len(samples)
        began = time.monotonic()
        fault = ""
        try:
            sample = workload.contenders[contender](self.site, workload.count(scale))
        except Skipped as why:
            fault, said = str(why), f"skipped: {why}"
        except (Broken, Failed, TimeoutError) as why:
            self.broken = True
            fault, said = "broken", f"BROKEN: {why}"
        if fault:
            self._faults[workload.name][contender] = fault
            say(f"{workload.name:<25}{contender:<12}{said}")
        else:
            samples.append(sample)
            if self._measures:
                self._kept.add(workload.name, contender, scale, sample)
            _show(workload.name, contender, sample, time.monotonic() - began)
            if told := self.site.steps_of_runs():
                say(told)
        self.site.clean()


def main() -> int:
    """Measure; 0 if nothing was broken."""
    names = [workload.name for workload in ALL]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"with commas between: {', '.join(names)}")
    parser.add_argument("--contenders", default="", help=", ".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=float, default=1.0, help="1 = full")
    parser.add_argument("--json", type=Path, help="results, kept and added to")
    parser.add_argument(
        "--samples", type=Path, help="keeps each round; those in it are not repeated"
    )
    parser.add_argument("--profile", choices=SUFFIX, help="record the contenders with py-spy")
    parser.add_argument("--steps", action="store_true", help="which step made runs late")
    parser.add_argument("--floors", action="store_true", help="fail below the least figures")
    parser.add_argument("--pages", action="store_true", help="write tables and pictures")
    options = parser.parse_args()
    only = listed(names, options.only)
    contenders = listed(CONTENDERS, options.contenders)
    full = options.size == 1
    path = options.json or FOLDER / ("results.json" if full else f"results-{options.size:g}.json")
    results = Results.read(path)
    load = os.getloadavg()[0]
    say(f"load before: {load:.2f}" + ("  (others are busy here: figures are low)" * (load > 0.5)))
    say(pure.summary())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        site = Site(folder, stack)
        results.machine = describe_machine(**site.versions(), **versions())
        run = Run(site, load, Kept(options.samples))
        run.warm_up(options.size)
        if options.steps:
            site.take_steps()
        if options.profile:
            FOLDER.mkdir(parents=True, exist_ok=True)
            site.profile = (FOLDER, options.profile)
        for workload in ALL:
            if workload.name in only:
                before = run.resume(workload, contenders, options.size)
                for _ in range(before, 1 if workload.long else options.rounds):
                    run.round(workload, contenders, options.size)
                run.keep(workload, options.size, results)
                results.write(path)
    say("\n" + report.text(results))
    if options.profile == "raw":
        for file in site.profiles:
            say(f"{file.name}\n{spans(file)}")
    if options.pages and full:
        from bench.plots import draw  # noqa: PLC0415 - matplotlib is slow to import

        report.write_pages(results)
        draw(results)
    say("BROKEN: see above" if run.broken else "checked: nothing lost, doubled or early")
    low = below_floors(results, only) if options.floors else []
    for line in low:
        say(line)
    return int(run.broken or bool(low))


if __name__ == "__main__":
    raise SystemExit(main())
