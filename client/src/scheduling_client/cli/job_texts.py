"""Jobs as the command shows them and reads them: JSON that stays the same over versions.

Times are RFC 3339 in UTC, durations texts such as `1h 30m`. Properties that have their default are
left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from scheduling_client.api.jobs import (
    Backoff,
    Job,
    JobSpec,
    JobState,
    Missed,
    MissedRuns,
    Overlap,
    Pause,
    Payload,
    Priority,
    RetryPolicy,
)
from scheduling_client.api.triggers import Schedule, Trigger, at, cron, every, now
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.times import utc_text
from scheduling_client.schedules.durations import duration_text, parse_duration
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import local_text
from scheduling_client.schedules.zone import zone

JSON_URL = "payload"
"""The type of a payload that is given as JSON."""
TRIGGERS = ("now", "at", "when", "every", "interval")
"""Of these a job has one."""
DURATIONS = ("start_deadline", "jitter", "completion_timeout")
TIMES = ("start_time", "end_time")
_RETRY = ("attempts", "backoff")
_NUMBERS = ("parallel", "max_runs")
_PLAIN = ("id", "type", "creator", "timezone", *_NUMBERS, "unique_key")
_READ_ONLY = (
    "words",
    "state",
    "revision",
    "create_time",
    "update_time",
    "paused",
    "type_paused",
    "next",
    "counters",
    "existing",
)
KEYS = (
    *_PLAIN,
    "priority",
    *_RETRY,
    *TRIGGERS,
    *TIMES,
    *DURATIONS,
    "overlap",
    "missed",
    "labels",
    "payload",
    *_READ_ONLY,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
Kind = TypeVar("Kind", bound=Enum)


# --- Out ----------------------------------------------------------------------------------------


def item_of(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    counters = job.counters
    values = {
        **spec_item(job.spec),
        "words": job.words,
        "state": job.state.name if job.state is not JobState.UNKNOWN else None,
        "revision": job.revision,
        "create_time": _time_text(job.create_time),
        "update_time": _time_text(job.update_time),
        "paused": pause_item(job.pause) if job.pause else None,
        "type_paused": pause_item(job.type_pause) if job.type_pause else None,
        "next": [_next(each, job.spec.timezone) for each in job.next_times],
        "counters": counters._asdict() if counters else None,
        "existing": job.existing,
    }
    return {key: value for key, value in values.items() if value}


def spec_item(spec: JobSpec) -> dict[str, Any]:
    """A definition as JSON."""
    values = {
        **{name: getattr(spec, name) for name in _PLAIN},
        "priority": spec.priority.name,
        "attempts": spec.retry.attempts,
        "backoff": _backoff(spec.retry),
        **(_schedule_item(spec.schedule) if spec.schedule else {}),
        **{name: _time_text(getattr(spec, name)) for name in TIMES},
        **{name: _duration_text(getattr(spec, name)) for name in DURATIONS},
        "overlap": spec.overlap.name if spec.overlap is not Overlap.ALLOW else None,
        "missed": _missed(spec.missed) if spec.missed else None,
        "labels": dict(spec.labels),
        "payload": [_payload(each) for each in spec.payload],
    }
    return {key: value for key, value in values.items() if value}


def _schedule_item(schedule: Schedule) -> dict[str, Any]:
    name = schedule.trigger.value
    if schedule.trigger is Trigger.NOW:
        return {name: True}
    if schedule.instant is not None:
        return {name: _time_text(schedule.instant)}
    if schedule.period is not None:
        return {name: _duration_text(schedule.period)}
    return {name: schedule.text}


def epoch_ms(time: datetime) -> int:
    """Rounded down."""
    return (time - _EPOCH) // _MS


def _next(time: datetime, timezone: str) -> dict[str, str]:
    instant = epoch_ms(time)
    return {"local": local_text(instant, zone(timezone)), "utc": utc_text(instant)}


def _time_text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(epoch_ms(time))


def _duration_text(length: timedelta | None) -> str | None:
    return None if length is None else duration_text(length // _MS)


def pause_item(pause: Pause) -> dict[str, Any]:
    """A pause as JSON."""
    return {"since": _time_text(pause.since), "note": pause.note, "by": pause.by}


def _backoff(retry: RetryPolicy) -> dict[str, Any] | None:
    found = {
        "delay": _duration_text(retry.delay),
        "type": retry.backoff.name if retry.backoff is not Backoff.FIXED else None,
        "max_delay": _duration_text(retry.max_delay),
        "random_share": retry.random_share,
    }
    return {key: value for key, value in found.items() if value}


def _missed(missed: Missed) -> dict[str, Any]:
    window = "unlimited" if missed.window is None else _duration_text(missed.window)
    older = {"older": missed.older.name} if missed.older else {}
    return {"window": window, **older}


def _payload(payload: Payload) -> dict[str, str]:
    """JSON and texts as they are, other bytes in base64."""
    try:
        return {"type_url": payload.type_url, "text": payload.value.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(payload.value).decode()
        return {"type_url": payload.type_url, "base64": encoded}


# --- In -----------------------------------------------------------------------------------------


def spec_of(item: Mapping[str, Any], place: str) -> JobSpec:
    """A definition from JSON. `place` names it in errors. Raises `CommandError`."""
    changes = changes_of(item, place)
    if "schedule" not in changes:
        raise wrong(f"{place}: a job needs a schedule: one of {', '.join(TRIGGERS)}.")
    return JobSpec(**{"type": "", **changes})


def changes_of(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The properties of `JobSpec` that an item has. Raises `CommandError`."""
    unknown = set(item) - set(KEYS)
    if unknown:
        raise wrong(f"{place}: {min(unknown)!r} is no property; there are {', '.join(KEYS)}.")
    try:
        return dict(_changes({key: item[key] for key in item if key not in _READ_ONLY}))
    except (AttributeError, KeyError, ScheduleError, TypeError, ValueError) as error:
        sentence = str(error.args[0] if error.args else error).rstrip(".")
        raise wrong(f"{place}: {sentence}.") from None


