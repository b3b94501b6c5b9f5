"""The process: how it starts and ends, what it tells, and how replicas take over."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, instant, now_ms, tomorrow
from tests.harness.fixtures import StartService
from tests.harness.ports import free_port
from tests.harness.service import BUSY, SERVE, STOP_WITHIN_SECONDS, Service
from tests.harness.waiting import eventually


def get(product: Product, path: str) -> tuple[int, str]:
    return product.service.get(path)


# --- starting ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease", "soon"),
        ("lease", "-1s"),
        ("shards", "0"),
        ("shards", "many"),
        ("recurring_spelling", "RECURRING"),
        ("start_offset", "middle"),
        ("missed_runs", "some"),
        ("acknowledge", "never"),
        ("delivery", "perhaps"),
        ("grpc_address", "nowhere"),
        ("redis_url", "http://127.0.0.1"),
        ("kafka_options", "{not json"),
        ("completion_timeout", "0s"),
        ("no_such_setting", "1"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_sentence(
    service: StartService, name: str, value: str
) -> None:
    replica = service(start=False)
    replica.settings[f"SCHEDULING_{name.upper()}"] = value
    replica.launch()
    assert replica.exit_code() == 2
    assert_one_sentence(replica, name)


def assert_one_sentence(replica: Service, *words: str) -> None:
    text = replica.log.read_text()
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    for word in words:
        assert word in text.lower()


def test_a_taken_port_ends_it_with_one_sentence(product: Product, service: StartService) -> None:
    replica = service(start=False)
    replica.settings["SCHEDULING_GRPC_ADDRESS"] = product.service.address
    replica.launch()
    assert replica.exit_code() != 0
    text = replica.log.read_text()
    assert "Traceback" not in text
    assert product.service.address in text


def test_another_number_of_shards_is_refused(deploy: Deploy) -> None:
    """Fixed at first start; a later mismatch is a clear error."""
    product = deploy()
    product.client.create(contract.job(when=tomorrow()))
    product.service.stop()
    product.service.settings["SCHEDULING_SHARDS"] = "2"
    product.service.launch()
    assert product.service.exit_code() == 2
    text = product.service.log.read_text()
    assert "Traceback" not in text
    assert "shard" in text.splitlines()[-1].lower()
    product.service.settings["SCHEDULING_SHARDS"] = "1"
    product.service.start()
    assert product.client.read().total_count == 1


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_a_file_is_below_the_environment(
    service: StartService, tmp_path: Path, suffix: str
) -> None:
    """Settings from the environment, --config FILE below it."""
    sign = " =" if suffix == "toml" else ":"
    file = tmp_path / f"settings.{suffix}"
    file.write_text(f'recurring_spelling{sign} "RECCUR"\nshards{sign} 7\n')
    replica = service(start=False, command=(*SERVE, "--config", str(file)))
    replica.settings["SCHEDULING_SHARDS"] = "1"
    replica.start()
    kind = fresh("type")
    bootstrap = replica.settings["SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"]
    with Product(bootstrap, replica.names, replica) as product:
        product.client.create(contract.job(id="a", type=kind, interval="200 ms"))
        assert product.run(kind).message.schedule_type == "RECCUR"
        product.client.delete("a")


@pytest.mark.parametrize(
    ("options", "delivery"),
    [
        ('{"no.such.property": "1"}', "exactly_once"),
        ('{"socket.timeout.ms": 5}', "at_least_once"),
        ('{"partition.assignment.strategy": "cooperative-sticky"}', "exactly_once"),
    ],
)
def test_properties_that_cannot_be_used_end_it_with_one_sentence(
    service: StartService, options: str, delivery: str
) -> None:
    replica = service(start=False)
    replica.settings["SCHEDULING_KAFKA_OPTIONS"] = options
    replica.settings["SCHEDULING_DELIVERY"] = delivery
    replica.launch()
    assert replica.exit_code() == 2
    assert_one_sentence(replica, "scheduling_kafka_options")


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_transaction_timeout_beyond_that_of_the_brokers_ends_it(
    service: StartService, delivery: str
) -> None:
    """Before, it started, never emitted, and logged errors of librdkafka."""
    replica = service(start=False)
    replica.settings["SCHEDULING_KAFKA_OPTIONS"] = '{"transaction.timeout.ms": 3600000}'
    replica.settings["SCHEDULING_DELIVERY"] = delivery
    replica.launch()
    assert replica.exit_code() == 2
    text = replica.log.read_text()
    assert "Traceback" not in text
    assert "3600000, and the brokers allow 900000 at most" in text.splitlines()[-1]


@pytest.mark.parametrize("insecure", [False, True])
def test_an_address_that_other_hosts_reach_needs_a_permission(
    service: StartService, insecure: bool
) -> None:
    """Before, any host could call `reset` on the default address."""
    replica = service(start=False)
    replica.settings["SCHEDULING_GRPC_ADDRESS"] = f"0.0.0.0:{free_port()}"
    if insecure:
        replica.settings["SCHEDULING_INSECURE"] = "true"
        replica.launch()
        eventually(lambda: '"listening"' in replica.log.read_text(), what="a server")
        return
    replica.launch()
    assert replica.exit_code() == 2
    assert_one_sentence(replica, "scheduling_grpc_address", "scheduling_insecure=true")


# --- ending ---


def listens_to_signals(pid: int) -> bool:
    """Whether SIGTERM has a handler by now."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it_without_a_traceback(
    service: StartService, number: signal.Signals
) -> None:
    """The moments are spread over the imports and the first connections."""
    for moment in range(8):
        replica = service(start=False, fork=False)
        replica.launch()
        pid = replica.process.pid
        eventually(partial(listens_to_signals, pid), what="a handler")
        time.sleep(moment / 10)
        os.kill(pid, number)
        assert replica.exit_code() == 0
        assert "Traceback" not in replica.log.read_text()


