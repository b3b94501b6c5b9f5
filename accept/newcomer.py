"""`python -m accept.newcomer`: from an empty directory to a function of one's own that fires.

It clones the last commit, and types what the README says. No package is in a cache. Exits with 1 if
it took five minutes, or a minute of typing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.snippets import README, snippets

ROOT = Path(__file__).parents[1]
ADDRESS = "https://git.example.com/scheduling-srv.git"
"""So long is the address that is typed."""
MOST_SECONDS = 300.0
MOST_TYPING_SECONDS = 60.0
TYPED_A_SECOND = 5.0
"""Characters a second: sixty words a minute."""
WORKER = ".venv/bin/scheduling worker myjobs:worker"
SAID = "Hello\n"
_ADDRESSES = {
    "SCHEDULING_GRPC_ADDRESS": re.compile(r"gRPC +([\d.]+:\d+)"),
    "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": re.compile(r"Kafka +([\d.]+:\d+)"),
}
LOOK_SECONDS = 0.05


class Stuck(Exception):
    """The path does not lead on; the last output says why."""


class Terminal:
    """A command in a directory, and its output."""

    def __init__(self, command: str, place: Path, environment: dict[str, str]) -> None:
        self.command = command
        self._output = place / f"{command.split(maxsplit=1)[0].replace('/', '-')}.out"
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                command.split(),
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """All that it has said."""
        return self._output.read_text()

    def wait_for(self, pattern: str | re.Pattern[str], deadline: float) -> re.Match[str]:
        """Raises `Stuck` if it does not say so before the `deadline`."""
        while (found := re.search(pattern, self.output)) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Stuck(f"{self.command} has not said {pattern}:\n{self.output}")
            time.sleep(LOOK_SECONDS)
        return found

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait()


def program() -> str:
    """The function of the README."""
    return next(each.text for each in snippets(README) if each.language == "python")


def typed() -> int:
    """Characters that a new user types, with those of a second terminal."""
    commands = [
        f"git clone {ADDRESS}",
        "cd scheduling-srv",
        "make run",
        "cd scheduling-srv",
        WORKER,
    ]
    return sum(len(line) + 1 for line in commands) + len(program())


def walk(folder: Path) -> list[tuple[str, float]]:
    """Each step and its seconds. Raises `Stuck`."""
    checkout = folder / "scheduling-srv"
    environment = _environment(folder)
    began = time.monotonic()
    deadline, steps, terminals = began + MOST_SECONDS, [], []
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)  # noqa: S607
        steps.append(("git clone", time.monotonic() - began))
        service = Terminal("make run", checkout, environment)
        terminals.append(service)
        for name, pattern in _ADDRESSES.items():
            environment[name] = service.wait_for(pattern, deadline)[1]
        steps.append(("make run", time.monotonic() - began))
        (checkout / "myjobs.py").write_text(program())
        worker = Terminal(WORKER, checkout, environment)
        terminals.append(worker)
        worker.wait_for(SAID, deadline)
        steps.append(("the function fires", time.monotonic() - began))
    finally:
        for each in reversed(terminals):
            each.stop()
    return steps


def _environment(folder: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SCHEDULING_", "PYTHON"))}
    return {
        **inherited,
        "PIP_NO_CACHE_DIR": "1",
        "UV_CACHE_DIR": str(folder / "uv"),
        "PYTHONUNBUFFERED": "1",  # as at a terminal
    }


def main() -> int:
    """The command."""
    typing = typed() / TYPED_A_SECOND
    with tempfile.TemporaryDirectory() as folder:
        try:
            steps = walk(Path(folder))
        except Stuck as fault:
            sys.stdout.write(f"{fault}\n")
            return 1
    for step, seconds in steps:
        sys.stdout.write(f"{seconds:6.0f} s  {step}\n")
    sys.stdout.write(f"{typing:6.0f} s  of typing: {typed()} characters\n")
    return int(steps[-1][1] + typing > MOST_SECONDS or typing > MOST_TYPING_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
