"""Events as lines for people: aligned columns, colours on a terminal only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TextIO

from examples.demo.events import Event
from examples.demo.jobs import ATTEMPTS, PLANS, retry_delay

CATCHING_UP_MS = 1_000
"""A run that is later than this was missed while the service was stopped."""
MANY = 4
"""So many more of a kind at once are one line."""

_STYLES = {
    "created": "36",
    "kept": "36;1",
    "queued": "33",
    "done": "32",
    "failed": "31;1",
    "deleted": "35",
}
_DIM, _BOLD = "2", "1"
_HEADING = f"{'time':<12}  {'job':<9}  {'event':<7}  {'run':>11}  {'late':>9}"


class Screen:
    """Writes to `stream`; `colours` None: if it is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO, *, colours: bool | None = None) -> None:
        if colours is None:
            colours = stream.isatty() and "NO_COLOR" not in os.environ
        self._stream, self._colours = stream, colours

    def say(self, text: str = "", style: str = "") -> None:
        """A line of text."""
        self._stream.write(f"{self._styled(text, style) if text else ''}\n")
        self._stream.flush()

    def title(self, text: str) -> None:
        """A heading for the next lines."""
        self.say(text, _BOLD)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Names and values."""
        for name, value in facts.items():
            self.say(f"  {self._styled(f'{name:<9}', _DIM)} {value}")

    def heading(self) -> None:
        """The names of the columns."""
        self.say()
        self.say(_HEADING, _DIM)

    def events(self, events: Sequence[Event]) -> None:
        """A line for each, but one for many of a kind at once."""
        for _, alike in groupby(events, lambda event: (event.job_type, event.what)):
            first, *others = alike
            if len(others) < MANY:
                for event in (first, *others):
                    self._event(event, remark(event))
            else:
                self._event(first, f"and {len(others)} more; {remark(first)}".rstrip("; "))

    def _event(self, event: Event, note: str) -> None:
        run = f"#{event.instance}" if event.instance else ""
        late = f"{event.late:,} ms" if event.what == "queued" else ""
        self.row(event.seen, event.job_type or "?", event.what, run=run, late=late, note=note)

    def row(
        self, at: int, job: str, what: str, *, run: str = "", late: str = "", note: str = ""
    ) -> None:
        """One line of the table."""
        moment = datetime.fromtimestamp(at / 1000)  # noqa: DTZ006 - the user's local time
        time = f"{moment:%H:%M:%S}.{at % 1000:03d}"
        event = self._styled(f"{what:<7}", _STYLES[what])
        line = f"{self._styled(time, _DIM)}  {job:<9}  {event}  {run:>11}  {late:>9}  {note}"
        self.say(line.rstrip())

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours and style else text


def remark(event: Event) -> str:
    """A remark about an event."""
    if event.what == "created":
        return PLANS.get(event.job_type, "")
    if event.what == "queued" and event.late > CATCHING_UP_MS:
        return "due while nothing ran: made up for"
    if event.what == "queued" and event.job_type == "print":
        return f"attempt {event.attempt} of {ATTEMPTS}"
    if event.what == "failed":
        return f"{event.error}; again in {retry_delay(event.attempt + 1):,} ms"
    return ""
