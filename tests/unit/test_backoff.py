"""The wait after a failure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.domain.backoff import (
    LONGEST_MS,
    BackoffType,
    RetryRule,
    retry_after_ms,
    retry_delay_ms,
)

FIXED, EXPONENTIAL = BackoffType.FIXED, BackoffType.EXPONENTIAL
DAY = 86_400_000


@pytest.mark.parametrize(
    ("kind", "delay", "failures", "expected"),
    [
        (FIXED, 1000, 1, 1000),
        (FIXED, 1000, 9, 1000),
        (FIXED, 2.0 * DAY, 1, 2 * DAY),
        (FIXED, 0.1, 1, 1),
        (FIXED, 1000.5, 1, 1001),
        (FIXED, 1e300, 1, 100 * 365 * DAY),
        (EXPONENTIAL, 1000, 1, 1000),
        (EXPONENTIAL, 1000, 2, 2000),
        (EXPONENTIAL, 1000, 3, 4000),
        (EXPONENTIAL, 1000, 11, 1_024_000),
        (EXPONENTIAL, 0.3, 1, 1),
        (EXPONENTIAL, 0.3, 3, 2),
        (EXPONENTIAL, 1000, 30, DAY),
        (EXPONENTIAL, 1000, 10**9, DAY),
        (EXPONENTIAL, 5e-324, 10**9, DAY),
        (EXPONENTIAL, 1e308, 2, DAY),
        (EXPONENTIAL, 2.0 * DAY, 1, DAY),
        (EXPONENTIAL, 1000, 0, 1000),
        (EXPONENTIAL, 1000, -5, 1000),
        (EXPONENTIAL, 0, 10**9, 0),
    ],
)
def test_the_delay(kind: BackoffType, delay: float, failures: int, expected: int) -> None:
    assert retry_delay_ms(kind, delay, failures, DAY) == expected


@pytest.mark.parametrize("kind", BackoffType)
def test_what_is_no_delay_does_no_harm(kind: BackoffType) -> None:
    for delay in (math.nan, -1.0, -0.0, -math.inf):
        assert retry_delay_ms(kind, delay, 3, DAY) == 0
    assert retry_delay_ms(kind, math.inf, 3, DAY) == DAY


@given(st.floats(0, 1e12), st.integers(1, 80), st.integers(0, 10**12))
def test_exponential_doubles_up_to_its_cap(delay: float, failures: int, cap: int) -> None:
    once = retry_delay_ms(EXPONENTIAL, delay, failures, cap)
    twice = retry_delay_ms(EXPONENTIAL, delay, failures + 1, cap)
    assert once <= cap
    assert twice in (cap, LONGEST_MS) or 2 * once - 1 <= twice <= 2 * once


def test_the_numbers_are_those_of_the_wire() -> None:
    assert [(kind.name, kind.value) for kind in BackoffType] == [("FIXED", 0), ("EXPONENTIAL", 1)]


RULES = st.builds(
    RetryRule,
    kind=st.sampled_from(BackoffType),
    delay=st.floats(0, 1e9),
    cap=st.integers(0, DAY),
    max_delay=st.integers(0, DAY),
    random_share=st.floats(0, 1),
)


@given(RULES, st.integers(1, 100), st.text(), st.integers(0, 10**13))
def test_a_share_only_shortens(rule: RetryRule, failures: int, job_id: str, nominal: int) -> None:
    longest = retry_delay_ms(rule.kind, rule.delay, failures, rule.cap)
    if rule.max_delay:
        longest = min(longest, rule.max_delay)
    wait = retry_after_ms(rule, failures, job_id, nominal)
    assert wait <= longest
    assert wait >= (longest - 1) * (1 - rule.random_share) - 1e-3
    if not rule.random_share:
        assert wait == longest


@given(RULES, st.integers(1, 100), st.text(), st.integers(0, 10**13))
def test_a_wait_never_changes(rule: RetryRule, failures: int, job_id: str, nominal: int) -> None:
    waits = {retry_after_ms(rule, failures, job_id, nominal) for _ in range(3)}
    assert len(waits) == 1
