"""Golden bytes of the protocol, sent and received as they stand."""

import pytest

from tests.client import contract
from tests.client.grpc_client import COMMAND, JOBS
from tests.client.topics import Record
from tests.client.wire import Nested, fields, length_delimited, varint, without_defaults
from tests.e2e.product import Product, fresh
from tests.harness.waiting import PATIENCE_SECONDS

# Which fields of the messages are messages themselves.
DATA: Nested = {3: {}}
JOB: Nested = {12: DATA, 15: {}}
JOB_LIST: Nested = {1: JOB}
SCHEDULED: Nested = {3: DATA}
COMMAND_RESPONSE: Nested = {2: {}}

ONCE = "12044f4e4345"
GOLDEN_JOB = (
    "0a01615a0174620312016368f6ffffffffffffffff0170037a0b090000000000408f40100180010"
    "2a2010932207365636f6e6473"
)
GOLDEN_LIST = "0a0b5a01746203120163b001011001"
GOLDEN_READ = "080510021a060a026964100122090a0163120161120162"
GOLDEN_DELETE = "120161120162"
GOLDEN_VERSION = "0a0776657273696f6e120d0a077061796c6f616412027b7d"


def golden(text: str) -> bytes:
    return bytes.fromhex(text)


def job_list(*jobs: bytes) -> bytes:
    return b"".join(length_delimited(1, job) for job in jobs)


@pytest.fixture(params=["grpc", "events"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def submit(product: Product, transport: str, method: str, event: str, raw: bytes) -> None:
    if transport == "grpc":
        product.client.call(JOBS + method, raw)
    else:
        product.send(event, raw)


def record_after(product: Product, offset: int, topic: str, key: str) -> Record:
    return product.reader.wait_for(
        lambda record: record.topic == topic and record.offset >= offset and record.key == key,
        PATIENCE_SECONDS,
    )


def test_the_golden_list_is_accepted_and_its_run_has_the_golden_form(
    product: Product, transport: str
) -> None:
    """JobList{[{type t, data{creator c}, now}], total_count 1}"""
    offset = product.end_of(product.names.jobs)
    submit(product, transport, "Create", "createJobs", golden(GOLDEN_LIST))
    record = record_after(product, offset, product.names.jobs, "queuedJob")
    instance = contract.ScheduledJob.FromString(record.value).id
    product.send("jobDone", b"\x08" + varint(instance) + golden("12034e4f57"))
    assert without_defaults(record.value, SCHEDULED) == (
        b"\x08" + varint(instance) + golden("120174" + "1a080a035554431201632203" + "4e4f57")
    )


def test_the_golden_job_is_accepted_and_announced_in_the_golden_form(
    product: Product, transport: str
) -> None:
    """Job{a, t, data{creator c}, HIGH, attempts 3, backoff, parallel 2, interval "2 seconds"}"""
    offset = product.end_of(product.names.resources)
    submit(product, transport, "Create", "createJobs", job_list(golden(GOLDEN_JOB)))
    record = record_after(product, offset, product.names.resources, "jobsCreated")
    # The same bytes, with the time zone that was filled in.
    expected = golden(GOLDEN_JOB).replace(golden("6203120163"), golden("62080a03555443120163"))
    assert without_defaults(record.value, JOB) == expected

    submit(product, transport, "Delete", "deleteJobs", golden(GOLDEN_DELETE))
    record = record_after(product, offset, product.names.resources, "jobsDeleted")
    assert record.value == golden("0a0161")


def test_the_golden_read_request_is_answered(product: Product) -> None:
    """JobReadRequest{limit 5, DESCENDING, filter{c,[a,b]}, field[{id,true}]}"""
    product.client.call(JOBS + "Create", job_list(golden(GOLDEN_JOB)))
    answer = product.client.call(JOBS + "Read", golden(GOLDEN_READ))
    assert without_defaults(answer, JOB_LIST) == golden("0a030a0161" + "1001")
    product.client.call(JOBS + "Delete", golden(GOLDEN_DELETE))


def test_the_golden_collection_request_deletes_all(product: Product, transport: str) -> None:
    """DeleteRequest{collection}"""
    offset = product.end_of(product.names.resources)
    product.client.call(JOBS + "Create", job_list(golden(GOLDEN_JOB)))
    submit(product, transport, "Delete", "deleteJobs", golden("0801"))
    record = record_after(product, offset, product.names.resources, "jobsDeleted")
    assert record.value == golden("0a0161")
    assert product.ids() == []


def test_a_golden_deleted_is_accepted_as_a_delete_request(product: Product) -> None:
    """Deleted{"abc:12"}: field 1 length-delimited instead of varint."""
    product.client.create(contract.job(id="abc:12", when="tomorrow"))
    product.send("deleteJobs", golden("0a066162633a3132"))
    assert product.deleted("abc:12").value == golden("0a066162633a3132")
    assert product.living("abc:12") == []


def test_a_golden_job_done_ends_the_run(product: Product) -> None:
    """JobDone{id 7, ONCE}: the id of the run, the rest byte for byte."""
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when="in 100 milliseconds"))
    run = product.run(kind)
    product.send("jobDone", b"\x08" + varint(run.instance) + golden(ONCE))
    product.deleted(job_id)


def test_a_golden_job_failed_fails_the_run(product: Product) -> None:
    """JobFailed{id 7, error boom, ONCE}: the id of the run, the rest byte for byte."""
    kind, job_id = fresh("type"), fresh()
    product.client.create(
        contract.job(id=job_id, type=kind, when="in 100 milliseconds", attempts=2)
    )
    run = product.run(kind)
    failed = golden("1204626f6f6d1a044f4e4345")
    product.send("jobFailed", b"\x08" + varint(run.instance) + failed)
    again = product.run(kind, 2)
    product.send("jobFailed", b"\x08" + varint(again.instance) + failed)
    product.deleted(job_id)


def test_the_golden_version_command_is_answered_in_the_golden_form(
    product: Product, transport: str
) -> None:
    """CommandRequest{version, Any{payload,"{}"}} and CommandResponse{[...], Any{payload, ...}}"""
    offset = product.end_of(product.names.commands)
    if transport == "grpc":
        answer = product.client.call(COMMAND, golden(GOLDEN_VERSION))
        assert next((field, value) for field, _, value in fields(answer)) == (1, b"payload")
    else:
        product.sender.send(product.names.commands, "versionCommand", golden(GOLDEN_VERSION))
    record = record_after(product, offset, product.names.commands, "versionResponse")
    found = list(fields(without_defaults(record.value, COMMAND_RESPONSE)))
    assert [field for field, _, _ in found] == [1, 1, 1, 2]
    answer = found[3][2]
    assert answer.startswith(golden("0a077061796c6f6164") + b"\x12")
