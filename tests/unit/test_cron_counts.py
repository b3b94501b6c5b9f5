"""Counts of occurrences of cron expressions: as many as the search finds one by one."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_counts import count_between
from scheduling_client.schedules.recurrence import Matches, occurrences

DAY = 86_400_000
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
TEXTS = [
    "0 5 * * *",
    "30 2 * * *",
    "0,15,30 1,2,3 * * *",
    "*/7 * * * *",
    "*/20 1-3 * * 1-5",
    "15 0 2 29 2 *",
    "0 0 1 * *",
    "59 23 L * *",
    "10,50 30 */2 * * *",
    "0 0 * * 0",
]
SPRING, AUTUMN = 1_774_746_000_000, 1_792_890_000_000
"""2026-03-29 and 2026-10-25, 01:00 UTC: when the clock of Berlin changes."""
instants = st.one_of(
    st.integers(SPRING - 3 * DAY, SPRING + 3 * DAY),
    st.integers(AUTUMN - 3 * DAY, AUTUMN + 3 * DAY),
    st.integers(0, 4 * 10**12),
)


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    instants,
    st.one_of(st.integers(0, 3 * DAY), st.integers(0, 40 * DAY)),
)
def test_a_count_is_that_of_the_search(text: str, place: str, after: int, length: int) -> None:
    cron, zone = Cron.parse(text), ZoneInfo(place)
    found = occurrences(Matches(cron, zone), after, after + length)
    assert count_between(cron, after, after + length, zone) == sum(1 for _ in found)


def test_a_skipped_time_is_due_once_and_so_is_a_repeated_one() -> None:
    cron, zone = Cron.parse("15,30,45 2 * * *"), ZoneInfo("Europe/Berlin")
    assert count_between(cron, SPRING - 1000, SPRING, zone) == 1
    assert count_between(cron, AUTUMN - DAY, AUTUMN + DAY, zone) == 3


def test_a_long_time_is_counted_at_once() -> None:
    cron, zone = Cron.parse("* * * * * *"), ZoneInfo("Europe/Berlin")
    assert count_between(cron, 0, 36_500 * DAY, zone) == 36_500 * 86_400


def test_nothing_is_between_an_instant_and_itself() -> None:
    assert count_between(Cron.parse("* * * * *"), 60_000, 60_000, ZoneInfo("UTC")) == 0
