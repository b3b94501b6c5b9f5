"""Durations in settings: strict, and shown as they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.durations import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500ms", 500),
        ("3s", 3_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("1d 1ms", 86_400_001),
        ("60s", 60_000),
        ("0s", 0),
    ],
)
def test_what_is_a_duration(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "3", "3 s", "-3s", "1.5h", "3S", "s", "3s3s", "30m 1h", "1h  30m", "3s ", "3sec", "٣s"],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration such as '500ms', '3s' or '1h 30m'"):
        parse_duration(text)


@given(st.integers(0, 10**14))
def test_what_is_shown_can_be_written(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds)) == milliseconds
