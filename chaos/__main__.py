"""`make chaos`: run a campaign, print what happened, exit 0 only when nothing was violated."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from chaos.campaign import Campaign, Options, add_arguments
from chaos.nemesis import say
from chaos.schedule import KINDS


def main() -> int:
    """The command."""
    options = _parsed()
    sys.setswitchinterval(0.001)  # proxies, callers and workers share one interpreter
    say(f"seed {options.seed}, {options.seconds:g} s, files in {options.directory}")
    outcome = Campaign(options).run()
    outcome.show()
    say(f"history: {outcome.file} (check again with: python -m chaos.checker FILE)")
    return 1 if outcome.violations else 0


def _parsed() -> Options:
    names = ", ".join(kind.name for kind in KINDS)
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description=__doc__, epilog=f"Faults: {names}."
    )
    parser.add_argument("--minutes", type=float, default=10)
    add_arguments(parser)
    parser.add_argument("--replicas", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3), help="of Kafka")
    parser.add_argument("--pace", type=float, default=1.0, help="more: fewer faults")
    parser.add_argument("--scale", type=float, default=1.0, help="of how long things stay broken")
    parser.add_argument("--window", type=float, default=60, help="catch-up window, seconds")
    parser.add_argument("--bug", default="", help="a bug from chaos.seeded")
    parser.add_argument("--dir", type=Path, default=None, help="for logs and the history")
    given = parser.parse_args()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = given.dir or Path(tempfile.gettempdir()) / f"chaos-{stamp}-{given.seed}"
    return Options(
        directory=directory,
        seed=given.seed,
        seconds=given.minutes * 60,
        replicas=given.replicas,
        nodes=given.nodes,
        faults=tuple(name for name in given.faults.split(",") if name),
        pace=given.pace,
        scale=given.scale,
        bug=given.bug,
        delivery=given.delivery,
        shards=given.shards,
        v1=given.v1,
        beside=given.beside,
        catch_up_window=round(given.window * 1000),
    )


if __name__ == "__main__":
    sys.exit(main())
