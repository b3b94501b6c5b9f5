"""How the service listens: where it begins, what it stores, and what it adds (docs/contract.md)."""

import re
from itertools import cycle
from typing import Any

import grpc
import pytest
from confluent_kafka.admin import AdminClient

from tests.client import contract
from tests.client.grpc_client import JOBS
from tests.client.topics import Sender, make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import RFC3339_MS, Product, fresh, rfc3339, tomorrow
from tests.harness.given import Kafka, Store
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS, eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"offset_interval": "100ms"}


def create_event(**fields: Any) -> Any:
    return contract.JobList(items=[contract.job(**fields)])


@pytest.fixture
def early(kafka: Kafka, names: Names) -> str:
    """The type of a job that was sent before the service was ever started."""
    make_topic(kafka.bootstrap, names.jobs)
    kind = fresh("early")
    with Sender(kafka.bootstrap) as sender:
        sender.send(names.jobs, "createJobs", create_event(type=kind, now=True))
    return kind


# --- where it begins ---


def test_the_very_first_start_is_at_the_log_end(deploy: Deploy, early: str) -> None:
    """The setting rules the very first start only; later starts are at the stored position."""
    product = deploy(lease="1s")
    kind = fresh("type")
    product.send("createJobs", create_event(type=kind, now=True))
    product.done(product.run(kind))
    product.service.settings["SCHEDULING_START_OFFSET"] = "earliest"
    for end in ("stop", "kill"):
        getattr(product.service, end)()
        product.service.start()
    product.settle()
    assert product.runs_so_far(early) == []
    assert len(product.runs_so_far(kind)) == 1


def test_earliest_is_a_setting(deploy: Deploy, early: str) -> None:
    product = deploy(start_offset="earliest")
    product.done(product.run(early))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_events_sent_while_it_was_down_are_handled(deploy: Deploy, end: str) -> None:
    product = deploy(lease="1s")
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when="in 50 ms"))
    run = product.run(kind)
    getattr(product.service, end)()
    late, late_id = fresh("late"), fresh()
    product.done(run)
    product.send("createJobs", create_event(type=late, now=True))
    product.send("createJobs", create_event(id=late_id, when=tomorrow()))
    request = contract.CommandRequest(name="version")
    product.sender.send(product.names.commands, "versionCommand", request)
    product.service.start()
    product.done(product.run(late))
    product.deleted(job_id)
    product.created(late_id)
    product.reader.wait_for(lambda record: record.key == "versionResponse")
    product.settle()
    assert len(product.runs_so_far(late)) == 1


# --- what it stores ---


def test_the_next_offset_is_stored_as_decimal_text(product: Product, valkey: Store) -> None:
    """Under {client_id}:{topic}, at a regular interval."""
    names = product.names
    product.settle()
    product.client.command("version")
    with valkey.client() as redis:
        for topic in (names.jobs, names.commands):
            eventually(
                lambda topic=topic: (  # type: ignore[misc]
                    redis.get(f"{names.client_id}:{topic}") == str(product.end_of(topic))
                ),
                what=f"the offset of {topic}",
            )


def test_other_partitions_have_their_number_in_the_key(
    deploy: Deploy, kafka: Kafka, valkey: Store, names: Names
) -> None:
    make_topic(kafka.bootstrap, names.jobs, partitions=3)
    product = deploy(offset_interval="100ms")
    before = product.send("createJobs", create_event(type=fresh(), when=tomorrow()), partition=2)
    product.settle(partition=2)
    key = f"{names.client_id}:{names.jobs}:2"

    def stored() -> int:
        with valkey.client() as redis:
            return int(str(redis.get(key) or 0))

    eventually(lambda: stored() > before + 1, what=key)


def test_a_reset_keeps_the_stored_offsets(product: Product, valkey: Store) -> None:
    product.settle()
    key = f"{product.names.client_id}:{product.names.jobs}"
    with valkey.client() as redis:
        eventually(lambda: redis.get(key), what=key)
        before = int(str(redis.get(key)))
        product.client.command("reset")
        assert int(str(redis.get(key))) >= before
    product.settle()


def test_missing_topics_are_made_with_one_partition(product: Product) -> None:
    expected = dict.fromkeys(product.names.topics, 1)
    assert partitions(product.bootstrap, product.names) == expected


def partitions(bootstrap: str, names: Names) -> dict[str, int]:
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        topics = admin.list_topics(timeout=PATIENCE_SECONDS).topics
    return {topic: len(topics[topic].partitions) for topic in names.topics if topic in topics}


# --- the consumer group ---


def test_two_replicas_handle_each_event_once(deploy: Deploy, kafka: Kafka, names: Names) -> None:
    """A real consumer group: N replicas handle each event once."""
    make_topic(kafka.bootstrap, names.jobs, partitions=4)
    product = deploy(2)
    kind = fresh("type")
    for _, partition in zip(range(200), cycle(range(4)), strict=False):
        event = create_event(type=kind, now=True)
        product.sender.post(names.jobs, "createJobs", event, partition=partition)
    runs = product.runs(kind, 200)
    for partition in range(4):
        product.settle(partition=partition)
    assert len(product.runs_so_far(kind)) == 200
    product.finish(kind, runs)
    for partition in range(4):
        product.settle(partition=partition)


