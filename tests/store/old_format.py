"""A store as the version before scheduling.v1 has left it, in `old_format.json.gz`.

`python -m tests.store.old_format` makes the file anew. It needs the history of this repository: the
code of that version fills a Valkey.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from tests.harness.older import BEFORE_V1
from tests.harness.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_suffix(".json.gz")
NAMESPACE = "old"
MANY = 300
"""Jobs that wait, of more than two lists of creation numbers."""
WRITTEN = {"string": "SET", "hash": "HSET", "zset": "ZADD", "list": "RPUSH", "set": "SADD"}
FILL = """
import asyncio, sys
from scheduling_srv.adapters.redis.client import RedisClient
from tests.store.shard import DAY, HOUR, MINUTE, NOW, Shard, at_once, cron, every, once

async def fill(url, namespace, many):
    client = RedisClient(url)
    shard = await Shard.of(client, namespace).open()
    await shard.create(
        once("once", NOW + DAY, type="mail", creator="ann"),
        every("every", MINUTE, NOW + HOUR, type="mail"),
        cron("cron", "0 */5 * * * *", NOW + HOUR + 100_000),
        every("running", HOUR, NOW, creator="ann"),
        once("retrying", NOW, attempts=3, delay=HOUR * 2),
        once("first", NOW, type="held", parallel=1),
        once("held", NOW + 1, type="held", parallel=1),
        every("held-too", HOUR, NOW + 2, type="held", parallel=1),
        at_once("now"),
    )
    await shard.create(
        *(
            once(f"many-{n:03}", NOW + DAY + n, type=f"type-{n % 3}", creator=f"who-{n % 2}")
            for n in range(many)
        )
    )
    runs = {run.id: run for run in await shard.drain(NOW + 2)}
    await shard.fail(runs["retrying"], now=NOW + 2)
    await shard.update(once("once", NOW + DAY, type="letter", creator="ann"), now=NOW + 2)
    await shard.delete("many-007")
    await shard.publish(NOW + 2)
    await shard.create(once("unpublished", NOW + DAY))
    await client.close()

asyncio.run(fill(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def load(client: redis.Redis, namespace: str) -> None:
    """Write what the file has under another namespace. It has no lease."""
    for key, kind, values in json.loads(gzip.decompress(FILE.read_bytes())):
        raw = [base64.b64decode(value) for value in values]
        client.execute_command(WRITTEN[kind], f"{namespace}:{key}", *raw)


def dump(client: Any) -> Iterator[tuple[str, str, list[str]]]:
    """Key without its namespace, type, and values as they are written, of each key that lasts."""
    for key in sorted(client.scan_iter(f"{NAMESPACE}:*")):
        if client.ttl(key) == -1:
            kind = client.type(key).decode()
            values = [base64.b64encode(value).decode() for value in _values(client, key, kind)]
            yield key.decode().removeprefix(f"{NAMESPACE}:"), kind, values


def _values(client: Any, key: bytes, kind: str) -> list[bytes]:
    if kind == "hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == "zset":
        found = client.zrange(key, 0, -1, withscores=True)
        return [part for member, score in found for part in (f"{score:.0f}".encode(), member)]
    if kind == "list":
        return [*client.lrange(key, 0, -1)]
    return sorted(client.smembers(key)) if kind == "set" else [client.get(key)]


def make() -> None:
    """Make the file."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        archive = folder / "old.tar"
        command = [
            "git",
            "archive",
            "--output",
            str(archive),
            BEFORE_V1,
            "server",
            "client",
            "tests",
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        server = ValkeyServer(folder / "valkey")
        server.start()
        try:
            path = ":".join(str(folder / part) for part in ("", "server/src", "client/src"))
            subprocess.run(
                [sys.executable, "-c", FILL, server.url, NAMESPACE, str(MANY)],
                cwd=folder,
                check=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            rows = [*dump(redis.Redis.from_url(server.url))]
        finally:
            server.stop()
    FILE.write_bytes(gzip.compress(json.dumps(rows).encode(), mtime=0))


if __name__ == "__main__":
    make()
