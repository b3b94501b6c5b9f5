"""The flow that clients of 2018 rely on, exactly as they make it.

They declare `payload` singular, read and write partition 0 only, and know nothing of headers.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client import classic
from tests.client.grpc_client import JOBS, Client
from tests.client.topics import Record
from tests.e2e.conftest import deployed, watch
from tests.e2e.product import Product, fresh, now_ms, rfc3339, tomorrow
from tests.harness.given import Kafka, Store
from tests.harness.waiting import eventually
from tests.harness.windows import TooSlow, with_enough_time


class ClientOf2018:
    """Submits by one of the two transports, reads by gRPC, listens to partition 0."""

    def __init__(self, product: Product, transport: str) -> None:
        self.product = product
        self.grpc: Client | None = product.client if transport == "grpc" else None

    def create(self, *jobs: Any) -> None:
        self._submit("Create", "createJobs", classic.JobList(items=jobs))

    def create_at(self, window: int) -> tuple[str, int]:
        """Create a job that is due so many milliseconds from now: its type, and when that is."""
        kind, due = fresh("when"), now_ms() + window
        try:
            self.create(job(kind, when=rfc3339(due)))
            self.product.settle()
        finally:
            if now_ms() >= due:
                self.product.client.delete(collection=True)
                raise TooSlow("the service had the job before it was due")
        return kind, due

    def modify(self, *jobs: Any) -> None:
        self._submit("Update", "modifyJobs", classic.JobList(items=jobs))

    def delete(self, **request: Any) -> None:
        self._submit("Delete", "deleteJobs", classic.DeleteRequest(**request))

    def read(self) -> list[Any]:
        request = classic.JobReadRequest().SerializeToString()
        answer = self.product.client.call(JOBS + "Read", request)
        return list(classic.JobList.FromString(answer).items)

    def until_read_is_empty(self) -> None:
        eventually(lambda: not self.read(), what="Read is empty")

    def queued(self, kind: str, number: int = 1) -> tuple[Record, Any]:
        """The `number`-th queuedJob of this type."""

        def fits(record: Record) -> bool:
            return (
                record.key == "queuedJob"
                and record.partition == 0
                and classic.ScheduledJob.FromString(record.value).type == kind
            )

        record = self.product.reader.wait_for(fits, count=number)
        return record, classic.ScheduledJob.FromString(record.value)

    def done(self, job: Any) -> None:
        answer = classic.JobDone(id=job.id, schedule_type=job.schedule_type)
        self.product.send("jobDone", answer)

    def created(self, kind: str, number: int = 1) -> list[Any]:
        """The first jobs of this type that were announced as created."""

        def fits(record: Record) -> bool:
            return (
                record.key == "jobsCreated"
                and record.partition == 0
                and classic.Job.FromString(record.value).type == kind
            )

        records = self.product.reader.wait_for_all(fits, number)
        return [classic.Job.FromString(record.value) for record in records]

    def deleted(self, job_id: str, number: int = 1) -> Record:
        def fits(record: Record) -> bool:
            return (
                record.key == "jobsDeleted"
                and record.partition == 0
                and classic.Deleted.FromString(record.value).id == job_id
            )

        return self.product.reader.wait_for(fits, count=number)

    def _submit(self, method: str, event: str, message: Any) -> None:
        if self.grpc is not None:
            self.grpc.call(JOBS + method, message.SerializeToString())
        else:
            self.product.send(event, message)


@pytest.fixture(scope="module", params=["RECURR", "RECCUR"])
def spelling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def settings(spelling: str) -> dict[str, str]:
    # The default must be the document's spelling without a setting. How runs are delivered makes no
    # difference that a client sees, so the other spelling tries the other delivery.
    if spelling == "RECURR":
        return {}
    return {"recurring_spelling": spelling, "delivery": "at_least_once"}


@pytest.fixture(scope="module")
def deployment(
    kafka: Kafka,
    valkey: Store,
    settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    with deployed(tmp_path_factory.mktemp("e2e"), kafka, valkey, settings) as product:
        yield product


@pytest.fixture(params=["grpc", "events"])
def client(request: pytest.FixtureRequest, deployment: Product) -> ClientOf2018:
    watch(request, deployment)
    return ClientOf2018(deployment, request.param)


def job(kind: str, **trigger: Any) -> Any:
    payload = classic.Data(creator="tester")
    payload.payload.type_url = "payload"
    payload.payload.value = b'{"text":"hello"}'
    return classic.Job(type=kind, data=payload, **trigger)


def test_a_now_job_is_queued_and_gone_when_it_is_done(client: ClientOf2018) -> None:
    kind = fresh("now")
    client.create(job(kind, now=True))
    _, queued = client.queued(kind)
    assert queued.schedule_type == "NOW"
    assert queued.data.creator == "tester"
    assert (queued.data.payload.type_url, queued.data.payload.value) == (
        "payload",
        b'{"text":"hello"}',
    )
    client.done(queued)
    client.until_read_is_empty()


def test_a_when_job_runs_in_four_seconds_and_not_before(client: ClientOf2018) -> None:
    kind, due = with_enough_time(client.create_at, 4000)
    when = rfc3339(due)
    [created] = client.created(kind)
    assert created.id
    assert created.when == when
    assert [each.id for each in client.read()] == [created.id]
    record, queued = client.queued(kind)
    assert queued.schedule_type == "ONCE"
    assert record.timestamp >= due
    assert record.read_at * 1000 >= due
    assert record.headers["nominal-time"] == when
    client.done(queued)
    client.deleted(created.id)
    client.until_read_is_empty()


def test_an_interval_job_runs_until_it_is_deleted(client: ClientOf2018, spelling: str) -> None:
    kind = fresh("interval")
    before = now_ms()
    client.create(job(kind, interval="2 seconds"))
    [created] = client.created(kind)
    assert created.interval == "2 seconds"
    for number in (1, 2, 3):
        record, queued = client.queued(kind, number)
        assert queued.schedule_type == spelling
        assert record.timestamp >= before + number * 2000
        assert [each.id for each in client.read()] == [created.id]
        client.done(queued)
    client.delete(ids=[created.id])
    client.deleted(created.id)
    client.until_read_is_empty()


def test_jobs_for_tomorrow_are_read_updated_and_deleted(client: ClientOf2018) -> None:
    kind = fresh("tomorrow")
    client.create(*(job(kind, when=tomorrow()) for _ in range(4)))
    ids = [created.id for created in client.created(kind, 4)]
    assert len({*ids}) == 4
    assert sorted(each.id for each in client.read()) == sorted(ids)

    changed = job(kind, when=tomorrow())
    changed.id = ids[0]
    changed.data.payload.value = b'{"text":"changed"}'
    client.modify(changed)
    client.deleted(ids[0])
    again = client.created(kind, 5)[4]
    assert again.id == ids[0]
    assert again.data.payload.value == b'{"text":"changed"}'
    assert client.product.resource_events(ids[0]) == [
        ("jobsCreated", ids[0]),
        ("jobsDeleted", ids[0]),
        ("jobsCreated", ids[0]),
    ]
    assert sorted(each.id for each in client.read()) == sorted(ids)

    client.delete(collection=True)
    for each in ids:
        client.deleted(each, 2 if each == ids[0] else 1)
    client.until_read_is_empty()
