"""Copies three figures of docs/performance.md into README.md: `make docs`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: make docs -->\n", "<!-- end of figures -->\n"
CHOSEN = {
    "submit over gRPC, batches of 500, durable and announced": "jobs accepted, durable, on Kafka",
    "100,000 due at one instant, drained to Kafka": "runs emitted when 100,000 are due at once",
    "1,000/s, lateness p99": "lateness at 1,000 runs a second, p99",
}
"""Row of the table of figures -> its text in the README."""


def figures(page: str) -> str:
    """The chosen figures as Markdown. Raises `KeyError` when the page lacks one of them."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    known = {title: f"{value} {unit}" for title, unit, value, *_ in (r for r in rows if r[3:])}
    shown = [f"| {text} | {known[title]} |" for title, text in CHOSEN.items()]
    return "\n".join(["| figure | measured |", "|---|---:|", *shown]) + "\n"


def with_figures(readme: str, page: str) -> str:
    """The README with the figures of the page."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{figures(page)}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_figures(README.read_text(), PAGE.read_text()))
