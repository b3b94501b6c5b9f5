"""Bytes of both transports become domain objects, or an InvalidRequest that says why."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.any_pb2 import Any
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.wire import commandinterface_pb2 as commands
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources
from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.domain.job import (
    LONGEST_ERROR,
    Answer,
    JobRequest,
    StoredJob,
    Trigger,
    TriggerKind,
)
from scheduling_srv.formats import messages
from scheduling_srv.formats.job_record import pack

GOLDEN_JOB = bytes.fromhex(
    "0a01615a0174620312016368f6ffffffffffffffff0170037a0b090000000000408f401001800102"
    "a2010932207365636f6e6473"
)
TIMED = jobs.Job(
    id="a",
    type="t",
    data=jobs.Data(
        timezone="Europe/Berlin",
        creator="c",
        payload=[Any(type_url="u", value=b"\xff\x00"), Any()],
    ),
    attempts=3,
    backoff=jobs.Backoff(delay=1000, type=jobs.Backoff.EXPONENTIAL),
    interval="2 seconds",
)


def one(job: jobs.Job, trace: bytes = b"") -> JobRequest:
    (request,) = messages.decode_job_list(jobs.JobList(items=[job]).SerializeToString(), trace)
    return request


def stored(job: jobs.Job) -> StoredJob:
    request = one(job)
    return StoredJob(request.id.encode(), pack(request, Trigger(TriggerKind.ONCE, 0)))


def test_a_job_is_split_into_what_is_looked_at_and_what_is_passed_on() -> None:
    (request,) = messages.decode_job_list(
        jobs.JobList(items=[jobs.Job.FromString(GOLDEN_JOB)]).SerializeToString(), b"trace"
    )
    assert request == JobRequest(
        id="a",
        type="t",
        timezone="UTC",
        creator="c",
        data=jobs.Data(timezone="UTC", creator="c").SerializeToString(),
        rest=GOLDEN_JOB[11:],
        priority=-10,
        attempts=3,
        backoff_type=1,
        backoff_delay=1000.0,
        parallel=2,
        interval="2 seconds",
        trace=b"trace",
    )


def test_the_golden_list_of_2018_is_read() -> None:
    (request,) = messages.decode_job_list(bytes.fromhex("0a0b5a01746203120163b001011001"))
    assert (request.type, request.creator, request.now) == ("t", "c", True)


def test_a_job_without_data_has_none_and_one_with_empty_data_has() -> None:
    assert one(jobs.Job(type="t")).data is None
    assert one(jobs.Job(type="t", data=jobs.Data())).data == b"\x0a\x03UTC"


def test_payloads_and_fields_of_the_future_pass_untouched() -> None:
    job = jobs.Job.FromString(TIMED.SerializeToString() + bytes.fromhex("a2060178"))
    listed = messages.encode_items([stored(job)], None) + messages.encode_total(1)
    assert jobs.JobList.FromString(listed) == jobs.JobList(items=[job], total_count=1)


def test_numbers_that_no_enum_has_are_left_to_the_checks() -> None:
    job = jobs.Job(
        type="t",
        priority=3,  # type: ignore[arg-type]
        backoff=jobs.Backoff(type=9),  # type: ignore[arg-type]
    )
    assert (one(job).priority, one(job).backoff_type) == (3, 9)


def test_a_list_that_is_too_long_is_refused_before_it_is_converted() -> None:
    raw = jobs.JobList(items=[jobs.Job()] * 3).SerializeToString()
    with pytest.raises(TooLarge, match=r"3 items; the limit is 2"):
        messages.decode_job_list(raw, limit=2)
    assert len(messages.decode_job_list(raw, limit=3)) == 3


@pytest.mark.parametrize(
    ("hexa", "sentence"),
    [
        ("0a0b5a017462031201", "cannot be read as io.restorecommerce.job.JobList"),
        ("0a035a01ff", "cannot be read as io.restorecommerce.job.JobList"),
        ("0801", "items of io.restorecommerce.job.JobList"),
        ("0a025801", "type of io.restorecommerce.job.Job "),
        ("0a0462020801", "timezone of io.restorecommerce.job.Data"),
        ("0a047a021201", "cannot be read"),
        ("0a047a020801", "delay of io.restorecommerce.job.Backoff"),
    ],
)
def test_a_job_list_that_is_malformed(hexa: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        messages.decode_job_list(bytes.fromhex(hexa))


# --- Read ---------------------------------------------------------------------------------------


def test_the_golden_read_of_2018() -> None:
    raw = bytes.fromhex("080510021a060a026964100122090a0163120161120162")
    call = messages.decode_read(raw)
    assert call.query == ("c", ["a", "b"], True, 5)
    assert call.fields is not None


def test_a_read_of_everything() -> None:
    assert messages.decode_read(b"") == (("", [], False, 0), None)


@pytest.mark.parametrize("hexa", ["1007", "0a0161", "22020801", "22030a01ff", "1a0410"])
def test_a_read_that_is_malformed(hexa: str) -> None:
    with pytest.raises(InvalidRequest):
        messages.decode_read(bytes.fromhex(hexa))


def read_with(*fields: tuple[str, bool]) -> jobs.Job:
    filters = [resources.FieldFilter(name=name, include=include) for name, include in fields]
    call = messages.decode_read(jobs.JobReadRequest(field=filters).SerializeToString())
    raw = messages.encode_items([stored(TIMED)], call.fields) + messages.encode_total(9)
    answer = jobs.JobList.FromString(raw)
    assert answer.total_count == 9
    return answer.items[0]


def test_included_fields_are_the_only_ones() -> None:
    assert read_with(("id", True), ("interval", True)) == jobs.Job(id="a", interval="2 seconds")


def test_excluded_fields_are_left_out() -> None:
    left = jobs.Job()
    left.CopyFrom(TIMED)
    left.ClearField("data")
    left.ClearField("backoff")
    assert read_with(("data", False), ("backoff", False)) == left


def test_fields_within_fields_have_dotted_names() -> None:
    assert read_with(("data.creator", True)) == jobs.Job(data=jobs.Data(creator="c"))
    assert not read_with(("data.payload", False)).data.payload
    assert read_with(("data.payload", False)).data.creator == "c"


def test_a_message_goes_when_all_of_its_fields_go() -> None:
    assert not read_with(("backoff.delay", False), ("backoff.type", False)).HasField("backoff")


def test_exclusion_takes_away_from_what_is_included() -> None:
    only = read_with(("data", True), ("data.payload", False))
    assert only == jobs.Job(data=jobs.Data(timezone="Europe/Berlin", creator="c"))


def test_selection_of_a_field_that_is_not_there() -> None:
    assert read_with(("when", True)) == jobs.Job()


@pytest.mark.parametrize("name", ["", "nope", "data.", "data.nope", "data.payload.value", "id.x"])
def test_an_unknown_field_is_refused(name: str) -> None:
    request = jobs.JobReadRequest(
        field=[resources.FieldFilter(name="id"), resources.FieldFilter(name=name)]
    )
    with pytest.raises(InvalidRequest, match=r"no field named") as refused:
        messages.decode_read(request.SerializeToString())
    assert refused.value.violations[0].field == "field[1].name"


# --- Delete, answers, commands ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hexa", "call"),
    [
        ("120161120162", (["a", "b"], False)),
        ("0801", ([], True)),
        ("0a066162633a3132", (["abc:12"], False)),
        ("", ([], False)),
        ("0800", ([], False)),
        ("1a0107", ([], False)),
        ("1807", ([], False)),
        ("120161220178", (["a"], False)),
        ("120161a206017a", (["a"], False)),
    ],
)
def test_what_is_to_be_deleted(hexa: str, call: tuple[list[str], bool]) -> None:
    assert messages.decode_delete(bytes.fromhex(hexa)) == call


@pytest.mark.parametrize(
    "hexa", ["0a0161120161", "0a01610801", "1007", "0d01000000", "0a01", "0a01ff", "1201ff", "ff"]
)
def test_a_delete_that_could_be_anything_is_refused(hexa: str) -> None:
    with pytest.raises(InvalidRequest):
        messages.decode_delete(bytes.fromhex(hexa))


def test_answers() -> None:
    done, failed = bytes.fromhex("080712044f4e4345"), bytes.fromhex("08071204626f6f6d1a044f4e4345")
    assert messages.decode_answer(done, failed=False) == Answer(7, failed=False)
    assert messages.decode_answer(failed, failed=True) == Answer(7, failed=True, error="boom")
    assert messages.decode_answer(bytes.fromhex("08ffffffff0f"), failed=False).instance == 2**32 - 1


@pytest.mark.parametrize("text", ["x" * 2_000, "\u20ac" * 1_000, "a" + "\U0001f600" * 500])
def test_an_error_keeps_its_first_whole_characters(text: str) -> None:
    raw = jobs.JobFailed(id=7, error=text).SerializeToString()
    error = messages.decode_answer(raw, failed=True).error
    assert text.startswith(error)
    assert LONGEST_ERROR - 4 < len(error.encode()) <= LONGEST_ERROR


@pytest.mark.parametrize("hexa", ["0a0161", "1001", "08", "1201ff", "1a", "0d07000000"])
@pytest.mark.parametrize("failed", [True, False])
def test_answers_that_are_malformed(hexa: str, failed: bool) -> None:
    with pytest.raises(InvalidRequest):
        messages.decode_answer(bytes.fromhex(hexa), failed=failed)


def test_commands() -> None:
    golden = bytes.fromhex("0a0776657273696f6e120d0a077061796c6f616412027b7d")
    assert messages.decode_command(golden) == ("version", b"{}")
    assert messages.decode_command(b"\x0a\x01x") == ("x", None)
    assert messages.decode_command(b"") == ("", None)


@pytest.mark.parametrize("hexa", ["0801", "1201", "12021001", "0a01ff"])
def test_commands_that_are_malformed(hexa: str) -> None:
    with pytest.raises(InvalidRequest):
        messages.decode_command(bytes.fromhex(hexa))


def test_command_answers() -> None:
    status = b'{"status":"SERVING"}'
    assert messages.encode_command_response(["s1"], status).hex() == (
        "0a027331121f0a077061796c6f616412147b22737461747573223a2253455256494e47227d"
    )
    answer = Any.FromString(messages.encode_result(status))
    assert (answer.type_url, answer.value) == ("payload", status)


def test_service_names_are_those_of_2018() -> None:
    assert messages.JOB_SERVICE == "io.restorecommerce.job.Service"
    assert messages.COMMAND_SERVICE == "io.restorecommerce.commandinterface.Service"


# --- Anything -----------------------------------------------------------------------------------

DECODERS: dict[str, Callable[[bytes], object]] = {
    "jobs": messages.decode_job_list,
    "read": messages.decode_read,
    "delete": messages.decode_delete,
    "done": lambda raw: messages.decode_answer(raw, failed=False),
    "failed": lambda raw: messages.decode_answer(raw, failed=True),
    "command": messages.decode_command,
}
each_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
valid = st.sampled_from(
    [
        jobs.JobList(items=[TIMED]).SerializeToString(),
        bytes.fromhex("080510021a060a026964100122090a0163120161120162"),
        bytes.fromhex("08071204626f6f6d1a044f4e4345"),
        commands.CommandRequest(name="x", payload=Any(value=b"{}")).SerializeToString(),
    ]
)


def decodes_or_refuses(decode: Callable[[bytes], object], raw: bytes) -> None:
    with suppress(InvalidRequest):
        decode(raw)


@each_decoder
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(decode: Callable[[bytes], object], raw: bytes) -> None:
    decodes_or_refuses(decode, raw)


@each_decoder
@given(raw=valid, at=st.integers(0, 60), junk=st.binary(max_size=3), cut=st.booleans())
def test_damaged_messages_are_decoded_or_refused(
    decode: Callable[[bytes], object], raw: bytes, at: int, junk: bytes, cut: bool
) -> None:
    decodes_or_refuses(decode, raw[:at] + junk + (b"" if cut else raw[at + len(junk) :]))


@given(
    st.builds(
        jobs.Job,
        id=st.text(max_size=5),
        type=st.text(max_size=5),
        data=st.builds(
            jobs.Data,
            timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
            creator=st.text(max_size=5),
            payload=st.lists(
                st.builds(Any, type_url=st.text(max_size=5), value=st.binary(max_size=9)),
                max_size=3,
            ),
        ),
        priority=st.sampled_from(jobs.Job.Priority.values()),
        attempts=st.integers(0, 2**32 - 1),
        backoff=st.none() | st.builds(jobs.Backoff, delay=st.floats(0, 1e9)),
        parallel=st.integers(0, 2**32 - 1),
        interval=st.text(max_size=5),
        when=st.text(max_size=5),
        now=st.booleans(),
    )
)
def test_what_goes_in_comes_out(job: jobs.Job) -> None:
    raw = messages.encode_items([stored(job)], None) + messages.encode_total(0)
    assert jobs.JobList.FromString(raw) == jobs.JobList(items=[job])
