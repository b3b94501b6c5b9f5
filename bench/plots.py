"""The two pictures of docs/performance.md: lateness against load, and against what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results import Results
from bench.workloads import BARE, PRODUCT

FOLDER = Path(__file__).parents[1] / "docs"
COLOURS = {PRODUCT: "#1f6feb", BARE: "#8b949e"}
LABELS = {PRODUCT: "product", BARE: "bare loop"}
LINES = {"p50": "-", "p99": "--"}

# The same figures make the same bytes.
mpl.rcParams["svg.hashsalt"] = "scheduling-srv"
mpl.rcParams["svg.fonttype"] = "none"


def points(figures: Mapping[str, float], name: str) -> list[tuple[float, float]]:
    """The figures `name x` by x."""
    pairs = [(key.split(" "), value) for key, value in figures.items()]
    return sorted((float(key[1]), value) for key, value in pairs if key[0] == name and len(key) > 1)


def load_picture(results: Results) -> None:
    """Lateness against runs a second."""
    figure, axes = _axes("runs a second", "Lateness against load")
    for contender in (PRODUCT, BARE):
        figures = results.contender("load-curve", contender).get("figures", {})
        for name, line in LINES.items():
            _draw(axes, points(figures, name), contender, line, f"{LABELS[contender]}, {name}")
    axes.set_xscale("log")
    _save(figure, axes, "performance-load.svg")


def waiting_picture(results: Results) -> None:
    """Lateness at 1,000/s against the number of waiting jobs."""
    figure, axes = _axes("waiting jobs", "Lateness at 1,000/s against what waits")
    figures = results.contender("growth", PRODUCT).get("figures", {})
    for name, line in LINES.items():
        _draw(axes, points(figures, name), PRODUCT, line, f"product, {name}")
    waiting = results.contender("waiting", PRODUCT)
    if waiting.get("figures"):
        place = [(waiting["figures"]["waiting"], waiting["figures"]["p99"])]
        axes.plot(*zip(*place, strict=True), "D", color=COLOURS[PRODUCT], label="loaded, p99")
    axes.set_xscale("symlog", linthresh=1_000)
    _save(figure, axes, "performance-waiting.svg")


def _axes(label: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(label)
    axes.set_ylabel("ms from due to read")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _draw(
    axes: Axes, found: Sequence[tuple[float, float]], contender: str, line: str, label: str
) -> None:
    if found:
        across, up = zip(*found, strict=True)
        axes.plot(across, up, line, marker="o", color=COLOURS[contender], label=label)


def _save(figure: Figure, axes: Axes, name: str) -> None:
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    figure.savefig(FOLDER / name, metadata={"Date": None, "Creator": None})


def draw(results: Results) -> None:
    """Those whose workload was measured. The others stay as they are, as the tables do."""
    if results.contender("load-curve", PRODUCT):
        load_picture(results)
    if results.contender("growth", PRODUCT):
        waiting_picture(results)
