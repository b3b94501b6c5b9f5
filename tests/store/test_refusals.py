"""What real servers answer, and what it means: each way in which one may refuse."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.lua_source import script
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.domain.errors import (
    SchedulingError,
    StoreFault,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from tests.harness.names import Names
from tests.harness.pair import ValkeyPair, follow
from tests.harness.valkey import ValkeyServer
from tests.store.test_scripts import NAMES

WAYS = ("plain", "call", "pcall", "list")
"""A command by itself, and within scripts: its error passed on in three ways."""
TEXTS = {
    "call": "return redis.call(unpack(ARGV))",
    "pcall": "return redis.pcall(unpack(ARGV))",
    "list": "local r = redis.pcall(unpack(ARGV)) if r.err then return redis.error_reply(r.err) end",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyPair]:
    with ValkeyPair(tmp_path_factory.mktemp("pair")) as pair:
        pair.follow()
        yield pair


@pytest.fixture
async def primary(servers: ValkeyPair) -> AsyncIterator[RedisClient]:
    client = RedisClient(servers.primary.url)
    yield client
    await client.close()


@pytest.fixture
async def replica(servers: ValkeyPair) -> AsyncIterator[RedisClient]:
    client = RedisClient(servers.replica.url)
    yield client
    await client.close()


async def refused(client: RedisClient, way: str, *command: str) -> SchedulingError:
    with pytest.raises(SchedulingError) as caught:
        if way == "plain":
            await client.execute(*command)
        else:
            await client.execute("EVAL", TEXTS[way], 0, *command)
    return caught.value


@pytest.mark.parametrize("way", WAYS)
async def test_a_replica_is_no_primary(replica: RedisClient, way: str) -> None:
    error = await refused(replica, way, "SET", "key", "1")
    assert type(error) is StoreUnavailable
    assert str(error).startswith("Redis is a read-only replica, not the primary")
    assert "script" not in str(error)


@pytest.mark.parametrize("way", WAYS)
async def test_a_full_server_is_full(primary: RedisClient, way: str) -> None:
    await primary.execute("CONFIG", "SET", "maxmemory", 1000)
    try:
        assert type(await refused(primary, way, "SET", "key", "1")) is StoreFull
    finally:
        await primary.execute("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_without_its_replicas_is_waited_for(primary: RedisClient, way: str) -> None:
    await primary.execute("CONFIG", "SET", "min-replicas-to-write", 5)
    try:
        error = await refused(primary, way, "SET", "key", "1")
    finally:
        await primary.execute("CONFIG", "SET", "min-replicas-to-write", 0)
    assert type(error) is StoreUnavailable
    assert "Redis refuses: NOREPLICAS" in str(error)


async def test_a_replica_that_has_lost_its_primary_is_none(
    servers: ValkeyPair, replica: RedisClient
) -> None:
    await replica.execute("CONFIG", "SET", "replica-serve-stale-data", "no")
    await replica.execute("REPLICAOF", "127.0.0.1", 1)
    try:
        for command in (("GET", "key"), ("SET", "key", "1"), ("PING",)):
            error = await refused(replica, "plain", *command)
            assert "read-only replica" in str(error)
    finally:
        await replica.execute("CONFIG", "SET", "replica-serve-stale-data", "yes")
        follow(servers.replica, servers.primary)


@pytest.fixture
async def limited(servers: ValkeyPair) -> AsyncIterator[RedisClient]:
    """A client whose user may not HSET, nor use keys of others."""
    with servers.client() as plain:
        plain.execute_command(
            "ACL", "SETUSER", "limited", "on", ">secret", "~mine:*", "+@all", "-hset"
        )
    client = RedisClient(f"redis://limited:secret@127.0.0.1:{servers.primary.port}/0")
    yield client
    await client.close()
    with servers.client() as plain:
        plain.execute_command("ACL", "DELUSER", "limited")


async def test_a_missing_right_is_told(limited: RedisClient) -> None:
    for command in (("HSET", "mine:1", "a", "b"), ("SET", "other", "1")):
        error = await refused(limited, "plain", *command)
        assert type(error) is StoreRefused
        assert "permission" in str(error)


async def test_a_right_that_a_script_lacks_is_no_fault_of_ours(limited: RedisClient) -> None:
    """It may be taken away while the service runs: then it waits, and puts no record aside."""
    error = await refused(limited, "call", "HSET", "mine:1", "a", "b")
    assert isinstance(error, StoreUnavailable)
    assert not isinstance(error, StoreFault)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("redis://limited:wrong@127.0.0.1:{}/0", "invalid username-password"),
        ("redis://127.0.0.1:{}/99", "DB index is out of range"),
    ],
)
async def test_who_may_not_come_in_is_told(
    servers: ValkeyPair, limited: RedisClient, address: str, says: str
) -> None:
    del limited  # its user exists
    client = RedisClient(address.format(servers.primary.port))
    error = await refused(client, "plain", "PING")
    assert type(error) is StoreRefused
    assert says in str(error)
    await client.close()


async def test_a_refused_password_names_the_setting_that_has_it(
    servers: ValkeyPair, limited: RedisClient
) -> None:
    """It blamed the URL, whatever the password came from."""
    del limited  # its user exists
    address = f"127.0.0.1:{servers.primary.port}"
    client = RedisClient(
        f"redis://limited@{address}/0",
        password="wrong",
        supplied_by="SCHEDULING_REDIS_PASSWORD_FILE",
    )
    told = str(await refused(client, "plain", "PING"))
    await client.close()
    assert told.endswith(f" {address} refuses the password: check SCHEDULING_REDIS_PASSWORD_FILE.")


async def test_a_password_that_is_missing_is_told(
    servers: ValkeyPair, primary: RedisClient
) -> None:
    await primary.execute("CONFIG", "SET", "requirepass", "secret")
    client = RedisClient(servers.primary.url)
    try:
        assert type(await refused(client, "plain", "GET", "key")) is StoreRefused
    finally:
        await primary.execute("CONFIG", "SET", "requirepass", "")
        await client.close()


async def test_a_fault_of_ours_is_told_with_its_traceback_once(primary: RedisClient) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(StoreFault):
                await primary.execute("EVAL", "return nil + 1", 0)
    assert [line["log_level"] for line in logs] == ["error"]
    assert logs[0]["exc_info"]
    await primary.execute("SET", "key", "1")
    for way in WAYS:
        assert type(await refused(primary, way, "HGET", "key", "field")) is StoreFault


async def test_a_server_in_cluster_mode_is_told(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "cluster", "--cluster-enabled", "yes")
    server.start()
    client = RedisClient(server.url)
    try:
        error = await refused(client, "plain", "MGET", "a", "b")
        assert type(error) is StoreRefused
        assert "cluster mode" in str(error)
    finally:
        await client.close()
        server.stop()


# --- A replica is believed in nothing ---


def taken(name: str) -> list[str]:
    return [arg.name for arg in script(name).args]


@pytest.mark.parametrize("name", NAMES)
async def test_no_script_does_or_tells_anything_on_a_replica(
    replica: RedisClient, names: Names, name: str
) -> None:
    """Also those that only read: what they would tell may be old."""
    with pytest.raises(StoreUnavailable, match="read-only replica"):
        await Scripts(replica, names.namespace, 0).run(name, **dict.fromkeys(taken(name), 0))


async def test_nothing_else_is_read_of_a_replica(replica: RedisClient) -> None:
    with pytest.raises(StoreUnavailable, match="read-only replica"):
        await replica.ping()
    with pytest.raises(StoreUnavailable, match="read-only replica"):
        await replica.on_primary("GET", "key")


async def test_connections_lead_to_the_new_primary(servers: ValkeyPair) -> None:
    """Those that are there are not closed by anybody: the refusal alone tells."""
    servers.follow()
    client = RedisClient(servers.url)
    try:
        async with client.subscription("channel") as heard:
            waiting = asyncio.create_task(heard.message())
            await client.ping()
            servers.fail_over()
            with pytest.raises(StoreUnavailable, match="read-only replica"):
                await client.ping()
            await client.ping()
            with pytest.raises(RedisError):
                await waiting
            with pytest.raises(RedisError, match="has left"):
                await heard.message()
        async with client.subscription("channel"):
            with servers.client() as plain:
                channels: Any = plain.pubsub_numsub("channel")
            assert channels == [("channel", 1)]
    finally:
        await client.close()


async def test_a_server_that_was_a_primary_before_is_another_one(
    servers: ValkeyPair, names: Names
) -> None:
    """Its process is the same, but what it holds came from the other one: writes may be lost."""
    servers.follow()
    lineages = []
    for _ in range(3):
        client = RedisClient(servers.url)
        state = await Scripts(client, names.namespace, 0).run("state")
        lineages.append(state[3].decode())
        await client.close()
        servers.fail_over(cut=True)
    assert len(set(lineages)) == 3
    assert not any(lineage.endswith(":") for lineage in lineages)


async def test_a_server_that_was_started_again_is_another_one(
    servers: ValkeyPair, names: Names
) -> None:
    servers.follow()
    lineages = set()
    for how in (servers.primary.restart, servers.primary.stop, lambda: None):
        client = RedisClient(servers.primary.url)
        lineages.add((await Scripts(client, names.namespace, 0).run("state"))[3])
        await client.close()
        how()
        servers.primary.restore()
    assert len(lineages) == 3
