"""Redis has no room: neither in its memory nor on its disk. It is said, and it passes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.worker import Worker
from tests.e2e.conftest import Deploy
from tests.e2e.load import MIB, CrampedValkey, Flood, memory_grows_by_less_than, read_all
from tests.e2e.product import Product, fresh, now_ms, tomorrow, until
from tests.harness.fixtures import PROCESSES
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import in_time, with_enough_time

GROWTH = 150 * MIB


def later(number: int) -> Any:
    """A job of ten kilobytes that does not run."""
    data = contract.Data(creator="flood", payload=[contract.payload(b"x" * 10_000)])
    return contract.job(id=f"later-{number}", type="later", when=tomorrow(), data=data)


def assert_kept(product: Product, flood: Flood) -> None:
    """All that was acknowledged is there and was announced, once; nothing else was announced."""
    product.settle()
    announced = Counter(job_id for event, job_id in events(product) if event == "jobsCreated")
    assert max(announced.values()) == 1
    assert set(announced) >= {*flood.accepted}
    assert {job.id for job in read_all(product.service.address).items} >= {*flood.accepted}


def events(product: Product) -> list[tuple[str, str]]:
    product.reader.drain()
    return [
        (record.key, record.parse(contract.Deleted).id)  # the id is field 1 of a Job as well
        for record in product.resources()
    ]


def not_ready_because(product: Product) -> str:
    """The reason that /readyz gives; empty when it is ready."""
    status, text = product.service.get("/readyz")
    return "" if status == 200 else text


def goes_on(product: Product) -> None:
    """Whatever was full: a job is taken in, runs, and is done."""
    product.service.wait_until_serving()

    def created() -> bool:
        try:
            product.client.create(contract.job(id=job_id, type=kind, when="in 10 ms"))
        except Refusal as refused:
            # The answer before may have been that its outcome is not known.
            return refused.code is grpc.StatusCode.ALREADY_EXISTS
        return True

    kind, job_id = fresh("type"), fresh()
    eventually(created, what="jobs are taken in")
    product.done(product.run(kind))
    product.deleted(job_id)


# --- maxmemory ---


class Memory:
    """`maxmemory` of a Valkey, from here on."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server

    def leave(self, size: int | None) -> None:
        """Room for so many bytes more, or fewer; None: as much as there is."""
        with self.server.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", 0 if size is None else used + size)


@pytest.fixture
def memory(breakable_valkey: ValkeyServer) -> Iterator[Memory]:
    memory = Memory(breakable_valkey)
    yield memory
    memory.leave(None)


def test_a_redis_that_clients_have_filled_empties_by_itself(
    deploy: Deploy, breakable_valkey: ValkeyServer, memory: Memory
) -> None:
    """Jobs are refused, those that were taken in run, and then there is room again."""
    product = deploy(valkey=breakable_valkey)

    def soon(number: int) -> Any:
        job = later(number)
        job.type, job.when = "soon", "in 3 seconds"  # a flood may last longer than that
        return job

    memory.leave(20 * MIB)
    with memory_grows_by_less_than(GROWTH, product):
        with Flood(product, soon, size=10) as flood:
            eventually(lambda: flood.refused("nearly full", 5), what="it is refused")
        with Worker(product.bootstrap, product.names.jobs) as worker:
            goes_on(product)
            eventually(lambda: len(worker.answers) > len(flood.accepted), what="runs")
    assert len(flood.accepted) > 500
    runs = Counter(run.job_id for run in product.runs_so_far("soon"))
    assert runs == Counter(flood.accepted)
    product.settle()
    assert product.ids() == []


