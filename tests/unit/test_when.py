"""Texts of `when`: every example of the contract, and what is refused in place of being guessed."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.errors import ElapsedTime, Unparsable
from scheduling_client.schedules.when import ACCEPTED, check_not_elapsed, is_relative, parse_when

BERLIN = "Europe/Berlin"
NOW = "2018-01-10T09:30:00.500"  # a Wednesday, 10:30 in Berlin


def ms(text: str) -> int:
    """Epoch ms of an ISO text; UTC if it has no offset."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def when(text: str, zone: str = "UTC", now: str = NOW) -> str:
    at = parse_when(text, ms(now), ZoneInfo(zone))
    moment = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 3339 and ISO 8601.
        ("2019-01-15T10:30:00Z", "2019-01-15T10:30:00.000"),
        ("2019-01-15t10:30:00z", "2019-01-15T10:30:00.000"),
        ("2019-01-15 10:30:00Z", "2019-01-15T10:30:00.000"),
        ("2019-01-15T10:30:00.123Z", "2019-01-15T10:30:00.123"),
        ("2019-01-15T10:30:00,123Z", "2019-01-15T10:30:00.123"),
        ("2019-01-15T10:30:00.1Z", "2019-01-15T10:30:00.100"),
        ("2019-01-15T10:30:00.123001Z", "2019-01-15T10:30:00.124"),
        ("2019-01-15T10:30:00.123000000Z", "2019-01-15T10:30:00.123"),
        ("2019-01-15T23:59:59.9999Z", "2019-01-16T00:00:00.000"),
        ("2019-01-15T10:30:00+02:00", "2019-01-15T08:30:00.000"),
        ("2019-01-15T10:30:00-05:30", "2019-01-15T16:00:00.000"),
        ("2019-01-15T10:30:00+0200", "2019-01-15T08:30:00.000"),
        ("2019-01-15T10:30:00+02", "2019-01-15T08:30:00.000"),
        ("2019-01-15 10:30:00 +0200", "2019-01-15T08:30:00.000"),
        ("2019-01-15T10:30:00-00:00", "2019-01-15T10:30:00.000"),
        ("2019-01-15T10:30Z", "2019-01-15T10:30:00.000"),
        ("20190115T103000Z", "2019-01-15T10:30:00.000"),
        ("20190115T1030+0100", "2019-01-15T09:30:00.000"),
        ("2019-01-15T10:30:00", "2019-01-15T09:30:00.000"),
        ("2019-07-15T10:30:00", "2019-07-15T08:30:00.000"),
        ("2019-01-15 10:30", "2019-01-15T09:30:00.000"),
        ("2019-01-15", "2019-01-14T23:00:00.000"),
        ("2020-02-29", "2020-02-28T23:00:00.000"),
        # Months by name, and the American order.
        ("Jan 15, 2018 10:30:00", "2018-01-15T09:30:00.000"),
        ("January 15 2019", "2019-01-14T23:00:00.000"),
        ("15 January 2019 10:30", "2019-01-15T09:30:00.000"),
        ("Apr 5, 2018 9:00 AM", "2018-04-05T07:00:00.000"),
        ("01/15/2019 10:30", "2019-01-15T09:30:00.000"),
        ("1/5/2019, 10:30:00 PM", "2019-01-05T21:30:00.000"),
        ("1/5/2019, 10:30:00\u202fPM", "2019-01-05T21:30:00.000"),
        ("01/15/2019", "2019-01-14T23:00:00.000"),
        ("jan. 15th, 2019 at 5pm", "2019-01-15T16:00:00.000"),
        ("SEPT 1 2019 12:00 a.m.", "2019-08-31T22:00:00.000"),
        ("Jan 15, 2018 12:30 pm", "2018-01-15T11:30:00.000"),
        ("Jan 15, 2018 10:30:00.250", "2018-01-15T09:30:00.250"),
        ("Jan 15, 2018 10:30:00 UTC", "2018-01-15T10:30:00.000"),
        ("Tuesday, January 15, 2019 10:30", "2019-01-15T09:30:00.000"),
        # RFC 2822.
        ("Tue, 15 Jan 2019 10:30:00 GMT", "2019-01-15T10:30:00.000"),
        ("Tue, 15 Jan 2019 10:30:00 +0100", "2019-01-15T09:30:00.000"),
        ("15 Jan 2019 10:30 -0500", "2019-01-15T15:30:00.000"),
        ("Tue, 1 Jan 2019 10:30:00 EST", "2019-01-01T15:30:00.000"),
        ("Tue, 15 Jan 2019 10:30:00 +0000 (UTC)", "2019-01-15T10:30:00.000"),
        # JavaScript: GMT+0100 is east.
        ("Mon Jan 15 2018 10:30:00 GMT+0100 (CET)", "2018-01-15T09:30:00.000"),
        (
            "Mon Jan 15 2018 10:30:00 GMT-0500 (Eastern Standard Time)",
            "2018-01-15T15:30:00.000",
        ),
        (
            "Mon Jan 15 2018 10:30:00 GMT+0100 (Mitteleurop\u00e4ische Normalzeit)",
            "2018-01-15T09:30:00.000",
        ),
        ("Mon Jan 15 2018", "2018-01-14T23:00:00.000"),
        # Relative English, from Wednesday 10:30:00.500.
        ("in 90 seconds", "2018-01-10T09:31:30.500"),
        ("4 seconds from now", "2018-01-10T09:30:04.500"),
        ("in 1 hour and 30 minutes", "2018-01-10T11:00:00.500"),
        ("in an hour", "2018-01-10T10:30:00.500"),
        ("In Half An Hour", "2018-01-10T10:00:00.500"),
        ("in 0.0001 seconds", "2018-01-10T09:30:00.501"),
        ("in 0 seconds", "2018-01-10T09:30:00.500"),
        ("now", "2018-01-10T09:30:00.500"),
        ("in 1 month", "2018-02-09T09:30:00.500"),
        ("tomorrow", "2018-01-11T09:30:00.500"),
        ("tomorrow at 5pm", "2018-01-11T16:00:00.000"),
        ("tomorrow 5 pm", "2018-01-11T16:00:00.000"),
        ("tomorrow at 17:05:06.007", "2018-01-11T16:05:06.007"),
        ("tomorrow at noon", "2018-01-11T11:00:00.000"),
        ("tomorrow at midnight", "2018-01-10T23:00:00.000"),
        ("tomorrow at 12am", "2018-01-10T23:00:00.000"),
        ("today at 5pm", "2018-01-10T16:00:00.000"),
        ("today at 9am", "2018-01-10T08:00:00.000"),
        ("monday at 9am", "2018-01-15T08:00:00.000"),
        ("on monday at 9am", "2018-01-15T08:00:00.000"),
        ("wednesday at 10:31", "2018-01-10T09:31:00.000"),
        ("wednesday at 10:30", "2018-01-17T09:30:00.000"),
        ("wednesday", "2018-01-17T09:30:00.500"),
        ("next wednesday at 10:31", "2018-01-17T09:31:00.000"),
        ("thu", "2018-01-11T09:30:00.500"),
        ("next friday at noon", "2018-01-12T11:00:00.000"),
        ("next friday", "2018-01-12T09:30:00.500"),
        ("midnight", "2018-01-10T23:00:00.000"),
        ("noon", "2018-01-10T11:00:00.000"),
        ("at 9am", "2018-01-11T08:00:00.000"),
        ("17:30", "2018-01-10T16:30:00.000"),
        # Further texts that clients of 2018 sent.
        ("2019/04/05 09:00", "2019-04-05T07:00:00.000"),
        ("2019/1/5", "2019-01-04T23:00:00.000"),
        ("5 seconds", "2018-01-10T09:30:05.500"),
        ("2 hours", "2018-01-10T11:30:00.500"),
        ("+5 minutes", "2018-01-10T09:35:00.500"),
        ("an hour later", "2018-01-10T10:30:00.500"),
        ("1 hour and 30 minutes later", "2018-01-10T11:00:00.500"),
        ("next week", "2018-01-17T09:30:00.500"),
        ("next week at noon", "2018-01-17T11:00:00.000"),
        ("next week tuesday at 4:30pm", "2018-01-16T15:30:00.000"),
        ("next week on sunday", "2018-01-21T09:30:00.500"),
        ("tomorrow morning", "2018-01-11T08:00:00.000"),
        ("tomorrow afternoon", "2018-01-11T13:00:00.000"),
        ("friday evening", "2018-01-12T17:00:00.000"),
        ("tomorrow at 9 in the morning", "2018-01-11T08:00:00.000"),
        ("tomorrow at 4:30 in the afternoon", "2018-01-11T15:30:00.000"),
        ("9 in the evening", "2018-01-10T20:00:00.000"),
        ("1st of May 4:00am", "2018-05-01T02:00:00.000"),
        ("May 1st", "2018-04-30T22:00:00.000"),
        ("1 May at noon", "2018-05-01T10:00:00.000"),
        ("Jan 10 at 5pm", "2018-01-10T16:00:00.000"),
        ("Jan 10", "2019-01-09T23:00:00.000"),
        ("Feb 29", "2020-02-28T23:00:00.000"),
        ("1st of May 2019 4:00am", "2019-05-01T02:00:00.000"),
    ],
)
def test_it_is_understood_in_berlin(text: str, expected: str) -> None:
    assert when(text, BERLIN) == expected


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        *[("Z", 0), ("UT", 0), ("UTC", 0), ("GMT", 0), ("EST", 5), ("EDT", 4)],
        *[("CST", 6), ("CDT", 5), ("MST", 7), ("MDT", 6), ("PST", 8), ("PDT", 7)],
    ],
)
def test_the_zones_of_rfc_2822(name: str, hours: int) -> None:
    assert when(f"15 Jan 2019 10:00 {name}", BERLIN) == f"2019-01-15T{10 + hours}:00:00.000"


