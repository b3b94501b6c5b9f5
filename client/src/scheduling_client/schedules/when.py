"""The texts of `when`: a date with or without a time and an offset, or English (docs/contract.md).

A text without an offset is a local time of the job's zone. A time that the clock skips means the
first instant after the gap. A time that it shows twice means the first of the two. A date without a
time is its midnight. Impossible times (30 February, 25:00, a weekday that the date does not have)
are refused, never moved.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from scheduling_client.schedules.clocktime import BASIC_CLOCK, CLOCK, clock_ms
from scheduling_client.schedules.errors import ElapsedTime, Unparsable
from scheduling_client.schedules.localtime import DAY_SECONDS, instant_ms
from scheduling_client.schedules.names import MONTHS, WEEKDAYS
from scheduling_client.schedules.texts import lowered, shown, single_spaced
from scheduling_client.schedules.when_relative import parse_relative

LONGEST_TEXT = 200
ELAPSED = "Cannot schedule a job for an elapsed time"
"""How the sentence begins; clients compare with it."""
GRACE_MS = 1000
"""How far in the past an instant may be and still be accepted."""

ACCEPTED = (
    "give a date and time such as '2030-01-15T10:30:00+01:00' or 'Jan 15, 2030 10:30:00',"
    " or words such as 'in 90 seconds' or 'tomorrow at 5pm'"
)

_EARLIEST_MS, _END_MS = -62_135_596_800_000, 253_402_300_800_000  # the years 1 to 9999
_FIRST_YEAR, _LAST_YEAR = 1, 9999
_EPOCH_DAY = date(1970, 1, 1).toordinal()

# The zones of RFC 2822 (section 4.3), in hours.
_ZONES = {"z": 0, "ut": 0, "utc": 0, "gmt": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5}
_ZONES |= {"mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_LAST_HOUR, _LAST_MINUTE = 23, 59
_MONTHS = 12

_WEEKDAY = r"(?:(?P<weekday>[a-z]+)\.?,? )?"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_NAME = r"(?P<name>[a-z]+)\.?"
_YEAR = r"(?P<year>[0-9]{4})"
# In JavaScript's "GMT+0100" the offset is east of Greenwich, as it is without the letters.
_ZONE = (
    r"(?: ?(?P<zone>[a-z]+)"
    r"| ?(?:gmt|utc)?(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?"
)
_TIME = rf"(?:,? (?:at )?{CLOCK}{_ZONE})?"
_FORMS = [
    re.compile(rf"{_YEAR}-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})(?:(?:t|,? ){CLOCK}{_ZONE})?"),
    re.compile(rf"{_YEAR}(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}})t{BASIC_CLOCK}{_ZONE}"),
    re.compile(rf"{_WEEKDAY}{_NAME} {_DAY},? {_YEAR}{_TIME}"),
    re.compile(rf"{_WEEKDAY}{_DAY} (?:of )?{_NAME},? {_YEAR}{_TIME}"),
    re.compile(rf"{_YEAR}/(?P<month>[0-9]{{1,2}})/(?P<day>[0-9]{{1,2}}){_TIME}"),
    re.compile(rf"{_WEEKDAY}(?P<month>[0-9]{{1,2}})/(?P<day>[0-9]{{1,2}})/{_YEAR}{_TIME}"),
]

# Only a day that cannot be a month shows the order; `1.2.2030` means two dates.
_DOTTED = re.compile(
    rf"(?P<month>1[3-9]|[23][0-9])\.(?P<day>[0-9]{{1,2}})\.{_YEAR}(?:,? {CLOCK}{_ZONE})?"
)

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,3})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_when(text: str, now_ms: int, zone: ZoneInfo) -> int:
    """Return the epoch ms UTC that `text` means at `now_ms`, in `zone` unless it has an offset.

    Fractions finer than milliseconds are rounded up, so that nothing is early. An instant that has
    passed is returned as it is: see `check_not_elapsed`.

    The whole text must be understood. Errors: Unparsable, whose sentence names the accepted texts.
    """
    due = _rfc3339_ms(text)
    if due is not None:
        return due
    body, comment = _without_comment(single_spaced(text, LONGEST_TEXT, "Time"))
    plain = lowered(body)
    try:
        due = None if plain is None else _parse(plain, now_ms, zone, comment=comment)
    except ValueError as error:
        raise Unparsable(f"Time {shown(text)} is not understood: {error}; {ACCEPTED}.") from None
    if due is None:
        raise Unparsable(f"Time {shown(text)} is not understood: {ACCEPTED}.")
    if not _EARLIEST_MS <= due < _END_MS:
        raise Unparsable(f"Time {shown(text)} is not in the years 1 to 9999.")
    return due


def _rfc3339_ms(text: str) -> int | None:
    """The form that programs send, ten times faster; None: the grammar has to look at it."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        since_epoch = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return None
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    due = seconds * 1000 + since_epoch.microseconds // 1000
    return due if _EARLIEST_MS <= due < _END_MS else None


