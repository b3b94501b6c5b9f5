"""What clients and operators do within their rights, and what would stop a lesser service."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import grpc
from confluent_kafka import KafkaException, Producer

from chaos.faults import SERVERS, Kind
from chaos.world import World
from tests.client.contract import JobFilter, JobReadRequest
from tests.client.grpc_client import JOBS
from tests.client.topics import alter_topic, delete_topic, make_topic, topic_id
from tests.harness.waiting import eventually

READERS = 8
"""Threads that ask for everything, again and again."""
GARBAGE_A_SECOND = 200
SMALL_LIMIT, USUAL_LIMIT = 100_000, 1_048_588
"""Of the jobs topic's `max.message.bytes`: no large job fits into the small one."""
FILLED_WITHIN = 90.0
"""Seconds within which the owner has to notice a lost journal and to fill it again."""


def greedy_reader(world: World, rng: random.Random, scale: float) -> str:
    """Reads of everything from many threads at one replica, and a flood of broken records."""
    address = rng.choice(world.addresses)
    ending = threading.Event()
    work: list[Callable[[], None]] = [lambda: _read_all(address, ending)] * READERS
    work.append(lambda: _flood(world, ending))
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    seconds = rng.uniform(2, 6) * scale
    time.sleep(seconds)
    ending.set()
    for thread in threads:
        thread.join(30)
    return f"{address}, {seconds:.1f} s"


def _read_all(address: str, ending: threading.Event) -> None:
    """What it is answered does not matter: a replica may be killed meanwhile."""
    request = JobReadRequest(filter=JobFilter(creator="eve")).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(JOBS + "Read")
        while not ending.is_set():
            try:
                method(request, timeout=5)
            except grpc.RpcError:
                ending.wait(0.05)


def _flood(world: World, ending: threading.Event) -> None:
    """Each of these records belongs on the dead-letter topic, once."""
    producer = Producer(
        {
            "bootstrap.servers": world.bootstrap,
            "enable.idempotence": True,
            "message.timeout.ms": 60_000,
            "log_level": 0,
        }
    )
    while not ending.wait(1 / GARBAGE_A_SECOND):
        producer.produce(world.names.jobs, b"\xff" * 5_000, "createJobs", partition=0)
        producer.poll(0)
    producer.flush(60)


def refuse_large(world: World, rng: random.Random, scale: float) -> str:
    """For a while Kafka refuses the records of large jobs; all others have to run."""
    if not _alter(world, SMALL_LIMIT):
        return "nothing: Kafka does not answer"
    seconds = rng.uniform(3, 10) * scale
    time.sleep(seconds)
    eventually(lambda: _alter(world, USUAL_LIMIT), timeout=60, what="the usual limit")
    return f"{seconds:.1f} s"


def _alter(world: World, limit: int) -> bool:
    try:
        alter_topic(world.bootstrap, world.names.jobs, max_message_bytes=limit)
    except KafkaException:
        return False
    return True


def lose_journal(world: World, _rng: random.Random, _scale: float) -> str:
    """The journal is deleted and made again. Until it is filled from Redis, Redis loses nothing.

    What Redis has lost before must have come back: the two together lose jobs.
    """
    topic = world.names.journal
    shards = range(int(world.settings.get("SCHEDULING_SHARDS", "1")))
    try:
        old = topic_id(world.bootstrap, topic)
        eventually(
            lambda: world.has_recovered() and all(world.is_filled(each, old) for each in shards),
            timeout=FILLED_WITHIN,
            what="a store that has all jobs",
        )
        delete_topic(world.bootstrap, topic)
    except KafkaException:
        return "nothing: Kafka does not answer"
    eventually(lambda: _is_made(world, topic, old, len(shards)), timeout=60, what="a new journal")
    began, new = time.monotonic(), topic_id(world.bootstrap, topic)
    eventually(
        lambda: all(world.is_filled(each, new) for each in shards),
        timeout=FILLED_WITHIN,
        what="a journal that is filled again",
    )
    return f"filled after {time.monotonic() - began:.1f} s"


def _is_made(world: World, topic: str, old: str, partitions: int) -> bool:
    """By us, or by the service if that was quicker. Deleting the old one takes a moment."""
    with suppress(KafkaException):
        make_topic(world.bootstrap, topic, partitions=partitions, **{"cleanup.policy": "compact"})
    return topic_id(world.bootstrap, topic) not in ("", old)


CLIENT_KINDS = (
    Kind("greedy-reader", SERVERS, 2, greedy_reader),
    Kind("refuse-large", SERVERS, 2, refuse_large, nodes=-1),
    Kind("journal-lost", SERVERS, 2, lose_journal, nodes=-1),
)
