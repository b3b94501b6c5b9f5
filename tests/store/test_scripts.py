"""The Lua scripts: they load, and every name in them is one that they define or the server has."""

import re

import pytest

from scheduling_srv.adapters.redis import keys, lua_source, scripts
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.lua_source import assemble, libraries, script
from tests.store.lua51 import globals_of
from tests.store.shard import Shard

LUA = lua_source.FOLDER
NAMES = sorted(
    each.name.removesuffix(".lua") for each in LUA.iterdir() if each.name.endswith(".lua")
)
GIVEN = set(
    "redis cjson struct string math table KEYS ARGV"
    " error ipairs pairs unpack select tonumber tostring type".split()
)
"""Globals that Redis 7.0 and Valkey 7.2 both have."""


async def compiled(client: RedisClient, text: str) -> bytes:
    chunk = await client.execute("EVAL", "return string.dump(assert(loadstring(ARGV[1])))", 0, text)
    assert isinstance(chunk, bytes)
    return chunk


def test_there_are_scripts() -> None:
    assert {"stage", "write", "take"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_a_script_loads_under_the_name_that_we_give_it(
    client: RedisClient, name: str
) -> None:
    """The digest that we ask for is the one by which the server knows it."""
    for shards in (1, 3):
        loaded = await client.execute("SCRIPT", "LOAD", scripts.source(name, shards))
        assert loaded.decode() == scripts.digest(name, shards)


@pytest.mark.parametrize("name", NAMES)
async def test_a_script_uses_no_name_that_nobody_defines(client: RedisClient, name: str) -> None:
    """A library that was not included, or comes too late, would fail only when it is called."""
    read, written = globals_of(await compiled(client, assemble(name, 3)))
    assert read - GIVEN == set()
    assert written == set()


def test_scripts_that_run_when_redis_is_full_exist() -> None:
    assert set(NAMES) > scripts.WHEN_FULL


async def test_undefined_names_would_be_found(client: RedisClient) -> None:
    """Also in a function that is never called, and where the definition comes too late."""
    text = """
        local function early() return late() end
        local function late() return 1.5, nil, true, "x" end
        function made() end
        return early
    """
    assert globals_of(await compiled(client, text)) == ({"late"}, {"made"})


@pytest.mark.parametrize("name", NAMES)
def test_a_script_takes_its_arguments_by_name(name: str) -> None:
    file = script(name)
    assert "ARGV" not in file.code
    assert not re.search(r"\bargs\[\d", assemble(name))


def test_every_library_is_used() -> None:
    used = {each.name for name in NAMES for each in libraries(script(name))}
    present = {each.name.removesuffix(".lua") for each in (LUA / "lib").iterdir()}
    assert present - used == set()


async def test_scripts_survive_a_server_that_forgot_them(shard: Shard) -> None:
    """A restarted or failed-over server is sent the text again."""
    await shard.ids()
    await shard.client.execute("SCRIPT", "FLUSH")
    assert await shard.ids() == []


def test_all_keys_of_a_shard_share_a_hash_tag() -> None:
    """So that one script may touch them in a cluster."""
    names = keys.fixed("name space", 3)
    assert len(set(names)) == len(names) == len(keys.FIXED)
    assert all(
        name.startswith("name space:{3}:") for name in [*names, keys.channel("name space", 3)]
    )
