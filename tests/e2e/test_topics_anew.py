"""Topics that change under the service: deleted and created again, or extended (decision 8)."""

import re
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from tests.client import contract
from tests.client.topics import Record, Sender, make_topic, unmake_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.given import GivenStore, Kafka
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS, eventually


def remake(product: Product, *, partitions: int = 1) -> None:
    """The jobs topic is deleted and created again."""
    unmake_topic(product.bootstrap, product.names.jobs)
    make(product, partitions=partitions)


def make(product: Product, *, partitions: int = 1) -> None:
    """Somebody else, such as a replica, may have been quicker."""
    try:
        make_topic(product.bootstrap, product.names.jobs, partitions=partitions)
    except KafkaException as fault:
        if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def create(product: Product, count: int) -> list[str]:
    """So many createJobs by records, each with one job that lasts; their ids."""
    ids = [fresh("anew") for _ in range(count)]
    with Sender(product.bootstrap) as sender:  # a new one: it knows the new topic
        for job_id in ids:
            jobs = [contract.job(id=job_id, when=tomorrow())]
            sender.post(product.names.jobs, "createJobs", contract.JobList(items=jobs))
    return ids


def position(product: Product, partition: int = 0) -> int:
    """As it is shown."""
    key = f"{product.names.client_id}:{product.names.jobs}"
    with GivenStore(product.service.redis_url).client() as redis:
        return int(str(redis.get(key if not partition else f"{key}:{partition}") or 0))


def applied(product: Product, ids: list[str]) -> Callable[[], bool]:
    return lambda: product.living(*ids) == sorted(ids)


@pytest.mark.parametrize("more", [20, 60])
def test_a_topic_that_is_made_anew_under_the_service_loses_nothing(
    deploy: Deploy, more: int
) -> None:
    """Whether it is shorter than the position before, or longer."""
    product = deploy(offset_interval="100ms")
    old = create(product, 50)
    eventually(applied(product, old), what="the first records")
    eventually(lambda: position(product) >= 50, what="the position")
    remake(product)
    new = create(product, more)
    eventually(applied(product, new), what=lambda: f"{len(product.living(*new))}")
    eventually(lambda: position(product) == more, what="the position goes back")
    product.client.delete(*old, *new)
    assert "another one than before" in product.service.log.read_text()


@pytest.mark.parametrize("more", [30, 60])
def test_a_topic_that_is_made_anew_while_the_service_is_down_loses_nothing(
    deploy: Deploy, more: int
) -> None:
    product = deploy(offset_interval="100ms", lease="1s")
    old = create(product, 50)
    eventually(applied(product, old), what="the first records")
    eventually(lambda: position(product) >= 50, what="the position")
    product.service.stop()
    remake(product)
    new = create(product, more)
    product.service.start()
    eventually(applied(product, new), what=lambda: f"{len(product.living(*new))}")
    eventually(lambda: position(product) == more, what="the position goes back")
    product.client.delete(*old, *new)


def test_each_shard_finds_its_own_place_in_a_topic_made_anew(deploy: Deploy) -> None:
    """Their positions differ, and each has its own last record."""
    product = deploy(offset_interval="100ms", shards="2")
    old = create(product, 30)
    eventually(applied(product, old), what="the first records")
    remake(product)
    new = create(product, 40)
    eventually(applied(product, new), what=lambda: f"{len(product.living(*new))}")
    eventually(lambda: position(product) == 40, what="the position goes back")
    product.client.delete(*old, *new)


def test_what_was_applied_is_not_applied_again_where_it_was_copied(deploy: Deploy) -> None:
    """A topic that was mirrored holds what was applied, at other offsets and the same times."""
    product = deploy(offset_interval="100ms", lease="1s")
    kind = fresh("type")
    jobs = [contract.job(type=kind, now=True)]
    for _ in range(3):
        product.send("createJobs", contract.JobList(items=jobs))
    runs = product.runs(kind, 3)
    product.finish(kind, runs)
    product.settle()
    copied = [record for record in product.reader.drain() if record.topic == product.names.jobs]
    product.service.stop()
    remake(product)
    copy(product, copied)
    late = create(product, 5)
    product.service.start()
    eventually(applied(product, late), what="what came later")
    assert len(product.runs_so_far(kind)) == 3
    product.client.delete(*late)


def copy(product: Product, records: list[Record]) -> None:
    """As a mirror does: the same records with their times."""
    producer = Producer({"bootstrap.servers": product.bootstrap})
    for record in records:
        producer.produce(
            record.topic, record.value, record.key, record.partition, timestamp=record.timestamp
        )
    assert producer.flush(PATIENCE_SECONDS) == 0


def test_added_partitions_are_read_from_their_beginning(deploy: Deploy) -> None:
    """Noticed within half a minute; what is sent before that waits there."""
    product = deploy(offset_interval="100ms", start_offset="latest")
    product.settle()
    extend(product, 3)
    job_id = fresh("added")
    event = contract.JobList(items=[contract.job(id=job_id, when=tomorrow())])
    with Sender(product.bootstrap) as sender:
        sender.send(product.names.jobs, "createJobs", event, partition=2)
    eventually(applied(product, [job_id]), what="the record of the new partition")
    eventually(lambda: position(product, 2) == 1, what="its position")
    product.client.delete(job_id)


def extend(product: Product, partitions: int) -> None:
    topic = product.names.jobs
    with AdminClient({"bootstrap.servers": product.bootstrap}) as admin:
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(PATIENCE_SECONDS)


def test_partitions_that_are_gone_leave_nothing_behind(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    """Neither their positions nor what is shown of them."""
    make_topic(kafka.bootstrap, names.jobs, partitions=3)
    product = deploy(offset_interval="100ms")
    for partition in range(3):
        product.settle(partition=partition)
    for partition in range(3):
        eventually(
            lambda partition=partition: position(product, partition) > 0,  # type: ignore[misc]
            what="a position",
        )
    remake(product, partitions=1)
    kept = create(product, 2)
    eventually(applied(product, kept), what="the first records")
    key = f"{names.namespace}:{{0}}:inputs"
    with GivenStore(product.service.redis_url).client() as redis:
        eventually(
            lambda: {*redis.hkeys(key)} == {f"{names.jobs}:0", f"{names.commands}:0"},
            what=lambda: f"two positions, not {redis.hkeys(key)}",
        )
        shown = f"{names.client_id}:{names.jobs}:1"
        eventually(lambda: not redis.exists(shown), what="no position of what is gone")
    eventually(lambda: lags(product) <= {"0"}, what="no lag of what is gone")
    product.client.delete(*kept)


def lags(product: Product) -> set[str]:
    """Partitions of the jobs topic whose lag is told."""
    _, text = product.service.get("/metrics")
    topic = re.escape(product.names.jobs)
    pattern = rf'scheduling_consumer_lag_records{{partition="(\d+)",topic="{topic}"}}'
    return set(re.findall(pattern, text))
