"""The fuzzer is repeatable, does all that it can do, and notices each kind of fault."""

from collections.abc import Sequence

import hypothesis
import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck, Phase, given

from chaos.fuzz_checker import Sent, Verdict, faults, read, verdict
from chaos.fuzz_doors import HEADER, WRONG
from chaos.fuzz_inputs import BATCHES, COMMANDS_TOPIC, JOBS_TOPIC, KINDS, TAG, Input
from chaos.fuzz_mutations import MUTATIONS, OTHER, fields_of, written
from chaos.fuzz_watch import Watch
from tests.client.contract import Data, DeleteRequest, Job, JobList
from tests.client.grpc_client import HEALTH, JOBS
from tests.client.topics import Record
from tests.harness.names import Names

GOOD = JobList(items=[Job(id="a", type="t", data=Data(), now=True)]).SerializeToString()


def drawn(seed: int, *, runs: int = 1) -> list[Input]:
    """The inputs of some runs of Hypothesis, as the campaign makes them."""
    inputs: list[Input] = []
    for number in range(runs):

        @hypothesis.seed(seed << 32 | number)
        @hypothesis.settings(
            max_examples=9,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=[*HealthCheck],
        )
        @given(BATCHES)
        def take(batch: Sequence[Input]) -> None:
            inputs.extend(batch)

        take()
    return inputs


@pytest.fixture(scope="module")
def many() -> list[Input]:
    return drawn(1, runs=2)


def test_a_seed_makes_the_same_inputs_again(many: list[Input]) -> None:
    again = drawn(1)
    assert again == many[: len(again)]
    assert drawn(2) != again


def test_everything_is_tried(many: list[Input]) -> None:
    assert {name for each in many for name in each.mutations} == {*MUTATIONS, OTHER, "key", "null"}
    assert {kind.name for kind in KINDS if not kind.topic} <= {each.path for each in many}
    assert {kind.name.encode() for kind in KINDS if kind.topic} <= {each.key for each in many}
    assert any(not each.mutations for each in many)
    assert any(b"\xff\xfe" in dict(each.headers) for each in many)
    assert 0.02 < sum(each.is_shut_out for each in many) / len(many) < 0.3


def test_inputs_differ(many: list[Input]) -> None:
    """Left alone, Hypothesis varies a batch by one input, and makes four of five again."""
    assert len({*many}) > 0.9 * len(many)


def test_nothing_that_is_tried_deletes_everything(many: list[Input]) -> None:
    deletes = [each for each in many if each.key == b"deleteJobs" or each.path == JOBS + "Delete"]
    requests = [read(DeleteRequest, each.value or b"") for each in deletes]
    assert not any(request and request.collection for request in requests)


def test_batches_do_not_share_ids() -> None:
    raw = JobList(items=[Job(id=f"{TAG}-1")]).SerializeToString()
    made = Input("", JOBS_TOPIC, b"createJobs", raw, (), ()).of_batch("b000017")
    assert read(JobList, made.value or b"").items[0].id == "b000017-1"


def test_a_message_is_taken_apart_and_put_together() -> None:
    assert written(fields_of(GOOD)) == GOOD
    assert fields_of(GOOD[:-1]) == []


def record(key: bytes | None, value: bytes | None, *, topic: str = JOBS_TOPIC) -> Input:
    return Input("", topic, key, value, (), ("flip",))


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
        (Input(JOBS + "Read", "", None, b"\x08", (), ("cut",)), Verdict.REFUSED),
        (Input(JOBS + "Read", "", None, b"", ((HEADER, WRONG[0]),), ()), Verdict.SHUT_OUT),
        (Input(HEALTH, "", None, b"", ((HEADER, WRONG[0]),), ()), Verdict.EITHER),
    ],
)
def test_the_verdict_on_an_input(made: Input, expected: Verdict) -> None:
    assert verdict(made) == expected


def letter(value: bytes, status: str = "INVALID_ARGUMENT", reason: str = "No.") -> Record:
    headers = {"status": status, "reason": reason}
    return Record("letters", 0, 0, "createJobs", value, headers, 0, 0.0)


def test_a_good_record_and_a_bad_one_have_no_fault() -> None:
    assert list(faults(Sent(record(b"createJobs", GOOD)), {"a"})) == []
    refused = Sent(record(b"createJobs", b"\x08"), letters=[letter(b"\x08")])
    assert list(faults(refused, ())) == []


@pytest.mark.parametrize(
    ("letters", "fault"),
    [
        ([], "is wrong, and has no dead letter"),
        ([letter(b"\x08"), letter(b"\x08")], "has 2 dead letters"),
        ([letter(b"\x08", status="INTERNAL")], "says 'INTERNAL'"),
        ([letter(b"\x08", reason="")], "says 'INVALID_ARGUMENT', ''"),
        ([letter(b"\x09")], "holds another record"),
    ],
)
def test_a_wrong_dead_letter_is_found(letters: list[Record], fault: str) -> None:
    [found] = faults(Sent(record(b"createJobs", b"\x08"), letters=letters), ())
    assert fault in found


def test_a_right_record_that_was_refused_is_found() -> None:
    made = record(b"createJobs", GOOD)._replace(mutations=())
    [found] = faults(Sent(made, letters=[letter(GOOD)]), ())
    assert "is right, and was refused" in found


@pytest.mark.parametrize("path", ["", JOBS + "Create"])
def test_a_job_that_was_lost_is_found(path: str) -> None:
    made = record(b"createJobs", GOOD)._replace(path=path)
    [found] = faults(Sent(made, code="OK"), {"b"})
    assert "['a'] never announced" in found


def test_records_that_are_there_twice_are_found() -> None:
    names = Names.unique()
    nowhere = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    ids = {"event-id": "i-1", "occurrence-id": "a/1/1/1"}
    run = Record(names.resources, 0, 0, "jobsDeleted", b"", ids, 0, 0.0)
    watch = Watch("127.0.0.1:1", names, Producer(nowhere))
    with watch.reader:
        watch.take([run])
        assert [*watch.doubled()] == []
        watch.take([run])
        assert [*watch.doubled()] == ["event-id i-1", "occurrence-id a/1/1/1"]


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
    made = Input(JOBS + "Create", "", None, value, (), ("cut",))
    [found] = faults(Sent(made, code=code, sentence=sentence), ())
    assert code in found
