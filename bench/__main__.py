"""`make bench`: every workload, each contender in turn, checked; a table, JSON and pictures.

What was lost, doubled or early makes the run fail, and its figure is dropped.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import report
from bench.actors import Failed
from bench.profiling import SUFFIX, spans
from bench.report import listed, say
from bench.results import Results, describe_machine
from bench.site import Broken, Sample, Site, Skipped
from bench.targets import below_floors
from bench.workloads import BARE, BULLMQ, PRODUCT, Workload, changing, firing, keeping, submitting

ALL = (
    *submitting.WORKLOADS,
    *firing.WORKLOADS,
    *changing.WORKLOADS,
    *keeping.WORKLOADS,
)
WARM_UP = (submitting.WORKLOADS[0], firing.WORKLOADS[0])
CONTENDERS = (PRODUCT, BARE, BULLMQ)
FOLDER = Path(__file__).parents[1] / "build" / "bench"


def _show(workload: str, contender: str, sample: Sample, seconds: float) -> None:
    figures = "  ".join(f"{name} {value:,.2f}" for name, value in sample.figures.items())
    say(f"{workload:<21}{contender:<8}{figures}  ({seconds:.0f} s)")
    if sample.jobs and sample.cpu:
        each = {part: used / sample.jobs * 1e6 for part, used in sample.cpu.items()}
        parts = "  ".join(f"{part} {used:.1f}" for part, used in each.items())
        say(f"{'':<29}us of CPU a job: {parts}  all {sum(each.values()):.1f}")


class Run:
    """All workloads that were asked for."""

    def __init__(self, site: Site, options: argparse.Namespace, load: float) -> None:
        self.site = site
        self.contenders = listed(CONTENDERS, options.contenders)
        self.scale: float = options.size
        self.rounds: int = options.rounds
        self.load = load
        self.broken = False

    def warm_up(self) -> None:
        """Let Kafka compile what it is about to run; what the first contender had to wait for."""
        say("not counted, Kafka warms up:")
        for workload in WARM_UP:
            self._once(workload, PRODUCT, {}, {})
        say("measured:")

    def measure(self, workload: Workload, results: Results) -> None:
        """Each contender in turn, as often as there are rounds."""
        samples: dict[str, list[Sample]] = {}
        faults: dict[str, str] = {}
        for _ in range(1 if workload.long else self.rounds):
            for contender in workload.contenders:
                if contender in self.contenders and contender not in faults:
                    self._once(workload, contender, samples, faults)
        kept = {name: found for name, found in samples.items() if name not in faults}
        if kept or faults:
            results.add(workload.name, self.scale, kept, faults, self.load)

    def _once(
        self,
        workload: Workload,
        contender: str,
        samples: dict[str, list[Sample]],
        faults: dict[str, str],
    ) -> None:
        self.site.label = f"{workload.name}-{contender}"
        began = time.monotonic()
        try:
            sample = workload.contenders[contender](self.site, workload.count(self.scale))
        except Skipped as fault:
            faults[contender] = str(fault)
            say(f"{workload.name:<21}{contender:<8}skipped: {fault}")
        except (Broken, Failed, TimeoutError) as fault:
            self.broken = True
            faults[contender] = "broken"
            say(f"{workload.name:<21}{contender:<8}BROKEN: {fault}")
        else:
            samples.setdefault(contender, []).append(sample)
            _show(workload.name, contender, sample, time.monotonic() - began)
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
    parser.add_argument("--profile", choices=SUFFIX, help="record the contenders with py-spy")
    parser.add_argument("--floors", action="store_true", help="fail below the least figures")
    parser.add_argument("--pages", action="store_true", help="write tables and pictures")
    options = parser.parse_args()
    only = listed(names, options.only)
    full = options.size == 1
    path = options.json or FOLDER / ("results.json" if full else f"results-{options.size:g}.json")
    results = Results.read(path)
    load = os.getloadavg()[0]
    say(f"load before: {load:.2f}" + ("  (others are busy here: figures are low)" * (load > 0.5)))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        site = Site(folder, stack)
        results.machine = describe_machine(**site.versions())
        run = Run(site, options, load)
        run.warm_up()
        if options.profile:
            FOLDER.mkdir(parents=True, exist_ok=True)
            site.profile = (FOLDER, options.profile)
        for workload in ALL:
            if workload.name in only:
                run.measure(workload, results)
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
