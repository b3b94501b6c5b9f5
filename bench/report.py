"""The table of a run, for the terminal and for the pages."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.contenders.rivals import RIVALS
from bench.results import Results
from bench.targets import ROWS, Row
from bench.workloads import BARE, BULLMQ, PRODUCT

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
PARTS = ("service", "worker", "valkey", "postgres", "kafka", "client", "reader")


def say(text: str) -> None:
    """To the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def listed(known: Iterable[str], text: str) -> list[str]:
    """The names in an option, all if it is empty. Raises `SystemExit` for an unknown one."""
    names = [name for name in text.split(",") if name] or [*known]
    if strange := {*names} - {*known}:
        raise SystemExit(f"unknown: {', '.join(sorted(strange))}; known: {', '.join(known)}")
    return names


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(results: Results, row: Row, contender: str) -> str:
    value, other = row.value(results), row.value(results, contender)
    return f"{value / other:.2f}" if value is not None and other else "-"


def verdict(results: Results, row: Row) -> str:
    """Whether all targets are met."""
    held = [target.holds(results, row) for target in row.targets]
    if False in held:
        return "no"
    return "yes" if held and all(held) else "-"


def _cell(results: Results, row: Row, contender: str) -> str:
    value = row.value(results, contender)
    if value is None and "missing" in results.contender(row.workload, contender):
        return "none"
    return number(value, row.digits)


def rows(results: Results) -> list[list[str]]:
    """The cells of the table of targets."""
    return [
        [
            row.title,
            row.unit,
            *(_cell(results, row, contender) for contender in (PRODUCT, BARE, BULLMQ)),
            _ratio(results, row, BARE),
            _ratio(results, row, BULLMQ),
            ", ".join(target.text for target in row.targets),
            verdict(results, row),
        ]
        for row in ROWS
        if row.workload in results.workloads
    ]


CONTENDERS_HEAD = [
    "contender",
    "200/s, worker",
    "200/s, Kafka",
    "1,000/s, worker",
    "1,000/s, Kafka",
    "accepted, jobs/s",
    "lost at a kill",
    "repeated",
]
HEAD = ["workload", "unit", "product", "bare loop", "BullMQ", "/ bare", "/ BullMQ", "target", "met"]


def markdown(head: Sequence[str], body: Iterable[Sequence[str]], left: int = 2) -> str:
    """A table; all columns but the first `left` ones are numbers."""
    sides = ["---"] * left + ["---:"] * (len(head) - left)
    lines = [head, sides, *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def text(results: Results) -> str:
    """The table for a terminal, and why cells are empty."""
    table = [HEAD, *rows(results)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 1, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    return "\n".join([*lines, *missing(results)]) + "\n"


def missing(results: Results) -> list[str]:
    """Sentences about contenders that were not measured."""
    return [
        f"{name}: no {contender}: {entry['missing']}"
        for name, workload in results.workloads.items()
        for contender, entry in workload["contenders"].items()
        if "missing" in entry
    ]


def cpu_table(results: Results) -> str:
    """Microseconds of CPU a job, by who used them."""
    body = []
    for name, workload in results.workloads.items():
        for contender, entry in workload["contenders"].items():
            if entry.get("cpu") and entry.get("jobs"):
                each = {part: used / entry["jobs"] * 1e6 for part, used in entry["cpu"].items()}
                cells = [number(each.get(part), 1) for part in PARTS]
                body.append([name, contender, *cells, number(sum(each.values()), 1)])
    return markdown(["workload", "contender", *PARTS, "all"], body)


def contenders_table(results: Results) -> str:
    """The product beside what users would pick instead; ms are p50 / p99.

    A contender without any figure is left out.
    """
    shown = {
        "this service, exactly once": (PRODUCT, ""),
        "this service, at least once": (PRODUCT, "-at-least-once"),
        **{each.title: (each.name, "") for each in RIVALS},
    }
    body = []
    for title, (name, mode) in shown.items():
        places = [
            (f"steady{rate}{mode}", figure) for rate in ("-200", "") for figure in ("seen-", "")
        ]
        lateness = [
            " / ".join(
                number(results.figure(workload, name, f"{figure}{point}"), 1)
                for point in ("p50", "p99")
            )
            for workload, figure in places
        ]
        kill = f"kill{mode}" if name == PRODUCT else "kill-contenders"
        killed = results.contender(kill, name).get("spread", {})
        faults = [
            "-" if word not in killed else number(killed[word][1]) for word in ("lost", "doubled")
        ]
        rate = None if mode else results.figure("submit", name, "rate")
        cells = [*lateness, number(rate), *faults]
        if any(cell.strip("-/ ") for cell in cells):
            body.append([title, *cells])
    return markdown(CONTENDERS_HEAD, body, left=1)


def growth_table(results: Results) -> str:
    """Figures by how much waits."""
    figures = results.contender("growth", PRODUCT).get("figures", {})
    counts = sorted({int(name.split()[1]) for name in figures})
    names = {
        "submit": "submit, jobs/s",
        "fire": "fire, runs/s",
        "p50": "1,000/s, p50 ms",
        "p99": "1,000/s, p99 ms",
    }
    body = [
        [
            f"{count:,}",
            *(number(figures.get(f"{name} {count}"), int(name[0] == "p")) for name in names),
        ]
        for count in counts
    ]
    return markdown(["waiting", *names.values()], body, left=1)


def facts(results: Results) -> str:
    """Where, when and how often it was measured."""
    machine = results.machine
    dates = sorted(each["at"][:10] for each in results.workloads.values())
    rounds = max(each["rounds"] for each in results.workloads.values())
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    versions = "".join(f", {name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured {when} on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory']} GiB, {machine['system']}, Python {machine['python']}"
        f"{_build(machine)}{versions}; medians of up to {rounds} rounds, long workloads once"
        f"{_sizes(results)}.\n"
    )


def _sizes(results: Results) -> str:
    """Workloads that were measured with fewer jobs."""
    scales = {name: each["scale"] for name, each in results.workloads.items()}
    less = [f"`{name}` {scale:g}" for name, scale in scales.items() if scale != 1]
    return f"; sizes other than 1: {', '.join(less)}" if less else ""


def _build(machine: Mapping[str, Any]) -> str:
    return f" ({machine['build']})" if "build" in machine else ""


def replaced(page: str, name: str, content: str, command: str = "make bench") -> str:
    """A page with what stands between the markers of `name`, which `command` makes, made anew."""
    begin, end = f"<!-- {name}: {command} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no markers {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def write_pages(results: Results) -> None:
    """docs/performance.md; `make docs` copies some of its figures into the README."""
    table = facts(results) + "\n" + markdown(HEAD, rows(results))
    page = PAGE.read_text()
    page = replaced(page, "figures", table)
    page = replaced(page, "cpu", cpu_table(results))
    page = replaced(page, "contenders", contenders_table(results))
    if results.contender("growth", PRODUCT):
        page = replaced(page, "growth", growth_table(results))
    PAGE.write_text(page)
