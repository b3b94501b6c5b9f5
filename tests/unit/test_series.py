"""A long campaign goes on after a stop, and its page shows the results."""

from pathlib import Path
from typing import Any

import pytest

from chaos import series
from chaos.campaign import Campaign, Options, Outcome
from chaos.history import Fault
from chaos.model import Violation
from tests.unit.chaos_story import good


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(series, "LAB", tmp_path)
    monkeypatch.setattr(series, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(series, "_commit", lambda: "abc1234")
    return tmp_path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that were run. The third campaign is stopped; seed 2 finds a violation."""
    seeds: list[int] = []

    def run(self: Campaign) -> Outcome:
        if len(seeds) == 2:
            seeds.append(-1)
            raise KeyboardInterrupt
        seeds.append(self.options.seed)
        history = good()
        history.faults = [Fault("kill", "replica-1", 0, 1)]
        self.options.directory.mkdir(parents=True, exist_ok=True)
        found = [Violation("lost", "it did")] if self.options.seed == 2 else []
        return Outcome(self.file, history, found)

    monkeypatch.setattr(Campaign, "run", run)
    monkeypatch.setattr(series, "gettempdir", lambda: str(series.LAB))
    return seeds


def test_a_series_goes_on_with_the_piece_that_was_stopped(lab: Path, ran: list[int]) -> None:
    asked = ["night", "--minutes", "30", "--seed", "1"]
    with pytest.raises(KeyboardInterrupt):
        series.main(asked)
    assert series.main(asked) == 1  # the second piece has a violation
    assert ran == [1, 2, -1, 3]
    assert [line["seed"] for line in series.read(lab / "campaign-night.jsonl")] == [1, 2, 3]
    shown = (lab / "page.md").read_text()
    assert "30 minutes" in shown
    assert "Violations: lost 1." in shown
    assert "Faults: kill 3." in shown


def test_files_of_a_piece_without_a_violation_are_removed(lab: Path, ran: list[int]) -> None:
    series.main(["night", "--minutes", "20"])
    assert [each.name for each in lab.glob("chaos-*")] == ["chaos-night-2"]
    assert ran == [1, 2]


def test_a_piece_is_judged_again_after_the_checker_was_mended(
    lab: Path, ran: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert series.main(["night", "--minutes", "20"]) == 1
    assert ran == [1, 2]
    (lab / "chaos-night-2" / "history.jsonl").write_text("")
    monkeypatch.setattr(series, "violations", lambda _history: [])
    assert series.main(["night", "--judge"]) == 0
    judged = [line.get("judged") for line in series.read(lab / "campaign-night.jsonl")]
    assert judged == [None, "abc1234"]


def test_a_line_has_the_result_of_a_piece(lab: Path) -> None:
    outcome = Outcome(lab / "history.jsonl", good(), [])
    line: dict[str, Any] = series.line_of(outcome, Options(lab, seed=7, shards=4))
    assert (line["seed"], line["commit"], line["shards"]) == (7, "abc1234", 4)
    assert line["runs"] > 0
    assert line["violations"] == {}