def test_next_friday_on_a_friday_is_a_week_away() -> None:
    assert when("next friday at noon", now="2018-01-12T09:00:00") == "2018-01-19T12:00:00.000"
    assert when("friday at noon", now="2018-01-12T09:00:00") == "2018-01-12T12:00:00.000"
    assert when("friday at noon", now="2018-01-12T12:00:00") == "2018-01-19T12:00:00.000"


def test_midnight_at_midnight_is_the_next_one() -> None:
    assert when("midnight", now="2018-01-12T00:00:00") == "2018-01-13T00:00:00.000"
    assert when("midnight", now="2018-01-11T23:59:59.999") == "2018-01-12T00:00:00.000"


def test_the_day_is_that_of_the_zone() -> None:
    # 23:30 UTC on Wednesday is Thursday in Kathmandu, and Wednesday in New York.
    now = "2018-01-10T23:30:00"
    assert when("tomorrow at noon", "Asia/Kathmandu", now) == "2018-01-12T06:15:00.000"
    assert when("tomorrow at noon", "America/New_York", now) == "2018-01-11T17:00:00.000"
    assert when("thursday at 1am", "Asia/Kathmandu", now) == "2018-01-17T19:15:00.000"


@pytest.mark.parametrize(
    ("zone", "text", "now", "expected"),
    [
        # Skipped: the first instant after the gap, without the text's fraction.
        (BERLIN, "2024-03-31T02:30:15.5", NOW, "2024-03-31T01:00:00.000"),
        (BERLIN, "2024-03-31T02:00:00", NOW, "2024-03-31T01:00:00.000"),
        (BERLIN, "2024-03-31T01:59:59.999", NOW, "2024-03-31T00:59:59.999"),
        (BERLIN, "2024-03-31T03:00:00", NOW, "2024-03-31T01:00:00.000"),
        ("America/New_York", "Mar 10, 2024 2:59 AM", NOW, "2024-03-10T07:00:00.000"),
        ("Australia/Lord_Howe", "2024-10-06 02:15", NOW, "2024-10-05T15:30:00.000"),
        ("America/Havana", "2024-03-10", NOW, "2024-03-10T05:00:00.000"),
        ("Asia/Beirut", "2024-03-31", NOW, "2024-03-30T22:00:00.000"),
        ("Pacific/Apia", "2011-12-30 12:00", NOW, "2011-12-30T10:00:00.000"),
        ("America/Havana", "midnight", "2024-03-09T20:00:00", "2024-03-10T05:00:00.000"),
        (BERLIN, "tomorrow at 2:30am", "2024-03-30T12:00:00", "2024-03-31T01:00:00.000"),
        (BERLIN, "tomorrow", "2024-03-30T01:30:00", "2024-03-31T01:00:00.000"),
        # Shown twice: the first.
        (BERLIN, "2024-10-27T02:30:15.5", NOW, "2024-10-27T00:30:15.500"),
        (BERLIN, "2024-10-27T03:00:00", NOW, "2024-10-27T02:00:00.000"),
        ("America/New_York", "11/03/2024 1:30 AM", NOW, "2024-11-03T05:30:00.000"),
        ("Australia/Lord_Howe", "2024-04-07T01:45:00", NOW, "2024-04-06T14:45:00.000"),
        # An offset in the text rules out any doubt.
        (BERLIN, "2024-10-27T02:30:00+01:00", NOW, "2024-10-27T01:30:00.000"),
        (BERLIN, "2024-03-31T02:30:00+01:00", NOW, "2024-03-31T01:30:00.000"),
        # A day is 23 hours on the wall, and 24 hours of elapsed time.
        (BERLIN, "tomorrow at noon", "2024-03-30T11:00:00", "2024-03-31T10:00:00.000"),
        (BERLIN, "in 1 day", "2024-03-30T11:00:00", "2024-03-31T11:00:00.000"),
        ("Asia/Kathmandu", "2024-03-31 05:45", NOW, "2024-03-31T00:00:00.000"),
    ],
)
def test_clock_changes(zone: str, text: str, now: str, expected: str) -> None:
    assert when(text, zone, now) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "1516012200000",
        "1516012200",
        "20190115",
        "2019",
        "5",
        "PT2M",
        "in PT2M",
        "*/5 * * * *",
        "2019-02-30",
        "2019-02-29T10:00:00Z",
        "Feb 30, 2019",
        "31 April 2019",
        "2019-13-01",
        "13/01/2019",
        "15/01/2019 10:30",
        "2019-00-10",
        "2019-01-00",
        "0000-01-01",
        "+002019-01-15",
        "-2019-01-15",
        "19-01-15",
        "2019-1-5",
        "15.01.2019",
        "2019-01-15T24:00:00Z",
        "2019-01-15T10:60:00Z",
        "2019-01-15T10:30:60Z",
        "2019-01-15T10",
        "2019-01-15T",
        "2019-01-15Z",
        "2019-01-15T10:30:00.Z",
        "2019-01-15T10:30:00+24:00",
        "2019-01-15T10:30:00+01:60",
        "2019-01-15T10:30:00+1",
        "2019-01-15T10:30:00ZZ",
        "2019-01-15T10:30:00 CET",
        "2019-01-15T10:30:00 (CET)",
        "2019-01-15T10:30:00Z extra",
        "extra 2019-01-15T10:30:00Z",
        "2019-01-15T10:30:00Z\x00",
        "Jan 2019",
        "Jan 15 19",
        "Janu 15 2019",
        "Mon, 15 Jan 2019 10:30:00 GMT",
        "Foo, 15 Jan 2019 10:30:00 GMT",
        "Jan 15, 2019 13:00 PM",
        "Jan 15, 2019 0:30 am",
        "Jan 15, 2019 10",
        "in",
        "in 5",
        "in five",
        "in -5 minutes",
        "in 5 minutes from now",
        "in every 5 minutes",
        "in 200 years",
        "5 minutes ago ago",
        "in 5 minutes ago",
        "ago",
        "yesterday at",
        "today",
        "tomorrow at",
        "tomorrow at 5",
        "tomorrow at 25:00",
        "tomorrow at 13pm",
        "tomorrow at dawn",
        "tomorrow tomorrow",
        "next tomorrow",
        "next",
        "next next friday",
        "next week tuesday tuesday",
        "next week at",
        "next weak",
        "Jan 15 10",
        "15 10",
        "Janu 15",
        "Feb 30",
        "0 Jan",
        "32 Jan",
        "+",
        "+ +5 minutes",
        "+5",
        "later",
        "an hour later later",
        "tomorrow at 14 in the afternoon",
        "tomorrow in the morning in the morning",
        "at 9 in the night",
        "12 in the evening",
        "12 in the morning",
        "tomorrow at 9 in the afternoon",
        "2019/13/01",
        "2019/04/05/06",
        "at",
        "at at 5pm",
        "friday (CET)",
        "now (CET)",
        "\u0662\u0660\u0661\u0669-01-15",
        "2019-01-15T10:30:00\u212a",
        "mon\u212aday",
        "9999-12-31T23:59:59.9999Z",
        "9999-12-31T23:59:59.9999",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "1" * 10_000_000,
        "(" * 10_000_000 + ")",
        " " * 10_000_000,
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Unparsable, match=f"{re.escape(ACCEPTED)}|1 to 9999|200 char") as caught:
        parse_when(text, ms(NOW), ZoneInfo(BERLIN))
    assert len(str(caught.value)) < 400


