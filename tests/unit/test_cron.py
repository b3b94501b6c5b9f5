"""Cron: what is accepted, what is refused and why, and each rule for clock changes by hand."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduling_client.schedules.cron import Cron, looks_like_cron
from scheduling_client.schedules.errors import Unparsable
from tests.harness.cpu import cpu_seconds

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
HAVANA = "America/Havana"
YEAR_MS = 365 * 86_400_000


def ms(text: str) -> int:
    """Epoch ms of an ISO text; UTC if it has no offset."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def following(expression: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    cron, at, found = Cron.parse(expression), ms(after), []
    for _ in range(count):
        at = cron.next_after(at, ZoneInfo(zone))
        local = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).isoformat()
        found.append(local.removesuffix("+00:00") if zone == "UTC" else local)
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/5 * * * *", "2024-01-01T00:00:00", ["2024-01-01T00:05:00", "2024-01-01T00:10:00"]),
        ("* * * * * *", "2024-01-01T00:00:00.999", ["2024-01-01T00:00:01", "2024-01-01T00:00:02"]),
        ("*/20 * * * * *", "2024-01-01T00:00:41", ["2024-01-01T00:01:00", "2024-01-01T00:01:20"]),
        ("30 10 * * *", "2024-01-01T10:30:00", ["2024-01-02T10:30:00"]),
        ("30 10 * * *", "2024-01-01T10:29:59.999", ["2024-01-01T10:30:00"]),
        ("0 9-17/4 * * MON-FRI", "2024-01-05T13:30:00", ["2024-01-05T17:00:00"]),
        ("0 9-17/4 * * MON-FRI", "2024-01-05T17:00:00", ["2024-01-08T09:00:00"]),
        ("50/5 * * * *", "2024-01-01T00:00:00", ["2024-01-01T00:50:00", "2024-01-01T00:55:00"]),
        ("1,2,30-31 0 1 1 *", "2024-01-01T00:02:00", ["2024-01-01T00:30:00"]),
        ("0 0 1 JAN,feb *", "2024-01-15T00:00:00", ["2024-02-01T00:00:00", "2025-01-01T00:00:00"]),
        ("0 0 L * *", "2024-02-01T00:00:00", ["2024-02-29T00:00:00", "2024-03-31T00:00:00"]),
        ("0 0 l,15 2 *", "2023-02-01T00:00:00", ["2023-02-15T00:00:00", "2023-02-28T00:00:00"]),
        ("0 0 * * 5L", "2024-01-01T00:00:00", ["2024-01-26T00:00:00", "2024-02-23T00:00:00"]),
        ("0 0 * * friL", "2024-01-01T00:00:00", ["2024-01-26T00:00:00"]),
        ("0 0 * * 1#2", "2024-01-01T00:00:00", ["2024-01-08T00:00:00", "2024-02-12T00:00:00"]),
        ("0 0 * * 1#1", "2024-01-02T00:00:00", ["2024-02-05T00:00:00", "2024-03-04T00:00:00"]),
        ("0 0 * * MON#5", "2024-01-01T00:00:00", ["2024-01-29T00:00:00", "2024-04-29T00:00:00"]),
        ("0 0 ? * 0", "2024-01-01T00:00:00", ["2024-01-07T00:00:00"]),
        ("0 0 * * 7", "2024-01-01T00:00:00", ["2024-01-07T00:00:00"]),
        ("0 0 * * sat-7", "2024-01-01T00:00:00", ["2024-01-06T00:00:00", "2024-01-07T00:00:00"]),
        ("0 0 13 * ?", "2024-01-01T00:00:00", ["2024-01-13T00:00:00"]),
        # Both restricted: either matches. A star, even with a step, restricts nothing (vixie).
        ("0 0 13 * 5", "2024-01-06T00:00:00", ["2024-01-12T00:00:00", "2024-01-13T00:00:00"]),
        ("0 0 */2 * 5", "2024-01-06T00:00:00", ["2024-01-19T00:00:00", "2024-02-09T00:00:00"]),
        ("0 0 30 2 MON", "2024-02-06T00:00:00", ["2024-02-12T00:00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00:00", ["2104-02-29T00:00:00"]),
        ("0 0 29 2 */7", "2088-03-01T00:00:00", ["2128-02-29T00:00:00"]),
        ("59 23 31 12 *", "1999-12-31T23:59:00", ["2000-12-31T23:59:00"]),
        (" 0  0\t1 1 * ", "2024-01-01T00:00:00", ["2025-01-01T00:00:00"]),
        ("*/60 */24 */31 */12 */7", "2024-01-01T00:00:00", ["2034-01-01T00:00:00"]),
        ("@hourly", "2024-01-01T00:00:00", ["2024-01-01T01:00:00"]),
        ("@daily", "2024-01-01T00:00:00", ["2024-01-02T00:00:00"]),
        ("@midnight", "2024-01-01T00:00:00", ["2024-01-02T00:00:00"]),
        ("@weekly", "2024-01-01T00:00:00", ["2024-01-07T00:00:00"]),
        ("@Monthly", "2024-01-01T00:00:00", ["2024-02-01T00:00:00"]),
        ("@yearly", "2024-01-01T00:00:00", ["2025-01-01T00:00:00"]),
        ("@ANNUALLY", "2024-01-01T00:00:00", ["2025-01-01T00:00:00"]),
    ],
)
def test_what_is_next(expression: str, after: str, expected: list[str]) -> None:
    assert following(expression, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 32 * *", "day-of-month"),
        ("* * 0 * *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "day-of-week"),
        ("60 * * * * *", "second"),
        ("30-10 * * * *", "minute"),
        ("* * * * fri-mon", "day-of-week"),
        ("*/0 * * * *", "minute"),
        ("*/61 * * * *", "minute"),
        ("*/61 * * * * *", "second"),
        ("* */25 * * *", "hour"),
        ("* * */32 * *", "day-of-month"),
        ("* * * */13 *", "month"),
        ("* * * * */8", "day-of-week"),
        ("*/ * * * *", "minute"),
        ("/5 * * * *", "minute"),
        ("*-5 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("1/2/3 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("+1 * * * *", "minute"),
        ("1.5 * * * *", "minute"),
        ("? * * * *", "minute"),
        ("L * * * *", "minute"),
        ("jan * * * *", "minute"),
        ("* ** * * *", "hour"),
        ("* * 32W * *", "day-of-month"),
        ("* * W * *", "day-of-month"),
        ("* * 15WL * *", "day-of-month"),
        ("* * 1-15W * *", "day-of-month"),
        ("* * L-31 * *", "day-of-month"),
        ("* * L-x * *", "day-of-month"),
        ("0 0 31W 2 *", "day-of-month"),
        ("0 0 L-30 4,2 *", "day-of-month"),
        ("* * * * 15W", "day-of-week"),
        ("* * L/2 * *", "day-of-month"),
        ("* * ?,1 * *", "day-of-month"),
        ("* * 1#1 * *", "day-of-month"),
        ("* * * januar *", "month"),
        ("* * * mon *", "month"),
        ("* * * * mondays", "day-of-week"),
        ("* * * * january", "day-of-week"),
        ("* * * * L", "day-of-week"),
        ("* * * * 1#0", "day-of-week"),
        ("* * * * 1#6", "day-of-week"),
        ("* * * * 8#1", "day-of-week"),
        ("* * * * 1#2#3", "day-of-week"),
        ("* * * * 8L", "day-of-week"),
        ("0 0 1 1 foo", "day-of-week"),
        ("5 4 3 2 1 monda", "day-of-week"),
        # Dates that never come.
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 0 30 2 *", "day-of-month"),
        ("0 0 30 feb ?", "day-of-month"),
        ("0 0 31 2,4,6,9,11 *", "day-of-month"),
        ("0 0 30-31 FEB *", "day-of-month"),
        ("* * * 31 apr/5 */2", "day-of-month"),
        ("0 0 */31 * mon#2", "day-of-week"),
    ],
)
def test_a_refusal_names_the_field(expression: str, field: str) -> None:
    assert looks_like_cron(expression)
    with pytest.raises(Unparsable) as caught:
        Cron.parse(expression)
    assert str(caught.value).startswith(f"The {field} field ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "* * * *",
        "* * * * * * *",
        "1 2 3 4 5 6 7",
        "@reboot",
        "@every 5m",
        "@",
        "\u0665 * * * *",
        "* * * * \u212a",
        "* * * *\x00*",
        ",".join(["1"] * 100_000) + " * * * *",
        "*" * 10_000_000,
    ],
)
def test_other_texts_are_refused_at_once(text: str) -> None:
    def parse() -> None:
        with pytest.raises(Unparsable):
            Cron.parse(text)

    assert cpu_seconds(parse) < 0.1