def test_sigterm_ends_it_within_ten_seconds(deploy: Deploy) -> None:
    product = deploy()
    product.client.create(contract.job(interval="100 ms"))
    product.service.stop()


def test_sigterm_while_clients_call_loses_nothing(deploy: Deploy) -> None:
    """No new work, what was begun is finished: each call is answered, or was not applied."""
    product = deploy()
    ids = [fresh() for _ in range(400)]

    def create(job_id: str) -> str | None:
        try:
            product.client.create(contract.job(id=job_id, when=tomorrow()))
        except Refusal:
            return None
        return job_id

    product.client.timeout = 15
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(create, job_id) for job_id in ids]
        eventually(answers[100].done, what="a hundred answers")
        product.service.process.terminate()
        assert product.service.process.wait(BUSY * STOP_WITHIN_SECONDS) == 0
        product.service.start()
        acknowledged = {each.result() for each in answers} - {None}
    assert acknowledged <= {*product.ids()}
    assert len(acknowledged) > 100


# --- what it tells ---


def test_health_knows_the_empty_name(product: Product) -> None:
    eventually(lambda: product.client.health() == "SERVING", what="SERVING")


def test_health_of_an_unknown_service_is_not_found(product: Product) -> None:
    with pytest.raises(Refusal, match="NOT_FOUND"):
        product.client.health("nope")


def test_livez_and_readyz(product: Product) -> None:
    assert get(product, "/livez")[0] == 200
    eventually(lambda: get(product, "/readyz")[0] == 200, what="a ready replica")


def test_metrics_are_prometheus_text(product: Product) -> None:
    kind = fresh("type")
    product.client.create(contract.job(type=kind, now=True))
    product.done(product.run(kind))
    status, text = get(product, "/metrics")
    assert status == 200
    assert "# HELP" in text
    assert "# TYPE" in text
    assert "scheduling" in text


def test_an_admin_address_may_be_off(deploy: Deploy) -> None:
    product = deploy(admin_address="off")
    with pytest.raises(ConnectionRefusedError):
        get(product, "/livez")


def test_reflection_lists_the_services(product: Product) -> None:
    assert {
        "io.restorecommerce.job.Service",
        "io.restorecommerce.commandinterface.Service",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    } <= {*product.client.services()}


@pytest.mark.parametrize(
    ("symbol", "methods"),
    [
        ("io.restorecommerce.job.Service", ["Create", "Delete", "Read", "Update", "Upsert"]),
        ("io.restorecommerce.commandinterface.Service", ["Command"]),
    ],
)
def test_reflection_has_the_methods(product: Product, symbol: str, methods: list[str]) -> None:
    files = [FileDescriptorProto.FromString(raw) for raw in product.client.file_containing(symbol)]
    package = symbol.rpartition(".")[0]
    services = [each for file in files if file.package == package for each in file.service]
    assert sorted(method.name for each in services for method in each.method) == methods


