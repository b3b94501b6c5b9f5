"""Too much of everything: it says so, stays within its bounds, and loses and doubles nothing."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from confluent_kafka import Consumer

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import make_topic
from tests.client.worker import Worker
from tests.e2e.conftest import Deploy, watch
from tests.e2e.load import MIB, Flood, memory_grows_by_less_than, read_all
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.given import Kafka, Store
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.slow

MANY = 100_000
TOO_MANY = "Too many calls are under way"
LATE = grpc.StatusCode.DEADLINE_EXCEEDED
"""A refusal that was too long on its way: the client knows as much as without it."""
ROUNDS = 5
POISON = "poison"
"""The type of the jobs that wait for one another."""


@pytest.fixture(scope="module")
def poisoned(
    kafka: Kafka, valkey: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """100,000 jobs of one type are due, and one of them may run at a time."""
    names, log = Names.unique(), tmp_path_factory.mktemp("poison") / "replica.log"
    service = Service(names, log, bootstrap=kafka.bootstrap, redis_url=valkey.url)
    service.start()
    job = {"type": POISON, "when": "in 1 second", "parallel": 1}
    with Product(kafka.bootstrap, names, service) as product:
        product.client.timeout = PATIENCE_SECONDS
        with memory_grows_by_less_than(250 * MIB, product):
            for first in range(0, MANY, 5_000):
                ids = range(first, first + 5_000)
                product.client.create(*(contract.job(id=f"p{each}", **job) for each in ids))
        yield product
        service.stop()
    with valkey.client() as redis:
        redis.unlink(*redis.scan_iter(f"{names.namespace}:*"))


@pytest.fixture
def poison(request: pytest.FixtureRequest, poisoned: Product) -> Product:
    watch(request, poisoned)
    return poisoned


def test_one_type_that_is_full_holds_up_no_other(poison: Product, valkey: Store) -> None:
    """Its runs come one at a time, in order; the others come when they are due."""
    before = len(poison.runs(POISON))
    with memory_grows_by_less_than(50 * MIB, poison):
        for number in range(before, before + ROUNDS):
            run = poison.run(POISON, number)
            assert run.job_id == f"p{number - 1}"
            assert len(poison.runs_so_far(POISON)) == number
            other = fresh("other")
            poison.client.create(contract.job(type=other, now=True))
            poison.done(poison.run(other))
            poison.done(run)
            poison.deleted(run.job_id)
    assert poison.client.read(limit=1).total_count == MANY - ROUNDS - before + 1
    with valkey.client() as redis:
        assert redis.hlen(f"{poison.names.namespace}:{{0}}:types") <= 1


def test_everything_is_read_during_a_burst(poison: Product) -> None:
    """Clients get all of it or are told to come back; who creates meanwhile is served."""
    kind = fresh("burst")

    def make(_number: int) -> Any:
        return contract.job(type=kind, now=True)

    with (
        memory_grows_by_less_than(400 * MIB, poison),
        ThreadPoolExecutor(4) as readers,
        Worker(poison.bootstrap, poison.names.jobs, answer_only(kind)) as worker,
        Flood(poison, make) as flood,
    ):
        answers = readers.map(read_all, [poison.service.address] * 4)
        for answer in answers:
            ids = {job.id for job in answer.items}
            assert len(ids) == len(answer.items) == answer.total_count > MANY - 1_000
        assert not flood.refusals
        eventually(lambda: len(flood.accepted) >= 100, what="some jobs")
    assert not flood.refusals
    runs = poison.runs(kind, len(flood.accepted))
    assert Counter(run.job_id for run in runs) == Counter(flood.accepted)
    for run in runs:
        if run.instance not in worker.answers:
            poison.done(run)


def answer_only(kind: str) -> Any:
    def answer(job: Any) -> Any:
        return contract.JobDone(id=job.id) if job.type == kind else None

    return answer


def test_a_client_that_is_faster_than_kafka(
    deploy: Deploy, breakable_kafka: KafkaServer, valkey: Store
) -> None:
    """SCHEDULING_OUTBOX_LIMIT bounds what waits in Redis; what was promised goes out, once."""
    product = deploy(kafka=breakable_kafka, acknowledge="stored", outbox_limit="2000")
    outbox = f"{product.names.namespace}:{{0}}:outbox"

    def make(_number: int) -> Any:
        return contract.job(when=tomorrow(), data=contract.Data(payload=[payload(1_000)]))

    with memory_grows_by_less_than(200 * MIB, product):
        breakable_kafka.pause()
        with Flood(product, make, size=50) as flood, valkey.client() as redis:
            eventually(lambda: flood.refused("Kafka is behind", 20), what="no")
            assert redis.llen(outbox) <= 2_000 + 2_000  # what one store call may add
        breakable_kafka.resume()
        product.service.wait_until_serving()
        eventually(lambda: not is_refused(product, make(0)), what="jobs are taken in")
    accepted = {*flood.accepted}
    assert len(accepted) >= 1_900
    for job_id in flood.accepted[-50:]:
        product.created(job_id)
    product.settle()
    announced = [job_id for event, job_id in product.resource_events(*accepted)]
    assert Counter(announced) == Counter(flood.accepted)


def payload(size: int) -> Any:
    return contract.payload(b"x" * size)


def is_refused(product: Product, job: Any) -> bool:
    try:
        product.client.create(job)
    except Refusal:
        return True
    return False


def test_calls_that_wait_hold_bounded_memory(deploy: Deploy, breakable_kafka: KafkaServer) -> None:
    """SCHEDULING_CALL_MEMORY bounds what they hold; what is not taken in is told so at once."""
    product = deploy(kafka=breakable_kafka)
    size = 4 * MIB
    jobs = [contract.job(when=tomorrow(), data=data(size // 8)) for _ in range(8)]

    def create(number: int) -> tuple[grpc.StatusCode, str]:
        try:
            clients[number % len(clients)].create(*jobs)
        except Refusal as error:
            return error.code, error.message
        return grpc.StatusCode.OK, ""

    clients = [Client(product.service.address, timeout=5) for _ in range(4)]
    with memory_grows_by_less_than(600 * MIB, product), ThreadPoolExecutor(24) as pool:
        breakable_kafka.pause()
        told = Counter(pool.map(create, range(24)))
        breakable_kafka.resume()
    for client in clients:
        client.__exit__()
    refused = sum(number for (_, text), number in told.items() if TOO_MANY in text)
    assert {code for code, _ in told} <= {grpc.StatusCode.UNAVAILABLE, LATE}, told
    sentences = " ".join(sentence for _, sentence in told)
    assert refused
    assert "the change is stored and will be announced" in sentences
    product.service.wait_until_serving()
    product.settle()
    stored = sum(number for (_, text), number in told.items() if "is stored" in text)

    def there() -> int:
        return int(product.client.read(limit=1).total_count)

    # A list of 4 MB is stored at once and applied in pieces.
    eventually(lambda: there() >= 8 * stored, what="all that is stored")
    eventually(lambda: there() % 8 == 0, what="whole lists")
    assert there() <= 8 * (told.total() - refused)


def data(size: int) -> Any:
    return contract.Data(creator="large", payload=[payload(size)])


@contextmanager
def rebalances(bootstrap: str, names: Names, every: float) -> Iterator[list[int]]:
    """A member that comes and goes, and does nothing with the partitions that it gets."""
    leaving, joined = threading.Event(), [0]

    def come_and_go() -> None:
        while not leaving.is_set():
            settings = {"bootstrap.servers": bootstrap, "group.id": names.group_id}
            consumer = Consumer({**settings, "enable.auto.commit": False, "log_level": 0})
            consumer.subscribe([names.jobs, names.commands])
            consumer.poll(every)
            joined[0] += bool(consumer.assignment())
            consumer.close()
            leaving.wait(every / 4)

    thread = threading.Thread(target=come_and_go, daemon=True)
    thread.start()
    yield joined
    leaving.set()
    thread.join()


def test_a_rebalance_every_second(deploy: Deploy, kafka: Kafka, names: Names) -> None:
    """Partitions move all the time: each event still has its effect, and has it once."""
    make_topic(kafka.bootstrap, names.jobs, partitions=4)
    # Members hear of a rebalance with their next heartbeat.
    options = '{"session.timeout.ms": 3000, "heartbeat.interval.ms": 300}'
    product = deploy(2, offset_interval="100ms", kafka_options=options)
    kind, number = fresh("type"), 0
    with (
        memory_grows_by_less_than(100 * MIB, product),
        Worker(kafka.bootstrap, names.jobs, answer_only(kind)) as worker,
    ):
        with rebalances(kafka.bootstrap, names, 1.0) as joined:
            for turn in range(8):
                eventually(lambda: joined[0] > turn, what="a rebalance")  # noqa: B023
                for _ in range(40):
                    job = contract.job(id=f"r{number}", type=kind, now=True)
                    event = contract.JobList(items=[job])
                    product.send("createJobs", event, partition=number % 4)
                    number += 1
        product.runs(kind, number)
        eventually(lambda: len(worker.answers) >= number, what="answers")
    for partition in range(4):
        product.settle(partition=partition)
    runs = product.runs_so_far(kind)
    assert Counter(run.job_id for run in runs) == Counter(f"r{each}" for each in range(number))
    assert product.dead_letters() == []