def rfc3339(instant: int) -> bytes:
    """Epoch ms as RFC 3339 in UTC with milliseconds."""
    second, ms = divmod(instant, 1000)
    return b"%b.%03dZ" % (_to_the_second(second), ms)


@lru_cache(maxsize=4096)
def _to_the_second(instant: int) -> bytes:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%S}".encode()


def is_relative(text: str) -> bool:
    """Whether an accepted `text` depends on now."""
    if text[4:5] == "-":  # 2030-...: the texts that programs send
        return False
    body, _ = _without_comment(single_spaced(text, LONGEST_TEXT, "Time"))
    plain = lowered(body) or ""
    return not any(form.fullmatch(plain) for form in _FORMS)


def has_elapsed(due_ms: int, now_ms: int) -> bool:
    """Whether an instant is more than one second in the past."""
    return due_ms < now_ms - GRACE_MS


def elapsed(due_ms: int, now_ms: int, zone: ZoneInfo, text: str = "") -> ElapsedTime:
    """Return the error for an instant that has passed: its zone's clock, and now.

    `text` is the client's text for that instant.
    """
    instant, now = _on_the_clock(due_ms, zone), _on_the_clock(now_ms, zone)
    is_due = f"{shown(text)} is {instant}" if text else f"it is due at {instant}"
    return ElapsedTime(f"{ELAPSED}: {is_due}, and now it is {now} ({zone.key}).")


def check_not_elapsed(due_ms: int, now_ms: int, zone: ZoneInfo, text: str) -> None:
    """Refuse an instant more than one second in the past. Errors: ElapsedTime."""
    if has_elapsed(due_ms, now_ms):
        raise elapsed(due_ms, now_ms, zone, text)


def _on_the_clock(instant_ms: int, zone: ZoneInfo) -> str:
    """RFC 3339 with the zone's offset; with that of UTC in the first and last year there is."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    if _FIRST_YEAR < moment.year < _LAST_YEAR:
        moment = moment.astimezone(zone)
    return moment.isoformat(timespec="milliseconds")


def _without_comment(text: str) -> tuple[str, bool]:
    """Take off the zone's name that JavaScript puts last; it may be in any language."""
    if not text.endswith(")"):
        return text, False
    body, _, comment = text[:-1].rpartition("(")
    return (body.rstrip(" "), True) if ")" not in comment else (text, False)


def _parse(plain: str, now_ms: int, zone: ZoneInfo, *, comment: bool) -> int | None:
    """Errors: ValueError with a reason, for a text of a known form with an impossible value."""
    match = next(filter(None, (form.fullmatch(plain) for form in _FORMS)), None)
    if not match:
        if dotted := _DOTTED.fullmatch(plain):
            raise ValueError(_no_such_date({**dotted.groupdict(), "weekday": None}))
        return None if comment else parse_relative(plain, now_ms, zone)
    found = match.groupdict()
    time = clock_ms(match) if found["hour"] else 0
    if time is None:
        raise ValueError("there is no such time of day")
    local_ms = _day(found) * DAY_SECONDS * 1000 + time
    offset = _offset_ms(found)
    if offset is not None:
        return local_ms - offset
    # Such a name in brackets explains an offset; alone it would be a guess.
    if comment or local_ms >= _END_MS:
        return None
    return instant_ms(local_ms, zone)


def _day(found: dict[str, str | None]) -> int:
    """Return the day's number, from 1970-01-01 = 0."""
    name = found.get("name")
    month = MONTHS.get(name, 0) if name else int(found["month"] or 0)
    try:
        day = date(int(found["year"] or 0), month, int(found["day"] or 0))
    except ValueError:
        raise ValueError(_no_such_date(found)) from None
    weekday = found.get("weekday")
    if weekday and WEEKDAYS.get(weekday) != day.weekday():
        raise ValueError(f"{day.isoformat()} is not that day of the week")
    return day.toordinal() - _EPOCH_DAY


def _no_such_date(found: dict[str, str | None]) -> str:
    """With numbers the month stands first; a text that has the day there shows it."""
    day, month, year = found.get("month"), found["day"], found["year"]
    if "name" not in found and "weekday" in found and day and int(day) > _MONTHS:
        try:
            meant = date(int(year or 0), int(month or 0), int(day))
        except ValueError:
            return "there is no such date"
        return f"the month stands first, as in '{meant:%m/%d/%Y}'"
    return "there is no such date"


def _offset_ms(found: dict[str, str | None]) -> int | None:
    """Return by how much the text's clock is ahead of UTC, None if it does not say."""
    name, sign = found["zone"], found["sign"]
    if name:
        if name not in _ZONES:
            raise ValueError(f"{shown(name)} does not say an offset from UTC")
        return _ZONES[name] * 3_600_000
    if not sign:
        return None
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    if hours > _LAST_HOUR or minutes > _LAST_MINUTE:
        raise ValueError("there is no such offset from UTC")
    offset = (hours * 60 + minutes) * 60_000
    return -offset if sign == "-" else offset
