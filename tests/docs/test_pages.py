"""Pages lead where they say."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.snippets import ROOT, anchors, links, pages
from tools.picture import CHARACTER, LEFT, svg

OUTSIDE = re.compile(r"https?://")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if OUTSIDE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_docs_can_be_reached() -> None:
    reached = {
        (page.parent / link.partition("#")[0]).resolve() for page in pages() for link in links(page)
    }
    lonely = [named(page) for page in pages() if page not in reached and page.name != "README.md"]
    assert lonely == []


def test_the_picture_is_well_formed_and_shows_the_demonstration() -> None:
    picture = (ROOT / "docs" / "demo.svg").read_text()
    shown = "".join(ET.fromstring(picture).itertext())  # noqa: S314 - it is ours
    for word in ("created", "queued", "done", "failed", "attempt 3 of 3", "deleted", "heartbeat"):
        assert word in shown
    assert "Traceback" not in shown


def test_a_picture_keeps_text_and_styles() -> None:
    drawn = svg(["a \x1b[31;1mb<\x1b[0m c", ""], "make run")
    ET.fromstring(drawn)  # noqa: S314 - it is ours
    assert 'a <tspan fill="#f2777a" font-weight="bold">b&lt;</tspan> c' in drawn


def test_a_picture_is_as_wide_as_its_longest_line() -> None:
    root = ET.fromstring(svg(["short", "\x1b[31m" + "x" * 200 + "\x1b[0m"], "make run"))  # noqa: S314 - it is ours
    assert float(root.attrib["width"]) >= LEFT + 200 * CHARACTER


NOT_WRAPPED = {"architecture.md", "scale.md", "CHANGELOG.md"}
WRAPPED = [
    page
    for page in pages()
    if page.parent.name not in {"decisions", "lab"} and page.name not in NOT_WRAPPED
]
GENERATED = re.compile(r"<!-- [a-z]+: make .*?<!-- end of \w+ -->", re.DOTALL)
CODE = re.compile(r"`[^`]*`")
WIDTH = 100


@pytest.mark.parametrize("page", WRAPPED, ids=named)
def test_lines_are_short(page: Path) -> None:
    """But rows of tables, and code that cannot be broken."""
    lines = GENERATED.sub("", page.read_text()).splitlines()
    prose = [line for line in lines if not line.startswith("|")]
    assert [line for line in prose if len(CODE.sub("", line)) > WIDTH] == []