@pytest.mark.parametrize("text", ["* * *", "@daily", "0 0 1 1 sun", "1 2 3 4 5 6 7", " 5 4 ? 1 1"])
def test_these_are_meant_as_cron(text: str) -> None:
    assert looks_like_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5s",
        "PT2M",
        "1 hour 30 minutes 15 seconds",
        "2 weeks, 3 days and 4 hours",
        "5 5 minutes",
    ],
)
def test_these_are_not_meant_as_cron(text: str) -> None:
    assert not looks_like_cron(text)


def test_every_number_may_be_listed() -> None:
    lists = [",".join(map(str, numbers)) for numbers in (range(60), range(60), range(24))]
    text = " ".join([*lists, *(",".join(map(str, range(1, n))) for n in (32, 13, 8))])
    assert Cron.parse(text).next_after(0, ZoneInfo("UTC")) == 1000


def test_the_same_expression_is_equal_and_hashable() -> None:
    assert Cron.parse("@daily") == Cron.parse(" 0 0  * * * ")
    assert len({Cron.parse("0 0 * * MON"), Cron.parse("0 0 * * mon")}) == 1
    assert Cron.parse("0 0 * * 1") != Cron.parse("0 0 * * 2")


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # The gap of Berlin: 02:00 to 03:00 on 2024-03-31.
        (
            BERLIN,
            "30 2 * * *",
            "2024-03-30T12:00:00",
            ["2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00"],
        ),
        (
            BERLIN,
            "0,20,40 2,3 * * *",
            "2024-03-31T00:00:00",
            [
                "2024-03-31T03:00:00+02:00",
                "2024-03-31T03:20:00+02:00",
                "2024-03-31T03:40:00+02:00",
                "2024-04-01T02:00:00+02:00",
            ],
        ),
        (
            BERLIN,
            "*/20 30 2 * * *",
            "2024-03-31T00:00:00",
            ["2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00"],
        ),
        (
            BERLIN,
            "30 59 1 * * *",
            "2024-03-31T00:00:00",
            ["2024-03-31T01:59:30+01:00", "2024-04-01T01:59:30+02:00"],
        ),
        (
            BERLIN,
            "*/30 * * * *",
            "2024-03-31T00:00:00",
            [
                "2024-03-31T01:30:00+01:00",
                "2024-03-31T03:00:00+02:00",
                "2024-03-31T03:30:00+02:00",
            ],
        ),
        # A step in the minute follows elapsed time: nothing shows 02:xx on that day.
        (BERLIN, "*/30 2 * * *", "2024-03-31T00:00:00", ["2024-04-01T02:00:00+02:00"]),
        # The overlap of Berlin: 02:00 to 03:00 twice on 2024-10-27.
        (
            BERLIN,
            "30 2 * * *",
            "2024-10-26T12:00:00",
            ["2024-10-27T02:30:00+02:00", "2024-10-28T02:30:00+01:00"],
        ),
        (
            BERLIN,
            "*/30 30 2 * * *",
            "2024-10-26T12:00:00",
            [
                "2024-10-27T02:30:00+02:00",
                "2024-10-27T02:30:30+02:00",
                "2024-10-28T02:30:00+01:00",
            ],
        ),
        # Asked in the second pass, where the clock shows 02:10 again.
        (BERLIN, "30 2 * * *", "2024-10-27T01:10:00", ["2024-10-28T02:30:00+01:00"]),
        (BERLIN, "59 59 2 * * *", "2024-10-27T01:59:58", ["2024-10-28T02:59:59+01:00"]),
        (BERLIN, "0 3 * * *", "2024-10-27T01:10:00", ["2024-10-27T03:00:00+01:00"]),
        (
            BERLIN,
            "*/30 * * * *",
            "2024-10-27T00:15:00",
            [
                "2024-10-27T02:30:00+02:00",
                "2024-10-27T02:00:00+01:00",
                "2024-10-27T02:30:00+01:00",
                "2024-10-27T03:00:00+01:00",
            ],
        ),
        (
            BERLIN,
            "*/40 2 27 10 *",
            "2024-10-27T00:45:00",
            [
                "2024-10-27T02:00:00+01:00",
                "2024-10-27T02:40:00+01:00",
                "2025-10-27T02:00:00+01:00",
            ],
        ),
        # New York: gap 02:00 to 03:00 on 2024-03-10, overlap 01:00 to 02:00 on 2024-11-03.
        (NEW_YORK, "15 2 10 3 *", "2024-03-10T00:00:00", ["2024-03-10T03:00:00-04:00"]),
        (
            NEW_YORK,
            "30 1 * * *",
            "2024-11-03T00:00:00",
            ["2024-11-03T01:30:00-04:00", "2024-11-04T01:30:00-05:00"],
        ),
        (
            NEW_YORK,
            "0 * * * *",
            "2024-11-03T04:30:00",
            [
                "2024-11-03T01:00:00-04:00",
                "2024-11-03T01:00:00-05:00",
                "2024-11-03T02:00:00-05:00",
            ],
        ),
        # Lord Howe: half an hour. Gap 02:00 to 02:30 on 2024-10-06, overlap 01:30 to 02:00.
        (
            LORD_HOWE,
            "15,45 2 * * *",
            "2024-10-05T15:00:00",
            [
                "2024-10-06T02:30:00+11:00",
                "2024-10-06T02:45:00+11:00",
                "2024-10-07T02:15:00+11:00",
            ],
        ),
        (
            LORD_HOWE,
            "45 1 * * *",
            "2024-04-06T13:00:00",
            ["2024-04-07T01:45:00+11:00", "2024-04-08T01:45:00+10:30"],
        ),
        (
            LORD_HOWE,
            "*/15 1 * * *",
            "2024-04-06T14:31:00",
            [
                "2024-04-07T01:45:00+11:00",
                "2024-04-07T01:30:00+10:30",
                "2024-04-07T01:45:00+10:30",
                "2024-04-08T01:00:00+10:30",
            ],
        ),
        # Kathmandu: +05:45 and no changes.
        (
            "Asia/Kathmandu",
            "0 9 * * *",
            "2024-03-31T03:15:00",
            ["2024-04-01T09:00:00+05:45"],
        ),
        # Havana skips midnight to 01:00 on 2024-03-10 and shows it twice on 2024-11-03.
        (
            HAVANA,
            "@daily",
            "2024-03-09T12:00:00",
            ["2024-03-10T01:00:00-04:00", "2024-03-11T00:00:00-04:00"],
        ),
        (
            HAVANA,
            "0 0 10 3 *",
            "2024-03-09T12:00:00",
            ["2024-03-10T01:00:00-04:00", "2025-03-10T00:00:00-04:00"],
        ),
        (
            HAVANA,
            "30 0 * * *",
            "2024-11-02T12:00:00",
            ["2024-11-03T00:30:00-04:00", "2024-11-04T00:30:00-05:00"],
        ),
        # Apia left out the whole of 2011-12-30.
        (
            "Pacific/Apia",
            "0 8,20 * * *",
            "2011-12-30T00:00:00",
            [
                "2011-12-29T20:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T08:00:00+14:00",
            ],
        ),
    ],
)
def test_clock_changes(zone: str, expression: str, after: str, expected: list[str]) -> None:
    assert following(expression, after, len(expected), zone) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "before", "since", "expected"),
    [
        ("UTC", "*/5 * * * *", "2024-01-01T00:10:00", "2024-01-01T00:00:00", "2024-01-01T00:05:00"),
        ("UTC", "*/5 * * * *", "2024-01-01T00:10:00.001", "2024-01-01", "2024-01-01T00:10:00"),
        ("UTC", "*/5 * * * *", "2024-01-01T00:10:00", "2024-01-01T00:05:00", "2024-01-01T00:05:00"),
        ("UTC", "*/5 * * * *", "2024-01-01T00:10:00", "2024-01-01T00:05:00.001", None),
        ("UTC", "0 0 29 2 *", "2024-02-29T00:00:00", "1900-01-01", "2020-02-29T00:00:00"),
        ("UTC", "0 0 29 2 *", "2104-02-29T00:00:00", "1900-01-01", "2096-02-29T00:00:00"),
        ("UTC", "0 0 29 2 *", "2024-02-29T00:00:00", "2020-02-29T00:00:01", None),
        (BERLIN, "30 2 * * *", "2024-10-27T01:45:00", "2024-10-27", "2024-10-27T00:30:00"),
        (BERLIN, "30 2 * * *", "2024-03-31T01:00:00.001", "2024-03-31", "2024-03-31T01:00:00"),
        (BERLIN, "30 2 * * *", "2024-03-31T01:00:00", "2024-03-31", None),
        (BERLIN, "*/30 2 27 10 *", "2024-10-27T01:00:00", "2024-10-27", "2024-10-27T00:30:00"),
    ],
)
def test_the_latest_before(
    zone: str, expression: str, before: str, since: str, expected: str | None
) -> None:
    found = Cron.parse(expression).latest_before(ms(before), ms(since), ZoneInfo(zone))
    assert found == (None if expected is None else ms(expected))


