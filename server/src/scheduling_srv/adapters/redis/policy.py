"""How Redis is set up, as far as it tells (docs/operations.md)."""

from __future__ import annotations

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.health.guarantees import RedisFacts
from scheduling_srv.domain.errors import StoreRefused

SECTIONS = ("memory", "persistence", "replication")


class RedisPolicy:
    """Reads the policy from INFO, as many managed servers forbid CONFIG."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client

    async def look(self) -> RedisFacts:
        """Raises `StoreUnavailable`."""
        fields: dict[str, str] = {}
        try:
            for section in SECTIONS:
                fields |= parse_info(await self.client.execute("INFO", section))
        except StoreRefused as fault:
            sentence = f"How Redis is set up is not known: {fault}"
            return RedisFacts(unknown=(sentence,))
        loading = _flag(fields.get("loading"))  # aof_enabled is 0 until all is loaded
        return RedisFacts(
            maxmemory=number_of(fields.get("maxmemory")),
            maxmemory_policy=fields.get("maxmemory_policy"),
            appendonly=None if loading else _flag(fields.get("aof_enabled")),
            replicas=number_of(fields.get("connected_slaves")),
        )


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of an answer to INFO."""
    lines = text.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line and not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def number_of(text: str | None) -> int | None:
    """Of a field; None: it is missing, or no number."""
    return int(text) if text is not None and text.isdigit() else None


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"
