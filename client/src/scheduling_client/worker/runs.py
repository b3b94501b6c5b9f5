"""A run as its handler sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scheduling_client.worker.transactions import TABLE, transaction


class Item(NamedTuple):
    """One payload of a job: bytes, and the text that its creator put beside them."""

    type_url: str
    value: bytes


class Data(NamedTuple):
    """The data of a job, as far as its runs show it."""

    payload: Sequence[Item] = ()
    creator: str = ""
    timezone: str = ""


def _nothing(_run: Run) -> None:
    """Stands in for `extend` where no service is."""


class Run:
    """One attempt at an occurrence of a job.

    Properties that the service does not tell, or that cannot be read, are None.
    """

    __slots__ = ("_data", "_extend", "headers", "id", "schedule_type", "type")

    def __init__(
        self,
        id: int,  # noqa: A002 - the name in the contract
        type: str,  # noqa: A002
        schedule_type: str = "",
        headers: Mapping[str, bytes] | None = None,
        data: Data | Callable[[], Data] = Data(),  # noqa: B008 - it does not change
        *,
        extend: Callable[[Run], None] = _nothing,
    ) -> None:
        """`data`: itself, or a function that reads it when it is asked for."""
        self.id = id
        self.type = type
        self.schedule_type = schedule_type
        self.headers = headers or {}
        self._data = data
        self._extend = extend

    def __repr__(self) -> str:
        """Without the payload."""
        return f"<Run {self.occurrence_id or self.id} of {self.type}, attempt {self.attempt}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """For child processes, where `extend` has no effect."""
        return Run, (self.id, self.type, self.schedule_type, self.headers, self._read_data())

    @property
    def payload(self) -> Sequence[Item]:
        """The payload items of the job."""
        return self._read_data().payload

    @property
    def creator(self) -> str:
        """Who has created the job; may be empty."""
        return self._read_data().creator

    @property
    def timezone(self) -> str:
        """The time zone of the job."""
        return self._read_data().timezone

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self._text("job-id")

    @property
    def occurrence_id(self) -> str:
        """The same for every copy of this attempt, different for every other; may be empty."""
        return self._text("occurrence-id")

    @property
    def run_id(self) -> str:
        """The same for all attempts of a run."""
        return self._text("run-id") or self.occurrence_id.rpartition("/")[0]

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._number("attempt") or 1

    @property
    def attempts(self) -> int | None:
        """How many attempts the job allows."""
        return self._number("attempts")

    @property
    def nominal_time(self) -> datetime | None:
        """When the run was due, in UTC."""
        return self._instant("nominal-time")

    @property
    def deadline(self) -> datetime | None:
        """When the service stops to wait for the answer, in UTC."""
        return self._instant("deadline")

    @property
    def origin(self) -> str:
        """Why it runs: `schedule`, `manual` or `backfill`."""
        return self._text("origin") or "schedule"

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the job."""
        try:
            found = json.loads(self.headers.get("labels") or b"{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def traceparent(self) -> str:
        """W3C trace context of the call that created the job; may be empty."""
        return self._text("traceparent")

    @property
    def tracestate(self) -> str:
        """Its vendor part."""
        return self._text("tracestate")

    def extend(self) -> None:
        """Tell the service that the run goes on: its completion time-out begins anew.

        The worker does so by itself for long runs. May be called from any thread.
        """
        self._extend(self)

    def transaction(self, engine: Any, *, table: str = TABLE) -> AbstractContextManager[Any]:  # noqa: ANN401 - of any library
        """A transaction in the user's database that happens once for this run.

        `engine` is an SQLAlchemy engine or session factory, or a DB-API connection. The context
        gives the connection or session. The occurrence id is inserted into `table` beside the
        changes of the block. If it is there already, `AlreadyDone` leaves the handler, and the
        worker answers that the run is done.
        """
        return transaction(engine, self.occurrence_id, table)

    def _read_data(self) -> Data:
        if callable(self._data):
            self._data = self._data()
        return self._data

    def _text(self, header: str) -> str:
        found = self.headers.get(header, b"")
        try:
            return found.decode()
        except UnicodeDecodeError:  # different bytes stay different texts: ids of two runs too
            return found.decode(errors="backslashreplace")

    def _number(self, header: str) -> int | None:
        try:
            return int(self.headers[header])
        except (KeyError, ValueError):
            return None

    def _instant(self, header: str) -> datetime | None:
        given = self.headers.get(header)
        if not given:
            return None
        try:
            found = datetime.fromisoformat(given.decode())
        except ValueError:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
