"""MORE: every property comes out of a record as it went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.layouts import MORE, RULES
from scheduling_srv.formats.more import More, pack_more, read_more

CREATED, UPDATED = 1_700_000_000_123, 1_700_000_000_456
longs = st.none() | st.integers(1, 2**53)
names = st.from_regex(r"[a-z0-9]([a-z0-9./-]{0,20}[a-z0-9])?", fullmatch=True)
properties = st.builds(
    Properties,
    start=st.none(),  # it is in the spec
    end=longs,
    max_runs=st.integers(0, 2**32 - 1),
    start_deadline=longs,
    jitter=longs,
    max_delay=longs,
    random_share=st.floats(0, 1),
    overlap=st.sampled_from(Overlap),
    missed=st.none() | st.builds(MissedRule, st.none() | st.integers(1, 2**53), st.booleans()),
    completion_timeout=longs,
    labels=st.dictionaries(names, names | st.just(""), max_size=32),
    unique_key=st.text(max_size=60).filter(str.isprintable),
)
mores = st.builds(
    More, st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), properties, st.binary(max_size=200)
)


@given(more=mores)
def test_all_that_goes_in_comes_out(more: More) -> None:
    assert read_more(pack_more(more)) == more


@given(more=mores, policy=st.booleans(), creator=st.text(max_size=200))
def test_a_record_with_more_reads_as_one_without(more: More, policy: bool, creator: str) -> None:
    data = b"\x12" + job_record.sized(creator.encode()) if creator else b"x"
    request = JobRequest("", "t", "UTC", creator, data, b"rest", attempts=3 * policy, trace=b"tr")
    trigger = Trigger(TriggerKind.INTERVAL, 0, 5000)
    plain = job_record.pack(request, trigger, Note.NONE, CREATED)
    stored = job_record.pack(request, trigger, Note.NONE, CREATED, pack_more(more))
    assert job_record.properties_of(stored) == more
    assert job_record.properties_of(plain) == More()
    for read in (
        job_record.creator_of,
        job_record.data_of,
        job_record.rest_of,
        job_record.type_of,
        job_record.kind,
        job_record.created_at,
        lambda record: job_record.job_message(b"id", record),
        lambda record: job_record.header(record)._replace(creator_at=0),
    ):
        assert read(stored) == read(plain)


@given(more=mores)
def test_the_header_of_an_announcement_says_it_as_well(more: More) -> None:
    request = JobRequest("", "t", "UTC", "", b"", b"")
    trigger = Trigger(TriggerKind.ONCE, 0)
    stored = job_record.pack(request, trigger, Note.NONE, CREATED, pack_more(more))
    header = job_record.heritage_of(b"before" + stored, 6)
    created, text = job_record.read_heritage(header)
    assert (created, read_more(text)) == (CREATED, more)
    assert job_record.heritage_of(job_record.pack(request, trigger, Note.NONE, CREATED)) == b""


@pytest.mark.parametrize("header", [b"", b"123456", b"123456" + bytes(18), b"x" * 90])
def test_a_header_of_somebody_else_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="job-v1"):
        job_record.read_heritage(header)


def test_a_job_pays_for_what_it_has() -> None:
    assert len(pack_more(More())) == MORE.size == 18
    assert len(pack_more(More(properties=Properties(max_runs=1)))) == 18 + RULES.size == 80
    assert len(pack_more(More(properties=Properties(labels={"a": "b"}, unique_key="k")))) == 22
