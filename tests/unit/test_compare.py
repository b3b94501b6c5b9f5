"""Two commits are compared by the ratios of pairs; chance alone makes no figure worse."""

import random

import pytest

from bench.compare import FIGURES, Pair, interval, table, verdict, verdicts
from bench.targets import Row

RATE = next(row for row in FIGURES if row.workload == "fire")
BYTES = next(row for row in FIGURES if row.workload == "memory")


def pairs(figure: Row, ratios: list[float]) -> list[Pair]:
    """Pairs whose head is `ratio` times the base."""
    return [
        {"base": {figure.figure: 100.0}, "head": {figure.figure: 100.0 * each}} for each in ratios
    ]


def test_ten_pairs_leave_out_the_outermost_on_either_side() -> None:
    assert interval([float(each) for each in range(10)]) == (1.0, 8.0)


def test_six_pairs_are_the_fewest() -> None:
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)
    with pytest.raises(ValueError, match="5 pairs are too few"):
        interval([1.0] * 5)


def test_the_interval_holds_the_median_in_most_samples() -> None:
    rng = random.Random(3)
    samples = [interval([rng.expovariate(1.0) for _ in range(10)]) for _ in range(2_000)]
    median = 0.6931
    assert sum(low <= median <= high for low, high in samples) / len(samples) >= 0.95


@pytest.mark.parametrize(("figure", "ratio"), [(RATE, 0.9), (BYTES, 1.1)])
def test_a_figure_that_is_ten_percent_worse_in_each_pair_is_worse(
    figure: Row, ratio: float
) -> None:
    assert verdict(figure, pairs(figure, [ratio] * 10)).is_worse(0.03)


@pytest.mark.parametrize(("figure", "ratio"), [(RATE, 1.1), (BYTES, 0.9)])
def test_a_better_figure_is_not_worse(figure: Row, ratio: float) -> None:
    found = verdict(figure, pairs(figure, [ratio] * 10))
    assert not found.is_worse(0.03)
    assert found.high < 1


def test_noise_is_not_worse() -> None:
    noisy = [0.8, 1.2, 0.7, 1.1, 0.9, 1.3, 0.85, 1.05, 0.95, 1.0]
    assert not verdict(RATE, pairs(RATE, noisy)).is_worse(0.03)


def test_a_workload_that_was_measured_too_rarely_has_no_verdict() -> None:
    kept = {"fire": pairs(RATE, [1.0] * 5), "memory": pairs(BYTES, [1.0] * 6)}
    assert [each.row.workload for each in verdicts(kept)] == ["memory"]


def test_the_table_names_what_is_worse() -> None:
    text = table([verdict(RATE, pairs(RATE, [0.5] * 10))], 0.03)
    assert "| fire | rate | worse | 100.00 | 50.00 | 2.000 | 2.000 to 2.000 | 10 |" in text


def test_all_that_an_issue_may_not_make_worse_is_compared() -> None:
    assert {"submit", "single", "fire", "steady", "memory"} <= {each.workload for each in FIGURES}
