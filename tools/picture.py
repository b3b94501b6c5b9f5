"""Draws the output of `make run` into docs/demo.svg: `make picture`.

The lines are those of a real run. An SVG of text, so that it is sharp, small and searchable; fonts
are the reader's own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "demo.svg"
SECONDS = "7.6"
"""How long the demonstration runs: all that happens once has happened."""

LINE, TOP, LEFT, SIZE = 19, 46, 18, 14
CHARACTER = 8.43
"""How wide a character is at this size, in the fonts that are asked for."""
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
PAPER, INK = "#16181d", "#d5d8de"
COLOURS = {
    "31": "#f2777a",
    "32": "#8ccf7e",
    "33": "#e5c76b",
    "35": "#c47fd5",
    "36": "#6cbfbf",
}
_STYLED = re.compile(r"\x1b\[([\d;]*)m")


def pieces(line: str) -> Iterator[tuple[str, str]]:
    """The texts of a line with the SVG attributes of their styles."""
    attributes, at = "", 0
    for match in _STYLED.finditer(line):
        if match.start() > at:
            yield line[at : match.start()], attributes
        attributes, at = _attributes(match[1].split(";")), match.end()
    if at < len(line):
        yield line[at:], attributes


def _attributes(codes: Sequence[str]) -> str:
    found = [f' fill="{COLOURS[code]}"' for code in codes if code in COLOURS]
    if "1" in codes:
        found.append(' font-weight="bold"')
    if "3" in codes:
        found.append(' font-style="italic"')
    if "2" in codes:
        found.append(' fill-opacity="0.6"')
    return "".join(found)


def svg(lines: Sequence[str], command: str) -> str:
    """The lines in a window with the command as its title."""
    columns = max(len(_STYLED.sub("", line)) for line in lines)
    width, height = round(2 * LEFT + columns * CHARACTER), TOP + LINE * len(lines) + LEFT
    body = "\n".join(_text(line, TOP + LINE * (number + 1)) for number, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="{FONTS}" font-size="{SIZE}" role="img"'
        f' aria-label="{escape(command)} on a terminal">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>\n'
        f'<g fill="{INK}" opacity="0.35"><circle cx="24" cy="22" r="6"/>'
        '<circle cx="44" cy="22" r="6"/><circle cx="64" cy="22" r="6"/></g>\n'
        f'<text x="{width / 2:g}" y="27" fill="{INK}" opacity="0.6" text-anchor="middle">'
        f"$ {escape(command)}</text>\n"
        # Chromium keeps spaces by the style, other programs by the attribute.
        "<style>text{white-space:pre}</style>\n"
        f'<g fill="{INK}" xml:space="preserve">\n{body}\n</g>\n</svg>\n'
    )


def _text(line: str, y: int) -> str:
    spans = "".join(
        f"<tspan{attributes}>{escape(text)}</tspan>" if attributes else escape(text)
        for text, attributes in pieces(line)
    )
    return f'<text x="{LEFT}" y="{y}">{spans}</text>'


def show() -> list[str]:
    """The lines of a run on data of its own."""
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / ".data"
        command = [sys.executable, "-m", "examples.demo", "--data", str(data), "--colours"]
        ended = subprocess.run(
            [*command, "--seconds", SECONDS],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return ended.stdout.replace(str(data), ".data").splitlines()


if __name__ == "__main__":
    TARGET.write_text(svg(show(), "make run"))
