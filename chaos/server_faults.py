"""Faults of Kafka, of Redis, and of the connections to them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time

from chaos.faults import SERVERS, Kind
from chaos.world import Replica, World
from tests.harness.proxy import Proxy

LOST_SECONDS = 2.0
LOADED = 2_000
"""Bytes above which a call with the token of its sender is one that loads jobs."""


# --- Kafka ------------------------------------------------------------------------------------


def kill_kafka(world: World, rng: random.Random, scale: float) -> str:
    """The only node, started again."""
    node = world.node
    if node:
        node.kill()
        time.sleep(rng.uniform(0, 2) * scale)
        node.start(90)
    return "kafka"


def hide_kafka(world: World, rng: random.Random, scale: float) -> str:
    """Unreachable for all replicas: nothing is answered, or every connection is refused."""
    swallow = rng.random() < 0.5
    for proxy in world.proxies:
        if swallow:
            proxy.hold()
        else:
            proxy.refusing = True
            proxy.cut()
    time.sleep(rng.uniform(3, 30) * scale)
    for proxy in world.proxies:
        proxy.refusing = False
        proxy.release()
    return "swallowed" if swallow else "refused"


def kill_broker(world: World, rng: random.Random, scale: float) -> str:
    """One of three nodes."""
    if world.cluster is None:
        return "none"
    node = rng.choice(world.cluster.nodes)
    node.kill()
    time.sleep(rng.uniform(1, 5) * scale)
    node.start(90)
    return node.directory.name


# --- Ways -------------------------------------------------------------------------------------


def _ways(world: World, rng: random.Random) -> list[Proxy]:
    replica = rng.choice(world.replicas)
    ways = [replica.redis] + ([replica.kafka] if replica.kafka else [])
    return ways if rng.random() < 0.3 else [rng.choice(ways)]


def cut(world: World, rng: random.Random, _scale: float) -> str:
    """Connections of one replica are closed, some times in a row."""
    ways = _ways(world, rng)
    for _ in range(rng.choice((1, 1, 4))):
        for way in ways:
            way.cut()
        time.sleep(0.3)
    return f"{len(ways)} ways"


def delay(world: World, rng: random.Random, scale: float) -> str:
    """Everything takes longer for one replica."""
    ways = _ways(world, rng)
    for way in ways:
        way.delay = rng.choice((0.01, 0.05, 0.3))
    time.sleep(rng.uniform(2, 6) * scale)
    for way in ways:
        way.delay = 0.0
    return f"{len(ways)} ways"


def hide_redis(world: World, rng: random.Random, scale: float) -> str:
    """One replica's way to Redis swallows everything for longer than the lease."""
    way = rng.choice(world.replicas).redis
    way.hold()
    time.sleep(rng.uniform(1, 7) * scale)
    way.release()
    return "one way"


# --- Redis ------------------------------------------------------------------------------------


def kill_redis(world: World, rng: random.Random, scale: float) -> str:
    """It loses nothing: `appendfsync always`."""
    world.valkey.kill()
    time.sleep(rng.choice((0.0, 0.5, 3.0)) * scale)
    world.valkey.start(60)
    return "valkey"


def truncate(world: World, _rng: random.Random, _scale: float) -> str:
    """The append-only file ends as it did two seconds before."""
    world.valkey.kill()
    file = world.append_only_file()
    size = world.size_before(file, LOST_SECONDS) if file else None
    lost = 0
    if file and size is not None:
        lost = max(0, file.stat().st_size - size)  # it may have been cut already
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size - lost)
    world.valkey.start(60)
    world.note_loss()
    return f"{lost} bytes"


def old_copy(world: World, rng: random.Random, scale: float) -> str:
    """A copy of the data from some seconds ago is put back."""
    source, copy = world.valkey.directory / "appendonlydir", world.directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    seconds = rng.uniform(1, 6) * scale
    time.sleep(seconds)
    world.valkey.kill()
    shutil.rmtree(source)
    shutil.copytree(copy, source)
    world.valkey.start(60)
    world.note_loss()
    return f"{seconds:.1f} s old"


def flush_running(world: World, _rng: random.Random, _scale: float) -> str:
    """FLUSHALL while everything runs."""
    world.valkey.flush()
    world.note_loss()
    return "valkey"