def _changes(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, read in _READERS.items():
        if name in item:
            yield name, read(item[name], name)
    if any(name in item for name in _RETRY):
        yield "retry", _retry_of(item)
    if any(name in item for name in TRIGGERS):
        yield "schedule", schedule_of(item)


def schedule_of(item: Mapping[str, Any]) -> Schedule:
    """The one schedule of an item."""
    given = [name for name in TRIGGERS if item.get(name)]
    if len(given) != 1:
        raise ValueError(f"A job has one schedule: {' and '.join(given) or 'none'} are given")
    (name,) = given
    text = item[name]
    if name == "now":
        return now()
    if name == "every":
        return every(_of_type(text, str, name))
    if name == "interval":
        return cron(_of_type(text, str, name))
    return at(_time_of(text, name) if name == "at" else _of_type(text, str, name))


def _retry_of(item: Mapping[str, Any]) -> RetryPolicy:
    backoff = item.get("backoff", {})
    unknown = set(backoff) - {"delay", "type", "max_delay", "random_share"}
    if unknown:
        raise ValueError(f"backoff has no {min(unknown)!r}")
    return RetryPolicy(
        _of_type(item.get("attempts", 0), int, "attempts"),
        _length_of(backoff["delay"], "delay") if "delay" in backoff else None,
        _member(Backoff, backoff.get("type", "FIXED"), "type"),
        _length_of(backoff["max_delay"], "max_delay") if "max_delay" in backoff else None,
        float(backoff.get("random_share", 0)),
    )


def _missed_of(item: Mapping[str, Any]) -> Missed:
    window = item["window"]
    return Missed(
        None if window == "unlimited" else _length_of(window, "window"),
        _member(MissedRuns, item["older"], "older") if "older" in item else None,
    )


def payload_of(item: Mapping[str, str]) -> Payload:
    """A payload from JSON."""
    value = base64.b64decode(item["base64"]) if "base64" in item else item["text"].encode()
    return Payload(value, item.get("type_url", JSON_URL))


def _time_of(text: object, name: str) -> datetime:
    if isinstance(text, datetime):  # YAML reads times by itself
        found = text
    else:
        found = datetime.fromisoformat(_of_type(text, str, name))
    if found.utcoffset() is None:
        raise ValueError(f"{name} has no time zone: {text}")
    return found.astimezone(UTC)


def _length_of(text: object, name: str) -> timedelta:
    try:
        return timedelta(milliseconds=parse_duration(_of_type(text, str, name)))
    except ValueError as error:
        raise ValueError(f"{name} {text!r} {error}") from None


def _member(kind: type[Kind], text: object, name: str) -> Kind:
    names = [each.name for each in kind]
    if text not in names:
        raise ValueError(f"{name} is one of {', '.join(names)}, not {text!r}")
    return kind[str(text)]


def _of_type(value: object, kind: type[Any], name: str) -> Any:  # noqa: ANN401 - of that type
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} is a {'text' if kind is str else 'number'}, not {value!r}")  # noqa: TRY004 - it is told as a sentence
    return value


def _text(value: object, name: str) -> Any:  # noqa: ANN401 - a text
    return _of_type(value, str, name)


def _number(value: object, name: str) -> Any:  # noqa: ANN401 - a number
    return _of_type(value, int, name)


def _labels(value: Mapping[str, object], _name: str) -> dict[str, str]:
    return {str(key): str(each) for key, each in value.items()}


def _payloads(value: Iterable[Mapping[str, str]], _name: str) -> tuple[Payload, ...]:
    return tuple(map(payload_of, value))


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(_PLAIN, _text),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(TIMES, _time_of),
    **dict.fromkeys(DURATIONS, _length_of),
    "priority": lambda value, name: _member(Priority, value, name),
    "overlap": lambda value, name: _member(Overlap, value, name),
    "missed": lambda value, _name: _missed_of(value),
    "labels": _labels,
    "payload": _payloads,
}
"""Key -> how its value is read, but for those of a retry and of a schedule."""


# --- Files --------------------------------------------------------------------------------------


def items_in(text: str, name: str) -> Iterator[Mapping[str, Any]]:
    """The jobs in a file: YAML, JSON or JSON lines, by the ending of its name."""
    try:
        content = _parsed(text, name)
    except ValueError as error:
        raise wrong(f"{name} cannot be read: {error}.") from None
    for number, item in enumerate(content if isinstance(content, list) else [content]):
        if not isinstance(item, dict):
            raise wrong(f"{name}: job {number} is no object.")
        yield item


def _parsed(text: str, name: str) -> object:
    if name.endswith(".ndjson"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if name.endswith((".yaml", ".yml")):
        import yaml  # noqa: PLC0415 - few files need it

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from None
    return json.loads(text)
