"""Properties and pauses of scheduling.v1 on a running service, and after Redis has lost all.

The calls of scheduling.v1 come later: until then jobs and pauses get in through the store.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.jobs import RedisJobStore
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.app.ports import Bulk, WriteGroup, WriteMode, Written
from scheduling_srv.app.shard_rules import DEFAULTS
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms
from tests.e2e.recurring import assert_goes_on, recurring
from tests.harness.valkey import ValkeyServer
from tests.store.shard import every

PERIOD = 400
T = TypeVar("T")


@pytest.fixture
def product(deploy: Deploy, own: ValkeyServer) -> Product:
    return deploy(valkey=own)


def in_store(
    product: Product, own: ValkeyServer, act: Callable[[RedisClient, str], Awaitable[T]]
) -> T:
    async def call() -> T:
        client = RedisClient(own.url)
        try:
            return await act(client, product.names.namespace)
        finally:
            await client.close()

    return asyncio.run(call())


def create(product: Product, own: ValkeyServer, *jobs: NewJob) -> None:
    async def act(client: RedisClient, namespace: str) -> Written:
        store = RedisJobStore(
            client,
            namespace,
            0,
            client_id="test",
            max_backoff=DEFAULTS.max_backoff,
            outbox_limit=DEFAULTS.outbox_limit,
        )
        group = WriteGroup(WriteMode.CREATE, jobs, named=[job.id for job in jobs])
        return await store.write([group], now_ms())

    assert in_store(product, own, act).refusals == [None]


def set_paused(product: Product, own: ValkeyServer, paused: bool, name: str, **where: Any) -> None:
    async def act(client: RedisClient, namespace: str) -> Bulk:
        store = RedisPauses(client, namespace, 0)
        if paused:
            return await store.pause([name], '{"since": 1}', **where)
        return await store.resume([name], now_ms(), **where)

    assert in_store(product, own, act).changed == 1


def lose_everything(product: Product, own: ValkeyServer) -> None:
    product.service.stop()
    own.flush()
    product.service.start()


def header(run: Any, name: str) -> bytes | None:
    return dict(run.record.headers).get(name)


def test_a_counted_job_runs_as_often_as_it_says(product: Product, own: ValkeyServer) -> None:
    """Redis loses everything in between."""
    kind = fresh("type")
    rules = Properties(max_runs=12, labels={"a": "b"})
    create(product, own, every(kind, PERIOD, now_ms() + PERIOD, type=kind, properties=rules))
    product.runs(kind, 3)
    lose_everything(product, own)
    runs = product.runs(kind, 12)
    product.finish(kind)
    assert len(product.runs_so_far(kind)) == 12
    first = runs[0].nominal
    assert [run.nominal for run in runs] == [first + PERIOD * n for n in range(12)]


@pytest.mark.parametrize("types", [False, True], ids=["job", "type"])
def test_a_pause_survives_the_loss_of_redis(
    product: Product, own: ValkeyServer, types: bool
) -> None:
    kind, other = recurring(product), recurring(product)
    set_paused(product, own, True, kind, types=types)
    product.settle()  # runs that were staged before the pause reach Kafka first
    paused_at = len(product.runs_so_far(kind))
    assert_goes_on(product, other)
    lose_everything(product, own)
    assert_goes_on(product, other, 6)
    assert len(product.runs_so_far(kind)) == paused_at
    set_paused(product, own, False, kind, types=types)
    product.runs(kind, paused_at + 3)
    for each in (kind, other):
        product.client.delete(each)
        product.finish(each)
