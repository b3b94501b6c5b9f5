"""Cron against the oracle: random expressions, at random instants and around clock changes."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import Unparsable
from tests.unit import cron_oracle

HOUR = 3600
# A change of the clock in each zone, as UTC: (zone, instant).
CHANGES = [
    ("Europe/Berlin", "2024-03-31T01:00:00"),
    ("Europe/Berlin", "2024-10-27T01:00:00"),
    ("America/New_York", "2024-03-10T07:00:00"),
    ("America/New_York", "2024-11-03T06:00:00"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:30:00"),
    ("America/Havana", "2024-03-10T05:00:00"),
    ("America/Havana", "2024-11-03T05:00:00"),
    ("Asia/Beirut", "2024-03-30T22:00:00"),
    ("Asia/Kathmandu", "1985-12-31T18:30:00"),
    ("Africa/Casablanca", "2024-03-10T02:00:00"),
    ("Antarctica/Troll", "2024-03-31T01:00:00"),
]


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def element(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high - low)
    return st.one_of(
        st.just("*"),
        number.map(str),
        number.map(str),
        span,
        st.tuples(st.one_of(st.just("*"), span, number.map(str)), step).map("{0[0]}/{0[1]}".format),
    )


def field(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(element(low, high), min_size=1, max_size=3).map(",".join)


DAY_WORDS = st.one_of(
    st.sampled_from(["L", "1,L", "L,15", "LW", "lw,1w", "1W", "15w", "31W", "L-3", "l-27,L-29"]),
    st.integers(1, 31).map("{}W".format),
    st.integers(0, 30).map("L-{}".format),
    st.integers(0, 30).map("L-{}W".format),
)
DAY = st.one_of(st.just("*"), st.just("?"), field(1, 31), DAY_WORDS)
MONTH_WORDS = st.sampled_from(["feb", "JAN-mar", "Sep,oct/2", "January", "may-August/2"])
MONTH = st.one_of(st.just("*"), field(1, 12), MONTH_WORDS)
WEEKDAY = st.one_of(
    st.just("*"),
    st.just("?"),
    field(0, 7),
    st.sampled_from(["mon-FRI", "5L", "sunL", "1#2", "TUE#5", "7#1,3", "sat,1#1"]),
    st.sampled_from(["sat-sun", "Monday", "friday-SUN/2", "6-0", "fridayL", "Tuesday#2", "tue-0"]),
)
# Around a change the hours matter, so they are drawn from those that may be hit.
NEAR_HOUR = st.one_of(st.just("*"), field(0, 3), st.just("1/1"), st.just("23,0-1"))
NEAR_DAYS = st.sampled_from(["* * *", "* * *", "* * sun", "? mar,oct ?", "10/7 * *"])
FIVE = st.tuples(field(0, 59), field(0, 23), DAY, MONTH, WEEKDAY).map(" ".join)
NEAR_FIVE = st.tuples(field(0, 59), NEAR_HOUR, NEAR_DAYS).map(" ".join)
NEAR_SIX = st.tuples(field(0, 59), field(0, 59), NEAR_HOUR, NEAR_DAYS).map(" ".join)


def runs(expression: str, start: int, end: int, zone: ZoneInfo) -> list[int]:
    """Ask the product for the same list as the oracle."""
    cron, found, at = Cron.parse(expression), [], start * 1000 - 1
    while (at := cron.next_after(at, zone)) < end * 1000:
        found.append(at // 1000)
    return found


def runs_backwards(expression: str, start: int, end: int, zone: ZoneInfo) -> list[int]:
    cron, found, before = Cron.parse(expression), [], end * 1000
    while (at := cron.latest_before(before, start * 1000, zone)) is not None:
        found.append(at // 1000)
        before = at
    return found[::-1]


def check(expression: str, start: int, end: int, zone: ZoneInfo) -> None:
    expected = cron_oracle.runs(expression, start, end, zone)
    assert runs(expression, start, end, zone) == expected
    assert runs_backwards(expression, start, end, zone) == expected


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CHANGES), NEAR_FIVE)
def test_five_fields_around_a_change(change: tuple[str, str], expression: str) -> None:
    at = seconds(change[1])
    check(expression, at - 8 * HOUR, at + 20 * HOUR, ZoneInfo(change[0]))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CHANGES), NEAR_SIX)
def test_six_fields_around_a_change(change: tuple[str, str], expression: str) -> None:
    at = seconds(change[1])
    check(expression, at - 2 * HOUR, at + 3 * HOUR, ZoneInfo(change[0]))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**31 // 60),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    FIVE,
)
def test_five_fields_at_any_time(minute: int, zone: str, expression: str) -> None:
    try:
        Cron.parse(expression)
    except Unparsable as error:
        assume("never" not in str(error) and "no such day" not in str(error))
        raise
    check(expression, minute * 60, minute * 60 + 26 * HOUR, ZoneInfo(zone))


@settings(max_examples=150, deadline=None)
@given(st.dates(date(1972, 1, 1), date(2100, 12, 31)), DAY, MONTH, WEEKDAY)
def test_the_next_date_is_the_one_a_walk_finds(
    start: date, day: str, month: str, weekday: str
) -> None:
    expression = f"0 0 {day} {month} {weekday}"
    days = (start + timedelta(days=n) for n in range(1, 28 * 366))
    found = next((d for d in days if cron_oracle.date_matches(expression, d)), None)
    midnight = seconds(f"{start}T00:00:00") * 1000
    if found is None:
        with pytest.raises(Unparsable, match=r"day-of-(month|week) field"):
            Cron.parse(expression)
    else:
        at = Cron.parse(expression).next_after(midnight, ZoneInfo("UTC"))
        assert at == seconds(f"{found}T00:00:00") * 1000


DAYS_IN_WORDS = {
    "daily": lambda day: True,
    "every day": lambda day: True,
    "every Monday": lambda day: day.isoweekday() == 1,
    "mondays, Tuesdays and sundays": lambda day: day.isoweekday() in (1, 2, 7),
    "every friday to monday": lambda day: day.isoweekday() in (5, 6, 7, 1),
    "weekdays": lambda day: day.isoweekday() < 6,
    "every weekend": lambda day: day.isoweekday() > 5,
    "first day of the month": lambda day: day.day == 1,
    "the 31st of every month": lambda day: day.day == 31,
    "last day of the month": lambda day: (day + timedelta(days=1)).day == 1,
    "third friday of the month": lambda day: day.isoweekday() == 5 and 15 <= day.day <= 21,
    "last sunday of each month": lambda day: (
        day.isoweekday() == 7 and (day + timedelta(days=7)).month != day.month
    ),
    "last weekday of the month": lambda day: cron_oracle.day_matches("LW", day),
    "every 3 days": lambda day: (day - date(1970, 1, 1)).days % 3 == 0,
    "every other day": lambda day: (day - date(1970, 1, 1)).days % 2 == 0,
    "every forty-five days": lambda day: (day - date(1970, 1, 1)).days % 45 == 0,
}
TIMES_IN_WORDS = {
    "9": (9, 0, 0),
    "0": (0, 0, 0),
    "23": (23, 0, 0),
    "9am": (9, 0, 0),
    "12:30 AM": (0, 30, 0),
    "18:00": (18, 0, 0),
    "02:30": (2, 30, 0),
    "2:30:15": (2, 30, 15),
    "noon": (12, 0, 0),
    "midnight": (0, 0, 0),
    "4 in the afternoon": (16, 0, 0),
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(DAYS_IN_WORDS)),
    st.sampled_from(list(TIMES_IN_WORDS)),
    st.sampled_from([(zone, None) for zone in ("UTC", "Asia/Kathmandu")] + CHANGES),
    st.dates(date(1972, 1, 1), date(2100, 12, 31)),
)
def test_days_in_words_are_those_that_a_walk_finds(
    words: str, clock: str, change: tuple[str, str | None], start: date
) -> None:
    """Skipped times run at the end of the gap, repeated ones the first time, as in cron."""
    zone = ZoneInfo(change[0])
    if change[1]:
        start = datetime.fromtimestamp(seconds(change[1]), zone).date() - timedelta(days=2)
    days = (start + timedelta(days=n) for n in range(5 * 366))
    day = next(each for each in days if DAYS_IN_WORDS[words](each))
    midnight = datetime(start.year, start.month, start.day, tzinfo=zone)
    cron = Cron.parse(f"{words} at {clock}")
    shown = datetime.combine(day, time(*TIMES_IN_WORDS[clock]))
    due = int(shown.replace(tzinfo=zone).timestamp())
    if datetime.fromtimestamp(due, zone).replace(tzinfo=None) != shown:  # skipped by the clock
        walk = cron_oracle.walk(due // 60 * 60 - 4 * HOUR, due + 4 * HOUR, 60, zone)
        due = next(instant for instant, local in walk if local >= shown)
    found = cron.next_after(int(midnight.timestamp()) * 1000 - 1, zone)
    assert found == due * 1000
    assert cron.latest_before(found + 1, 0, zone) == found


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 * 1000),
    st.sampled_from([zone for zone, _ in CHANGES]),
    st.one_of(NEAR_FIVE, NEAR_SIX),
)
def test_what_comes_next_is_later_and_is_the_latest_before_what_follows(
    at: int, name: str, expression: str
) -> None:
    cron, zone = Cron.parse(expression), ZoneInfo(name)
    first = cron.next_after(at, zone)
    second = cron.next_after(first, zone)
    assert at < first < second
    assert cron.next_after(first - 1, zone) == first
    assert cron.latest_before(second, 0, zone) == first
    assert cron.latest_before(first + 1, at, zone) == first
    assert cron.latest_before(first, at + 1, zone) is None
