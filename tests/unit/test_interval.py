"""Intervals: every example of the contract, what else is understood, and what never is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.interval import ACCEPTED, parse_interval

S, M, H, D = 1_000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The contract's examples.
        ("2 minutes", 2 * M),
        ("30 seconds", 30 * S),
        ("an hour", H),
        ("1.5 hours", 90 * M),
        ("3 hours and 30 minutes", 210 * M),
        ("2 weeks, 3 days and 4 hours", 17 * D + 4 * H),
        ("1 hour 30 minutes 15 seconds", 90 * M + 15 * S),
        ("every 5 minutes", 5 * M),
        ("twelve hours", 12 * H),
        ("half an hour", 30 * M),
        ("5s", 5 * S),
        ("10 min", 10 * M),
        ("1h30m", 90 * M),
        ("500 milliseconds", 500),
        ("PT2M", 2 * M),
        # Units.
        ("7 ms", 7),
        ("1 msec", 1),
        ("2 secs", 2 * S),
        ("3 hrs", 3 * H),
        ("1 day", D),
        ("2d", 2 * D),
        ("1w", 7 * D),
        ("a month", 30 * D),
        ("2 years", 730 * D),
        ("100 years", 36_500 * D),
        # Numbers.
        ("one second", S),
        ("nineteen minutes", 19 * M),
        ("twenty minutes", 20 * M),
        ("ninety seconds", 90 * S),
        ("forty-two minutes", 42 * M),
        ("forty two minutes", 42 * M),
        ("0.25 s", 250),
        (".5 hours", 30 * M),
        ("0.001 seconds", 1),
        ("007 seconds", 7 * S),
        ("half a day", 12 * H),
        ("a minute", M),
        # Between the parts.
        ("1 h 30 m", 90 * M),
        ("1 hour,30 minutes", 90 * M),
        ("1 hour , 30 minutes", 90 * M),
        ("1 hour, and 30 minutes", 90 * M),
        ("an hour and half a minute", H + 30 * S),
        ("five hours ten minutes", 5 * H + 10 * M),
        ("30 minutes and 1 hour", 90 * M),
        ("0 hours 5 minutes", 5 * M),
        ("1m 1 month", 30 * D + M),
        ("every hour", H),
        ("hour", H),
        ("Minute", M),
        ("1e3 seconds", 1000 * S),
        ("1.5e3 ms", 1_500),
        ("every an hour", H),
        ("EVERY Five MiNuTes", 5 * M),
        ("  2 \t minutes\n", 2 * M),
        ("2\u00a0minutes", 2 * M),
        # ISO 8601.
        ("P1Y2M10DT2H30M", (365 + 60 + 10) * D + 150 * M),
        ("pt0.5s", 500),
        ("PT1,5H", 90 * M),
        ("P2W", 14 * D),
        ("P1D", D),
        ("P1M", 30 * D),
        ("PT36H", 36 * H),
        ("P0DT1S", S),
    ],
)
def test_it_is_understood(text: str, expected: int) -> None:
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5",
        "minutes",
        "garbage",
        "5 bananas",
        "5 minutes please",
        "5 minutes and",
        "and 5 minutes",
        "5 minutes,",
        "5 minutes,, 2 seconds",
        "5 minutes and and 2 seconds",
        "every",
        "every every 5 minutes",
        "every 5 every minutes",
        "every PT5M",
        "5 5 minutes",
        "5 minutes 5 minutes",
        "5 minutes and 2 min",
        "-5 minutes",
        "+5 minutes",
        "5 -minutes",
        "1,5 hours",
        "1. hours",
        "1..5 hours",
        "1/2 hour",
        "0x10 seconds",
        "1_000 ms",
        "inf hours",
        "nan hours",
        "zero minutes",
        "hundred minutes",
        "twenty ten minutes",
        "twentyfive minutes",
        "fivehours",
        "half 5 hours",
        "an",
        "half an",
        "in 5 minutes",
        "5 minutes ago",
        "P",
        "PT",
        "P1DT",
        "P1",
        "D1",
        "P1H",
        "PT1D",
        "PT1S1M",
        "P1.5DT1H",
        "P-1D",
        "-PT1M",
        "+PT1M",
        "PT 1M",
        "P1D and 5 minutes",
        "\u0665 minutes",
        "\u00bd hour",
        "5 \u212a",
        "5 wee\u212as",
        "5 minutes\x00",
        "5\x00minutes",
        "5\u2003minutes",
        "0 minutes",
        "0s",
        "-0 minutes",
        "PT0S",
        "P0D",
        "0.0 hours",
    ],
)
def test_a_refusal_says_what_is_accepted(text: str) -> None:
    with pytest.raises(Unparsable, match=re.escape(ACCEPTED)):
        parse_interval(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.5 ms", "whole number of milliseconds"),
        ("0.0001 seconds", "whole number of milliseconds"),
        ("PT0.0001S", "whole number of milliseconds"),
        ("101 years", "longer than 100 years"),
        ("36500 days 1 ms", "longer than 100 years"),
        (f"{'9' * 150} years", "longer than 100 years"),
        ("5 minutes" + " " * 200, "longer than 200 characters"),
        ("1" * 10_000_000 + " seconds", "longer than 200 characters"),
    ],
)
def test_an_amount_out_of_bounds_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unparsable, match=why) as caught:
        parse_interval(text)
    assert len(str(caught.value)) < 300


NAMES = [
    (365 * D, ["year", "years", "yr", "y"], "Y"),
    (7 * D, ["week", "weeks", "w"], "W"),
    (D, ["day", "days", "d"], "D"),
    (H, ["hour", "hours", "h"], "H"),
    (M, ["minute", "minutes", "min", "m"], "M"),
    (S, ["second", "seconds", "sec", "s"], "S"),
]


@given(
    st.lists(st.integers(0, 15), min_size=6, max_size=6).filter(any),
    st.data(),
)
def test_an_interval_that_is_written_out_is_read_back(amounts: list[int], data: st.DataObject):
    parts = [
        f"{amount}{data.draw(st.sampled_from(['', ' ']))}{data.draw(st.sampled_from(names))}"
        for amount, (_, names, _) in zip(amounts, NAMES, strict=True)
        if amount
    ]
    between = data.draw(st.sampled_from([" ", ", ", " and ", ", and ", ","]))
    expected = sum(a * unit for a, (unit, *_) in zip(amounts, NAMES, strict=True))
    assert parse_interval(between.join(parts)) == expected
    letters = [f"{a}{letter}" for a, (*_, letter) in zip(amounts, NAMES, strict=True)]
    iso = "P" + "".join(letters[:3]) + "T" + "".join(letters[3:])
    assert parse_interval(iso) == expected


@given(st.integers(1, 10**9))
def test_milliseconds_survive_any_unit(milliseconds: int) -> None:
    assert parse_interval(f"{milliseconds} ms") == milliseconds
    assert (
        parse_interval(f"{milliseconds // 1000}.{milliseconds % 1000:03} seconds") == milliseconds
    )
    assert parse_interval(f"PT{milliseconds // 1000}.{milliseconds % 1000:03}S") == milliseconds


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("L-3", "day-of-month field of a cron expression such as '0 0 L-3 * *'"),
        ("lw", "day-of-month field of a cron expression such as '0 0 LW * *'"),
        ("5#2", "day-of-week field of a cron expression such as '0 0 * * 5#2'"),
    ],
)
def test_one_field_of_cron_is_told_its_place(text: str, hint: str) -> None:
    with pytest.raises(Unparsable) as caught:
        parse_interval(text)
    assert str(caught.value).startswith(
        f"Interval '{text}' is not understood: it is only the {hint}"
    )
    Cron.parse(hint.split("'")[1])