def test_the_reason_is_told() -> None:
    for text, why in [
        ("Feb 30, 2019", "there is no such date"),
        ("Mon, 15 Jan 2019", "2019-01-15 is not that day of the week"),
        ("2019-01-15T10:30 CET", "'cet' does not say an offset from UTC"),
    ]:
        with pytest.raises(Unparsable, match=why):
            parse_when(text, ms(NOW), ZoneInfo("UTC"))


def test_the_first_and_the_last_instant_there_is() -> None:
    assert when("9999-12-31T23:59:59.999Z") == "9999-12-31T23:59:59.999"
    assert when("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00.000"


def test_a_second_in_the_past_is_not_elapsed_yet() -> None:
    utc = ZoneInfo("UTC")
    check_not_elapsed(9_000, 10_000, utc, "today")
    with pytest.raises(ElapsedTime):
        check_not_elapsed(8_999, 10_000, utc, "today")


@pytest.mark.parametrize(
    ("text", "zone", "instant", "now"),
    [
        (
            "2018-01-15 10:30",
            "Europe/Berlin",
            "2018-01-15T10:30:00.000+01:00",
            "2018-07-01T12:00:00.000+02:00",
        ),
        (
            "2018-06-30T23:00:00.250-05:00",
            "UTC",
            "2018-07-01T04:00:00.250+00:00",
            "2018-07-01T10:00:00.000+00:00",
        ),
        (
            "yesterday",
            "Europe/Berlin",
            "2018-06-30T12:00:00.000+02:00",
            "2018-07-01T12:00:00.000+02:00",
        ),
        (
            "yesterday at 5pm",
            "UTC",
            "2018-06-30T17:00:00.000+00:00",
            "2018-07-01T10:00:00.000+00:00",
        ),
        (
            "1.5 hours ago",
            "UTC",
            "2018-07-01T08:30:00.000+00:00",
            "2018-07-01T10:00:00.000+00:00",
        ),
        (
            "0001-01-01",
            "Asia/Kathmandu",
            "0001-01-01T00:00:00.000+00:00",
            "2018-07-01T15:45:00.000+05:45",
        ),
    ],
)
def test_an_elapsed_time_says_what_was_understood(
    text: str, zone: str, instant: str, now: str
) -> None:
    """Before, a wrong zone or a wrong year could not be seen. The year 1 is told in UTC."""
    asked = ms("2018-07-01T10:00:00")
    due = parse_when(text, asked, ZoneInfo("UTC" if text == "0001-01-01" else zone))
    with pytest.raises(ElapsedTime) as caught:
        check_not_elapsed(due, asked, ZoneInfo(zone), text)
    assert str(caught.value) == (
        f"Cannot schedule a job for an elapsed time: '{text}' is {instant}, and now it is {now}"
        f" ({zone})."
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("31/12/2030", "the month stands first, as in '12/31/2030'"),
        ("15/1/2030 10:30", "the month stands first, as in '01/15/2030'"),
        ("29/02/2028", "the month stands first, as in '02/29/2028'"),
        ("31.12.2030", "the month stands first, as in '12/31/2030'"),
        ("31.12.2030 10:30", "the month stands first, as in '12/31/2030'"),
        ("31.13.2030", "there is no such date"),
        ("29/02/2030", "there is no such date"),
        ("31/13/2030", "there is no such date"),
        ("2030/31/12", "there is no such date"),
        ("2030-31-12", "there is no such date"),
    ],
)
def test_a_day_in_the_place_of_the_month_is_shown_the_right_way(text: str, reason: str) -> None:
    with pytest.raises(Unparsable) as caught:
        parse_when(text, ms(NOW), ZoneInfo("UTC"))
    assert str(caught.value).startswith(f"Time '{text}' is not understood: {reason}; give ")


