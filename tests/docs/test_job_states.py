"""docs/job-states.md: diagrams and tables have the same states, and its metrics exist."""

import re

from tests.docs.snippets import ROOT, snippets
from tools.metrics_page import of_redis, of_replica

PAGE = ROOT / "docs" / "job-states.md"


def states(diagram: str) -> set[str]:
    """Both ends of every arrow; `[*]` is where a diagram begins and ends."""
    arrows = re.findall(r"^ *(\S+) --> (\S+)", diagram, re.MULTILINE)
    assert arrows
    return {state for arrow in arrows for state in arrow} - {"[*]"}


def rows() -> set[str]:
    """The first cells of the tables of states."""
    text = PAGE.read_text().partition("## Which metric")[0]
    return set(re.findall(r"^\| (\w+) \|", text, re.MULTILINE)) - {"state"}


def test_every_state_of_a_diagram_has_its_row() -> None:
    diagrams = [each.text for each in snippets(PAGE) if each.language == "mermaid"]
    assert len(diagrams) == 2
    found = set().union(*(states(each) for each in diagrams))
    assert found == rows()
    assert {"waiting", "held", "retry", "failed", "deleted"} <= found


def test_its_metrics_exist() -> None:
    known = {row.name for row in (*of_replica(), *of_redis())}
    named = set(re.findall(r"`(scheduling_\w+)`", PAGE.read_text()))
    assert len(named) > 5
    assert named <= known
