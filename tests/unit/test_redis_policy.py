"""What INFO tells about how Redis is set up."""

from typing import Any

import pytest

from scheduling_srv.adapters.redis.policy import RedisPolicy
from scheduling_srv.app.health.guarantees import RedisFacts

INFO = {
    "memory": b"# Memory\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n",
    "replication": b"# Replication\r\nconnected_slaves:2\r\n",
}


class Redis:
    """It answers INFO."""

    def __init__(self, persistence: bytes) -> None:
        self.info = {**INFO, "persistence": b"# Persistence\r\n" + persistence}

    async def execute(self, command: str, section: str) -> bytes:
        assert command == "INFO"
        return self.info[section]


@pytest.mark.parametrize(
    ("persistence", "appendonly"),
    [
        (b"loading:0\r\naof_enabled:1\r\n", True),
        (b"loading:0\r\naof_enabled:0\r\n", False),
        (b"loading:1\r\naof_enabled:0\r\n", None),
        (b"", None),
    ],
)
async def test_appendonly_is_not_known_while_redis_loads(
    persistence: bytes, appendonly: bool | None
) -> None:
    """Found on a busy machine: each restart of Redis was reported as a lost guarantee."""
    redis: Any = Redis(persistence)
    facts = await RedisPolicy(redis).look()
    assert facts == RedisFacts(100, "noeviction", appendonly=appendonly, replicas=2)
