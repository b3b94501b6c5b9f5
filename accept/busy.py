"""`python -m accept.busy`: repeat tests that a busy machine once made fail, beside busy cores."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/demo/test_demo.py::test_ctrl_c_ends_it_well_and_the_second_start_goes_on",
    "tests/unit/test_emitter.py",
    "tests/unit/test_failpoints.py::test_a_pause_is_one",
    "tests/unit/test_long_lists.py",
    "tests/unit/test_announcements.py",
    "tests/unit/test_cron.py",
    "tests/unit/test_grammar_fuzz.py",
)
AT_ONCE = 4
"""Runs of pytest side by side."""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for each in burners:
            each.kill()
            each.wait()


def run_once(number: int) -> str:
    """The output of a run that failed; empty if all tests passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not ended.returncode:
        return ""
    return f"run {number} failed:\n{ended.stdout[-4_000:]}\n{ended.stderr[-1_000:]}\n"


def main() -> int:
    """Returns 0 if no run failed."""
    parser = argparse.ArgumentParser(prog="python -m accept.busy", description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    options = parser.parse_args()
    began = time.monotonic()
    with busy_cores(), ThreadPoolExecutor(AT_ONCE) as threads:
        failures = list(filter(None, threads.map(run_once, range(1, options.times + 1))))
    sys.stdout.write("".join(failures))
    seconds = time.monotonic() - began
    sys.stdout.write(f"{options.times} runs, {len(failures)} failed, {seconds:.0f} s\n")
    return int(bool(failures))


if __name__ == "__main__":
    raise SystemExit(main())
