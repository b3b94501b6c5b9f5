"""`make bench-compare BASE=...`: this checkout beside an older commit, in interleaved pairs.

Each pair measures both versions one right after the other on the same servers, so that a machine
that gets slower slows both. A figure counts as worse only if the whole confidence interval of its
paired ratio lies beyond the tolerance. Results are kept after each pair: a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.report import listed, markdown, say
from bench.results import describe_machine
from bench.site import Site
from bench.targets import ROWS, Row
from bench.workloads import PRODUCT, Workload, firing, keeping, submitting

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "compare"
WORKLOADS = {
    workload.name: workload
    for workload in (*submitting.WORKLOADS, *firing.WORKLOADS, *keeping.WORKLOADS)
}
DEFAULT = ("submit", "single", "fire", "steady", "steady-at-least-once", "memory")
CONFIDENCE = 0.95
FEWEST = 6
"""Pairs below which no interval of that confidence exists."""
Pair = dict[str, dict[str, float]]
"""Figures of `base` and of `head`."""


FIGURES = [row for row in ROWS if row.workload in {*DEFAULT, "records", "cycle"}]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pairs say of a figure. Ratios are costs, head / base; above 1 is worse."""

    row: Row
    base: float
    head: float
    ratio: float
    low: float
    high: float
    pairs: int

    def is_worse(self, tolerance: float) -> bool:
        """Whether the whole interval lies beyond the tolerance."""
        return self.low > 1 + tolerance


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A confidence interval of the median, from the order of the values alone.

    The binomial distribution says how likely so many values lie on one side of the median. It
    holds for any distribution. Raises `ValueError` for fewer than `FEWEST` values.
    """
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} pairs are too few: at least {FEWEST} are needed")
    ordered, count = sorted(values), len(values)
    outside, cut = 0.0, 0
    while True:
        outside += 2 * math.comb(count, cut) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        cut += 1
    return ordered[cut - 1], ordered[count - cut]


def verdict(row: Row, pairs: Sequence[Pair]) -> Verdict:
    """Of all pairs of a workload."""
    base = [pair["base"][row.figure] for pair in pairs]
    head = [pair["head"][row.figure] for pair in pairs]
    ratios = [
        before / after if row.higher_is_better else after / before
        for before, after in zip(base, head, strict=True)
    ]
    low, high = interval(ratios)
    middle = statistics.median
    return Verdict(row, middle(base), middle(head), middle(ratios), low, high, len(pairs))


def verdicts(kept: Mapping[str, Sequence[Pair]]) -> list[Verdict]:
    """Of every figure that was measured often enough."""
    return [
        verdict(row, pairs) for row in FIGURES if len(pairs := kept.get(row.workload, ())) >= FEWEST
    ]


def table(found: Sequence[Verdict], tolerance: float) -> str:
    """As Markdown."""
    head = "workload | figure | verdict | base | head | head / base | 95 % interval | pairs"
    body = [
        [
            each.row.workload,
            each.row.figure,
            "worse" if each.is_worse(tolerance) else "better" if each.high < 1 else "not worse",
            f"{each.base:,.2f}",
            f"{each.head:,.2f}",
            f"{each.ratio:.3f}",
            f"{each.low:.3f} to {each.high:.3f}",
            str(each.pairs),
        ]
        for each in found
    ]
    return markdown(head.split(" | "), body, left=3)


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def revision(name: str) -> str:
    """The short id of a commit. Raises `SystemExit` for an unknown one."""
    try:
        return _git("rev-parse", "--short=10", f"{name}^{{commit}}").strip()
    except subprocess.CalledProcessError as fault:
        raise SystemExit(f"{name} is not a commit: {fault.stderr.strip()}") from fault


def install(commit: str) -> Path:
    """A checkout of the commit with an environment of its own; returns its interpreter."""
    folder = FOLDER / commit
    python = folder / ".venv" / "bin" / "python"
    if not python.exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder.with_suffix(".tar")
        _git("archive", "--output", str(archive), commit)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()
        command = ["make", "setup"]
        subprocess.run(command, cwd=folder, check=True)
    return python


def _serve(python: str | Path) -> Sequence[str]:
    return (str(python), "-m", "scheduling_srv", "serve")


class Comparison:
    """Pairs of measurements, kept in a file."""

    def __init__(self, site: Site, base: Path, path: Path, scale: float) -> None:
        self.site = site
        self.commands = {"base": _serve(base), "head": _serve(sys.executable)}
        self.path = path
        self.scale = scale
        self.kept: dict[str, list[Pair]] = (
            json.loads(path.read_text())["pairs"] if path.exists() else {}
        )

    def measure(self, workload: Workload, pairs: int) -> None:
        """Measure until there are `pairs` pairs. The commits take turns to go first."""
        found = self.kept.setdefault(workload.name, [])
        while len(found) < pairs:
            order = ("base", "head") if len(found) % 2 == 0 else ("head", "base")
            pair = {name: self._once(workload, name) for name in order}
            found.append(pair)
            self._write()
            figures = [each for each in FIGURES if each.workload == workload.name]
            ratios = "  ".join(
                f"{each.figure} {pair['head'][each.figure] / pair['base'][each.figure]:.3f}"
                for each in figures
            )
            say(f"{workload.name:<21}pair {len(found):>2}  head / base: {ratios}")

    def warm_up(self) -> None:
        """Run two workloads uncounted, so that the JVM compiles Kafka's hot code."""
        for workload in (submitting.WORKLOADS[0], firing.WORKLOADS[0]):
            self._once(workload, "head")

    def _once(self, workload: Workload, name: str) -> dict[str, float]:
        self.site.serve = self.commands[name]
        measure = workload.contenders[PRODUCT]
        figures = measure(self.site, workload.count(self.scale)).figures
        self.site.clean()
        return figures

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"pairs": self.kept}, indent=1))


