"""The formulas of decision 30 give in Lua what they give in Python: a server computes the vectors.

Lua has doubles alone, and no hash but SHA-1.
"""

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from tests.unit.test_spread import VECTORS

HASH = """
    local function fraction(text)
        return tonumber(string.sub(redis.sha1hex(text), 1, 8), 16) / 4294967296
    end
"""
JITTER = """
    local id, nominal, jitter = ARGV[1], ARGV[2], tonumber(ARGV[3])
    return string.format('%.0f', math.floor(fraction(id .. '/' .. nominal) * (jitter + 1)))
"""
RETRY = """
    local id, nominal, kind, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
    local failures, cap, longest, share = unpack({ARGV[5], ARGV[6], ARGV[7], ARGV[8]})
    if kind == 'EXPONENTIAL' then
        delay = math.min(delay * 2 ^ math.min(failures - 1, 1000), tonumber(cap))
    end
    if tonumber(longest) > 0 then
        delay = math.min(delay, tonumber(longest))
    end
    local hashed = fraction(id .. '/' .. nominal .. '/' .. string.format('%.0f', failures + 1))
    return string.format('%.0f', math.ceil(delay * (1 - share * hashed)))
"""
FIELDS = {
    "jitter": ("id", "nominal", "jitter"),
    "retry": (
        *("id", "nominal", "backoff", "delay"),
        *("failures", "cap", "max_delay", "random_share"),
    ),
}


@pytest.mark.parametrize(
    ("kind", "lua", "result"), [("jitter", JITTER, "delay"), ("retry", RETRY, "wait")]
)
async def test_golden_vectors(client: RedisClient, kind: str, lua: str, result: str) -> None:
    for row in VECTORS[kind]:
        arguments = [str(row[field]) for field in FIELDS[kind]]
        found = await client.execute("EVAL", HASH + lua, "0", *arguments)
        assert int(found) == row[result], row