def test_a_redis_without_any_room_says_so_and_goes_on(
    deploy: Deploy, breakable_valkey: ValkeyServer, memory: Memory
) -> None:
    """Nothing is emitted then; but answers count, deletes are done, another owner takes over."""
    product = deploy(2, valkey=breakable_valkey, lease="1s")
    held, gone = fresh("held"), fresh("gone")
    product.client.create(contract.job(id=gone, type=gone, when=tomorrow()))
    product.client.create(contract.job(id=held, type=held, when="in 10 ms"))
    run = product.run(held)

    def fill(window: int) -> tuple[str, int]:
        """Redis is full before a job is due: its type, and when that is."""
        kind = fresh("type")
        due = product.create_in(window, contract.job(id=kind, type=kind))
        memory.leave(-MIB)
        eventually(lambda: flood.refused("Redis is full"), what="refusals")
        product.service.wait_until_not_serving()
        filled = now_ms()
        if filled >= due:
            memory.leave(None)
            goes_on(product)
            product.done(product.run(kind))
        in_time(filled < due, "Redis was full before the job was due")
        return kind, due

    with memory_grows_by_less_than(GROWTH, product):
        with Flood(product, later, size=10) as flood:
            eventually(lambda: len(flood.accepted) > 200, what="some jobs")
            kind, due = with_enough_time(fill, 2_000)
        eventually(lambda: "emitting" in not_ready_because(product), what="its reason")
        product.done(run)
        product.deleted(held)
        product.client.delete(gone)
        product.deleted(gone)
        until(due)
        assert product.runs_so_far(kind) == []
        memory.leave(None)
        goes_on(product)
    late = product.run(kind)
    late.assert_not_early(due)
    product.done(late)
    assert_kept(product, flood)
    assert len(product.runs_so_far(kind)) == 1


def test_an_owner_that_dies_while_redis_has_no_room_is_replaced(
    deploy: Deploy, breakable_valkey: ValkeyServer, memory: Memory
) -> None:
    """What lies in the outbox goes out all the same: it makes room."""
    product = deploy(2, valkey=breakable_valkey, lease="1s")
    product.client.create(contract.job(id="a", when=tomorrow()))
    owner = eventually(lambda: owner_of(breakable_valkey, product), what="an owner")
    (other,) = (each for each in product.replicas if each is not owner)
    memory.leave(-MIB)
    owner.kill()
    with Client(other.address, timeout=PATIENCE_SECONDS) as client:
        client.delete("a")
    product.deleted("a")
    eventually(lambda: owner_of(breakable_valkey, product) is other, what="another owner")
    memory.leave(None)
    owner.start()
    goes_on(product)


def owner_of(valkey: ValkeyServer, product: Product) -> Service | None:
    """The replica whose process id is in the lease's token; None: the lease has just ended."""
    with valkey.client() as client:
        token = str(client.get(f"{product.names.namespace}:{{0}}:lease"))
    alive = (each for each in product.replicas if each.process.alive)
    return next((each for each in alive if f"-{each.process.pid}-" in token), None)


# --- the disk ---


@pytest.fixture(scope="module", params=["always", "everysec"])
def cramped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CrampedValkey]:
    directory = tmp_path_factory.mktemp(f"valkey-{request.param}")
    server = CrampedValkey(directory, "--appendfsync", request.param)
    server.start()
    yield server
    server.stop()


def test_a_full_disk_under_redis(
    deploy: Deploy, cramped: CrampedValkey, request: pytest.FixtureRequest
) -> None:
    """With appendfsync always the server ends and is started again, otherwise it refuses."""
    request.node.stash.setdefault(PROCESSES, []).append(cramped.process)
    always = request.node.callspec.params["cramped"] == "always"
    product = deploy(valkey=cramped)
    kind = fresh("type")
    product.client.create(contract.job(id="beat", type=kind, interval="500 ms"))
    with (
        memory_grows_by_less_than(GROWTH, product),
        Worker(product.bootstrap, product.names.jobs),
        Flood(product, later) as flood,
    ):
        for _ in range(2):
            before, refusals = len(flood.accepted), len(flood.refusals)
            cramped.fill_disk(MIB)
            eventually(
                lambda: len(flood.refusals) > refusals,  # noqa: B023
                what="refusals",
            )
            eventually(lambda: "Redis" in not_ready_because(product), what="its reason")
            if always:
                assert cramped.process.wait() == 1
                cramped.start()  # by whoever looks after it
            cramped.free_disk()
            product.service.wait_until_serving()
            eventually(
                lambda: len(flood.accepted) > before + 50,  # noqa: B023
                what="jobs are taken in again",
            )
    assert {each.code for each in flood.refusals} == {grpc.StatusCode.UNAVAILABLE}
    told = " ".join(each.message for each in flood.refusals)
    assert ("Redis does not answer" if always else "AOF") in told
    goes_on(product)
    assert_kept(product, flood)
    product.client.delete("beat")
    runs = product.runs_so_far(kind)
    assert max(Counter(run.occurrence for run in runs).values()) == 1
    nominals = [run.nominal for run in runs]
    assert nominals == list(range(nominals[0], nominals[-1] + 1, 500))