def note(base: str, head: str, machine: Mapping[str, object], scale: float, text: str) -> str:
    """A page for `docs/lab`."""
    versions = machine["versions"]
    return (
        f"# {head} beside {base}\n\n"
        f"`make bench-compare BASE={base}`, size {scale:g}, {time.strftime('%Y-%m-%d')}, "
        f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, "
        f"{', '.join(f'{name} {version}' for name, version in dict(versions).items())}.\n\n"  # type: ignore[call-overload]
        "Each pair measures both commits one right after the other. The cost is above 1 where the "
        "newer commit is slower or larger. The interval is that of the median of the paired "
        f"ratios.\n\n{text}\n"
    )


def main() -> int:
    """Measure the pairs that are missing. Returns 0 if no figure is worse, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("--base", required=True, help="the commit to compare with")
    parser.add_argument("--only", default=",".join(DEFAULT), help=", ".join(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=10, help=f"at least {FEWEST}")
    parser.add_argument("--size", type=float, default=1.0, help="1 = full")
    parser.add_argument("--tolerance", type=float, default=0.03)
    parser.add_argument("--note", action="store_true", help="write a page into docs/lab")
    options = parser.parse_args()
    names = listed(WORKLOADS, options.only)
    base, head = revision(options.base), revision("HEAD")
    changed = "-changed" if _git("status", "--porcelain", "--untracked-files=no").strip() else ""
    path = FOLDER / f"{base}-{head}{changed}-{options.size:g}.json"
    say(f"{head}{changed} beside {base}; load before: {os.getloadavg()[0]:.2f}; kept in {path}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-")))
        site = Site(folder, stack)
        machine = describe_machine(**site.versions())
        comparison = Comparison(site, install(base), path, options.size)
        comparison.warm_up()
        for pairs in range(1, options.pairs + 1):
            for name in names:
                comparison.measure(WORKLOADS[name], pairs)
    found = verdicts(comparison.kept)
    text = table(found, options.tolerance)
    say(text)
    if options.note:
        page = ROOT / "docs" / "lab" / f"compare-{base}-{head}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(note(base, head + changed, machine, options.size, text))
    worse = [each for each in found if each.is_worse(options.tolerance)]
    for each in worse:
        say(f"WORSE: {each.row.workload} {each.row.figure}")
    return int(bool(worse))


if __name__ == "__main__":
    raise SystemExit(main())
