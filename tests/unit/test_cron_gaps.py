"""How close the occurrences of a cron expression come, against looking at all of them."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_gaps import smallest_gap_ms
from scheduling_client.schedules.errors import Unparsable
from tests.unit import cron_oracle
from tests.unit.test_cron_oracle import DAY, MONTH, WEEKDAY, field

SECOND, MINUTE, HOUR, A_DAY = 1000, 60_000, 3_600_000, 86_400_000
ANY = 10**15
FIRST, DAYS = date(2001, 1, 1), 28 * 365 + 8


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("* * * * * *", SECOND),
        ("*/7 * * * * *", 4 * SECOND),
        ("0,59 * * * * *", SECOND),
        ("5,50 * * * * *", 15 * SECOND),
        ("* * * * *", MINUTE),
        ("*/5 * * * *", 5 * MINUTE),
        ("*/7 * * * *", 4 * MINUTE),
        ("59 23 * * *", A_DAY),
        ("0,59 0,23 * * *", MINUTE),
        ("59 23,0 * * *", HOUR),
        ("@hourly", HOUR),
        ("0 0 * * mon,wed", 2 * A_DAY),
        ("0 0 1,31 * *", A_DAY),
        ("0 0 31 * *", 31 * A_DAY),
        ("0 0 * * 5#1", 28 * A_DAY),
        ("0 0 1 1 *", 365 * A_DAY),
        ("0 0 29 2 *", 1461 * A_DAY),
        ("0 0 L 2 *", 365 * A_DAY),
    ],
)
def test_the_smallest_gap(text: str, gap: int) -> None:
    assert smallest_gap_ms(Cron.parse(text), ANY) == gap


FIVE = st.tuples(field(0, 59), field(0, 23), DAY, MONTH, WEEKDAY).map(" ".join)
SIX = st.tuples(field(0, 59), field(0, 59), field(0, 23), DAY, MONTH, WEEKDAY).map(" ".join)


def smallest_by_looking(text: str) -> int | None:
    """Of 28 years, in seconds; each day has the same times."""
    fields = cron_oracle.six(text)
    seconds, minutes, hours = (
        [number for number in range(limit) if cron_oracle.number_matches(index, word, number)]
        for index, (word, limit) in enumerate(zip(fields[:3], (60, 60, 24), strict=True))
    )
    times = [
        hour * 3600 + minute * 60 + second
        for hour in hours
        for minute in minutes
        for second in seconds
    ]
    days = [
        number
        for number in range(DAYS)
        if cron_oracle.date_matches(text, FIRST + timedelta(days=number))
    ]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    gaps += [(later - earlier) * 86_400 + times[0] - times[-1] for earlier, later in pairwise(days)]
    return min(gaps, default=None)


@settings(max_examples=40)
@given(text=st.one_of(FIVE, SIX), limit=st.sampled_from([ANY, 5000, MINUTE, HOUR, 2 * A_DAY]))
def test_it_is_what_all_occurrences_say(text: str, limit: int) -> None:
    try:
        cron = Cron.parse(text)
    except Unparsable:
        assume(False)
    seen = smallest_by_looking(text)
    gap = smallest_gap_ms(cron, limit)
    if seen is None or seen >= 366 * 86_400:  # rarer than what 28 years show
        assert gap >= min(limit, 366 * A_DAY)
    elif seen * SECOND < limit:
        assert gap == seen * SECOND
    else:
        assert gap >= limit


def test_a_limit_of_a_second_costs_nothing() -> None:
    """Nothing is closer: the expression is not looked at."""
    nothing: Cron = None  # type: ignore[assignment]
    assert smallest_gap_ms(nothing, 1000) >= 1000


@pytest.mark.parametrize(
    "texts",
    [
        (
            "0 0 * * *",
            "@daily",
            "00 0  * * *",
            "0 0 0 * * *",
            "0 0 ? * ?",
            "0 0 1-31 * *",
            "0 0 * 1-12 *",
        ),
        ("* * * * * *", "*/1 * * * * *", "0-59 * * * * *"),
        ("0 9 * JAN mon", "0 9 * 1 1", "0 9 ? jan MON"),
        ("0 9 * * 0", "0 9 * * 7", "0 9 * * sun"),
        ("0 9 * * 1#2,2#3", "0 9 * * 2#3,1#2"),
        ("0 9 * January Monday", "0 9 * 1 1"),
        ("0 9 * * sat-sun", "0 9 * * 6-0", "0 9 * * sun,sat", "weekends at 9"),
        ("0 0 L * *", "0 0 L-0 * *", "last day of the month"),
        ("0 0 LW,1W * *", "0 0 1w,lw,L-0W * *"),
        ("0 0 L-3,L-1 * *", "0 0 L-1,L-3 * *"),
        ("0 0 * * *", "Daily", "every day at midnight"),
        ("0 9 * * 1", "every monday at 9", "mondays at 9am", "weekly on monday at 09:00"),
        ("every 3 days at 9am", "every three days at 09:00", "every 3 days, at 9"),
    ],
)
def test_spellings_of_one_expression_share_a_fingerprint(texts: tuple[str, ...]) -> None:
    assert len({Cron.parse(text).fingerprint for text in texts}) == 1
    assert 0 < Cron.parse(texts[0]).fingerprint < 2**48


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 0 L * *", "0 0 LW * *"),
        ("0 0 L-3 * *", "0 0 L-3W * *"),
        ("0 0 15 * *", "0 0 15W * *"),
        ("daily at 9", "every 2 days at 9"),
        ("every 2 days at 9", "every 3 days at 9"),
    ],
)
def test_what_differs_in_a_letter_has_another_fingerprint(one: str, other: str) -> None:
    assert Cron.parse(one).fingerprint != Cron.parse(other).fingerprint


@pytest.mark.parametrize(
    ("text", "days"), [("every 2 days at 9", 2), ("every 45 days at 9", 45), ("daily at 9", 1)]
)
def test_every_few_days_are_so_far_from_each_other(text: str, days: int) -> None:
    assert smallest_gap_ms(Cron.parse(text), 400 * A_DAY) == days * A_DAY


@given(one=st.one_of(FIVE, SIX), other=st.one_of(FIVE, SIX))
def test_what_is_due_at_other_times_has_another_fingerprint(one: str, other: str) -> None:
    try:
        crons = Cron.parse(one), Cron.parse(other)
    except Unparsable:
        assume(False)
    if crons[0].fingerprint == crons[1].fingerprint:
        assert cron_oracle.follows_elapsed_time(one) == cron_oracle.follows_elapsed_time(other)
        assert all(
            cron_oracle.date_matches(one, FIRST + timedelta(days=number))
            == cron_oracle.date_matches(other, FIRST + timedelta(days=number))
            for number in range(400)
        )
        assert crons[0].seconds == crons[1].seconds
        assert crons[0].minutes == crons[1].minutes


def test_fixed_times_are_not_the_same_as_every_hour() -> None:
    """They differ where the clock changes (docs/contract.md)."""
    assert Cron.parse("0 * * * *").fingerprint != Cron.parse("0 0-23 * * *").fingerprint
