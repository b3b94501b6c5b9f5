"""`python -m bench`: every workload, each contender in turn, checked; a table and JSON."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.site import Broken, Sample, Site, Skipped
from bench.workloads import Workload, firing, keeping, submitting

ALL: tuple[Workload, ...] = (*submitting.WORKLOADS, *firing.WORKLOADS, *keeping.WORKLOADS)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _median(samples: Sequence[Sample]) -> Sample:
    figures = {
        name: statistics.median(sample.figures[name] for sample in samples)
        for name in samples[0].figures
    }
    cpu = {
        part: statistics.median(sample.cpu[part] for sample in samples) for part in samples[0].cpu
    }
    return Sample(figures, samples[0].jobs, cpu)


def _show(name: str, contender: str, sample: Sample) -> None:
    figures = "  ".join(f"{name} {value:,.1f}" for name, value in sample.figures.items())
    each = "  ".join(
        f"{part} {seconds / max(1, sample.jobs) * 1e6:.1f}" for part, seconds in sample.cpu.items()
    )
    _say(f"{name:<22}{contender:<10}{figures}   CPU us a job: {each}")


def main() -> int:
    """Measure; 0 if nothing was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, with commas between")
    parser.add_argument("--contenders", default="product,bare,bullmq")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=float, default=1.0)
    options = parser.parse_args()
    only, broken = set(filter(None, options.only.split(","))), False
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        site = Site(folder, stack)
        for workload in ALL:
            if only and workload.name not in only:
                continue
            samples: dict[str, list[Sample]] = {}
            for _ in range(options.rounds):
                for contender, measure in workload.contenders.items():
                    if contender not in options.contenders:
                        continue
                    began = time.monotonic()
                    try:
                        sample = measure(site, workload.count(options.size))
                    except (Broken, Skipped) as fault:
                        broken = broken or isinstance(fault, Broken)
                        _say(f"{workload.name:<22}{contender:<10}{type(fault).__name__}: {fault}")
                        continue
                    finally:
                        site.clean()
                    samples.setdefault(contender, []).append(sample)
                    _show(workload.name, contender, sample)
                    _say(f"   ({time.monotonic() - began:.1f} s)")
            for contender, found in samples.items():
                _show(f"= {workload.name}", contender, _median(found))
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
