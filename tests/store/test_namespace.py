"""The number of shards and the deployment id are fixed at the first start of a namespace."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
import redis

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.namespace import RedisHome, check_shards, fix_shards
from scheduling_srv.adapters.redis.signals import RedisSignals
from scheduling_srv.app.deployments.deployment import Identity
from scheduling_srv.domain.errors import StartError
from tests.harness.given import Store
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS


async def test_the_first_start_fixes_it(client: RedisClient, names: Names) -> None:
    await fix_shards(client, names.namespace, 2)
    await fix_shards(client, names.namespace, 2)
    for refuse in (check_shards, fix_shards):
        with pytest.raises(StartError, match="has 2 shards since its first start; SCHEDULING_SH"):
            await refuse(client, names.namespace, 1)


async def test_one_shard_is_one_and_the_sentence_says_what_to_do(
    client: RedisClient, names: Names
) -> None:
    await fix_shards(client, names.namespace, 1)
    with pytest.raises(StartError) as caught:
        await check_shards(client, names.namespace, 2)
    assert str(caught.value) == (
        f"The namespace {names.namespace} has 1 shard since its first start;"
        " SCHEDULING_SHARDS is 2. Set it to 1, or begin another SCHEDULING_NAMESPACE."
    )


async def test_a_look_fixes_nothing(client: RedisClient, names: Names) -> None:
    await check_shards(client, names.namespace, 2)
    await fix_shards(client, names.namespace, 3)
    await check_shards(client, names.namespace, 3)


class Forgetful:
    """A Redis that loses everything after each command."""

    def __init__(self, client: RedisClient, namespace: str) -> None:
        self.client, self.namespace = client, namespace

    async def execute(self, *command: Value) -> Any:
        answer = await self.client.execute(*command)
        await self.client.execute("DEL", f"{self.namespace}:shards")
        return answer


async def test_a_redis_that_loses_everything_meanwhile_ends_nobody(
    client: RedisClient, names: Names
) -> None:
    """Found by a campaign: a replica ended because of a FLUSHALL while it started."""
    forgetful: Any = Forgetful(client, names.namespace)
    await fix_shards(forgetful, names.namespace, 1)
    await fix_shards(forgetful, names.namespace, 1)


async def test_the_first_replica_names_the_deployment(client: RedisClient, names: Names) -> None:
    home = RedisHome(client, names.namespace)
    one, two = Identity("1" * 12, "a" * 12), Identity("2" * 12, "b" * 12)
    assert await home.read() is None
    assert await home.note(one) == one
    assert await home.note(two) == one
    assert await home.read() == one
    await home.replace(two)
    assert await home.note(one) == two


async def test_a_replica_in_another_database_of_the_server_is_not_here(
    client: RedisClient, names: Names, valkey: Store
) -> None:
    """Channels ignore the database."""
    beside = RedisClient(valkey.url.rpartition("/")[0] + "/1")
    signals = RedisSignals(beside, names.namespace, 0, name="me")
    async with aclosing(signals.listen()) as heard:
        assert (await anext(heard)).kind == "connected"
        assert await RedisHome(beside, names.namespace).is_here("me")
        assert not await RedisHome(client, names.namespace).is_here("me")
    await beside.close()


async def test_a_replica_is_here_as_long_as_it_is_connected(
    client: RedisClient, names: Names, valkey: Store
) -> None:
    """Whatever happens to the content, and without a key of its own."""
    home = RedisHome(client, names.namespace)
    signals = RedisSignals(client, names.namespace, 0, name="me")
    assert not await home.is_here("me")
    heard = signals.listen()
    assert (await anext(heard)).kind == "connected"
    assert await home.is_here("me")
    assert not await home.is_here("you")
    # An operator who watches all channels is not every replica.
    with (
        redis.Redis.from_url(valkey.url, socket_timeout=PATIENCE_SECONDS) as operator,
        operator.pubsub() as watching,
    ):
        watching.psubscribe("*")
        assert watching.get_message(timeout=PATIENCE_SECONDS)
        assert not await home.is_here("you")
        assert await home.is_here("me")
    # It hears what was asked, and it means nothing.
    assert (await anext(heard)).kind not in {"work", "connected", "released", "restore", "sweep"}
    await heard.aclose()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await home.is_here("me"):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
