"""What is shown of a run is what was measured."""

from pathlib import Path

import pytest

from bench import report
from bench.profiling import spans
from bench.results import Results
from bench.site import Sample
from bench.targets import ROWS
from bench.workloads import BARE, BULLMQ, PRODUCT


def results(product: float, bare: float, bullmq: float | None = None) -> Results:
    found = Results(machine={"cores": 2})
    samples = {
        PRODUCT: [Sample({"rate": product + each}, 10, {"service": 1.0}) for each in (-1, 0, 7)],
        BARE: [Sample({"rate": bare}, 10, {})],
    }
    faults = {BULLMQ: "Node.js is not here"}
    if bullmq:
        samples[BULLMQ], faults = [Sample({"rate": bullmq}, 10, {})], {}
    found.add("submit", 1.0, samples, faults)
    return found


def row(found: Results) -> list[str]:
    (only,) = report.rows(found)
    return only


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert row(results(41_000, 50_000))[2] == "41,000"


def test_all_targets_have_to_be_met() -> None:
    assert row(results(41_000, 75_000, 24_000))[-1] == "yes"
    assert row(results(41_000, 80_000, 24_000))[-1] == "no"
    assert row(results(41_000, 75_000, 25_000))[-1] == "no"


def test_without_bullmq_it_is_said_why_and_nothing_is_claimed() -> None:
    found = results(41_000, 50_000)
    assert row(found)[-1] == "-"
    assert row(found)[4] == "none"
    assert "submit: no bullmq: Node.js is not here" in report.text(found)


def test_every_figure_has_a_workload_that_makes_it() -> None:
    from bench.__main__ import ALL  # noqa: PLC0415 - it imports everything

    assert {each.workload for each in ROWS} <= {workload.name for workload in ALL}


def test_results_are_kept_and_added_to(tmp_path: Path) -> None:
    results(41_000, 50_000).write(tmp_path / "results.json")
    found = Results.read(tmp_path / "results.json")
    assert found.figure("submit", PRODUCT, "rate") == 41_000
    found.add("steady", 1.0, {PRODUCT: [Sample({"p50": 3.0})]}, {})
    assert found.figure("submit", BARE, "rate") == 50_000
    assert found.figure("steady", PRODUCT, "p50") == 3.0


def test_only_what_stands_between_markers_is_replaced() -> None:
    page = "a\n<!-- x: make bench -->\nold\n<!-- end of x -->\nb\n"
    made = report.replaced(page, "x", "new\n")
    assert made == "a\n<!-- x: make bench -->\n\nnew\n\n<!-- end of x -->\nb\n"
    with pytest.raises(ValueError, match="no markers"):
        report.replaced(page, "y", "new")


def test_a_figure_of_which_the_worst_round_counts() -> None:
    repeated = next(each for each in ROWS if each.worst and each.figure == "doubled")
    found = Results()
    rounds = [Sample({"lost": 0.0, "doubled": each}) for each in (3.0, 120.0, 5.0)]
    found.add(repeated.workload, 1.0, {PRODUCT: rounds}, {})
    assert repeated.value(found) == 120


def test_contenders_are_shown_beside_both_modes() -> None:
    found = results(41_000, 75_000, 24_000)
    late = {"p50": 3.0, "p99": 9.0, "seen-p50": 2.0, "seen-p99": 8.0}
    found.add("steady-200", 1.0, {BULLMQ: [Sample(late)]}, {})
    found.add("kill-contenders", 1.0, {BULLMQ: [Sample({"lost": 0.0, "doubled": 114.0})]}, {})
    found.add("kill-at-least-once", 1.0, {PRODUCT: [Sample({"lost": 0.0, "doubled": 7.0})]}, {})
    table = report.contenders_table(found)
    assert "| BullMQ | 2.0 / 8.0 | 3.0 / 9.0 | - / - | - / - | 24,000 | 0 | 114 |" in table
    assert "| this service, at least once | - / - | - / - | - / - | - / - | - | 0 | 7 |" in table


@pytest.mark.parametrize("name", ["figures", "contenders", "cpu", "growth"])
def test_the_page_has_room_for_what_is_made(name: str) -> None:
    assert report.replaced(report.PAGE.read_text(), name, "")


def test_spans_count_a_function_once_a_stack(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("main (a.py:1);f (a.py:2);f (a.py:3) 3\nmain (a.py:1) 1\n")
    shown = spans(tmp_path / "raw").splitlines()
    assert shown[1].split() == ["100.0%", "25.0%", "main", "(a.py)"]
    assert shown[2].split() == ["75.0%", "75.0%", "f", "(a.py)"]


def test_pages_are_written_from_all_that_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour of measuring it is too late to find out that they cannot be."""
    page = tmp_path / "performance.md"
    page.write_text(report.PAGE.read_text())
    monkeypatch.setattr(report, "PAGE", page)
    found = results(41_000, 50_000, 9_000)
    figures = {"submit 0": 20_000.0, "fire 0": 40_000.0, "p50 0": 7.5, "p99 0": 20.0}
    more = {name.replace(" 0", " 1000000"): value for name, value in figures.items()}
    found.add("growth", 1.0, {PRODUCT: [Sample({**figures, **more})]}, {})
    found.machine = {
        **dict.fromkeys(("cores", "processor", "memory", "system", "python"), "?"),
        "versions": {"Kafka": "4"},
    }
    report.write_pages(found)
    assert "| 1,000,000 | 20,000 | 40,000 | 7.5 | 20.0 |" in page.read_text()
    assert "41,000" in page.read_text()
