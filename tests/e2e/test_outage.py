"""A server is away, or goes away: the process stays, says so, and goes on (docs/contract.md)."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import grpc
import pytest

from tests.client import contract
from tests.client.grpc_client import Refusal
from tests.e2e.conftest import Deploy, deployed, watch
from tests.e2e.product import Product, fresh, now_ms, tomorrow, until
from tests.harness.given import GivenStore, Kafka, Store
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

WINDOW, ABSENCE = 3000, 12_000
"""A catch-up window, and an absence that is longer, in milliseconds."""


def assert_unavailable(product: Product) -> Refusal:
    with pytest.raises(Refusal) as caught:
        product.client.create(contract.job(when=tomorrow()))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert len(caught.value.message) > 10
    return caught.value


def ready_status(product: Product, path: str) -> int:
    return product.service.get(path)[0]


def assert_becomes_unready(product: Product) -> None:
    """A busy replica may not have answered in time, and not have noticed anything yet."""
    eventually(lambda: ready_status(product, "/readyz") == 503, what="a replica that is not ready")


# --- at start ---


def test_a_redis_that_is_not_there_yet_is_waited_for(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    breakable_valkey.kill()
    product = deploy(start=False, valkey=breakable_valkey)
    product.service.launch()
    eventually(lambda: answers(product), what="an answer of its health")
    assert product.client.health() == "NOT_SERVING"
    assert_unavailable(product)
    assert_says(product, "redis")
    breakable_valkey.start()
    product.service.wait_until_serving()
    product.settle()


def answers(product: Product) -> bool:
    try:
        return bool(product.client.health())
    except Refusal:
        return False


def assert_says(product: Product, word: str) -> None:
    """A server that is not there yet is waited for and said so."""
    log = product.service.log
    eventually(lambda: word in log.read_text().lower(), what=f"{word} in {log}")


def test_a_kafka_that_is_not_there_yet_is_waited_for(
    deploy: Deploy, breakable_kafka: KafkaServer
) -> None:
    breakable_kafka.kill()
    product = deploy(start=False, kafka=breakable_kafka)
    product.service.launch()
    eventually(lambda: answers(product), what="an answer of its health")
    assert product.client.health() == "NOT_SERVING"
    assert_unavailable(product)
    assert_says(product, "kafka")
    breakable_kafka.start()
    product.service.wait_until_serving()
    product.settle()


# --- Redis ---


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_redis_goes_and_comes_back(
    deploy: Deploy, breakable_valkey: ValkeyServer, how: str
) -> None:
    product = deploy(valkey=breakable_valkey)
    kind, job_id = fresh("type"), fresh()
    due = product.create_in(2000, contract.job(id=job_id, type=kind))
    getattr(breakable_valkey, how)()
    product.service.wait_until_not_serving()
    assert product.service.process.alive
    assert_unavailable(product)
    assert ready_status(product, "/livez") == 200
    assert_becomes_unready(product)
    breakable_valkey.restore()
    product.service.wait_until_serving()
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


# --- Kafka ---


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_kafka_goes_and_comes_back(deploy: Deploy, breakable_kafka: KafkaServer, how: str) -> None:
    """A call says that its change is stored; what falls due goes out when Kafka is back."""
    product = deploy(kafka=breakable_kafka)
    kind, job_id, stored = fresh("type"), fresh(), fresh()
    due = product.create_in(2000, contract.job(id=job_id, type=kind))
    product.created(job_id)  # a broker killed before its markers may come back without them
    getattr(breakable_kafka, how)()
    with pytest.raises(Refusal) as caught:
        product.client.create(contract.job(id=stored, when=tomorrow()))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "stored" in caught.value.message
    product.service.wait_until_not_serving()
    assert product.service.process.alive
    breakable_kafka.restore()
    product.service.wait_until_serving()
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(job_id)
    product.created(stored)
    assert product.living(stored) == [stored]
    product.settle()
    assert len(product.runs_so_far(kind)) == 1
    assert product.resource_events(stored) == [("jobsCreated", stored)]


def test_acknowledge_stored_answers_while_kafka_is_away(
    deploy: Deploy, breakable_kafka: KafkaServer
) -> None:
    product = deploy(kafka=breakable_kafka, acknowledge="stored")
    stored = fresh()
    breakable_kafka.kill()
    product.client.create(contract.job(id=stored, when=tomorrow()))
    breakable_kafka.start()
    product.service.wait_until_serving()
    product.created(stored)


def test_sigterm_ends_it_while_kafka_is_away(deploy: Deploy, breakable_kafka: KafkaServer) -> None:
    product = deploy(kafka=breakable_kafka)
    breakable_kafka.kill()
    product.service.wait_until_not_serving()
    product.service.stop()


def test_sigterm_ends_it_while_redis_is_away(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    product = deploy(valkey=breakable_valkey)
    breakable_valkey.kill()
    product.service.wait_until_not_serving()
    product.service.stop()
    breakable_valkey.start()


# --- the service itself was away ---


def pass_by(product: Product, due: int) -> None:
    """Lets time pass while the service is away."""
    assert not product.service.process.alive
    until(due)


def test_an_overdue_when_job_runs_late_and_once(deploy: Deploy) -> None:
    product = deploy()
    kind, job_id = fresh("type"), fresh()
    due = product.create_in(500, contract.job(id=job_id, type=kind))
    product.service.kill()
    pass_by(product, due + 1500)
    product.service.start()
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def test_every_missed_run_within_the_window_is_made_up_for(deploy: Deploy) -> None:
    product = deploy()
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="500 ms"))
    first = product.run(kind)
    product.service.stop()
    pass_by(product, first.nominal + 3000)
    product.service.start()
    product.runs(kind, 8)
    product.client.delete(job_id)
    nominals = [run.nominal for run in product.runs_so_far(kind)]
    assert nominals == [first.nominal + 500 * number for number in range(len(nominals))]


@pytest.fixture
def outage(
    kafka: Kafka, valkey: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Product]]:
    """Two deployments, one for each setting of missed runs, after the same long absence."""
    products = {}
    with ExitStack() as stack:
        for missed in ("latest", "skip"):
            directory = tmp_path / missed
            directory.mkdir()
            settings = {"catch_up_window": f"{WINDOW}ms", "missed_runs": missed}
            product = stack.enter_context(deployed(directory, kafka, valkey, settings))
            watch(request, product)
            product.client.create(
                contract.job(id="interval", type="interval", interval="500 ms"),
                contract.job(id="cron", type="cron", interval="* * * * * *"),
            )
            products[missed] = product
        for product in products.values():
            product.run("interval")
            product.run("cron")
            product.service.stop()
        pass_by(product, now_ms() + ABSENCE)
        for product in products.values():
            product.service.start()
        yield products


def test_runs_missed_before_the_window_are_one_or_none(outage: dict[str, Product]) -> None:
    """`latest`: one run for the latest of those that are older than the window; `skip`: none."""
    for missed, product in outage.items():
        for kind, period in (("interval", 500), ("cron", 1000)):
            number = len(product.runs_so_far(kind))
            product.run(kind, number + 4)
            nominals = [run.nominal for run in product.runs_so_far(kind)]
            steps = [later - earlier for earlier, later in pairwise(nominals)]
            [gap] = [place for place, step in enumerate(steps) if step != period]
            begins, first = begin_of_window(product, kind), nominals[gap + 1]
            assert steps[gap] % period == 0
            assert (first < begins) == (missed == "latest"), (missed, kind)
            assert abs(first - begins) <= period


def begin_of_window(product: Product, kind: str) -> int:
    """Runs missed before this instant are past the window, says the service."""
    shard = crc32(kind.encode()) % int(product.service.settings["SCHEDULING_SHARDS"])
    with GivenStore(product.service.redis_url).client() as client:
        return int(str(client.hget(f"{product.names.namespace}:{{{shard}}}:meta", "cutoff")))
