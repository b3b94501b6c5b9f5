"""The servers and replicas of one campaign, and proxies in front of them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import redis

from tests.harness.cluster import KafkaCluster, KafkaWithDoors
from tests.harness.fork_server import ForkServer
from tests.harness.names import Names
from tests.harness.pair import SOON, is_in_step
from tests.harness.ports import free_port
from tests.harness.proxy import Proxy, ProxyLoop
from tests.harness.service import SERVE, Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

APPEND_ONLY = ("--auto-aof-rewrite-percentage", "0", *SOON)
"""One file that only grows: then its size at an instant says what was in it."""
LOSS_NOTICED_SECONDS = 20.0
"""How long the service may take to notice that the store lost data."""
KAFKA_OPTIONS = '{"session.timeout.ms": 2000, "heartbeat.interval.ms": 500}'
KEEPS_FORMAT = {"SCHEDULING_RAISE_FORMAT_AFTER": "365d"}
"""Beside an earlier version: it comes back after each fault."""


class Replica:
    """One replica, and its ways to Redis and Kafka."""

    def __init__(self, service: Service, to_redis: Proxy, to_kafka: Proxy | None) -> None:
        self.service = service
        self.redis = to_redis
        self.kafka = to_kafka
        self.name = service.process.name
        self.broken: list[str] = []
        """Logs of the times when it ended by itself."""
        self._lock = threading.RLock()
        self._was_ended = True

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self.service.process.alive

    def start(self, skew: int = 0) -> None:
        """Without waiting; its clock may be wrong."""
        with self._lock:
            if self.alive:
                return
            tail = self.service.process.tail(25)
            if not self._was_ended:
                self.broken.append(f"exit code {self.service.process.exit_code}\n{tail}")
            self.service.settings["CHAOS_SKEW"] = str(skew)
            self.service.launch()
            self._was_ended = False

    def kill(self) -> None:
        """SIGKILL, whatever state it is in."""
        with self._lock:
            if self.alive:
                self.service.kill()
                self._was_ended = True

    def expect_death(self) -> None:
        """Somebody else is about to send a SIGKILL."""
        self._was_ended = True

    def terminate(self) -> int | None:
        """SIGTERM; the exit code."""
        with self._lock:
            self._was_ended = True
            return self.service.process.end(timeout=15)


class World:
    """Everything that a campaign runs."""

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int,
        settings: Mapping[str, str],
        nodes: int = 1,
        beside: Path | None = None,
    ) -> None:
        """`beside`: the interpreter of an earlier version, which the last replica is of."""
        self.beside = beside
        self.directory = directory
        self.names = Names.unique()
        self.nodes = nodes
        self.settings = dict(settings)
        self.count = replicas
        self.replicas: list[Replica] = []
        self.proxies: list[Proxy] = []
        self.sizes: list[tuple[float, str, int]] = []
        """Of the append-only file: time, name, size."""
        self._lost_at = float("-inf")
        self._stack = ExitStack()
        self._watching = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._watching.set()
        self._stack.close()

    def _start(self) -> None:
        self.loop = self._stack.enter_context(ProxyLoop())
        self.fork_server = ForkServer("chaos.replica")
        self._stack.callback(self.fork_server.close)
        self._start_valkey()
        self._start_kafka()
        for number in range(self.count):
            self.replicas.append(self._replica(number))
        threading.Thread(target=self._watch_sizes, name="sizes", daemon=True).start()
        # An earlier version begins: a new store then has a format that both read.
        for replica in reversed(self.replicas):
            replica.start()
            if self.beside:
                replica.service.wait_until_serving(60)
        for replica in self.replicas:
            replica.service.wait_until_serving(60)

    def _start_valkey(self) -> None:
        self.valkey = ValkeyServer(self.directory / "valkey-1", *APPEND_ONLY)
        self.spare = ValkeyServer(self.directory / "valkey-2", *APPEND_ONLY)
        self.valkey.start()
        self._stack.callback(self.valkey.stop)
        self._stack.callback(self.spare.stop)

    def _start_kafka(self) -> None:
        kafka: KafkaCluster | KafkaWithDoors
        self.node: KafkaWithDoors | None = None
        self.cluster: KafkaCluster | None = None
        if self.nodes > 1:
            kafka = self.cluster = KafkaCluster(self.directory / "kafka")
        else:
            ports = [free_port() for _ in range(self.count)]
            kafka = self.node = KafkaWithDoors(self.directory / "kafka", ports)
            pairs = zip(self.node.doors, ports, strict=True)
            self.proxies = [self.loop.proxy(door, port) for door, port in pairs]
        kafka.start()
        self._stack.callback(kafka.stop)
        self.bootstrap = kafka.bootstrap

    def _replica(self, number: int) -> Replica:
        to_redis = self.loop.proxy(self.valkey.port)
        to_kafka = self.proxies[number] if self.proxies else None
        is_earlier = self.beside and number == self.count - 1
        service = Service(
            self.names,
            self.directory / f"replica-{number + 1}.log",
            bootstrap=f"127.0.0.1:{to_kafka.port}" if to_kafka else self.bootstrap,
            redis_url=f"redis://127.0.0.1:{to_redis.port}/0",
            settings={
                "SCHEDULING_LOG_LEVEL": "info",
                "SCHEDULING_ADMIN_ADDRESS": "off",
                "SCHEDULING_KAFKA_OPTIONS": KAFKA_OPTIONS,
                **(KEEPS_FORMAT if self.beside and not is_earlier else {}),
                **self.settings,
            },
            command=(str(self.beside), "-m", "scheduling_srv", "serve") if is_earlier else SERVE,
            fork_server=self.fork_server,
        )
        replica = Replica(service, to_redis, to_kafka)
        self._stack.callback(lambda: _end(replica))
        return replica

    @property
    def addresses(self) -> Sequence[str]:
        """Of all replicas."""
        return [replica.service.address for replica in self.replicas]

    # --- Redis --------------------------------------------------------------------------------

    def client(self) -> redis.Redis:
        """Past the proxies."""
        return self.valkey.client()

    def emitter(self) -> Replica | None:
        """Who holds the lease."""
        try:
            with self.client() as client:
                lease = client.get(f"{self.names.namespace}:{{0}}:lease")
        except redis.RedisError:
            return None
        pids = str(lease or "").split("-")
        return next(
            (
                each
                for each in self.replicas
                if each.alive and str(each.service.process.pid) in pids
            ),
            None,
        )

    def note_loss(self) -> None:
        """Remember that the store has just lost data."""
        self._lost_at = time.monotonic()

    def has_recovered(self) -> bool:
        """Whether the service has had enough time to notice the last loss of the store."""
        return time.monotonic() - self._lost_at > LOSS_NOTICED_SECONDS

    def is_filled(self, shard: int, journal: str) -> bool:
        """Whether the shard has stored that the journal with this id has all living jobs.

        A rebuild that was interrupted keeps that note, but the jobs are in the journal alone.
        """
        meta = f"{self.names.namespace}:{{{shard}}}:meta"
        try:
            with self.client() as client:
                state, noted, filling = client.hmget(meta, "state", "journal", "refill")
        except redis.RedisError:
            return False
        return state == "ready" and str(noted or "").startswith(journal) and not filling

    def append_only_file(self) -> Path | None:
        """The file that the store appends to now."""
        found = sorted((self.valkey.directory / "appendonlydir").glob("*.incr.aof"))
        return found[-1] if found else None

    def _watch_sizes(self) -> None:
        while not self._watching.wait(0.1):
            file = self.append_only_file()
            try:
                if file:
                    self.sizes.append((time.time(), str(file), file.stat().st_size))
            except OSError:
                continue
            del self.sizes[:-200]

    def size_before(self, file: Path, seconds: float) -> int | None:
        """How long the file was then."""
        since = time.time() - seconds
        sizes = [size for at, name, size in self.sizes if at <= since and name == str(file)]
        return sizes[-1] if sizes else None

    def follow(self) -> None:
        """Start the spare store as an empty replica of the one in use."""
        self.spare.stop()
        shutil.rmtree(self.spare.directory, ignore_errors=True)
        self.spare.start()
        self.demote(self.spare, self.valkey)

    def demote(self, store: ValkeyServer, primary: ValkeyServer) -> None:
        """Let it follow the other one. Its connections stay."""
        with store.client() as client:
            client.replicaof("127.0.0.1", str(primary.port))

    def until_in_step(self) -> None:
        """Wait until the spare store has what the one in use has."""
        with self.spare.client() as client:
            eventually(lambda: is_in_step(client), timeout=20, what="the spare store follows")

    def promote(self) -> None:
        """Make the spare store a primary. The service still uses the old one."""
        with self.spare.client() as client:
            client.replicaof("NO", "ONE")

    def fail_over(self, *, cut: bool = True) -> None:
        """New connections lead to the spare store, which takes the place of the one in use.

        `cut`: those that are there are closed.
        """
        self.valkey, self.spare = self.spare, self.valkey
        for replica in self.replicas:
            replica.redis.upstream = self.valkey.port
            if cut:
                replica.redis.cut()

    def heal(self) -> None:
        """Everything runs, nothing is in its way."""
        for proxy in (*self.proxies, *(replica.redis for replica in self.replicas)):
            proxy.release()
            proxy.disarm()
            proxy.delay, proxy.refusing = 0.0, False
        self.valkey.restore()
        for node in self.cluster.nodes if self.cluster else [self.node]:
            if node:
                node.restore()
        for replica in self.replicas:
            if replica.alive:
                replica.service.resume()
            replica.start()

    def tails(self) -> str:
        """The ends of the replicas' logs."""
        return "\n".join(replica.service.process.tail(15) for replica in self.replicas)


def _end(replica: Replica) -> None:
    if replica.alive:
        replica.service.resume()
        replica.kill()
