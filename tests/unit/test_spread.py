"""Jitter and random shares of delays, by golden vectors and by properties.

The vectors were computed with whole numbers and fractions, not with doubles.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.spread import fraction, jitter_ms
from scheduling_srv.domain.backoff import BackoffType, RetryRule, retry_after_ms

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "scheduling_v1.json").read_text())
INSTANTS = st.integers(0, 253_402_300_799_999)
MONTH_MS = 31 * 86_400_000


@pytest.mark.parametrize("row", VECTORS["jitter"], ids=str)
def test_golden_jitter(row: dict[str, Any]) -> None:
    assert jitter_ms(row["id"], row["nominal"], row["jitter"]) == row["delay"]


@pytest.mark.parametrize("row", VECTORS["retry"], ids=str)
def test_golden_retries(row: dict[str, Any]) -> None:
    kind = BackoffType[row["backoff"]]
    rule = RetryRule(kind, row["delay"], row["cap"], row["max_delay"], row["random_share"])
    assert retry_after_ms(rule, row["failures"], row["id"], row["nominal"]) == row["wait"]


@given(st.text(), INSTANTS, st.integers(0, MONTH_MS))
def test_jitter_stays_within_its_bounds(job_id: str, nominal: int, jitter: int) -> None:
    assert 0 <= jitter_ms(job_id, nominal, jitter) <= jitter


@given(st.text(), INSTANTS, st.integers(1, MONTH_MS), st.data())
def test_jitter_below_the_gap_keeps_the_order(
    job_id: str, nominal: int, gap: int, data: st.DataObject
) -> None:
    jitter = data.draw(st.integers(0, gap - 1))
    following = nominal + gap
    due = nominal + jitter_ms(job_id, nominal, jitter)
    assert due < following + jitter_ms(job_id, following, jitter)


def test_jitter_spreads_jobs_evenly() -> None:
    """Of 10,000 jobs each tenth of the time gets 9 to 11 % (four standard deviations are 1.2 %)."""
    tenths = [0] * 10
    for number in range(10_000):
        tenths[jitter_ms(f"job-{number}", 1_796_083_200_000, 59_999) // 6_000] += 1
    assert all(880 <= count <= 1120 for count in tenths)


@given(st.text())
def test_a_fraction_is_below_one(text: str) -> None:
    assert 0 <= fraction(text) < 1
