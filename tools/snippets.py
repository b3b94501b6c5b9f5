"""Writes the programs of `examples` into docs/quickstart.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "quickstart.md"
_EXAMPLE = re.compile(
    r"<!-- (examples/\S+\.py) -->\n```python\n.*?^```\n", re.DOTALL | re.MULTILINE
)


def with_examples(text: str) -> str:
    """The page with each program as its file has it."""

    def block(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- {name} -->\n```python\n{(ROOT / name).read_text()}```\n"

    return _EXAMPLE.sub(block, text)


if __name__ == "__main__":
    PAGE.write_text(with_examples(PAGE.read_text()))
