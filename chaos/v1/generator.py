"""Random jobs of scheduling.v1, and how they look on the wire."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from chaos.clock import now_ms
from chaos.history import CRON, INTERVAL, NOW, WHEN
from chaos.v1.specs import ALLOW, LATEST, ONE, SKIP, Spec
from scheduling_client.wire.v1 import job_pb2 as v1

TYPES = ("v1-a", "v1-b", "v1-c")
PAUSED_TYPE = "v1-p"
"""The type that is paused now and then."""
CRONS = (("* * * * * *", ""), ("*/2 * * * * *", "Europe/Berlin"), ("1-59/3 * * * * *", "UTC"))
TRIGGERS = (NOW, WHEN, INTERVAL, INTERVAL, INTERVAL, INTERVAL, CRON)
OVERLAPS = {ALLOW: v1.OVERLAP_ALLOW, SKIP: v1.OVERLAP_SKIP, ONE: v1.OVERLAP_ONE}
OLDER = {LATEST: v1.MISSED_RUNS_LATEST, SKIP: v1.MISSED_RUNS_SKIP}
LONGEST_WAIT_MS = 8_000

_tags = count(1)


def random_spec(rng: random.Random, job_id: str, type_: str = "") -> Spec:
    """A job under this id; each property by chance."""
    trigger = rng.choice(TRIGGERS)
    spec = Spec(
        tag=new_tag(trigger),
        id=job_id,
        type=type_ or rng.choice((*TYPES, PAUSED_TYPE)),
        trigger=trigger,
        **_retry(rng),
        timeout=rng.choice((0, 0, 2_000, 3_500)),
        label=rng.choice(("", "x", "y")),
    )
    if trigger == WHEN:
        return replace(spec, due=now_ms() + rng.randrange(300, LONGEST_WAIT_MS))
    if trigger == NOW:
        return spec
    if trigger == INTERVAL:
        spec = replace(spec, period=rng.randrange(400, 2_500))
    else:
        cron, timezone = rng.choice(CRONS)
        spec = replace(spec, cron=cron, timezone=timezone)
    return replace(spec, **_recurring(rng, spec))


def new_tag(trigger: str) -> str:
    """A tag that no other definition has."""
    return f"v1-{trigger}-{next(_tags)}"


def _retry(rng: random.Random) -> dict[str, Any]:
    attempts = rng.choice((1, 1, 2, 3))
    if attempts == 1:
        return {}
    return {
        "attempts": attempts,
        "delay": rng.choice((50, 300, 1_000)),
        "exponential": rng.random() < 0.5,
        "max_delay": rng.choice((0, 200, 1_500)),
        "share": rng.choice((0.0, 0.5, 1.0)),
    }


def _recurring(rng: random.Random, spec: Spec) -> dict[str, Any]:
    """Each property of recurring jobs has a share of the jobs; many have several."""
    now, fields = now_ms(), dict[str, Any]()
    if rng.random() < 0.3:
        fields["start"] = now + rng.randrange(-5_000, 4_000)
    if rng.random() < 0.25:
        fields["end"] = now + rng.randrange(8_000, 25_000)
    if rng.random() < 0.35:
        fields["max_runs"] = rng.randrange(1, 15)
    if rng.random() < 0.2:
        fields["start_deadline"] = rng.randrange(1_500, 4_000)
    if rng.random() < 0.3:
        fields["jitter"] = rng.randrange(1, spec.period or 1_000)
    fields["overlap"] = rng.choice((ALLOW, ALLOW, SKIP, ONE))
    if rng.random() < 0.3:
        fields |= {"older": rng.choice((LATEST, SKIP)), "window": rng.randrange(2_000, 6_000)}
    return fields


CHANGES = {
    "payload": ("tag",),
    "max_runs": ("max_runs",),
    "start_deadline": ("start_deadline",),
    "overlap": ("overlap",),
    "completion_timeout": ("timeout",),
    "labels": ("label",),
    "retry": ("attempts", "delay", "exponential", "max_delay", "share"),
}
"""The paths of a field mask that campaigns change, and their fields."""


def changed(rng: random.Random, old: Spec) -> tuple[Spec, list[str]]:
    """The job with some other properties, and the field mask that names them."""
    paths = ["payload", *rng.sample([*CHANGES][1:], rng.choice((0, 1, 2)))]
    other: dict[str, Any] = {
        "tag": new_tag(old.trigger),
        "max_runs": old.max_runs and old.max_runs + rng.randrange(5),
        "start_deadline": rng.choice((0, rng.randrange(1_500, 4_000))),
        "overlap": rng.choice((ALLOW, SKIP, ONE)),
        "timeout": rng.choice((0, 2_000, 3_500)),
        "label": rng.choice(("", "x", "y")),
        **{name: getattr(Spec("", "", "", ""), name) for name in CHANGES["retry"]},
        **_retry(rng),
    }
    return replace(old, **{name: other[name] for path in paths for name in CHANGES[path]}), paths


# --- On the wire ----------------------------------------------------------------------------------


def to_message(spec: Spec) -> v1.JobSpec:
    """The JobSpec."""
    message = v1.JobSpec(
        id=spec.id,
        type=spec.type,
        creator="chaos",
        payload=[AnyMessage(type_url="payload", value=spec.tag.encode())],
        timezone=spec.timezone,
        schedule=_schedule(spec),
        max_runs=spec.max_runs,
        overlap=OVERLAPS[spec.overlap],
        start_time=_timestamp(spec.start),
        end_time=_timestamp(spec.end),
        start_deadline=_duration(spec.start_deadline),
        jitter=_duration(spec.jitter),
        completion_timeout=_duration(spec.timeout),
        labels={"chaos": spec.label} if spec.label else {},
        unique_key=spec.key,
        retry=v1.Retry(
            attempts=spec.attempts,
            delay=_duration(spec.delay),
            backoff=v1.BACKOFF_EXPONENTIAL if spec.exponential else v1.BACKOFF_FIXED,
            max_delay=_duration(spec.max_delay),
            random_share=spec.share,
        ),
    )
    if spec.older:
        older = v1.Missed(window=_duration(spec.window), older=OLDER[spec.older])
        message.missed.CopyFrom(older)
    return message


def shown(job: v1.JobSpec) -> dict[str, Any]:
    """The properties of an answer that an Update may change, as a `Spec` has them."""
    overlaps = {number: name for name, number in OVERLAPS.items()}
    return {
        "tag": job.payload[0].value.decode() if job.payload else "",
        "max_runs": job.max_runs,
        "start_deadline": _ms(job.start_deadline),
        "overlap": overlaps.get(job.overlap, ALLOW),
        "timeout": _ms(job.completion_timeout),
        "label": job.labels.get("chaos", ""),
        "jitter": _ms(job.jitter),
        "end": job.end_time.ToMilliseconds(),
        "period": _ms(job.schedule.every),
        "attempts": job.retry.attempts or 1,
    }


def _schedule(spec: Spec) -> v1.Schedule:
    if spec.trigger == NOW:
        schedule = v1.Schedule()
        schedule.now.SetInParent()
        return schedule
    if spec.trigger == WHEN:
        return v1.Schedule(at=_timestamp(spec.due))
    if spec.trigger == INTERVAL:
        return v1.Schedule(every=_duration(spec.period))
    return v1.Schedule(interval=spec.cron)


def timestamp(instant: int) -> Timestamp:
    """Of epoch ms."""
    return Timestamp(seconds=instant // 1000, nanos=instant % 1000 * 1_000_000)


def _timestamp(instant: int) -> Timestamp | None:
    return timestamp(instant) if instant else None


def _duration(length: int) -> Duration | None:
    if not length:
        return None
    return Duration(seconds=length // 1000, nanos=length % 1000 * 1_000_000)


def _ms(duration: Duration) -> int:
    return int(duration.ToMilliseconds())
