"""Links of pages lead somewhere, and their prose keeps the rules of CONTRIBUTING.md."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.snippets import ROOT, anchors, links, pages
from tools.picture import CHARACTER, LEFT, svg
from tools.recordings import PICTURES, RECORDINGS

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


SHOWN = {
    "create": ("invoices", "at 08:00, on Monday to Friday"),
    "next": ("nightly-report", "newsletter", "once", "every 2 minutes"),
    "watch": ("QUEUED", "DONE", "FAILED", "FINALLY_FAILED", "attempt 2"),
    "show": ("Europe/Berlin", "team=billing", "emitted=1", "3 of 3"),
    "top": ("serving", "Next", "At work", "encode-video", "The file is no image."),
}


def test_each_recording_has_its_words() -> None:
    assert [*SHOWN] == [each.name for each in RECORDINGS]


@pytest.mark.parametrize("name", SHOWN)
def test_a_recording_is_well_formed_and_shows_its_command(name: str) -> None:
    root = ET.fromstring((PICTURES / f"{name}.svg").read_text())  # noqa: S314 - it is ours
    shown = "".join(root.itertext())
    for word in (f"$ scheduling {name}", *SHOWN[name]):
        assert word in shown
    assert "Traceback" not in shown
    assert float(root.attrib["width"]) < 1100


def test_a_picture_keeps_text_and_styles() -> None:
    drawn = svg(["a \x1b[31;1mb<\x1b[0m c", ""], 'make run "a"')
    ET.fromstring(drawn)  # noqa: S314 - it is ours
    assert 'a <tspan fill="#f2777a" font-weight="bold">b&lt;</tspan> c' in drawn


def test_a_picture_is_as_wide_as_its_longest_line() -> None:
    root = ET.fromstring(svg(["short", "\x1b[31m" + "x" * 200 + "\x1b[0m"], "make run"))  # noqa: S314 - it is ours
    assert float(root.attrib["width"]) >= LEFT + 200 * CHARACTER


GUIDES = [
    page
    for page in pages()
    if page.parent.name not in {"decisions", "lab"} and page.name != "CHANGELOG.md"
]
GENERATED = re.compile(r"<!-- [a-z]+: make .*?<!-- end of \w+ -->", re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
TARGET = re.compile(r"\]\([^)]*\)")
NO_PROSE = re.compile(r"#|\||<|!\[")
ITEM = re.compile(r"(?:[*-]|\d+\.) ")
END_OF_SENTENCE = re.compile(r"(?<=[.!?:;])[\"')*]*\s+")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'.-]*")
CLUMSY = re.compile(
    r"\b(what|whatever|whoever|nobody|somebody|no one|someone|behind|in front of)\b",
    re.IGNORECASE,
)
WIDTH = 100
MOST_WORDS = 20


def prose(page: Path) -> list[str]:
    """Lines without code blocks, tables, headings, pictures and generated parts."""
    text = FENCED.sub("", GENERATED.sub("", page.read_text()))
    return ["" if NO_PROSE.match(line) else line for line in text.splitlines()]


def sentences(page: Path) -> list[str]:
    """Sentences of the prose; code counts as one word, targets of links as none."""
    text = "\n".join("\n\n" + line if ITEM.match(line.strip()) else line for line in prose(page))
    paragraphs = CODE.sub("code", TARGET.sub("]", text)).split("\n\n")
    return [s for each in paragraphs for s in END_OF_SENTENCE.split(" ".join(each.split())) if s]


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_lines_are_short(page: Path) -> None:
    """Except for code that cannot be broken."""
    assert [line for line in prose(page) if len(CODE.sub("", line)) > WIDTH] == []


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_sentences_are_short(page: Path) -> None:
    assert [s for s in sentences(page) if len(WORD.findall(s)) > MOST_WORDS] == []


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_sentences_are_plain(page: Path) -> None:
    """Quoted words are mentioned, not used."""
    unquoted = [re.sub(r'"[^"]*"', "", sentence) for sentence in sentences(page)]
    assert [sentence for sentence in unquoted if CLUMSY.search(sentence)] == []


def test_the_parts_of_a_page_are_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n\nOne `a b` two.\nThree\n[four](x y): five.\n* six\n| seven |\n")
    assert sentences(page) == ["One code two.", "Three [four]:", "five.", "* six"]
