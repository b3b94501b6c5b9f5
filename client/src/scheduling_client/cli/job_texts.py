"""Jobs as the command shows them and reads them: JSON that stays the same over versions."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from google.protobuf.any_pb2 import Any as AnyMessage

from scheduling_client.cli.errors import wrong
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import read_recurring
from scheduling_client.wire import job_pb2

JSON_URL = "payload"
"""The type of a payload that is given as JSON."""
TRIGGERS: tuple[Literal["interval", "when", "now"], ...] = ("interval", "when", "now")
"""In the order in which the service takes them."""
_KEYS = (
    "id type creator timezone priority attempts backoff parallel interval when now payload words"
).split()
_READ_ONLY = frozenset({"words"})
_OF_DATA = frozenset({"timezone", "creator"})


def item_of(job: job_pb2.Job) -> dict[str, Any]:
    """A job as JSON, without properties that have their default."""
    values = {
        "id": job.id,
        "type": job.type,
        "creator": job.data.creator,
        "timezone": job.data.timezone,
        "priority": job_pb2.Job.Priority.Name(job.priority),
        "attempts": job.attempts,
        "backoff": _backoff(job.backoff) if job.HasField("backoff") else None,
        "parallel": job.parallel,
        "interval": job.interval,
        "when": job.when,
        "now": job.now,
        "payload": [_payload(each) for each in job.data.payload],
        "words": words_of(job),
    }
    return {key: value for key, value in values.items() if value}


def words_of(job: job_pb2.Job) -> str:
    """The schedule in words, as far as this version understands it."""
    if not job.interval:
        return f"once, at {job.when}" if job.when else "once, at once"
    try:
        return read_recurring(job.interval, job.data.timezone, 0).words
    except ScheduleError:
        return job.interval


def _backoff(backoff: job_pb2.Backoff) -> dict[str, Any]:
    return {"delay_ms": backoff.delay, "type": job_pb2.Backoff.Type.Name(backoff.type)}


def _payload(payload: AnyMessage) -> dict[str, str]:
    """JSON and texts as they are, other bytes in base64."""
    try:
        return {"type_url": payload.type_url, "text": payload.value.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(payload.value).decode()
        return {"type_url": payload.type_url, "base64": encoded}


def job_of(item: Mapping[str, Any], place: str) -> job_pb2.Job:
    """A job from JSON. `place` names it in errors. Raises `CommandError`."""
    unknown = set(item) - set(_KEYS)
    if unknown:
        raise wrong(f"{place}: {min(unknown)!r} is no property; there are {', '.join(_KEYS)}.")
    try:
        return _built({key: value for key, value in item.items() if key not in _READ_ONLY})
    except (KeyError, TypeError, ValueError) as error:
        raise wrong(f"{place}: {error}.") from None


def _built(item: dict[str, Any]) -> job_pb2.Job:
    data = job_pb2.Data(
        timezone=item.pop("timezone", ""),
        creator=item.pop("creator", ""),
        payload=[payload_of(each) for each in item.pop("payload", [])],
    )
    backoff = item.pop("backoff", None)
    if backoff is not None:
        kind = job_pb2.Backoff.Type.Value(backoff.get("type", "FIXED"))
        backoff = job_pb2.Backoff(delay=backoff.get("delay_ms", 0), type=kind)
    priority = job_pb2.Job.Priority.Value(item.pop("priority", "NORMAL"))
    return job_pb2.Job(data=data, backoff=backoff, priority=priority, **item)


def changed(job: job_pb2.Job, changes: Mapping[str, Any]) -> job_pb2.Job:
    """The job with other properties. What this version does not know of it stays."""
    asked, result = job_of(changes, f"Job {job.id}"), job_pb2.Job()
    result.CopyFrom(job)
    if any(name in changes for name in TRIGGERS):
        for trigger in TRIGGERS:
            result.ClearField(trigger)
    for name in changes:
        if name == "payload":
            result.data.ClearField("payload")
            result.data.payload.extend(asked.data.payload)
        elif name == "backoff":
            result.backoff.CopyFrom(asked.backoff)
        elif name in _OF_DATA:
            setattr(result.data, name, getattr(asked.data, name))
        else:
            setattr(result, name, getattr(asked, name))
    return result


def payload_of(item: Mapping[str, str]) -> AnyMessage:
    """A payload from JSON."""
    value = base64.b64decode(item["base64"]) if "base64" in item else item["text"].encode()
    return AnyMessage(type_url=item.get("type_url", JSON_URL), value=value)


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