OFFSETS = st.integers(-14 * 60, 14 * 60)


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)), OFFSETS)  # noqa: DTZ001
def test_each_way_to_write_an_instant_means_the_same(moment: datetime, offset: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    sign, hours, minutes = "-" if offset < 0 else "+", *divmod(abs(offset), 60)
    plain = moment.replace(tzinfo=UTC)
    expected = (plain - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 - offset * 60_000
    fraction = f"{moment.microsecond // 1000:03}"
    clock = f"{moment:%H:%M:%S}.{fraction}"
    half_day = f"{moment:%I:%M:%S}.{fraction} {moment:%p}"
    year = f"{moment.year:04}"
    for text in (
        f"{year}-{moment:%m-%d}T{clock}{sign}{hours:02}:{minutes:02}",
        f"{moment:%a}, {moment:%d} {moment:%b} {year} {clock} {sign}{hours:02}{minutes:02}",
        f"{moment:%a %b %d} {year} {clock} GMT{sign}{hours:02}{minutes:02} (Zone of Mine)",
        f"{moment:%m/%d}/{year}, {half_day} UTC{sign}{hours:02}{minutes:02}",
    ):
        assert parse_when(text, 0, ZoneInfo(BERLIN)) == round(expected)


@given(
    st.integers(0, 4_000_000_000),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
)
def test_a_local_time_comes_back_or_is_the_first_after_it(instant: int, name: str) -> None:
    """What the clock shows at an instant means that instant, or an earlier showing of it."""
    zone = ZoneInfo(name)
    shown = datetime.fromtimestamp(instant, zone)
    found = parse_when(f"{shown:%Y-%m-%d %H:%M:%S}", 0, zone)
    assert found == (instant if shown.fold == 0 else int(shown.replace(fold=0).timestamp())) * 1000


@pytest.mark.parametrize(
    ("text", "relative"),
    [
        ("2030-01-15T10:30:00Z", False),
        ("2030-01-15", False),
        ("20300115T103000Z", False),
        ("2030/01/15 10:30", False),
        ("Jan 15, 2030", False),
        ("Tue Jan 15 2030 10:30:00 GMT+0100 (CET)", False),
        ("in 5 minutes", True),
        ("twenty-five minutes from now", True),
        ("tomorrow", True),
        ("May 1st", True),
        ("5pm", True),
    ],
)
def test_whether_a_text_depends_on_now(text: str, relative: bool) -> None:
    assert is_relative(text) is relative