def test_a_replica_that_leaves_hands_its_partitions_over(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    make_topic(kafka.bootstrap, names.jobs, partitions=4)
    product = deploy(2)
    kind = fresh("type")
    for number in range(200):
        event = create_event(type=kind, now=True)
        product.sender.post(names.jobs, "createJobs", event, partition=number % 4)
        if number == 100:
            product.replicas[1].process.terminate()
    assert product.replicas[1].exit_code() == 0
    product.runs(kind, 200)
    for partition in range(4):
        product.settle(partition=partition)
    assert len(product.runs_so_far(kind)) == 200


def test_the_records_of_one_job_stay_in_one_partition(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    make_topic(kafka.bootstrap, names.jobs, partitions=4)
    make_topic(kafka.bootstrap, names.resources, partitions=4)
    product = deploy()
    kind = fresh("type")
    ids = [fresh() for _ in range(8)]
    product.client.create(
        *(contract.job(id=each, type=kind, interval="300 ms", attempts=2) for each in ids)
    )
    runs = product.runs(kind, 24)
    product.client.delete(*ids)
    for each in ids:
        assert len({run.record.partition for run in runs if run.job_id == each}) == 1
        places = {
            record.partition
            for record in (product.deleted(each), *product.resources())
            if record.headers.get("job-id") == each
        }
        assert len(places) == 1
    assert len({run.record.partition for run in runs}) > 1


# --- the headers that it adds ---


def test_headers_of_a_run(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    due = product.create_in(300, contract.job(id=job_id, type=kind, attempts=2))
    run = product.run(kind)
    headers = run.record.headers
    assert headers["job-id"] == job_id
    assert RFC3339_MS.fullmatch(headers["nominal-time"])
    assert headers["nominal-time"] == rfc3339(due)
    assert headers["attempt"] == "1"
    assert headers["occurrence-id"]
    run.assert_not_early(due)
    product.failed(run)
    again = product.run(kind, 2)
    assert again.record.headers["attempt"] == "2"
    assert again.job_id == job_id
    assert again.occurrence != run.occurrence
    product.done(again)


def test_the_job_id_of_a_now_job_is_the_one_that_was_answered(product: Product) -> None:
    kind = fresh("type")
    answer = product.client.create(contract.job(type=kind, now=True))
    run = product.run(kind)
    assert run.job_id == answer.items[0].id
    product.done(run)


def test_every_record_has_an_event_id_of_its_own(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when="in 50 ms"))
    product.done(product.run(kind))
    product.deleted(job_id)
    product.client.command("version")
    product.send("createJobs", b"\x0a\x7f")
    product.dead_letter(lambda record: record.value == b"\x0a\x7f")
    product.settle()
    ours = {"queuedJob", "jobsCreated", "jobsDeleted", "versionResponse"}
    records = [
        record
        for record in product.reader.drain()
        if record.key in ours or record.topic == product.names.dead_letter
    ]
    ids = [record.headers["event-id"] for record in records]
    assert all(ids)
    assert len({*ids}) == len(ids)


def test_the_trace_of_a_call_goes_on_in_its_runs(product: Product) -> None:
    """W3C traceparent and tracestate where known."""
    kind = fresh("type")
    request = contract.JobList(items=[contract.job(type=kind, now=True)])
    metadata = (("traceparent", TRACE), ("tracestate", "vendor=1"))
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = product.client.channel.unary_unary(
        JOBS + "Create"
    )
    call(request.SerializeToString(), metadata=metadata, timeout=PATIENCE_SECONDS)
    run = product.run(kind)
    assert same_trace(run.record.headers["traceparent"])
    assert run.record.headers["tracestate"] == "vendor=1"
    product.done(run)


def test_the_trace_of_an_event_goes_on_in_its_runs(product: Product) -> None:
    kind = fresh("type")
    event = create_event(type=kind, now=True)
    product.send("createJobs", event, headers={"traceparent": TRACE})
    run = product.run(kind)
    assert same_trace(run.record.headers["traceparent"])
    product.done(run)


@pytest.mark.parametrize("trace", ["", "nonsense", "x" * 10_000, "00-0-0-01"])
def test_a_trace_that_is_none_harms_nobody(product: Product, trace: str) -> None:
    kind = fresh("type")
    product.send("createJobs", create_event(type=kind, now=True), headers={"traceparent": trace})
    product.done(product.run(kind))


def same_trace(header: str) -> bool:
    """The same trace; the service may put a span of its own into it."""
    pattern = r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-[0-9a-f]{2}"
    return re.fullmatch(pattern, header) is not None
