"""The hot path returns the bytes that it returned before, and those that protobuf would write.

Another implementation of it joins `ACCEPTS` or `ANNOUNCES`, and has to pass the same tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.when import is_relative, rfc3339
from scheduling_client.wire import job_pb2
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import NewJob, Priority
from scheduling_srv.formats import job_record
from scheduling_srv.formats.hot_path import Terms, accept
from scheduling_srv.formats.kafka_records import JOURNAL_DUE, Topic
from scheduling_srv.formats.layouts import CREATE
from tests.unit import hot_path
from tests.unit.hot_path import FILE, NOW, TRACE, Accept, Announce, Vector

ACCEPTS: Sequence[Accept] = (accept,)
ANNOUNCES: Sequence[Announce] = (hot_path.announce,)
VECTORS: dict[str, list[Vector]] = json.loads(FILE.read_text())

each_accept = pytest.mark.parametrize("function", ACCEPTS)
each_announce = pytest.mark.parametrize("announce", ANNOUNCES)


def named(kind: str) -> pytest.MarkDecorator:
    vectors = VECTORS[kind]
    return pytest.mark.parametrize("vector", vectors, ids=[each["name"] for each in vectors])


# --- Golden vectors -----------------------------------------------------------------------------


@each_accept
@named("accept")
def test_a_list_becomes_the_golden_records(function: Accept, vector: Vector) -> None:
    assert hot_path.result_of_accept(function, vector) == vector["result"]


@each_announce
@named("announce")
def test_entries_become_the_golden_records(announce: Announce, vector: Vector) -> None:
    assert hot_path.result_of_announce(announce, vector) == vector["result"]


def test_the_file_has_all_vectors() -> None:
    """A case that was added to the module, but not to the file, would test nothing."""
    for kind, made in (("accept", hot_path.accepted()), ("announce", hot_path.announced())):
        without = [{k: v for k, v in each.items() if k != "result"} for each in VECTORS[kind]]
        assert without == [*made]


# --- Any jobs -----------------------------------------------------------------------------------

texts = st.text(max_size=40)
names = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40)
backoffs = st.builds(job_pb2.Backoff, delay=st.floats(0, 1e9), type=st.integers(0, 1))
schedules = st.sampled_from(
    [
        {"now": True},
        {"when": "in 3 days"},
        {"when": "2024-02-29T12:00:00.5+05:30"},
        {"interval": "250 ms"},
        {"interval": "17 minutes"},
        {"interval": "*/7 3 * * 1-5"},
        {"interval": "1 day", "when": "in 1 hour"},
    ]
)


@st.composite
def datas(draw: st.DrawFn) -> job_pb2.Data:
    """Data with some payloads."""
    zone = draw(st.sampled_from(["", "UTC", "Europe/Berlin", "Asia/Kolkata"]))
    data = job_pb2.Data(timezone=zone, creator=draw(texts))
    for value in draw(st.lists(st.binary(max_size=300), max_size=3)):
        data.payload.add(type_url=draw(texts), value=value)
    return data


@st.composite
def wanted(draw: st.DrawFn) -> job_pb2.Job:
    """A job that is accepted."""
    job = job_pb2.Job(
        id=draw(names),
        type=draw(st.text(min_size=1, max_size=300)),
        data=draw(datas()),
        priority=draw(st.sampled_from([each.value for each in Priority])),  # type: ignore[arg-type]
        attempts=draw(st.integers(0, 2**32 - 1)),
        parallel=draw(st.integers(0, 2**32 - 1)),
        **draw(schedules),
    )
    if draw(st.booleans()):
        job.backoff.CopyFrom(draw(backoffs))
    return job


def list_of(jobs: Sequence[job_pb2.Job]) -> bytes:
    return job_pb2.JobList(items=jobs).SerializeToString()


def completed(job: job_pb2.Job, accepted: NewJob) -> job_pb2.Job:
    """The job as others see it: with an id, a time zone, and an instant for words like "in"."""
    result = job_pb2.Job()
    result.CopyFrom(job)
    result.id = accepted.id
    result.data.timezone = job.data.timezone or "UTC"
    if job.when and is_relative(job.when) and not job.interval:
        result.when = rfc3339(accepted.due).decode()
    return result


@each_accept
@each_announce
@given(jobs=st.lists(wanted(), max_size=4), seq=st.integers(1, 2**48 - 1))
def test_a_job_is_announced_as_it_was_asked_for(
    function: Accept, announce: Announce, jobs: Sequence[job_pb2.Job], seq: int
) -> None:
    for job, accepted in zip(jobs, function(list_of(jobs), Terms(NOW)), strict=True):
        stored = seq.to_bytes(6, "little") + accepted.record[6:]
        entry = hot_path.created(CREATE, accepted.id.encode(), accepted.due, stored)
        created, journal = announce([entry], 0, "inc", "RECURR", [])
        assert accepted.id == (job.id or accepted.id) != ""
        assert job_pb2.Job.FromString(created.value or b"") == completed(job, accepted)
        assert dict(created.headers)["nominal-time"] == rfc3339(accepted.due)
        assert (created.topic, created.key) == (Topic.RESOURCES, b"jobsCreated")
        assert journal.value == JOURNAL_DUE.pack(accepted.due) + stored
        assert created.route == journal.route == journal.key == accepted.id.encode()


@each_accept
@each_announce
@given(job=wanted(), instance=st.integers(0, 2**32 - 1), trace=st.sampled_from([b"", TRACE]))
def test_a_run_has_the_type_and_the_data_of_its_job(
    function: Accept, announce: Announce, job: job_pb2.Job, instance: int, trace: bytes
) -> None:
    (accepted,) = function(list_of([job]), Terms(NOW, trace=trace))
    entry = hot_path.queued_of(accepted, instance)
    (record,) = announce([entry], 0, "inc", "RECURR", [])
    run, seen = job_pb2.ScheduledJob.FromString(record.value or b""), completed(job, accepted)
    assert (run.id, run.type, run.data) == (instance, seen.type, seen.data)
    kind = "RECURR" if job.interval else "ONCE" if job.when else "NOW"
    assert run.schedule_type == kind
    assert dict(record.headers).get("traceparent", b"") == trace.partition(b"\n")[0]


@each_accept
@given(jobs=st.lists(wanted(), max_size=4))
def test_a_list_is_the_sum_of_its_jobs(function: Accept, jobs: Sequence[job_pb2.Job]) -> None:
    terms = Terms(NOW)
    together = function(list_of(jobs), terms)
    alone = [each for job in jobs for each in function(list_of([job]), terms)]
    assert [each[1:] for each in together] == [each[1:] for each in alone]


@each_accept
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused(function: Accept, raw: bytes) -> None:
    """As protobuf reads them."""
    try:
        jobs = job_pb2.JobList.FromString(raw).items
    except DecodeError:
        jobs = None
    try:
        accepted = function(raw, Terms(NOW))
    except RequestError:
        return
    assert jobs is not None
    assert [each.id for each in accepted if each.id] == [each.id for each in accepted]
    assert [job.type for job in jobs] == [
        job_record.type_of(each.record).decode() for each in accepted
    ]
