"""Writes the table of settings into README.md, from what the command says: `make docs`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings: make docs -->\n", "<!-- end of settings -->\n"


def table(settings: Iterable[Mapping[str, str]]) -> str:
    """The settings as Markdown."""
    rows = ["| environment | default | meaning |", "|---|---|---|"]
    for row in settings:
        default = f"`{row['default']}`" if row["default"] else "none"
        rows.append(f"| `{row['environment']}` | {default} | {row['meaning']} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it has to be."""
    command = [sys.executable, "-m", "scheduling_srv", "settings", "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(json.loads(said))}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
