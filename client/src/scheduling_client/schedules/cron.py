"""Cron expressions and the instants at which they are due (docs/contract.md).

An expression whose minute or hour field has a star or a step follows elapsed time. It is due
whenever the clock shows a matching time: a skipped time is left out, a repeated one is due twice.

Any other expression is for fixed local times. Each of them is due once, at the first instant at
which the clock shows that time or a later one. A repeated time is due at its first showing. All
times in a gap are due together, at the first instant after it. A seconds field does not change
this.

The search is our own, not cronsim's. Cronsim drops the DST rule when there are seconds, parses the
expression again for each answer, and walks through dates that never come.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from zoneinfo import ZoneInfo

from scheduling_client.schedules import cron_fields as fields
from scheduling_client.schedules.cron_days import Calendar, DayRule, highest, lengths, lowest
from scheduling_client.schedules.cron_words import LONGEST_WORDS, in_words
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.localtime import (
    DAY_SECONDS,
    Reading,
    furthest_shown,
    last_change,
    offset_at,
    reading,
)
from scheduling_client.schedules.texts import lowered, shown, single_spaced

LONGEST_TEXT = 1000
"""Characters of an expression; one that lists every number has fewer."""

_ZONE = re.compile(r"(?:CRON_)?TZ=(?P<zone>\S*) ?(?P<rest>.*)", re.IGNORECASE)
"""A time zone before the fields, as cronie and robfig/cron accept it."""
_EVERY = "@every "
"""robfig/cron has intervals with it."""
_FINGERPRINT_BYTES = 6
"""Lua reads larger numbers inexactly."""
_EARLIEST_MS, _LATEST_MS = -59_000_000_000_000, 250_000_000_000_000  # the years 100 and 9892
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WITHOUT_SECONDS, _WITH_SECONDS = 5, 6
_FIELDS = (
    "A cron expression has 5 fields (minute, hour, day-of-month, month, day-of-week), or 6 with the"
    " second first"
)


def looks_like_cron(text: str) -> bool:
    """Whether `text` is meant as a cron expression, right or wrong, and not as an interval.

    A cron expression starts with an `@`, or has a star, or has five words or more. In the last case
    its first two words have no letters ("1 hour 30 minutes 15 seconds" is six words, too). Words
    such as "every monday at 9" also mean one. `@every 5m` is an interval.
    """
    return _looks_like_cron(text[: LONGEST_TEXT + 1])


@lru_cache(maxsize=1024)
def _looks_like_cron(head: str) -> bool:
    head = head.strip()
    if head[: len(_EVERY)].lower() == _EVERY:
        return False
    if head.startswith("@") or "*" in head or _ZONE.match(head):
        return True
    words = head.split(None, _WITHOUT_SECONDS)
    if len(words) >= _WITHOUT_SECONDS and not any(c.isalpha() for c in words[0] + words[1]):
        return True
    if len(head) > LONGEST_WORDS:
        return False
    return in_words(lowered(single_spaced(head, LONGEST_TEXT, "Cron expression")) or "") is not None


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression; the same text is the same expression. Made by `Cron.parse`."""

    text: str
    """In lower case, single-spaced, macros and words written out."""
    elapsed: bool = field(compare=False)
    """Follows elapsed time through DST, in place of fixed local times."""
    calendar: Calendar = field(compare=False, repr=False)
    minutes: int = field(compare=False, repr=False)
    """The minutes of a day, as bits."""
    seconds: int = field(compare=False, repr=False)

    @staticmethod
    def parse(text: str) -> "Cron":
        """Read a cron expression.

        Errors: Unparsable, naming the field, for all that docs/contract.md does not list, and for a
        date that never comes.
        """
        spaced = single_spaced(text, LONGEST_TEXT, "Cron expression")
        if "=" in spaced and (match := _ZONE.fullmatch(spaced)):
            raise Unparsable(
                f"Cron expression {shown(text)} names a time zone: give {shown(match['zone'])} as"
                f" data.timezone, and {shown(match['rest'])} as interval."
            )
        plain = lowered(spaced)
        if plain is None:
            raise Unparsable(f"Cron expression {shown(text)} has letters that cron does not know.")
        return _parse(plain)

    @property
    def fingerprint(self) -> int:
        """A number from 1 to 2^48 - 1 that spellings of one expression share.

        It is stored: it must be the same for ever.
        """
        return _fingerprint(self)

    def next_after(self, after_ms: int, zone: ZoneInfo) -> int:
        """Return the first occurrence after `after_ms`; both are epoch ms UTC.

        Errors: ValueError outside the years 100 to 9891.
        """
        _check_range(after_ms)
        after = after_ms // 1000
        return 1000 * (self._next_elapsed if self.elapsed else self._next_fixed)(after, zone)

    def latest_before(self, before_ms: int, since_ms: int, zone: ZoneInfo) -> int | None:
        """Return the last occurrence before `before_ms` and not before `since_ms`, if any.

        All are epoch ms UTC. It takes about as long as `next_after`, however far these are apart.
        Errors: ValueError outside the years 100 to 9891.
        """
        _check_range(before_ms)
        last, since = (before_ms - 1) // 1000, -(-max(since_ms, _EARLIEST_MS) // 1000)
        found = (self._last_elapsed if self.elapsed else self._last_fixed)(last, since, zone)
        return found * 1000 if found is not None and found >= since else None

    def next_reading(self, after_ms: int, zone: ZoneInfo) -> Reading | None:
        """Return when the clock shows the local time that is due next after `after_ms` (epoch ms).

        None if the expression follows elapsed time. Errors: as `next_after`.
        """
        _check_range(after_ms)
        return None if self.elapsed else self._reading(after_ms // 1000, zone)

    def _reading(self, after: int, zone: ZoneInfo) -> Reading:
        # A local time was due by now if, and only if, the clock has shown it or a later one.
        return reading(self._next_local(furthest_shown(after, zone) + 1), zone)

    def _next_fixed(self, after: int, zone: ZoneInfo) -> int:
        return self._reading(after, zone).first

    def _last_fixed(self, last: int, since: int, zone: ZoneInfo) -> int | None:
        local = self._last_local(furthest_shown(last, zone), since - 2 * DAY_SECONDS)
        return None if local is None else reading(local, zone).first

    def _next_elapsed(self, after: int, zone: ZoneInfo) -> int:
        """Look a day ahead under the offset of now; a change within it starts the search again.

        Beyond a day no repeated time can be meant any more, so the clock's first showing is it.
        """
        start = after + 1
        while True:
            offset = offset_at(start, zone)
            local = self._next_local(start + offset)
            found = local - offset
            ahead = min(found, start + DAY_SECONDS)
            if offset_at(ahead, zone) != offset:
                start = last_change(start, ahead, zone)
            elif ahead == found:
                return found
            else:
                shows = reading(local, zone)
                if not shows.skipped:
                    return shows.first
                start = shows.first

    def _last_elapsed(self, last: int, since: int, zone: ZoneInfo) -> int | None:
        """Mirror `_next_elapsed`."""
        while last >= since:
            offset = offset_at(last, zone)
            local = self._last_local(last + offset, since - 2 * DAY_SECONDS)
            # Where no time matches before, the hour before a change may still have one.
            back = last - DAY_SECONDS if local is None else max(local - offset, last - DAY_SECONDS)
            if offset_at(back, zone) != offset:
                last = last_change(back, last, zone) - 1
            elif local is None:
                return None
            elif back == local - offset:
                return back
            else:
                shows = reading(local, zone)
                if not shows.skipped:
                    return shows.last
                last = shows.first - 1
        return None

    def _next_local(self, local: int) -> int:
        """Return the first matching local time from `local` on."""
        day, second_of_day = divmod(local, DAY_SECONDS)
        found = self.calendar.next(day)
        if found == day:
            minute, second = divmod(second_of_day, 60)
            if self.minutes >> minute & 1 and (rest := self.seconds >> second):
                return local + lowest(rest)
            if rest := self.minutes >> minute + 1:
                return day * DAY_SECONDS + (minute + 1 + lowest(rest)) * 60 + lowest(self.seconds)
            found = self.calendar.next(day + 1)
        return found * DAY_SECONDS + lowest(self.minutes) * 60 + lowest(self.seconds)

    def _last_local(self, local: int, since: int) -> int | None:
        """Return the last matching local time up to `local`; None before the day of `since`."""
        day, second_of_day = divmod(local, DAY_SECONDS)
        found = self.calendar.previous(day, since // DAY_SECONDS)
        if found == day:
            minute, second = divmod(second_of_day, 60)
            if self.minutes >> minute & 1 and (rest := self.seconds & (1 << second + 1) - 1):
                return day * DAY_SECONDS + minute * 60 + highest(rest)
            if rest := self.minutes & (1 << minute) - 1:
                return day * DAY_SECONDS + highest(rest) * 60 + highest(self.seconds)
            found = self.calendar.previous(day - 1, since // DAY_SECONDS)
        if found is None:
            return None
        return found * DAY_SECONDS + highest(self.minutes) * 60 + highest(self.seconds)


@lru_cache(maxsize=4096)
def _fingerprint(cron: Cron) -> int:
    rule, months = cron.calendar.rule, cron.calendar.months
    days = (rule.days, rule.last_day, rule.weekdays, sorted({*rule.nths}), rule.either)
    meaning = repr((cron.elapsed, months, *days, cron.minutes, cron.seconds))
    later = (sorted({*rule.before_last}), sorted({*rule.nearest}), cron.calendar.every)
    if later != ([], [], 1):
        meaning += repr(later)
    digest = blake2b(meaning.encode(), digest_size=_FINGERPRINT_BYTES).digest()
    return int.from_bytes(digest, "little") or 1


@lru_cache(maxsize=4096)
def _parse(text: str) -> Cron:
    if text.startswith("@") and text not in _MACROS:
        raise Unparsable(
            f"Cron macro {shown(text)} is not known: the macros are {', '.join(_MACROS)}."
        )
    text, every = _MACROS.get(text, text), 1
    expression = text
    # No first field of cron begins with a letter; of the words only "15th of ..." begins otherwise.
    if (text[:1].isalpha() or " of " in text) and (found := in_words(text)):
        expression, every = found
        text = expression if every == 1 else text
    words = expression.split(" ")
    if len(words) not in (_WITHOUT_SECONDS, _WITH_SECONDS):
        raise Unparsable(f"{_FIELDS}; {shown(text)} has {len(words)}.")
    second, (minute, hour, day, month, weekday) = (["0", *words])[-6], words[-5:]
    return Cron(
        text,
        elapsed=any(sign in minute + hour for sign in "*/"),
        calendar=_calendar(day, month, weekday, every),
        minutes=_minutes_of_day(minute, hour),
        seconds=fields.parse_numbers(fields.SECOND, second),
    )


def _minutes_of_day(minute: str, hour: str) -> int:
    minutes = fields.parse_numbers(fields.MINUTE, minute)
    hours = fields.parse_numbers(fields.HOUR, hour)
    return sum(minutes << 60 * number for number in range(24) if hours >> number & 1)


def _calendar(day: str, month: str, weekday: str, every: int) -> Calendar:
    rule = fields.parse_days(day, weekday)
    months = fields.parse_numbers(fields.MONTH, month)
    calendar = Calendar(months, rule, every)
    if not calendar.comes:
        raise _never(rule, months, day, weekday)
    return calendar


def _never(rule: DayRule, months: int, day: str, weekday: str) -> Unparsable:
    if any(rule.by_number(length, first) for length in lengths(months) for first in range(7)):
        return fields.refusal(fields.WEEKDAY, weekday, "there is no such day on the given dates")
    return fields.refusal(fields.DAY, day, "that date never comes in the given months")


def _check_range(instant_ms: int) -> None:
    if not _EARLIEST_MS <= instant_ms <= _LATEST_MS:
        raise ValueError(f"{instant_ms} ms is not an instant of the years 100 to 9891.")
