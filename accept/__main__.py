"""`python -m accept NAME`: run the tests of each point, print a table, exit with 0 if all hold."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
PASSED, FAILED, SKIPPED, MISSING = "passed", "FAILED", "skipped", "MISSING"


@dataclass(frozen=True, slots=True)
class Point:
    """A demand, and the tests that prove it."""

    name: str
    """Its number in the issue."""
    claim: str
    tests: Sequence[str] = ()
    """Files or tests, as pytest names them."""
    commands: Sequence[Sequence[str]] = ()
    """Modules of this repository with their arguments; each has to exit with 0."""


@dataclass(slots=True)
class Shown:
    """The result of a point."""

    results: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The worst of the results."""
        for word in (FAILED, MISSING, SKIPPED):
            if word in self.results:
                return word
        return PASSED if self.results else MISSING


@dataclass(frozen=True, slots=True)
class Case:
    """A test that ran."""

    file: str
    name: str
    result: str
    seconds: float

    def is_of(self, selector: str) -> bool:
        """Whether a file or a test, with or without its parameters, names it."""
        file, _, name = selector.partition("::")
        return file == self.file and (not name or name in (self.name, self.name.partition("[")[0]))


def cases(report: Path) -> list[Case]:
    """Of a JUnit report."""
    return [_case(each) for each in ET.parse(report).iter("testcase")]  # noqa: S314


def _case(element: ET.Element) -> Case:
    file = element.get("classname", "").replace(".", "/") + ".py"
    kinds = {child.tag for child in element}
    result = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
    return Case(file, element.get("name", ""), result, float(element.get("time", "0")))


def judge(points: Iterable[Point], ran: Sequence[Case]) -> dict[str, Shown]:
    """The result of each point. A test that did not run proves nothing."""
    found: dict[str, Shown] = {}
    for point in points:
        shown = found[point.name] = Shown()
        for selector in point.tests:
            mine = [case for case in ran if case.is_of(selector)]
            shown.results += [case.result for case in mine] or [MISSING]
            shown.seconds += sum(case.seconds for case in mine)
    return found


def run_tests(points: Sequence[Point], workers: int) -> list[Case]:
    """All tests of all points, in one run: servers are started once by each of the workers."""
    selectors = list(dict.fromkeys(test for point in points for test in point.tests))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *selectors]
        if workers > 1:
            command += ["-n", str(workers), "--dist", "loadfile"]
        subprocess.run(command, cwd=ROOT, check=False)
        return cases(report) if report.exists() else []


def run_commands(points: Sequence[Point], found: dict[str, Shown]) -> None:
    """One after the other: they measure."""
    for point in points:
        for words in point.commands:
            began = time.monotonic()
            say(f"\n$ python -m {' '.join(words)}")
            command = [sys.executable, "-m", *words]
            code = subprocess.run(command, cwd=ROOT, check=False).returncode
            found[point.name].results.append(FAILED if code else PASSED)
            found[point.name].seconds += time.monotonic() - began


def table(points: Sequence[Point], found: dict[str, Shown]) -> str:
    """A line a point."""
    lines = [f"{'point':<7}{'verdict':<9}{'checks':>7}{'seconds':>9}  claim"]
    for point in points:
        shown = found[point.name]
        lines.append(
            f"{point.name:<7}{shown.verdict:<9}{len(shown.results):>7}{shown.seconds:>9.0f}"
            f"  {point.claim}"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """On the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m accept", description=__doc__)
    parser.add_argument("name", help="a module of this package")
    parser.add_argument("--only", default="", help="points, with commas between")
    options = parser.parse_args()
    proof = import_module(f"accept.{options.name}")
    points: Sequence[Point] = proof.POINTS
    if options.only:
        points = [point for point in points if point.name in options.only.split(",")]
    found = judge(points, run_tests(points, getattr(proof, "WORKERS", 1)))
    run_commands(points, found)
    say("\n" + table(points, found))
    verdicts = {shown.verdict for shown in found.values()}
    return int(bool(verdicts & {FAILED, MISSING}))


if __name__ == "__main__":
    raise SystemExit(main())
