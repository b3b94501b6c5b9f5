"""The form of a job: a definition to the texts of its fields, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from scheduling_client.api.jobs import (
    Backoff,
    JobSpec,
    Missed,
    MissedRuns,
    Overlap,
    Payload,
    Priority,
    RetryPolicy,
)
from scheduling_client.api.triggers import Schedule, Trigger, at, cron, every, now
from scheduling_client.schedules.durations import parse_duration
from scheduling_client.schedules.errors import ScheduleError
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.entrances.web.filters import labels_in
from scheduling_srv.entrances.web.payloads import as_json
from scheduling_srv.entrances.web.rendering import iso, length

UNLIMITED = "unlimited"
TEXT_PAYLOAD_BYTES = 64_000
"""A longer payload is kept as it is, and not shown for editing."""
KINDS: Mapping[str, str] = {
    "interval": "By cron or in words",
    "every": "At a fixed interval",
    "when": "Once, at a time",
    "now": "Once, at once",
}
EMPTY: Mapping[str, str] = {
    "id": "",
    "type": "",
    "creator": "",
    "kind": "interval",
    "schedule": "",
    "timezone": "",
    "payload": "",
    "payload_type": "",
    "priority": Priority.NORMAL.name,
    "parallel": "",
    "attempts": "",
    "delay": "",
    "backoff": Backoff.FIXED.name,
    "max_delay": "",
    "random_share": "",
    "overlap": Overlap.ALLOW.name,
    "missed_window": "",
    "missed_older": "",
    "start_time": "",
    "end_time": "",
    "max_runs": "",
    "start_deadline": "",
    "jitter": "",
    "completion_timeout": "",
    "labels": "",
    "unique_key": "",
}
"""Every field, as it is on the form of a new job."""
GROUPS: Mapping[str, Sequence[str]] = {
    "schedule": ("kind", "schedule"),
    "retry": ("attempts", "delay", "backoff", "max_delay", "random_share"),
    "missed": ("missed_window", "missed_older"),
    "payload": ("payload", "payload_type"),
}
"""Properties that have several fields. All others have one, of the same name."""
_MADE: Mapping[str, Callable[[str], Schedule]] = {"interval": cron, "every": every, "when": at}
Kind = TypeVar("Kind", bound=Enum)


# --- Out ----------------------------------------------------------------------------------------


def fields_of(spec: JobSpec) -> dict[str, str]:
    """The texts of the fields."""
    retry, missed = spec.retry, spec.missed
    payload = spec.payload[0] if is_editable(spec) and spec.payload else None
    return {
        **EMPTY,
        **{name: getattr(spec, name) for name in ("id", "type", "creator", "timezone")},
        **_schedule_fields(spec.schedule),
        "payload": _payload_text(payload.value) if payload else "",
        "payload_type": payload.type_url if payload else "",
        "priority": spec.priority.name,
        "parallel": _number_text(spec.parallel),
        "attempts": _number_text(retry.attempts),
        "delay": _length_text(retry.delay),
        "backoff": retry.backoff.name,
        "max_delay": _length_text(retry.max_delay),
        "random_share": f"{retry.random_share:g}" if retry.random_share else "",
        "overlap": spec.overlap.name,
        "missed_window": _window_text(missed),
        "missed_older": missed.older.name if missed and missed.older else "",
        "start_time": iso(spec.start_time) if spec.start_time else "",
        "end_time": iso(spec.end_time) if spec.end_time else "",
        "max_runs": _number_text(spec.max_runs),
        **{
            name: _length_text(getattr(spec, name))
            for name in ("start_deadline", "jitter", "completion_timeout")
        },
        "labels": "\n".join(f"{key}={value}" for key, value in sorted(spec.labels.items())),
        "unique_key": spec.unique_key,
    }


def is_editable(spec: JobSpec) -> bool:
    """Whether its payload fits the form: none, or one text."""
    if not spec.payload:
        return True
    value = spec.payload[0].value
    if len(spec.payload) > 1 or len(value) > TEXT_PAYLOAD_BYTES:
        return False
    try:
        return all(each.isprintable() or each in "\n\t" for each in value.decode())
    except UnicodeDecodeError:
        return False


def _payload_text(value: bytes) -> str:
    text = value.decode()
    return as_json(text) or text


def _schedule_fields(schedule: Schedule | None) -> dict[str, str]:
    if schedule is None:
        return {}
    if schedule.instant is not None:
        return {"kind": "when", "schedule": iso(schedule.instant)}
    if schedule.period is not None:
        return {"kind": "every", "schedule": length(schedule.period)}
    return {"kind": schedule.trigger.value, "schedule": schedule.text}


def _number_text(value: int) -> str:
    return str(value) if value else ""


def _length_text(value: timedelta | None) -> str:
    return length(value) if value is not None else ""


def _window_text(missed: Missed | None) -> str:
    if missed is None:
        return ""
    return length(missed.window) if missed.window is not None else UNLIMITED


# --- In -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Filled:
    """A form that was filled in. Reading it collects the faults of all fields."""

    fields: Mapping[str, str]
    faults: list[Violation] = field(default_factory=list)

    def spec(self) -> JobSpec:
        """The definition. Raises `InvalidRequest` with all faults."""
        values = dict(self._values(list(_PROPERTIES)))
        self._raise_faults()
        return JobSpec(**{"type": "", "schedule": None, **values})

    def changes(self, before: Mapping[str, str]) -> dict[str, Any]:
        """The properties whose fields differ. Raises `InvalidRequest` with all faults."""
        changed = [name for name in _PROPERTIES if name != "id" and self._differs(name, before)]
        values = dict(self._values(changed))
        self._raise_faults()
        return values

    def _differs(self, name: str, before: Mapping[str, str]) -> bool:
        names = GROUPS.get(name, (name,))
        return any(_plain(self.fields[each]) != _plain(before[each]) for each in names)

    def _values(self, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        for name in names:
            try:
                yield name, _PROPERTIES[name](self.fields)
            except InvalidRequest as fault:
                self.faults += fault.violations or [Violation(name, str(fault))]

    def _raise_faults(self) -> None:
        if self.faults:
            raise InvalidRequest(self.faults[0].description, self.faults)


def _plain(text: str) -> str:
    """Browsers end lines with two characters."""
    return text.replace("\r\n", "\n").strip()


def _fault(name: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(name, sentence)])


def _schedule(fields: Mapping[str, str]) -> Schedule:
    kind, text = fields["kind"], fields["schedule"].strip()
    if kind == Trigger.NOW.value:
        return now()
    if not text:
        raise _fault("schedule", "Say when the job runs.")
    if kind not in _MADE:
        raise _fault("schedule", f"There is no kind of schedule {kind!r}.")
    try:
        return _MADE[kind](text)
    except ScheduleError as fault:
        raise _fault("schedule", str(fault)) from None


def _retry(fields: Mapping[str, str]) -> RetryPolicy:
    return RetryPolicy(
        _whole("attempts")(fields),
        _length("delay")(fields),
        _member("backoff", Backoff)(fields),
        _length("max_delay")(fields),
        _share(fields),
    )


def _share(fields: Mapping[str, str]) -> float:
    text = fields["random_share"].strip()
    try:
        return float(text) if text else 0.0
    except ValueError:
        raise _fault("random_share", f"{text!r} is not a share such as 0.25.") from None


def _missed(fields: Mapping[str, str]) -> Missed | None:
    window, older = fields["missed_window"].strip(), fields["missed_older"]
    if not window:
        if older:
            raise _fault("missed_window", "Say how far back: a duration, or 'unlimited'.")
        return None
    reach = None if window == UNLIMITED else _length("missed_window")(fields)
    return Missed(reach, _member("missed_older", MissedRuns)(fields) if older else None)


def _payload(fields: Mapping[str, str]) -> tuple[Payload, ...]:
    text = _plain(fields["payload"])
    if not text:
        return ()
    kind = fields["payload_type"].strip()
    return (Payload(text.encode(), kind) if kind else Payload(text.encode()),)


def _labels(fields: Mapping[str, str]) -> dict[str, str]:
    try:
        return labels_in(fields["labels"])
    except InvalidRequest as fault:
        raise _fault("labels", str(fault)) from None


def _text(name: str) -> Callable[[Mapping[str, str]], str]:
    return lambda fields: fields[name].strip()


def _whole(name: str) -> Callable[[Mapping[str, str]], int]:
    def read(fields: Mapping[str, str]) -> int:
        text = fields[name].strip()
        if text and not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004 - digits
            raise _fault(name, f"{text!r} is not a whole number.")
        return int(text or 0)

    return read


def _length(name: str) -> Callable[[Mapping[str, str]], timedelta | None]:
    def read(fields: Mapping[str, str]) -> timedelta | None:
        text = fields[name].strip()
        try:
            return timedelta(milliseconds=parse_duration(text)) if text else None
        except (ValueError, OverflowError) as fault:
            raise _fault(name, f"{text!r} {fault}.") from None

    return read


def _time(name: str) -> Callable[[Mapping[str, str]], datetime | None]:
    def read(fields: Mapping[str, str]) -> datetime | None:
        text = fields[name].strip()
        try:
            found = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise _fault(name, f"{text!r} is not a time such as 2027-01-31T08:00:00Z.") from None
        if found and found.utcoffset() is None:
            raise _fault(name, f"{text!r} has no offset: append Z, or one such as +01:00.")
        return found.astimezone(UTC) if found else None

    return read


def _member(name: str, kind: type[Kind]) -> Callable[[Mapping[str, str]], Kind]:
    def read(fields: Mapping[str, str]) -> Kind:
        try:
            return kind[fields[name]]
        except KeyError:
            raise _fault(name, f"There is no {name} {fields[name]!r}.") from None

    return read


_PROPERTIES: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
    **{name: _text(name) for name in ("id", "type", "creator", "timezone", "unique_key")},
    "schedule": _schedule,
    "payload": _payload,
    "priority": _member("priority", Priority),
    "parallel": _whole("parallel"),
    "retry": _retry,
    "overlap": _member("overlap", Overlap),
    "missed": _missed,
    "start_time": _time("start_time"),
    "end_time": _time("end_time"),
    "max_runs": _whole("max_runs"),
    "start_deadline": _length("start_deadline"),
    "jitter": _length("jitter"),
    "completion_timeout": _length("completion_timeout"),
    "labels": _labels,
}
"""Property of `JobSpec` -> how it is read from the fields."""
