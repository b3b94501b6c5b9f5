"""One shard a test, in a namespace of its own."""

from collections.abc import AsyncIterator

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from tests.harness.given import Store
from tests.harness.leaks import leaked_keys
from tests.harness.names import Names
from tests.store.shard import Shard


@pytest.fixture
async def client(valkey: Store) -> AsyncIterator[RedisClient]:
    client = RedisClient(valkey.url)
    yield client
    await client.close()


@pytest.fixture
async def fresh(client: RedisClient, names: Names, valkey: Store) -> AsyncIterator[Shard]:
    """A shard that nobody has owned or initialised yet."""
    yield Shard.of(client, names.namespace)
    with valkey.client() as plain:
        assert leaked_keys(plain, names) == []


@pytest.fixture
async def shard(fresh: Shard) -> Shard:
    """Ready, and owned by the test."""
    return await fresh.open()