def test_an_hour_after_a_change_is_not_hidden_by_the_date_field() -> None:
    # In the second pass no earlier time matches; the first pass had one at a later wall time.
    cron = Cron.parse("1 1/1 * * sun")
    at, zone = ms("2024-11-03T06:00:30"), ZoneInfo(NEW_YORK)
    assert cron.latest_before(at, ms("2024-11-03"), zone) == ms("2024-11-03T05:01:00")


@pytest.mark.parametrize("zone", ["UTC", BERLIN])
@pytest.mark.parametrize(
    "expression", ["* * * * * *", "*/5 * * * *", "30 2 * * *", "0 0 29 2 *", "@yearly"]
)
def test_it_is_fast_enough_for_thousands_of_jobs(expression: str, zone: str) -> None:
    # Measured: 3 to 10 us on one core. The bound only has to catch a walk through time.
    cron, place, at = Cron.parse(expression), ZoneInfo(zone), ms("2026-03-01T05:07:08")

    def ask() -> None:
        for _ in range(1000):
            cron.next_after(at, place)
            cron.latest_before(at, at - 10 * YEAR_MS, place)

    assert cpu_seconds(ask) < 0.5


@pytest.mark.parametrize("at", [ms("0099-01-01"), ms("9999-01-01"), -(10**30), 10**30])
def test_outside_its_years_it_says_so(at: int) -> None:
    cron = Cron.parse("0 0 29 2 *")
    with pytest.raises(ValueError, match="9891"):
        cron.next_after(at, ZoneInfo(BERLIN))
    with pytest.raises(ValueError, match="9891"):
        cron.latest_before(at, 0, ZoneInfo(BERLIN))


def test_a_past_without_end_is_no_trouble() -> None:
    assert Cron.parse("* * 29 2 *").latest_before(0, -(10**30), ZoneInfo(BERLIN)) is not None
