"""Asking Redis before the first serving: whatever is missing is named, and nothing is left."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.preflight import COMMANDS, LOSSES, USEFUL, preflight
from scheduling_srv.domain.errors import StoreFull, StoreRefused, StoreUnavailable
from tests.harness.given import Store
from tests.harness.names import Names
from tests.harness.valkey import ValkeyServer
from tools import redis_rights


@pytest.fixture
async def client(breakable_valkey: ValkeyServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(breakable_valkey.url)
    yield client
    await client.close()


async def test_a_server_that_has_everything_is_left_as_it_was(
    client: RedisClient, names: Names
) -> None:
    shown = f"{names.namespace}:jobs"
    await client.execute("SET", shown, "17")
    with capture_logs() as logs:
        await preflight(client, names.namespace, shown)
    assert logs == []
    assert await client.execute("GET", shown) == b"17"
    await client.execute("DEL", shown)
    await preflight(client, names.namespace, shown)
    assert await client.execute("KEYS", f"{names.namespace}*") == []


def test_everything_that_scripts_do_is_asked_for() -> None:
    """Add a new command to `COMMANDS`, with something that it may be done to."""
    used = redis_rights.used()
    optional = {command for command, *_ in USEFUL}
    assert used >= {"HSET", "ZADD", "PUBLISH", "RPUSH", "INFO", "PUBSUB", "HLEN", "EVAL"}
    asked_for = {command for command, *_ in COMMANDS}
    assert used - optional - {"EVAL", "EVALSHA"} == asked_for, "no right too much, none too few"
    assert set(LOSSES) == optional


async def limited(
    client: RedisClient, valkey: ValkeyServer, names: Names, *rules: str
) -> RedisClient:
    """A client of a user of these rules."""
    user = f"user-{names.namespace}"
    await client.execute("ACL", "SETUSER", user, "reset", "on", ">secret", *rules)
    return RedisClient(f"redis://{user}:secret@127.0.0.1:{valkey.port}/0")


@pytest.mark.parametrize("command", sorted({command for command, *_ in COMMANDS}))
async def test_a_command_that_is_forbidden_is_named(
    client: RedisClient, breakable_valkey: ValkeyServer, names: Names, command: str
) -> None:
    rules = ("~*", "&*", "+@all", f"-{command.lower()}")
    user = await limited(client, breakable_valkey, names, *rules)
    with pytest.raises(StoreRefused, match=f"Redis refuses {command},"):
        await preflight(user, names.namespace, f"{names.namespace}:shown")
    await user.close()
    if command not in {"DEL", "UNLINK"}:
        assert await client.execute("KEYS", f"{names.namespace}*") == []


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (("~*", "&*", "+@all", "-eval"), "eval"),
        (("~*", "&*", "+@all", "-subscribe"), "subscribe"),
        (("~*", "+@all"), "PUBLISH"),
        (("~other:*", "&*", "+@all"), "permission"),
        (("~{}:*", "&*", "+@all"), "permission"),
    ],
)
async def test_keys_and_channels_that_are_forbidden_are_told(
    client: RedisClient,
    breakable_valkey: ValkeyServer,
    names: Names,
    rules: tuple[str, ...],
    says: str,
) -> None:
    rules = tuple(rule.format(names.namespace) for rule in rules)
    user = await limited(client, breakable_valkey, names, *rules)
    with pytest.raises(StoreRefused, match=says):
        await preflight(user, names.namespace, f"shown:{names.namespace}")
    await user.close()


async def test_just_the_rights_of_the_documents_are_enough(
    client: RedisClient, breakable_valkey: ValkeyServer, names: Names
) -> None:
    """And what may be missing is told once, with what it costs."""
    space = names.namespace
    needed = [f"+{command.lower()}" for command in {command for command, *_ in COMMANDS}]
    rules = (f"~{space}:*", f"~shown:{space}", f"&{space}:*", "+eval", "+evalsha", "+subscribe")
    user = await limited(client, breakable_valkey, names, *rules, *needed)
    with capture_logs() as logs:
        await preflight(user, space, f"shown:{space}")
    await user.close()
    assert [line["command"] for line in logs] == ["INFO", "PUBSUB"]


async def test_a_full_server_keeps_nobody_from_starting(client: RedisClient, names: Names) -> None:
    await client.execute("CONFIG", "SET", "maxmemory", 1000)
    try:
        with pytest.raises(StoreFull):
            await client.execute("SET", "key", "1")
        await preflight(client, names.namespace, f"{names.namespace}:shown")
    finally:
        await client.execute("CONFIG", "SET", "maxmemory", 0)


async def test_a_server_that_is_away_is_waited_for(names: Names) -> None:
    client = RedisClient("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        await preflight(client, names.namespace, "shown")
    assert not isinstance(caught.value, StoreRefused)


async def test_the_check_leaves_a_shared_server_alone(valkey: Store, names: Names) -> None:
    client = RedisClient(valkey.url)
    await preflight(client, names.namespace, f"{names.namespace}:shown")
    await client.close()
