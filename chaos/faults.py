"""What is done to replicas: killed, frozen, moved in time."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.world import Replica, World
from tests.harness.proxy import END_TXN, PRODUCE

REPLICAS, SERVERS = "replicas", "servers"
"""Faults of one lane come one after the other; the lanes run beside each other."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `act` does it, undoes it, and returns what it was done to."""

    name: str
    lane: str
    weight: int
    act: Callable[[World, random.Random, float], str]
    """Called with the world, chance, and the scale of durations."""
    nodes: int = 0
    """Only with so many Kafka nodes; 0: with any number, -1: only with one."""


def _any(world: World, rng: random.Random) -> Replica:
    return rng.choice(world.replicas)


def _emitter(world: World, rng: random.Random) -> Replica:
    return world.emitter() or _any(world, rng)


def kill_one(world: World, rng: random.Random, _scale: float) -> str:
    """Any replica."""
    return _kill(_any(world, rng))


def kill_emitter(world: World, rng: random.Random, _scale: float) -> str:
    """The one that emits."""
    return _kill(_emitter(world, rng))


def _kill(replica: Replica) -> str:
    replica.kill()
    replica.start()
    return replica.name


def kill_all(world: World, rng: random.Random, scale: float) -> str:
    """All at once; they come back one by one."""
    for replica in world.replicas:
        replica.kill()
    time.sleep(rng.choice((0.0, 0.5, 3.0)) * scale)
    for replica in world.replicas:
        replica.start()
    return "all"


def outage(world: World, rng: random.Random, scale: float) -> str:
    """All at once, and for long: with a short catch-up window, occurrences are left out."""
    for replica in world.replicas:
        replica.kill()
    seconds = rng.uniform(12, 18) * scale
    time.sleep(seconds)
    for replica in world.replicas:
        replica.start()
    return f"{seconds:.0f} s"


def terminate(world: World, rng: random.Random, _scale: float) -> str:
    """SIGTERM to the one that emits: a planned hand-over."""
    replica = _emitter(world, rng)
    replica.terminate()
    replica.start()
    return replica.name


def freeze_emitter(world: World, rng: random.Random, scale: float) -> str:
    """SIGSTOP for longer than the lease, then SIGCONT: a zombie."""
    return _freeze(_emitter(world, rng), rng, scale)


def freeze_one(world: World, rng: random.Random, scale: float) -> str:
    """The same with any replica."""
    return _freeze(_any(world, rng), rng, scale)


def _freeze(replica: Replica, rng: random.Random, scale: float) -> str:
    if replica.alive:
        replica.service.pause()
        time.sleep(rng.uniform(1.5, 6.0) * scale)
        replica.service.resume()
    return replica.name


def freeze_in_transaction(world: World, rng: random.Random, scale: float) -> str:
    """SIGSTOP at the moment at which it ends a transaction, or has begun to fill one."""
    replica = _emitter(world, rng)
    request, passes = rng.choice(((END_TXN, True), (END_TXN, False), (PRODUCE, True)))
    if _at(replica, request, signal.SIGSTOP, passes=passes):
        time.sleep(rng.uniform(1.5, 5.0) * scale)
        replica.service.resume()
    return replica.name


def kill_in_transaction(world: World, rng: random.Random, _scale: float) -> str:
    """SIGKILL at that moment: committed but unknown, or produced but not committed."""
    replica = _emitter(world, rng)
    request, passes = rng.choice(((END_TXN, True), (END_TXN, False), (PRODUCE, True)))
    _at(replica, request, signal.SIGKILL, passes=passes)
    return _kill(replica)


def _at(replica: Replica, request: int, number: int, *, passes: bool) -> bool:
    """Send a signal when such a request passes the replica's proxy."""
    if not replica.alive or replica.kafka is None:
        return False
    happened, pid = threading.Event(), replica.service.process.pid

    def act() -> bool:
        if number == signal.SIGKILL:
            replica.expect_death()
        os.kill(pid, number)
        happened.set()
        return passes

    replica.kafka.arm(request, act)
    done = happened.wait(2.0)
    replica.kafka.disarm()
    return done


def move_clock(world: World, rng: random.Random, _scale: float) -> str:
    """Restarted with a clock that is 200 ms ahead or behind."""
    replica = _any(world, rng)
    replica.kill()
    replica.start(skew=rng.choice((-200, 200)))
    return replica.name


REPLICA_KINDS = (
    Kind("kill", REPLICAS, 6, kill_one),
    Kind("kill-emitter", REPLICAS, 10, kill_emitter),
    Kind("kill-in-transaction", REPLICAS, 5, kill_in_transaction, nodes=-1),
    Kind("kill-all", REPLICAS, 2, kill_all),
    Kind("outage", REPLICAS, 1, outage),
    Kind("terminate", REPLICAS, 2, terminate),
    Kind("freeze-emitter", REPLICAS, 2, freeze_emitter),
    Kind("freeze", REPLICAS, 1, freeze_one),
    Kind("freeze-in-transaction", REPLICAS, 2, freeze_in_transaction, nodes=-1),
    Kind("skew", REPLICAS, 2, move_clock),
)
