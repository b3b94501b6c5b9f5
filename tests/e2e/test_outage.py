"""A server is away, or goes away: the process stays, says so, and goes on (CONTRACT 3.7, 5)."""

import urllib.error
import urllib.request
from itertools import pairwise

import grpc
import pytest

from tests.client import contract
from tests.client.grpc_client import Refusal
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, in_ms, rfc3339, tomorrow
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

RECOVERY = 40.0
"""How long a test waits for the service when a server is back, in seconds."""


def assert_unavailable(product: Product) -> Refusal:
    with pytest.raises(Refusal) as caught:
        product.client.create(contract.job(when=tomorrow()))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert len(caught.value.message) > 10
    return caught.value


def ready_status(product: Product, path: str) -> int:
    try:
        with urllib.request.urlopen(product.service.admin_url + path, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


# --- at start ---


def test_a_redis_that_is_not_there_yet_is_waited_for(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    breakable_valkey.kill()
    product = deploy(start=False, valkey=breakable_valkey)
    product.service.launch()
    eventually(lambda: answers(product), timeout=RECOVERY, what="an answer of its health")
    assert product.client.health() == "NOT_SERVING"
    assert_unavailable(product)
    assert_says(product, "redis")
    breakable_valkey.start()
    product.service.wait_until_serving(RECOVERY)
    product.settle()


def answers(product: Product) -> bool:
    try:
        return bool(product.client.health())
    except Refusal:
        return False


def assert_says(product: Product, word: str) -> None:
    """A server that is not there yet is waited for and said so."""
    log = product.service.log
    eventually(lambda: word in log.read_text().lower(), timeout=RECOVERY, what=f"{word} in {log}")


def test_a_kafka_that_is_not_there_yet_is_waited_for(
    deploy: Deploy, breakable_kafka: KafkaServer
) -> None:
    breakable_kafka.kill()
    product = deploy(start=False, kafka=breakable_kafka)
    product.service.launch()
    eventually(lambda: answers(product), timeout=RECOVERY, what="an answer of its health")
    assert product.client.health() == "NOT_SERVING"
    assert_unavailable(product)
    assert_says(product, "kafka")
    breakable_kafka.start()
    product.service.wait_until_serving(RECOVERY)
    product.settle()


# --- Redis ---


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_redis_goes_and_comes_back(
    deploy: Deploy, breakable_valkey: ValkeyServer, how: str
) -> None:
    product = deploy(valkey=breakable_valkey)
    kind, job_id = fresh("type"), fresh()
    due, when = in_ms(2000)
    product.client.create(contract.job(id=job_id, type=kind, when=when))
    getattr(breakable_valkey, how)()
    product.service.wait_until_not_serving(RECOVERY)
    assert product.service.process.alive
    assert_unavailable(product)
    assert ready_status(product, "/livez") == 200
    assert ready_status(product, "/readyz") == 503
    breakable_valkey.restore()
    product.service.wait_until_serving(RECOVERY)
    run = product.run(kind, timeout=RECOVERY)
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
    due, when = in_ms(2000)
    product.client.create(contract.job(id=job_id, type=kind, when=when))
    getattr(breakable_kafka, how)()
    product.client.timeout = 5
    with pytest.raises(Refusal) as caught:
        product.client.create(contract.job(id=stored, when=tomorrow()))
    product.client.timeout = RECOVERY
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "stored" in caught.value.message
    product.service.wait_until_not_serving(RECOVERY)
    assert product.service.process.alive
    breakable_kafka.restore()
    product.service.wait_until_serving(RECOVERY)
    run = product.run(kind, timeout=RECOVERY)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(job_id)
    product.created(stored, timeout=RECOVERY)
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
    product.service.wait_until_serving(RECOVERY)
    product.created(stored, timeout=RECOVERY)


def test_sigterm_ends_it_while_kafka_is_away(deploy: Deploy, breakable_kafka: KafkaServer) -> None:
    product = deploy(kafka=breakable_kafka)
    breakable_kafka.kill()
    product.service.wait_until_not_serving(RECOVERY)
    product.service.stop()


def test_sigterm_ends_it_while_redis_is_away(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    product = deploy(valkey=breakable_valkey)
    breakable_valkey.kill()
    product.service.wait_until_not_serving(RECOVERY)
    product.service.stop()
    breakable_valkey.start()


# --- the service itself was away ---


def pass_by(product: Product, due: int) -> None:
    """Waits for an instant with the help of a clock that is no sleep: another condition."""
    eventually(lambda: rfc3339(due) < rfc3339(in_ms(0)[0]), timeout=60, what=rfc3339(due))


def test_an_overdue_when_job_runs_late_and_once(deploy: Deploy) -> None:
    product = deploy()
    kind, job_id = fresh("type"), fresh()
    due, when = in_ms(500)
    product.client.create(contract.job(id=job_id, type=kind, when=when))
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


@pytest.mark.parametrize("missed_runs", ["latest", "skip"])
@pytest.mark.parametrize("interval", ["500 ms", "* * * * * *"])
def test_runs_missed_before_the_window_are_one_or_none(
    deploy: Deploy, missed_runs: str, interval: str
) -> None:
    """If older ones were missed: one run for the latest of those, or none."""
    product = deploy(catch_up_window="2s", missed_runs=missed_runs)
    kind, job_id = fresh("type"), fresh()
    period = 500 if interval == "500 ms" else 1000
    product.client.create(contract.job(id=job_id, type=kind, interval=interval))
    product.run(kind)
    product.service.stop()
    before = product.runs_so_far(kind)[-1].nominal
    pass_by(product, before + 6000)
    product.service.start()
    product.run(kind, len(product.runs_so_far(kind)) + 4)
    product.client.delete(job_id)
    nominals = [run.nominal for run in product.runs_so_far(kind) if run.nominal > before]
    steps = [later - earlier for earlier, later in pairwise([before, *nominals])]
    assert steps[0] > period, "what is older than the window was coalesced"
    assert {*steps[1:]} == {period}, "from the first run on there is no gap"
    started = product.runs_so_far(kind)[len(product.runs_so_far(kind)) - len(nominals)]
    age = started.record.timestamp - nominals[0]
    # `latest`: the first run is older than the window; `skip`: it is not.
    assert (age > 2000) == (missed_runs == "latest")
