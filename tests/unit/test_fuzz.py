"""The fuzzer is repeatable, does all that it can do, and notices what it is there to notice."""

import pytest

from chaos.fuzz_checker import Book, Verdict, read, verdict
from chaos.fuzz_generator import COMMANDS_TOPIC, JOBS_TOPIC, RECORDS, REQUESTS, Input, make
from chaos.mutation import MUTATIONS, fields_of, written
from tests.client.contract import Data, DeleteRequest, Job, JobList
from tests.client.grpc_client import JOBS
from tests.client.topics import Record

MANY = [make(1, number) for number in range(4000)]
GOOD = JobList(items=[Job(id="a", type="t", data=Data(), now=True)]).SerializeToString()


def test_an_input_can_be_made_again() -> None:
    assert [make(1, number) for number in range(200)] == MANY[:200]
    assert make(2, 7) != make(1, 7)


def test_everything_is_tried() -> None:
    assert {name for each in MANY for name in each.mutations} == {*MUTATIONS, "key", "null"}
    assert {each.path for each in MANY} == {*REQUESTS, ""}
    assert {event.encode() for event in RECORDS} <= {each.key for each in MANY}
    assert any(not each.mutations for each in MANY)


def test_nothing_that_is_tried_deletes_everything() -> None:
    deletes = [each for each in MANY if each.key == b"deleteJobs" or each.path == JOBS + "Delete"]
    requests = [read(DeleteRequest, each.value or b"") for each in deletes]
    assert not any(request and request.collection for request in requests)


def test_a_message_is_taken_apart_and_put_together() -> None:
    fields = fields_of(GOOD)
    assert fields is not None
    assert written(fields) == GOOD
    assert fields_of(GOOD[:-1]) is None


def record(key: bytes | None, value: bytes | None, *, topic: str = JOBS_TOPIC) -> Input:
    return Input(0, "", topic, key, value, (), ("flip",))


def jobs(**fields: object) -> bytes:
    job = Job(**{"type": "t", "data": Data(), "now": True, **fields})
    return bytes(JobList(items=[job]).SerializeToString())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (record(b"createJobs", GOOD)._replace(mutations=()), Verdict.TAKEN),
        (record(b"createJobs", GOOD), Verdict.EITHER),
        (record(b"createJobs", GOOD[:-1]), Verdict.REFUSED),
        (record(b"createJobs", None), Verdict.REFUSED),
        (record(b"modifyJobs", jobs(type="")), Verdict.REFUSED),
        (record(b"modifyJobs", jobs(priority=3)), Verdict.REFUSED),
        (record(b"createJobs", jobs(backoff={"delay": float("nan")})), Verdict.REFUSED),
        (record(b"createJobs", jobs(now=False)), Verdict.REFUSED),
        (record(b"jobDone", b"\x08"), Verdict.REFUSED),
        (record(b"deleteJobs", b"\x0a\x01a"), Verdict.EITHER),
        (record(b"queuedJob", GOOD), Verdict.IGNORED),
        (record(None, b""), Verdict.IGNORED),
        (record(b"versionCommand", b"\x08", topic=COMMANDS_TOPIC), Verdict.ANSWERED),
        (Input(0, JOBS + "Read", "", None, b"\x08", (), ("cut",)), Verdict.REFUSED),
    ],
)
def test_what_must_come_of_an_input(made: Input, expected: Verdict) -> None:
    assert verdict(made) == expected


def letter(
    offset: int, value: bytes, status: str = "INVALID_ARGUMENT", reason: str = "No."
) -> Record:
    headers = {"topic": "jobs-1", "offset": str(offset), "status": status, "reason": reason}
    return Record("letters", 0, offset, "createJobs", value, headers, 0, 0.0)


def book_of(*values: bytes) -> Book:
    """Records with these values, at the offsets 0, 1 and so on."""
    book = Book(len(values))
    for number, value in enumerate(values):
        book.sent(record(b"createJobs", value)._replace(number=number))
        book.landed(number, "jobs-1", number)
    return book


def test_a_good_campaign_has_no_fault() -> None:
    book = book_of(GOOD, b"\x08")
    book.judge_letters([letter(1, b"\x08")])
    book.judge_announced({"a"})
    assert book.wrong == []


@pytest.mark.parametrize(
    ("letters", "fault"),
    [
        ([], "is wrong, and has no dead letter"),
        ([letter(1, b"\x08"), letter(1, b"\x08")], "has 2 dead letters"),
        ([letter(1, b"\x08", status="INTERNAL")], "says 'INTERNAL'"),
        ([letter(1, b"\x08", reason="")], "says 'INVALID_ARGUMENT', ''"),
        ([letter(1, b"\x09")], "is not what was sent"),
        ([letter(1, b"\x08"), letter(7, b"")], "what was never sent"),
    ],
)
def test_a_wrong_dead_letter_is_found(letters: list[Record], fault: str) -> None:
    book = book_of(GOOD, b"\x08")
    book.judge_letters(letters)
    [found] = book.wrong
    assert fault in found


def test_what_was_right_and_refused_is_found() -> None:
    book = Book(1)
    book.sent(record(b"createJobs", GOOD)._replace(mutations=()))
    book.landed(0, "jobs-1", 0)
    book.judge_letters([letter(0, GOOD)])
    assert "is right, and was refused" in book.wrong[0]


def test_what_was_lost_or_doubled_is_found() -> None:
    book = book_of(GOOD)
    book.judge_letters([])
    book.judge_announced(set())
    run = letter(0, b"")
    run.headers.update({"event-id": "i-1", "occurrence-id": "a/1/1/1"})
    book.judge_ids([run, run])
    assert [each.split()[0] for each in book.wrong] == ["input", "event-id", "occurrence-id"]


@pytest.mark.parametrize(
    ("value", "code", "sentence"),
    [
        (b"\x08", "OK", ""),
        (b"\x08", "INTERNAL", "Internal error."),
        (b"\x08", "UNKNOWN", "Unexpected."),
        (b"\x08", "UNAVAILABLE", "Redis does not answer."),
        (b"\x08", "INVALID_ARGUMENT", ""),
    ],
)
def test_a_wrong_answer_is_found(value: bytes, code: str, sentence: str) -> None:
    made = Input(0, JOBS + "Create", "", None, value, (), ("cut",))
    book = Book(1)
    book.sent(made)
    book.answered(made, code, sentence)
    assert book.faults == 1
