"""`JobSpec` to stored bytes and back."""

from itertools import count
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.interval import parse_interval
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_srv.app.requests.definition_check import check_definition
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.domain.stored_format import SCHEDULING_V1, StoredFormat
from scheduling_srv.domain.validation import DEFAULTS, Rules
from scheduling_srv.formats.hot_path import check_job
from scheduling_srv.formats.messages import decode_job_list
from scheduling_srv.formats.v1.requests import UpdateCall, decode_update, merged
from scheduling_srv.formats.v1.specs import definition_of, interval_text, spec_of
from scheduling_srv.formats.v1.times import duration_ms, duration_of, instant_of, timestamp_of

NOW = 1_700_000_000_000
DAILY = v1.Schedule(interval="@daily")
FULL = v1.JobSpec(
    id="a",
    type="t",
    creator="c",
    payload=[AnyMessage(type_url="u", value=b"\xff")],
    priority=v1.PRIORITY_CRITICAL,
    parallel=3,
    timezone="Europe/Berlin",
    schedule=DAILY,
    retry=v1.Retry(attempts=3, delay=Duration(seconds=2), backoff=v1.BACKOFF_EXPONENTIAL),
)


def stored(spec: v1.JobSpec) -> StoredJob:
    job = check_job(definition_of(spec).request, NOW, DEFAULTS)
    return StoredJob(job.id.encode(), job.record)


def test_what_2018_can_say_comes_back_as_it_was() -> None:
    assert spec_of(stored(FULL)) == FULL


def test_defaults_are_filled_in() -> None:
    spec = v1.JobSpec(id="a", type="t", schedule=DAILY)
    assert spec_of(stored(spec)) == v1.JobSpec(
        id="a", type="t", schedule=DAILY, timezone="UTC", priority=v1.PRIORITY_NORMAL
    )


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        (v1.Schedule(every=Duration(seconds=90)), "90 seconds"),
        (v1.Schedule(every=Duration(seconds=1, nanos=500_000_000)), "1500 milliseconds"),
        (v1.Schedule(every=Duration(seconds=1)), "1 seconds"),
    ],
    ids=["seconds", "ms", "one"],
)
def test_an_interval_is_a_text_of_2018(given_: v1.Schedule, text: str) -> None:
    assert definition_of(v1.JobSpec(schedule=given_)).request.interval == text


@given(st.integers(1, 100 * 365 * 86_400_000))
def test_the_text_of_an_interval_means_it(period: int) -> None:
    assert parse_interval(interval_text(period)) == period


def test_an_instant_is_rounded_up() -> None:
    at = v1.Schedule(at=Timestamp(seconds=1_900_000_000, nanos=1))
    assert definition_of(v1.JobSpec(schedule=at)).request.when == "2030-03-17T17:46:40.001Z"


def test_all_properties() -> None:
    spec = v1.JobSpec(
        start_time=Timestamp(seconds=1),
        end_time=Timestamp(seconds=2),
        max_runs=3,
        start_deadline=Duration(seconds=4),
        jitter=Duration(seconds=5),
        retry=v1.Retry(max_delay=Duration(seconds=6), random_share=0.5),
        overlap=v1.OVERLAP_ONE,
        missed=v1.Missed(window=Duration(seconds=7), older=v1.MISSED_RUNS_SKIP),
        completion_timeout=Duration(seconds=8),
        labels={"a": "b"},
        unique_key="k",
    )
    assert definition_of(spec).properties == Properties(
        start=1000,
        end=2000,
        max_runs=3,
        start_deadline=4000,
        jitter=5000,
        max_delay=6000,
        random_share=0.5,
        overlap=Overlap.ONE,
        missed=MissedRule(7000, latest=False),
        completion_timeout=8000,
        labels={"a": "b"},
        unique_key="k",
    )


