"""The number of shards is fixed at the first start of a namespace."""

from typing import Any

import pytest

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.namespace import check_shards, fix_shards
from scheduling_srv.domain.errors import StartError
from tests.harness.names import Names


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
