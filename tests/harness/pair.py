"""Two Valkeys, one of which follows the other, behind an address that stays: a failover."""

import shutil
from pathlib import Path
from typing import Any, Self

import redis

from tests.harness.proxy import Proxy, ProxyLoop
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

SOON = ("--repl-diskless-sync-delay", "0")
"""A replica gets its first copy at once."""


class ValkeyPair:
    """`primary` and `replica` change places. Clients come through `proxy`, which knows neither."""

    def __init__(self, directory: Path) -> None:
        self.primary = ValkeyServer(directory / "valkey-1", *SOON)
        self.replica = ValkeyServer(directory / "valkey-2", *SOON)
        self._loop = ProxyLoop()
        self.proxy: Proxy

    def __enter__(self) -> Self:
        self._loop.__enter__()
        self.primary.start()
        self.proxy = self._loop.proxy(self.primary.port)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.__exit__()
        for server in (self.primary, self.replica):
            server.restore()
            server.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def client(self) -> redis.Redis:
        """Of the primary, past the proxy."""
        return self.primary.client()

    def follow(self) -> None:
        """Start the replica, empty, and wait until it has what the primary has."""
        if self.replica.process.alive:
            self.replica.stop()
        shutil.rmtree(self.replica.directory, ignore_errors=True)
        self.replica.start()
        follow(self.replica, self.primary)

    def promote(self) -> None:
        """The replica becomes a primary. Nobody is told."""
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")

    def switch(self, *, cut: bool = False) -> None:
        """New connections lead to the promoted one; the old one follows it, and keeps its own.

        `cut`: it closes them.
        """
        self.primary, self.replica = self.replica, self.primary
        self.proxy.upstream = self.primary.port
        follow(self.replica, self.primary)
        if cut:
            self.proxy.cut()

    def fail_over(self, *, cut: bool = False) -> None:
        """Both, without a pause."""
        self.promote()
        self.switch(cut=cut)


def follow(replica: ValkeyServer, primary: ValkeyServer) -> None:
    """Returns when the replica is in step."""
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
        eventually(lambda: is_in_step(client), what="a replica in step")


def is_in_step(client: redis.Redis) -> bool:
    """Whether its link is up, its first copy taken."""
    info: Any = client.info("replication")
    return info.get("master_link_status") == "up" and not info.get("master_sync_in_progress")
