"""The bytes that deployed clients write and read, each row both ways."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from scheduling_client.wire import commandinterface_pb2 as commands
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources

ROWS: dict[str, tuple[Message, str]] = {
    "done": (
        jobs.JobDone(id=7, schedule_type="ONCE"),
        "080712044f4e4345",
    ),
    "failed": (
        jobs.JobFailed(id=7, error="boom", schedule_type="ONCE"),
        "08071204626f6f6d1a044f4e4345",
    ),
    "scheduled": (
        jobs.ScheduledJob(
            id=7,
            type="t",
            data=jobs.Data(timezone="x", creator="y", payload=[Any(type_url="u", value=b"{}")]),
            schedule_type="RECCUR",
        ),
        "08071201741a0f0a01781201791a070a017512027b7d2206524543435552",
    ),
    "job": (
        jobs.Job(
            id="a",
            type="t",
            data=jobs.Data(creator="c"),
            priority=jobs.Job.HIGH,
            attempts=3,
            backoff=jobs.Backoff(delay=1000, type=jobs.Backoff.EXPONENTIAL),
            parallel=2,
            interval="2 seconds",
        ),
        (
            "0a01615a0174620312016368f6ffffffffffffffff0170037a0b090000000000408f401001800102"
            "a2010932207365636f6e6473"
        ),
    ),
    "list": (
        jobs.JobList(
            items=[jobs.Job(type="t", data=jobs.Data(creator="c"), now=True)],
            total_count=1,
        ),
        "0a0b5a01746203120163b001011001",
    ),
    "read": (
        jobs.JobReadRequest(
            limit=5,
            sort=jobs.JobReadRequest.DESCENDING,
            filter=jobs.JobFilter(creator="c", jobs_ids=["a", "b"]),
            field=[resources.FieldFilter(name="id", include=True)],
        ),
        "080510021a060a026964100122090a0163120161120162",
    ),
    "delete-ids": (
        resources.DeleteRequest(ids=["a", "b"]),
        "120161120162",
    ),
    "delete-all": (
        resources.DeleteRequest(collection=True),
        "0801",
    ),
    "deleted": (
        jobs.Deleted(id="abc:12"),
        "0a066162633a3132",
    ),
    "command": (
        commands.CommandRequest(name="version", payload=Any(type_url="payload", value=b"{}")),
        "0a0776657273696f6e120d0a077061796c6f616412027b7d",
    ),
    "response": (
        commands.CommandResponse(
            services=["s1"],
            payload=Any(type_url="payload", value=b'{"status":"SERVING"}'),
        ),
        "0a027331121f0a077061796c6f616412147b22737461747573223a2253455256494e47227d",
    ),
}


each_row = pytest.mark.parametrize(
    ("message", "golden"),
    [pytest.param(message, bytes.fromhex(hexa), id=name) for name, (message, hexa) in ROWS.items()],
)


@each_row
def test_what_clients_write_is_understood(message: Message, golden: bytes) -> None:
    assert type(message).FromString(golden) == message


@each_row
def test_what_clients_read_is_written(message: Message, golden: bytes) -> None:
    assert message.SerializeToString(deterministic=True) == golden


def test_a_single_payload_of_2018_is_one_element() -> None:
    data = jobs.Data.FromString(bytes.fromhex("1a070a017512027b7d"))
    assert [(p.type_url, p.value) for p in data.payload] == [("u", b"{}")]


def test_unknown_fields_pass_through() -> None:
    with_field_100 = bytes.fromhex("0a0161a2060178")
    assert jobs.Job.FromString(with_field_100).SerializeToString() == with_field_100


@pytest.mark.parametrize(
    ("file", "package", "services"),
    [
        (jobs.DESCRIPTOR, "io.restorecommerce.job", ["Service"]),
        (resources.DESCRIPTOR, "io.restorecommerce.resourcebase", []),
        (commands.DESCRIPTOR, "io.restorecommerce.commandinterface", ["Service"]),
    ],
)
def test_wire_names_are_those_of_2018(
    file: FileDescriptor, package: str, services: list[str]
) -> None:
    assert file.package == package
    assert list(file.services_by_name) == services
