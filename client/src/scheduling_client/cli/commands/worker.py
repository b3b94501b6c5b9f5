"""`scheduling worker`: runs a worker, or writes a first one."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from scheduling_client.cli.errors import CommandError, Exit, wrong
from scheduling_client.cli.output import say

if TYPE_CHECKING:
    from scheduling_client.worker import Worker

TEMPLATE = '''\
"""Jobs of {name}. Start it: scheduling worker {name}:worker."""

from dataclasses import dataclass

from scheduling_client import Run, Worker

worker = Worker("{name}")  # workers of one name share their runs


@dataclass
class Greeting:
    to: str


@worker.job("greet", concurrency=4, timeout="1m")
async def greet(greeting: Greeting, run: Run) -> None:
    print(f"Hello {{greeting.to}}, attempt {{run.attempt}}", flush=True)


@worker.every("10 seconds")
def tick(run: Run) -> None:
    print("tick", run.nominal_time, flush=True)


if __name__ == "__main__":
    worker.run()
'''
NEXT_STEPS = """\
wrote {file}. Next:
  scheduling worker {name}:worker
  scheduling create --type greet --now --creator me --payload-json '{{"to": "Ann"}}'"""

worker = App(name="worker", help="Run a worker, or write a first one.")


@worker.default
def run(target: str, /, *, log_level: Literal["debug", "info", "warning", "error"] = "info") -> int:
    """Run a worker until SIGTERM or Ctrl-C: exit code 1 if it had to cut runs short.

    Parameters
    ----------
    target
        Module and variable, such as `myjobs:worker`. The module may be in this directory.
    log_level
        The least level that is logged. `debug` has a line for each run.
    """
    found = _found(target)
    from scheduling_client.worker import WorkerError, logs  # noqa: PLC0415 - Kafka takes a while

    logs.set_up(log_level.upper())
    try:
        return Exit.FAILED if found.run() else Exit.DONE
    except WorkerError as fault:
        raise wrong(str(fault)) from None


@worker.command
def new(file: Path, /) -> None:
    """Write a worker that runs, and say how to start it.

    Parameters
    ----------
    file
        The new file, such as `myjobs.py`.
    """
    name = file.stem
    if file.suffix != ".py" or not name.isidentifier():
        raise wrong(f"{file} is not the file of a module: give a name such as myjobs.py.")
    try:
        with file.open("x") as target:
            target.write(TEMPLATE.format(name=name))
    except FileExistsError:
        raise CommandError(f"{file} exists already.", Exit.CONFLICT) from None
    except OSError as fault:
        raise wrong(f"{file} cannot be written: {fault.strerror}.") from None
    say(NEXT_STEPS.format(file=file, name=name))


def _found(target: str) -> Worker:
    module, _, name = target.partition(":")
    if not module or not name:
        raise wrong(f"{target!r} is not a module and a variable, such as myjobs:worker.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        loaded = import_module(module)
        from scheduling_client.worker import Worker  # noqa: PLC0415
    except ModuleNotFoundError as fault:
        if fault.name not in (module, module.partition(".")[0]):
            raise
        raise wrong(f"There is no module {module!r} here.") from None
    except ValueError as fault:
        raise wrong(f"{module}: {fault}") from None
    found = getattr(loaded, name, None)
    if not isinstance(found, Worker):
        raise wrong(f"{module} has no Worker of the name {name!r}.")
    return found