@pytest.mark.parametrize("method", ["job.Service.Create", "commandinterface.Service.Command"])
def test_reflection_finds_a_method(product: Product, method: str) -> None:
    """Before, reflection answered that there is no such symbol."""
    files = product.client.file_containing(f"io.restorecommerce.{method}")
    package = f"io.restorecommerce.{method.partition('.')[0]}"
    assert package in {FileDescriptorProto.FromString(raw).package for raw in files}


def test_reflection_knows_files_by_their_names_of_2018(product: Product) -> None:
    files = product.client.file_named("io/restorecommerce/job.proto")
    packages = {FileDescriptorProto.FromString(raw).package for raw in files}
    assert {"io.restorecommerce.job", "io.restorecommerce.resourcebase"} <= packages
    assert product.client.file_named("io/restorecommerce/nothing.proto") == []
    assert product.client.file_containing("io.restorecommerce.job.Service.Nothing") == []


def test_payloads_are_never_logged(deploy: Deploy) -> None:
    product = deploy()
    secret = "do-not-log-me-4711"
    kind = fresh("type")
    data = contract.Data(payload=[contract.payload(secret)])
    product.client.create(contract.job(type=kind, data=data, now=True))
    product.done(product.run(kind))
    bad = contract.job(data=data, interval="sometimes")
    product.send("createJobs", contract.JobList(items=[bad]))
    product.dead_letter(lambda record: secret.encode() in record.value)
    product.settle()
    assert secret not in product.service.log.read_text()


# --- replicas ---


def test_another_replica_takes_over_when_one_is_killed(deploy: Deploy) -> None:
    """Its connection to Redis has ended: its lease, which lasts longer, is not waited for."""
    product = deploy(2, lease="5m")
    for victim in (0, 1):
        survivor = product.replicas[1 - victim]
        kind = fresh("type")
        with Client(survivor.address) as client:
            (job,) = client.create(contract.job(type=kind, when="in 1 second")).items
            product.replicas[victim].kill()
            run = product.run(kind)
            run.assert_not_early(instant(job.when))
        # It learns a moment after the first run that the new owner works.
        survivor.wait_until_serving()
        product.done(run)
        product.replicas[victim].start()


def test_a_paused_owner_sends_nothing_when_it_wakes(deploy: Deploy) -> None:
    """It was replaced meanwhile: what it had begun must not come twice."""
    product = deploy(2, lease="1s")
    kind = fresh("type")
    product.client.create(contract.job(id="a", type=kind, interval="100 ms"))
    first = product.run(kind)
    for paused in product.replicas:
        paused.pause()
        count = len(product.runs_so_far(kind))
        product.run(kind, count + 20)
        paused.resume()
        paused.wait_until_serving()
        product.run(kind, len(product.runs_so_far(kind)) + 5)
    with Client(product.replicas[1].address) as client:
        client.delete("a")
    runs = product.runs_so_far(kind)
    assert [run.nominal for run in runs] == [first.nominal + 100 * n for n in range(len(runs))]
    assert len({run.occurrence for run in runs}) == len(runs)


def test_both_replicas_serve_and_see_the_same(deploy: Deploy) -> None:
    product = deploy(2)
    kind = fresh("type")
    clients = [Client(replica.address) for replica in product.replicas]
    for number, client in enumerate(clients):
        product.replicas[number].wait_until_serving()
        client.create(contract.job(id=f"j{number}", when=tomorrow()))
        client.create(contract.job(type=kind, now=True))
    for client in clients:
        assert sorted(job.id for job in client.read().items) == ["j0", "j1"]
    clients[1].delete("j0", "j1")
    for client in clients:
        assert client.read().total_count == 0
        client.channel.close()
    product.finish(kind, product.runs(kind, 2))


def test_an_earlier_job_of_another_replica_is_not_late(deploy: Deploy) -> None:
    """The owner sleeps until tomorrow; a job that another replica accepts wakes it."""
    product = deploy(2)
    for replica in product.replicas:
        with Client(replica.address) as client:
            client.create(contract.job(when=tomorrow()))
            # The machine may be busy with other tests: one of a few is punctual.
            eventually(partial(is_punctual, product, client), what="a run that is not late")


