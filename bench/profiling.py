"""Where the service's time goes: py-spy looks at it while it is measured."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

OPTIONS = ("--rate", "400", "--nonblocking", "--duration", "unlimited")
LINE = re.compile(r":\d+\)$")
START_SECONDS = 1.0
"""Seconds until it looks."""
SUFFIX = {"raw": "txt", "flamegraph": "svg", "speedscope": "json"}


class Profile:
    """One recording of one process."""

    def __init__(self, pid: int, path: Path, form: str) -> None:
        beside = Path(sys.executable).with_name("py-spy")
        command = str(beside) if beside.exists() else shutil.which("py-spy")
        if not command:
            raise RuntimeError('py-spy is not here: it comes with "make setup"')
        self.path, self.form = path, form
        self._process = subprocess.Popen(
            [command, "record", "--pid", str(pid), *OPTIONS, "--format", form, "--output", path],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(START_SECONDS)

    def end(self) -> None:
        """Write the file."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)


def spans(path: Path, most: int = 30) -> str:
    """The functions below which most looks found the process, from collapsed stacks."""
    within: Counter[str] = Counter()
    itself: Counter[str] = Counter()
    total = 0
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        # A function stands for all its lines.
        frames = [LINE.sub(")", frame) for frame in stack.split(";")]
        total += int(count)
        itself[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    rows = [f"{'within':>7} {'itself':>7}  function"]
    for frame, looks in within.most_common(most):
        rows.append(f"{looks / total:>7.1%} {itself[frame] / total:>7.1%}  {frame}")
    return "\n".join(rows) + "\n"