@pytest.mark.parametrize("latest", [True, False])
def test_missed_runs_have_a_default_of_the_service(latest: bool) -> None:
    missed = v1.Missed()
    missed.unlimited.SetInParent()
    found = definition_of(v1.JobSpec(missed=missed), latest=latest).properties.missed
    assert found == MissedRule(None, latest=latest)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (v1.JobSpec(priority=9), "priority"),  # type: ignore[arg-type]
        (v1.JobSpec(overlap=9), "overlap"),  # type: ignore[arg-type]
        (v1.JobSpec(retry=v1.Retry(backoff=9)), "retry.backoff"),  # type: ignore[arg-type]
        (v1.JobSpec(retry=v1.Retry(delay=Duration(nanos=1))), "retry.delay"),
        (v1.JobSpec(jitter=Duration(seconds=1, nanos=-1)), "jitter"),
        (v1.JobSpec(jitter=Duration(seconds=1 << 40)), "jitter"),
        (v1.JobSpec(missed=v1.Missed()), "missed"),
        (v1.JobSpec(start_time=Timestamp(seconds=1 << 40)), "start_time"),
        (v1.JobSpec(end_time=Timestamp(nanos=-1)), "end_time"),
        (v1.JobSpec(schedule=v1.Schedule(at=Timestamp(seconds=1 << 40))), "schedule.at"),
        (v1.JobSpec(schedule=v1.Schedule(every=Duration())), "schedule.every"),
    ],
    ids=map(str, count()),
)
def test_values_that_no_job_has(spec: v1.JobSpec, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        definition_of(spec)
    assert [each.field for each in raised.value.violations] == [field]


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_instants_come_back(instant: int) -> None:
    assert instant_of(timestamp_of(instant)) == instant


@given(st.integers(0, 100 * 365 * 86_400_000))
def test_durations_come_back(ms: int) -> None:
    assert duration_ms(duration_of(ms)) == ms


# --- Updates ------------------------------------------------------------------------------------


def update(*paths: str, **job: Any) -> v1.JobSpec:
    request = service.UpdateJobRequest(
        job=v1.JobSpec(id="a", **job), update_mask=FieldMask(paths=paths)
    )
    call = decode_update(request.SerializeToString(), 900_000)
    definition = merged(stored(FULL), call).definition
    made = check_job(definition.request, NOW, DEFAULTS)
    return spec_of(StoredJob(made.id.encode(), made.record))


def changed(**job: Any) -> v1.JobSpec:
    spec = v1.JobSpec()
    spec.CopyFrom(FULL)
    for name in job:
        spec.ClearField(name)  # type: ignore[arg-type]
    spec.MergeFrom(v1.JobSpec(**job))
    return spec


def test_a_mask_says_what_changes() -> None:
    assert update("parallel", parallel=7, creator="x") == changed(parallel=7)
    assert update("parallel") == changed(parallel=0)
    assert update("payload", "id") == changed(payload=[])
    assert update("retry.delay").retry == v1.Retry(attempts=3, backoff=v1.BACKOFF_EXPONENTIAL)
    assert update("retry.attempts", retry=v1.Retry(attempts=9)).retry.attempts == 9
    assert update("retry").retry == v1.Retry()


def test_a_schedule_is_replaced_as_a_whole() -> None:
    hourly = v1.Schedule(interval="@hourly")
    for path in ("schedule", "schedule.interval", "schedule.when"):
        assert update(path, schedule=hourly) == changed(schedule=hourly)


def test_without_a_mask_what_is_set_changes() -> None:
    assert update(parallel=7, creator="x") == changed(parallel=7, creator="x")


SAME: dict[str, list[Any]] = {
    "retry": [v1.Retry(), v1.Retry(attempts=1), v1.Retry(backoff=v1.BACKOFF_FIXED)],
    "priority": [v1.PRIORITY_UNSPECIFIED, v1.PRIORITY_NORMAL],
    "overlap": [v1.OVERLAP_UNSPECIFIED, v1.OVERLAP_ALLOW],
    "jitter": [None, Duration()],
    "timezone": ["", "UTC"],
}
OTHER: dict[str, Any] = {
    "retry": v1.Retry(attempts=2),
    "priority": v1.PRIORITY_HIGH,
    "overlap": v1.OVERLAP_SKIP,
    "jitter": Duration(nanos=1_000_000),
    "timezone": "Europe/Berlin",
}


def differs(before: v1.JobSpec, **job: Any) -> bool:
    rules = Rules(stored=StoredFormat(SCHEDULING_V1))
    made = check_definition(definition_of(before), NOW, rules)
    return merged(
        StoredJob(made.id.encode(), made.record),
        UpdateCall(v1.JobSpec(**job), [*job], 0, allow_missing=False),
    ).differs


@pytest.mark.parametrize("name", SAME)
def test_a_default_that_is_given_changes_nothing(name: str) -> None:
    for one in SAME[name]:
        before = v1.JobSpec(id="a", type="t", schedule=DAILY, **{name: one})
        assert differs(before, **{name: OTHER[name]})
        for other in SAME[name]:
            assert not differs(before, **{name: other})


def test_a_star_means_all() -> None:
    spec = v1.JobSpec(type="u", schedule=DAILY)
    assert update("*", type="u", schedule=DAILY) == v1.JobSpec(
        id="a", type="u", schedule=DAILY, timezone="UTC", priority=v1.PRIORITY_NORMAL
    )
    assert spec.type == "u"


@pytest.mark.parametrize("path", ["", "nope", "labels.a", "retry.nope", "payload.value", "spec"])
def test_a_path_that_no_job_has(path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        update(path)
    assert raised.value.violations[0].field == "update_mask"


def test_an_update_keeps_what_this_version_does_not_know() -> None:
    unknown = b"\xc2\x3e\x01x"  # field 1000 of the message of 2018
    raw = jobs.Job(id="a", type="t", data=jobs.Data(), interval="@daily").SerializeToString()
    listed = jobs.JobList(items=[jobs.Job.FromString(raw + unknown)]).SerializeToString()
    (request,) = decode_job_list(listed)
    job = check_job(request, NOW, DEFAULTS)
    call = decode_update(
        service.UpdateJobRequest(job=v1.JobSpec(id="a", parallel=7)).SerializeToString(), 900_000
    )
    definition = merged(StoredJob(b"a", job.record), call).definition
    assert unknown in definition.request.rest
    assert definition.request.parallel == 7