def is_punctual(product: Product, client: Client) -> bool:
    """Whether a job of this client runs when it is due, or soon after it."""
    kind = fresh("type")
    (job,) = client.create(contract.job(type=kind, when="in 1 second")).items
    due = instant(job.when)
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    return run.record.timestamp - due < 500


def test_parallel_holds_over_both_replicas(deploy: Deploy) -> None:
    """It starts only while fewer than n instances of its type are unanswered."""
    product = deploy(2)
    kind, other = fresh("type"), fresh("type")
    clients = [Client(replica.address) for replica in product.replicas]
    for number in range(8):
        clients[number % 2].create(contract.job(type=kind, now=True, parallel=2))
    clients[0].create(contract.job(type=other, now=True, parallel=2))
    product.done(product.run(other))
    runs = product.runs(kind, 2)
    answered = 0
    while answered < 8:
        product.settle()
        runs = product.runs_so_far(kind)
        assert len(runs) == min(answered + 2, 8)
        product.done(runs[answered])
        answered += 1
        product.runs(kind, min(answered + 2, 8))
    for client in clients:
        client.channel.close()


def test_a_job_without_a_limit_ignores_those_of_others(deploy: Deploy) -> None:
    product = deploy()
    kind = fresh("type")
    product.client.create(contract.job(type=kind, now=True, parallel=1))
    product.run(kind)
    product.client.create(contract.job(type=kind, now=True, parallel=1))
    product.client.create(contract.job(id="free", type=kind, now=True))
    run = product.run(kind, 2)
    assert run.job_id == "free"
    product.settle()
    assert len(product.runs_so_far(kind)) == 2


def test_rolling_restart_keeps_the_rhythm(deploy: Deploy) -> None:
    product = deploy(2)
    kind = fresh("type")
    product.client.create(contract.job(id="a", type=kind, interval="200 ms"))
    first = product.run(kind)
    for replica in product.replicas:
        replica.stop()
        replica.start()
    product.run(kind, len(product.runs_so_far(kind)) + 3)
    product.client.delete("a")
    runs = product.runs_so_far(kind)
    assert [run.nominal for run in runs] == [first.nominal + 200 * n for n in range(len(runs))]


# --- completion time-out ---


def test_no_answer_within_the_timeout_counts_as_failed(deploy: Deploy) -> None:
    product = deploy(completion_timeout="1s")
    kind, now_kind = fresh("type"), fresh("type")
    product.client.create(
        contract.job(id="a", type=kind, when="in 50 ms", attempts=2),
        contract.job(type=now_kind, now=True),
    )
    first, second = product.runs(kind, 2)[:2]
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.record.timestamp >= first.nominal + 1000
    product.deleted("a")
    assert now_ms() >= second.record.timestamp + 1000
    product.settle()
    assert len(product.runs_so_far(kind)) == 2
    assert len(product.runs_so_far(now_kind)) == 1
    assert product.living("a") == []


def test_an_answer_after_the_timeout_changes_nothing(deploy: Deploy) -> None:
    product = deploy(completion_timeout="1s")
    kind = fresh("type")
    product.client.create(
        contract.job(
            id="a",
            type=kind,
            when="in 50 ms",
            attempts=2,
            backoff=contract.Backoff(delay=600_000),
        )
    )
    run = product.run(kind)
    expired = "\nscheduling_runs_expired_total 1.0\n"
    eventually(lambda: expired in get(product, "/metrics")[1], what="a run that has expired")
    product.done(run)
    product.settle()
    assert product.living("a") == ["a"]
    product.client.delete("a")


def test_exponential_backoff_is_capped(deploy: Deploy) -> None:
    """Uncapped, the second retry would take longer than this test waits."""
    product = deploy(max_backoff="300ms")
    kind = fresh("type")
    backoff = contract.Backoff(delay=120_000, type=contract.Backoff.EXPONENTIAL)
    product.client.create(contract.job(type=kind, now=True, attempts=5, backoff=backoff))
    for number in range(1, 5):
        product.failed(product.run(kind, number))
    written = [run.record.timestamp for run in product.runs(kind, 5)]
    assert all(later - earlier >= 300 for earlier, later in pairwise(written))
