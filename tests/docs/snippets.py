"""What stands in our Markdown: fenced blocks, headings, links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block."""

    language: str
    text: str

    @property
    def name(self) -> str:
        """How it is called in a report."""
        return self.text.strip().splitlines()[0][:60]


def snippets(page: Path) -> list[Snippet]:
    return [Snippet(*found) for found in _FENCE.findall(page.read_text())]


def pages() -> list[Path]:
    """Every page that people read."""
    own = [*ROOT.glob("*.md"), ROOT / "client" / "README.md"]
    return sorted([*own, *(ROOT / "docs").rglob("*.md")])


def links(page: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Names of the headings, as hosts of repositories make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
