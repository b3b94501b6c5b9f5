"""Tries, before the first serving, every command that the service needs of Redis.

So a missing right ends the start with a sentence, instead of an error in the middle of work. The
check runs the commands. It does not read the user's rights, as that may be forbidden.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import structlog

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StoreRefused

log = structlog.get_logger(__name__)

KEY, SHOWN, WAKE = "@key", "@shown", "@wake"
"""Placeholders for the key of the check, the key of a shown offset, and the signals' channel."""

COMMANDS: Sequence[Sequence[str]] = (
    ("UNLINK", KEY),
    ("DEL", KEY),
    ("SET", KEY, "1"),
    ("GET", KEY),
    ("EXISTS", KEY),
    ("PEXPIRE", KEY, "60000"),
    ("PTTL", KEY),
    ("DEL", KEY),
    ("HSET", KEY, "field", "1"),
    ("HGET", KEY, "field"),
    ("HMGET", KEY, "field"),
    ("HGETALL", KEY),
    ("HEXISTS", KEY, "field"),
    ("HSETNX", KEY, "field", "1"),
    ("HSTRLEN", KEY, "field"),
    ("HINCRBY", KEY, "field", "1"),
    ("HLEN", KEY),
    ("HSCAN", KEY, "0"),
    ("HDEL", KEY, "field"),
    ("RPUSH", KEY, "1", "2"),
    ("LLEN", KEY),
    ("LRANGE", KEY, "0", "0"),
    ("LINDEX", KEY, "0"),
    ("LSET", KEY, "0", "1"),
    ("LREM", KEY, "1", "1"),
    ("LTRIM", KEY, "1", "0"),
    ("SADD", KEY, "1", "2"),
    ("SISMEMBER", KEY, "1"),
    ("SMEMBERS", KEY),
    ("SREM", KEY, "1"),
    ("SPOP", KEY, "1"),
    ("ZADD", KEY, "1", "1", "2", "2"),
    ("ZCARD", KEY),
    ("ZSCORE", KEY, "1"),
    ("ZINCRBY", KEY, "1", "1"),
    ("ZRANGE", KEY, "0", "0"),
    ("ZCOUNT", KEY, "0", "9"),
    ("ZPOPMIN", KEY, "1"),
    ("ZRANK", KEY, "1"),
    ("ZREM", KEY, "1"),
    ("ZREMRANGEBYRANK", KEY, "0", "0"),
    ("ZREMRANGEBYSCORE", KEY, "0", "9"),
    ("DEL", KEY),
    ("TIME",),
    ("PING",),
    ("SCAN", "0", "COUNT", "1"),
    ("PUBLISH", WAKE, "check"),
    ("MSET", SHOWN, "1"),
    ("DEL", SHOWN),
)
"""Every command that scripts use (a test compares), each with something that it may be done to."""
USEFUL: Sequence[Sequence[str]] = (("INFO", "replication"), ("PUBSUB", "NUMSUB", WAKE))
"""Commands that the service can do without."""
LOSSES = {
    "INFO": "a restart or a failover of Redis that loses writes is not noticed by its replication"
    " id, and nothing is refused before maxmemory is reached",
    "PUBSUB": "a replica that has died is replaced only when its lease has run out",
}

CHECK = """#!lua flags=allow-oom
local needed, useful = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local shown = redis.pcall('GET', KEYS[2])
for _, command in ipairs(needed) do
    local reply = redis.pcall(unpack(command))
    if type(reply) == 'table' and reply.err then
        redis.pcall('UNLINK', KEYS[1])
        return {command[1], reply.err}
    end
end
if type(shown) == 'string' then
    redis.call('SET', KEYS[2], shown)
end
local lacking = {'', ''}
for _, command in ipairs(useful) do
    local reply = redis.pcall(unpack(command))
    if type(reply) == 'table' and reply.err then
        lacking[#lacking + 1] = command[1]
    end
end
return lacking
"""
"""KEYS: one of its own, which it leaves empty, and a shown offset, which it leaves as it is.
Returns: a command that is refused or '', why, then commands that are refused and only useful."""

TWO_SLOTS = "#!lua flags=allow-oom\nreturn 1"
"""A script with keys of two slots, which a server in cluster mode refuses."""


async def preflight(client: RedisClient, namespace: str, shown: str) -> None:
    """Raises `StoreRefused` for a fault that an operator has to correct, and `StoreUnavailable`.

    `shown` is the key of an offset that is shown to operators.
    """
    for name in await refused_commands(client, namespace, shown):
        log.warning("Redis forbids a useful command", command=name, loss=LOSSES[name])


async def refused_commands(client: RedisClient, namespace: str, shown: str) -> list[str]:
    """The useful commands that Redis refuses. Raises as `preflight` does."""
    two = (keys.prefix(namespace, 0) + "check", keys.prefix(namespace, 1) + "check")
    await client.execute("EVAL", TWO_SLOTS, len(two), *two)
    names = {KEY: two[0], SHOWN: shown, WAKE: keys.channel(namespace, 0)}
    needed, useful = (_packed(commands, names) for commands in (COMMANDS, USEFUL))
    refused, why, *lacking = await client.execute("EVAL", CHECK, 2, two[0], shown, needed, useful)
    if refused:
        text = f"{why.decode().removeprefix('ERR ').rstrip('.')}"
        msg = (
            f"Redis refuses {refused.decode()}, which the service needs: {text}. Let its user do"
            f" it: keys {namespace}:* and those of shown offsets, channels {namespace}:*."
        )
        raise StoreRefused(msg)
    presence = keys.presence(namespace, 0, "check")
    alive = keys.alive(namespace, client.database, "check")
    async with client.subscription(names[WAKE], presence, alive):
        pass
    return [command.decode() for command in lacking]


def _packed(commands: Sequence[Sequence[str]], names: dict[str, str]) -> str:
    return json.dumps([[names.get(word, word) for word in command] for command in commands])
