"""Previews: the next times, their words, and remarks where the clock changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_description import described
from scheduling_client.schedules.errors import ElapsedTime, ScheduleError, Unparsable
from scheduling_client.schedules.preview import Bounds, ClockChange, preview
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import UTC
from tests.unit.test_cron_oracle import FIVE

BERLIN = "Europe/Berlin"
NOW = parse_when("2027-03-27T12:00:00Z", 0, UTC)
HOUR, DAY = 3_600_000, 86_400_000


def locals_of(text: str, **options: object) -> list[str]:
    found = preview(text, now=NOW, **{"timezone": BERLIN, "count": 3, **options})  # type: ignore[arg-type]
    return [time.local for time in found.times]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/30 * * * *", "every 30 minutes"),
        ("*/7 * * * *", "every 7th minute from the start of every hour"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("30 10 * * * *", "at second 30 of every minute, at minute 10 of every hour"),
        ("0 5 * * *", "at 05:00 every day"),
        ("15 0 5 * * *", "at 05:00:15 every day"),
        ("0 9,17 * * *", "at 09:00 and 17:00 every day"),
        ("15 * * * *", "at minute 15 of every hour"),
        ("10-20 * * * *", "every minute from 10 to 20 of every hour"),
        ("0 */2 * * *", "every 2 hours"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
        ("*/15 9-17 * * 1-5", "every 15 minutes, from 09:00 to 17:59, on Monday to Friday"),
        ("*/5 */6 * * *", "every 5 minutes, in every 6th hour of the day"),
        ("*/5 1,2,5 * * *", "every 5 minutes, in the hours 1, 2 and 5"),
        ("0 0 * * sat,sun", "at 00:00, on Saturday and Sunday"),
        ("0 0 1 * *", "at 00:00, on the 1st of the month"),
        ("0 0 1-7 * *", "at 00:00, on the 1st to 7th of the month"),
        ("0 0 1,15 * 5", "at 00:00, on the 1st and 15th of the month or on Friday"),
        ("0 0 */2 * 1", "at 00:00, on every 2nd day from the 1st, if it is a Monday"),
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        ("0 0 L-3 * *", "at 00:00, on the 3rd day before the last of the month"),
        ("0 0 LW * *", "at 00:00, on the last weekday of the month"),
        ("0 0 15W * *", "at 00:00, on the weekday nearest to the 15th of the month"),
        ("0 0 * * 5#2", "at 00:00, on the second Friday of the month"),
        ("0 0 * * 5L", "at 00:00, on the last Friday of the month"),
        ("5 0,12 * jan,jul *", "at 00:05 and 12:05, in January and July"),
        ("0 0 1 jun-aug *", "at 00:00, on the 1st of the month, in June to August"),
        ("every 3 days at 9am", "at 09:00, every 3rd day"),
        ("@hourly", "every hour"),
        ("2 minutes", "every 2 minutes"),
        ("PT1H30M", "every 1 hour 30 minutes"),
        ("1500 ms", "every 1 second 500 milliseconds"),
        ("tomorrow at noon", "once, Sunday 28 March 2027 at 12:00 Europe/Berlin"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert preview(text, now=NOW, timezone=BERLIN).words == words


@given(FIVE)
def test_every_expression_has_words(text: str) -> None:
    try:
        cron = Cron.parse(text)
    except Unparsable:
        return
    words = described(cron)
    assert words
    assert words == described(Cron.parse(text.upper()))


def test_the_next_times_of_cron() -> None:
    found = preview("0 0 5 * * *", now=NOW, timezone=BERLIN)
    assert len(found.times) == 10
    assert found.timezone == BERLIN
    assert found.times[0].local == "2027-03-28T05:00:00+02:00"
    assert found.times[0].instant == parse_when("2027-03-28T03:00:00Z", 0, UTC)


def test_a_skipped_time_runs_after_the_gap() -> None:
    first, second, _ = preview("30 2 * * *", now=NOW, timezone=BERLIN, count=3).times
    assert first.local == "2027-03-28T03:00:00+02:00"
    assert first.change is ClockChange.SKIPPED
    assert first.remark == "The clock skips 02:30 that day: it runs at 03:00."
    assert second.local == "2027-03-29T02:30:00+02:00"
    assert (second.change, second.remark) == (ClockChange.NONE, "")


def test_a_repeated_time_runs_at_the_first() -> None:
    after = parse_when("2027-10-30T12:00:00Z", 0, UTC)
    first, second = preview("30 2 * * *", now=NOW, after=after, timezone=BERLIN, count=2).times
    assert first.local == "2027-10-31T02:30:00+02:00"
    assert first.change is ClockChange.REPEATED
    assert first.remark == "The clock shows 02:30 twice that day: it runs at the first."
    assert second.local == "2027-11-01T02:30:00+01:00"


@pytest.mark.parametrize("text", ["*/30 * * * *", "30 minutes"])
def test_a_schedule_that_follows_elapsed_time_says_where_the_clock_moves(text: str) -> None:
    after = parse_when("2027-03-28T00:30:00Z", 0, UTC)
    first, second = preview(
        text, now=NOW, after=after, timezone=BERLIN, count=2, bounds=Bounds(start=NOW)
    ).times
    assert first.local == "2027-03-28T03:00:00+02:00"
    assert first.remark == "Since the time before, the clock was put forward by 1 hour."
    assert second.remark == ""


@pytest.mark.parametrize(
    ("text", "local", "remark"),
    [
        ("2027-03-28 02:30", "03:00:00+02:00", "The clock skips 02:30 that day: it runs at 03:00."),
        (
            "2027-10-31 02:30",
            "02:30:00+02:00",
            "The clock shows 02:30 twice that day: it runs at the first.",
        ),
        ("2027-10-31T02:30:00+01:00", "02:30:00+01:00", ""),
        ("2027-05-01 02:30", "02:30:00+02:00", ""),
    ],
)
def test_a_date_has_one_time(text: str, local: str, remark: str) -> None:
    (time,) = preview(text, now=NOW, timezone=BERLIN).times
    assert time.local.endswith(f"T{local}")
    assert time.remark == remark


def test_an_interval_begins_one_period_from_now_or_at_its_start() -> None:
    assert [time.instant for time in preview("2 h", now=NOW, count=2).times] == [
        NOW + 2 * HOUR,
        NOW + 4 * HOUR,
    ]
    started = Bounds(start=NOW - HOUR)
    assert preview("2 h", now=NOW, count=1, bounds=started).times[0].instant == NOW + HOUR
    later = Bounds(start=NOW + DAY)
    assert preview("2 h", now=NOW, count=1, bounds=later).times[0].instant == NOW + DAY


def test_bounds_end_a_schedule() -> None:
    assert len(preview("2 h", now=NOW, bounds=Bounds(end=NOW + 7 * HOUR)).times) == 3
    assert len(preview("2 h", now=NOW, bounds=Bounds(max_runs=2)).times) == 2
    begins = Bounds(start=NOW + DAY)
    assert locals_of("0 9 * * *", bounds=begins)[0] == "2027-03-29T09:00:00+02:00"


def test_milliseconds_are_shown_where_there_are_any() -> None:
    assert locals_of("in 1500 ms") == ["2027-03-27T13:00:01.500+01:00"]


@pytest.mark.parametrize(
    ("text", "timezone", "error", "sentence"),
    [
        ("0 0 30 2 *", "", Unparsable, "that date never comes"),
        ("61 * * * *", "", Unparsable, "The minute field '61'"),
        ("* * * * * * *", "", Unparsable, "has 7"),
        ("nonsense", "", Unparsable, "'nonsense' is no schedule. As a recurring one: Interval"),
        ("0 5 * * *", "Europe/Berlln", Unparsable, "Time zone 'Europe/Berlln' is not known"),
        ("2020-01-01T00:00:00Z", "", ElapsedTime, "elapsed time"),
    ],
)
def test_why_a_schedule_is_refused(
    text: str, timezone: str, error: type[ScheduleError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence.replace("(", r"\(")):
        preview(text, now=NOW, timezone=timezone)


ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
TEXTS = st.sampled_from(
    [
        "30 2 * * *",
        "*/20 * * * *",
        "0 0 1 * *",
        "15 1-3 * * sun",
        "90 minutes",
        "1 day",
        "0 0 L * *",
    ]
)


@given(TEXTS, ZONES, st.integers(0, 60 * 365 * DAY), st.integers(1, 12))
def test_times_follow_each_other(text: str, timezone: str, now: int, count: int) -> None:
    """A preview from any of its times goes on with the others."""
    found = preview(text, now=now, timezone=timezone, count=count)
    instants = [time.instant for time in found.times]
    assert len(instants) == count
    assert instants == sorted(set(instants))
    assert instants[0] > now
    start = Bounds(start=instants[0])
    again = preview(
        text, now=now, timezone=timezone, count=count, after=instants[0] - 1, bounds=start
    )
    assert [time.instant for time in again.times] == instants
    for time in found.times:
        assert parse_when(time.local, 0, UTC) == time.instant
        assert bool(time.remark) == (time.change is not ClockChange.NONE)