def freeze_rebuilding(world: World, rng: random.Random, scale: float) -> str:
    """FLUSHALL, and the replica that rebuilds the schedule becomes a zombie meanwhile.

    What it was just about to load comes to the store when another one has done all of it.
    """
    frozen: list[Replica] = []
    happened = threading.Event()
    for replica in world.replicas:
        _freeze_at_load(replica, frozen, happened)
    world.valkey.flush()
    happened.wait(3)
    for replica in world.replicas:
        replica.redis.disarm()
    world.note_loss()
    if not frozen:
        return "nobody"
    time.sleep(rng.uniform(1.5, 4) * scale)
    frozen[0].redis.release()
    frozen[0].service.resume()
    return frozen[0].name


def _freeze_at_load(replica: Replica, frozen: list[Replica], happened: threading.Event) -> None:
    pid = replica.service.process.pid
    token = f"-{pid}-".encode()

    def loads(data: bytes) -> bool:
        return len(data) > LOADED and token in data

    def freeze() -> bool:
        if replica.alive and not frozen:
            os.kill(pid, signal.SIGSTOP)
            replica.redis.hold()
            frozen.append(replica)
            happened.set()
        return True

    if replica.alive:
        replica.redis.arm_data(loads, freeze)


def flush_stopped(world: World, rng: random.Random, scale: float) -> str:
    """FLUSHALL while no replica runs."""
    for replica in world.replicas:
        replica.kill()
    world.valkey.flush()
    time.sleep(rng.choice((0.0, 1.0)) * scale)
    for replica in world.replicas:
        replica.start()
    world.note_loss()
    return "valkey"


def empty(world: World, _rng: random.Random, _scale: float) -> str:
    """The store starts again without its data."""
    world.valkey.kill()
    shutil.rmtree(world.valkey.directory / "appendonlydir")
    world.valkey.start(60)
    world.note_loss()
    return "valkey"


def fail_over(world: World, rng: random.Random, scale: float) -> str:
    """A replica of the store takes over that has missed the last seconds; the primary is dead."""
    world.follow()
    world.until_in_step()
    time.sleep(0.5)
    world.promote()
    seconds = rng.uniform(0.2, 3) * scale
    time.sleep(seconds)
    world.valkey.kill()
    world.fail_over()
    world.note_loss()
    return f"{seconds:.1f} s behind"


def change_places(world: World, rng: random.Random, scale: float) -> str:
    """The primary and its replica change places, and back again: both live all the time.

    What the old primary takes in after the new one was promoted is lost. Then it is a read-only
    replica, for a while under the address of the primary. Connections to it stay, or are closed.
    """
    world.follow()
    done = []
    for _ in range(2):
        world.until_in_step()
        lost = rng.choice((0.0, rng.uniform(0.1, 2.0))) * scale
        read_only = rng.choice((0.0, rng.uniform(0.1, 3.0))) * scale
        cut = rng.random() < 0.5
        world.promote()
        time.sleep(lost)
        world.demote(world.valkey, world.spare)
        time.sleep(read_only)
        world.fail_over(cut=cut)
        done.append(f"{lost:.1f} s lost, {read_only:.1f} s read-only, {'cut' if cut else 'kept'}")
        time.sleep(rng.uniform(1, 4) * scale)
    world.spare.stop()
    world.note_loss()
    return "; ".join(done)


SERVER_KINDS = (
    Kind("kafka-kill", SERVERS, 3, kill_kafka, nodes=-1),
    Kind("kafka-hide", SERVERS, 2, hide_kafka, nodes=-1),
    Kind("broker-kill", SERVERS, 8, kill_broker, nodes=3),
    Kind("cut", SERVERS, 3, cut),
    Kind("delay", SERVERS, 2, delay),
    Kind("redis-hide", SERVERS, 2, hide_redis),
    Kind("redis-kill", SERVERS, 3, kill_redis),
    Kind("truncate", SERVERS, 3, truncate),
    Kind("old-copy", SERVERS, 3, old_copy),
    Kind("flush-running", SERVERS, 3, flush_running),
    Kind("flush-stopped", SERVERS, 3, flush_stopped),
    Kind("flush-freeze", SERVERS, 2, freeze_rebuilding),
    Kind("empty", SERVERS, 2, empty),
    Kind("fail-over", SERVERS, 3, fail_over),
    Kind("failover", SERVERS, 4, change_places),
)
