"""The stored form of a job: every field comes out as it went in."""

from collections.abc import Callable

import pytest
from google.protobuf import any_pb2
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.wire import job_pb2
from scheduling_srv.domain.errors import NewerData
from scheduling_srv.domain.job import RANKS, JobRequest, Priority, Trigger, TriggerKind, generate_id
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.layouts import VERSION_OF_MORE
from scheduling_srv.formats.more import More, pack_more
from scheduling_srv.formats.versions import FORMATS, READS
from tests.store.shard import of_version

requests = st.builds(
    JobRequest,
    id=st.just(""),
    type=st.text(min_size=1, max_size=200),
    timezone=st.just("UTC"),
    creator=st.text(max_size=200),
    data=st.none(),
    rest=st.binary(max_size=300),
    priority=st.sampled_from(Priority),
    attempts=st.integers(0, 2**32 - 1),
    backoff_type=st.integers(0, 1),
    backoff_delay=st.floats(0, 1e12),
    parallel=st.integers(0, 2**32 - 1),
    trace=st.binary(max_size=600),
)


CREATED = 1_700_000_000_123


def packed(request: JobRequest, trigger: Trigger, more: bytes = b"") -> bytes:
    data = job_pb2.Data(timezone=request.timezone, creator=request.creator)
    request.data = data.SerializeToString()
    return job_record.pack(request, trigger, Note.NONE, CREATED, more)


@given(
    request=requests,
    kind=st.sampled_from(TriggerKind),
    interval=st.integers(0, 2**63),
    version=st.integers(0, FORMATS[READS].job),
)
def test_all_that_goes_in_comes_out(
    request: JobRequest, kind: TriggerKind, interval: int, version: int
) -> None:
    """Of each version that is read."""
    written = packed(request, Trigger(kind, 0, interval))
    stored = of_version(written, version)
    version = min(version, job_record.version(written))
    assert job_record.created_at(stored) == (CREATED if version >= VERSION_OF_MORE else 0)
    assert job_record.version(stored) == version
    assert job_record.kind(stored) == kind
    assert job_record.job_message(b"id", stored) == job_record.job_message(b"id", written)
    head = job_record.header(stored)
    assert head.seq == 0
    assert (head.kind, head.interval) == (kind, interval)
    assert head.rank == RANKS[Priority(request.priority)]
    assert head.parallel == request.parallel
    assert max(1, head.attempts) == max(1, request.attempts)
    assert (head.backoff_type, head.backoff_delay) == (request.backoff_type, request.backoff_delay)
    assert job_record.creator_of(stored) == request.creator
    assert job_record.data_of(stored) == request.data
    assert job_record.rest_of(stored) == request.rest
    assert head.trace_size == len(request.trace)
    assert stored.endswith(request.trace)


@pytest.mark.parametrize(
    ("part", "size", "version"),
    [
        ("type", 200, 3),
        ("type", 300, 2),
        ("payload", 30_000, 3),
        ("payload", 32_768, 2),
        ("trace", 255, 3),
        ("trace", 256, 2),
        ("more", 18, 2),
    ],
)
def test_records_with_small_parts_have_the_small_header(part: str, size: int, version: int) -> None:
    trace = bytes(size if part == "trace" else 0)
    name = "t" * size if part == "type" else "t"
    request = JobRequest("", name, "UTC", "me", None, b"", trace=trace)
    payload = b"x" * (size if part == "payload" else 0)
    data = job_pb2.Data(timezone="UTC", creator="me", payload=[any_pb2.Any(value=payload)])
    request.data = data.SerializeToString()
    more = pack_more(More(1, CREATED, Properties(), b"")) if part == "more" else b""
    stored = job_record.pack(request, Trigger(TriggerKind.ONCE, 0), Note.NONE, CREATED, more)
    assert job_record.version(stored) == version
    assert job_record.data_of(stored) == request.data
    assert job_record.creator_of(stored) == "me"
    assert job_record.created_at(stored) == CREATED
    assert job_record.header(stored).trace_size == len(trace)


@given(request=requests, version=st.integers(FORMATS[READS].job + 1, 7))
def test_a_record_of_a_later_version_is_refused(request: JobRequest, version: int) -> None:
    stored = of_version(packed(request, Trigger(TriggerKind.ONCE, 0)), version)
    readers: list[Callable[[bytes], object]] = [
        job_record.header,
        job_record.kind,
        job_record.body_at,
        job_record.creator_of,
        job_record.data_of,
        job_record.rest_of,
        job_record.type_of,
        lambda record: job_record.job_message(b"id", record),
    ]
    for read in readers:
        with pytest.raises(NewerData, match=f"a job record of version {version}, and"):
            read(stored)
    assert job_record.seq(stored) == 0


@given(request=requests, job_id=st.text(max_size=200))
def test_the_job_message_is_the_job_that_was_asked_for(request: JobRequest, job_id: str) -> None:
    request.rest = job_pb2.Job(attempts=3, interval="1 hour").SerializeToString()
    stored = packed(request, Trigger(TriggerKind.ONCE, 0))
    job = job_pb2.Job.FromString(job_record.job_message(job_id.encode(), stored))
    assert (job.id, job.type, job.attempts, job.interval) == (job_id, request.type, 3, "1 hour")
    assert (job.data.timezone, job.data.creator) == ("UTC", request.creator)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32 - 1, "ffffffff0f")],
)
def test_varints(value: int, encoded: str) -> None:
    """The values of the protobuf encoding guide."""
    assert job_record.varint(value) == bytes.fromhex(encoded)


def test_priorities_are_ranked_from_critical_to_low() -> None:
    names = sorted(Priority, key=lambda priority: RANKS[priority])
    assert [each.name for each in names] == ["CRITICAL", "HIGH", "MEDIUM", "NORMAL", "LOW"]
    assert sorted(RANKS.values()) == [0, 1, 2, 3, 4]


def test_generated_ids_are_unique_and_plain() -> None:
    ids = {generate_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(each) == 16 and each.isalnum() and each.isascii() for each in ids)


def test_notes_stand_where_the_number_will() -> None:
    request = JobRequest("", "t", "UTC", "", b"", b"")
    trigger = Trigger(TriggerKind.ONCE, 0)
    noted = job_record.pack(request, trigger, Note.ELAPSED | Note.UPDATED)
    assert noted[job_record.KIND_AT :] == job_record.pack(request, trigger)[job_record.KIND_AT :]
    assert job_record.has_note(noted, Note.ELAPSED)
    assert not job_record.has_note(noted, Note.RELATIVE)


def test_a_job_that_is_tried_once_is_as_short_as_one_that_says_nothing() -> None:
    """Redis holds millions of them: neither attempts nor backoff, limit and interval are stored."""

    def sized(attempts: int) -> bytes:
        request = JobRequest("", "t", "UTC", "me", b"", b"", attempts=attempts)
        return packed(request, Trigger(TriggerKind.ONCE, 0))

    assert sized(1) == sized(0)
    assert len(sized(2)) == len(sized(0)) + job_record.POLICY.size
