"""A long campaign in pieces: `make chaos-series`. After a stop it goes on with the next piece.

Each piece is a campaign of its own with the next seed. Its result is one line of a file in
`docs/lab`: commit, seed, load of the machine, faults, runs and violations. A piece that has a
line is not run again. `--page` writes the tables of all files.

    python -m chaos.series NAME [--minutes 60] [--piece 10] [--seed 1] [--shards 4] [...]
    python -m chaos.series NAME --judge
    python -m chaos.series --page

`--judge` checks again the pieces with violations, after a repair of the checker. It needs their
histories, which are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from chaos.campaign import Campaign, Options, Outcome, add_arguments
from chaos.checker import table, violations
from chaos.history import History
from chaos.nemesis import say
from chaos.v1.facts import CALL

LAB = Path(__file__).parent.parent / "docs" / "lab"
PAGE = LAB / "0002-campaigns.md"
INTRO = """\
# 0002: Long campaigns

**How.** `make chaos-series NAME=...` runs a long campaign in pieces of ten minutes, each with the
next seed. A piece has two replicas, all faults that one Kafka allows, and the load of
[the guide](../chaos.md). Each piece is judged by the whole checker. The machine has two cores.
"Load" is the load average of one minute when the piece ended: other work ran beside some pieces.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. The exit code is 0 only if no piece of the series has a violation."""
    given = _parsed(arguments)
    if given.page:
        PAGE.write_text(page())
        return 0
    file = LAB / f"campaign-{given.name}.jsonl"
    if given.judge:
        _judge_again(given.name, file)
        PAGE.write_text(page())
        return _exit_code(file)
    sys.setswitchinterval(0.001)  # proxies, callers and workers share one interpreter
    for number in range(round(given.minutes / given.piece)):
        seed = given.seed + number
        if seed in {line["seed"] for line in read(file)}:
            say(f"seed {seed} has its line in {file.name}")
            continue
        _run_piece(given, seed, file)
    PAGE.write_text(page())
    return _exit_code(file)


def _exit_code(file: Path) -> int:
    return 1 if any(line["violations"] for line in read(file)) else 0


def _judge_again(name: str, file: Path) -> None:
    lines = read(file)
    for line in lines:
        history = _directory(name, line["seed"]) / "history.jsonl"
        if line["violations"] and history.exists():
            found = violations(History.load(history))
            say(table(found))
            line["violations"] = dict(Counter(each.category for each in found))
            line["judged"] = _commit()
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _directory(name: str, seed: int) -> Path:
    return Path(gettempdir()) / f"chaos-{name}-{seed}"


def _run_piece(given: argparse.Namespace, seed: int, file: Path) -> None:
    directory = _directory(given.name, seed)
    options = Options(
        directory=directory,
        seed=seed,
        seconds=given.piece * 60,
        delivery=given.delivery,
        shards=given.shards,
        v1=given.v1,
        faults=tuple(name for name in given.faults.split(",") if name),
        beside=given.beside,
    )
    say(f"{given.name}: seed {seed}, {options.seconds:g} s, files in {directory}")
    outcome = Campaign(options).run()
    outcome.show()
    with file.open("a") as opened:
        opened.write(json.dumps(line_of(outcome, options)) + "\n")
    if not outcome.violations:
        shutil.rmtree(directory)


def line_of(outcome: Outcome, options: Options) -> dict[str, Any]:
    """The result of a piece."""
    runs = [each for each in outcome.history.records if each.key == "queuedJob"]
    committed = sum(each.committed for each in runs)
    return {
        "seed": options.seed,
        "commit": _commit(),
        "seconds": options.seconds,
        "delivery": options.delivery,
        "shards": options.shards,
        "v1": options.v1,
        **({"beside": options.beside} if options.beside else {}),
        "load": round(os.getloadavg()[0], 1),
        "runs": committed,
        "aborted": len(runs) - committed,
        "calls": len(outcome.history.calls),
        "v1_calls": sum(line["kind"] == CALL for line in outcome.history.v1),
        "faults": dict(sorted(Counter(each.name for each in outcome.history.faults).items())),
        "violations": dict(Counter(each.category for each in outcome.violations)),
    }


def _commit() -> str:
    """The commit, with `-dirty` if anything but the results of campaigns was changed."""
    changed = _git("status", "--porcelain", "--untracked-files=no", ":/", ":(top,exclude)docs/lab")
    return _git("describe", "--always") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(  # noqa: S603 - the arguments are ours
        command, cwd=LAB, capture_output=True, text=True, check=True
    ).stdout.strip()


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a series; none if it has not begun."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def page() -> str:
    """A section for each series."""
    files = sorted(LAB.glob("campaign-*.jsonl"))
    return INTRO + "\n".join(
        _section(file.stem.removeprefix("campaign-"), read(file)) for file in files
    )


def _section(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    minutes = sum(line["seconds"] for line in lines) / 60
    runs, calls = (sum(line[key] for line in lines) for key in ("runs", "calls"))
    faults = _sum(line["faults"] for line in lines)
    broken = _sum(line["violations"] for line in lines)
    first = lines[0]
    result = (
        f"**Result.** {minutes:.0f} minutes, {runs:,} runs, {calls:,} calls,"
        f" {sum(faults.values()):,} faults. Violations: {_listed(broken) or 'none'}."
    )
    rows = [
        f"| {line['seed']} | {line['commit']} | {line['load']} | {line['runs']:,} |"
        f" {line['aborted']} | {line['calls']:,} | {sum(line['faults'].values())} |"
        f" {_listed(line['violations']) or 'none'} |"
        for line in lines
    ]
    return "\n".join(
        [
            f"## {name}: {first['delivery']}, shards: {first['shards']}{_beside(first)}",
            "",
            result,
            "",
            "| seed | commit | load | runs | aborted copies | calls | faults | violations |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Faults: {_listed(faults)}.",
            "",
        ]
    )


def _beside(line: Mapping[str, Any]) -> str:
    return f", a replica of {line['beside']}" if "beside" in line else ""


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for each in counts:
        total.update(each)
    return total


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.series", description=__doc__)
    parser.add_argument("name", nargs="?", default="all-faults", help="of the series")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--piece", type=float, default=10, help="minutes of each piece")
    add_arguments(parser)
    parser.add_argument("--judge", action="store_true", help="judge again, run nothing")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
