"""Faults that clients and operators cause: greedy reads, broken records, topic changes."""

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
"""Threads that read everything, again and again."""
BROKEN_PER_SECOND = 200
"""Broken records that are sent meanwhile."""
SMALL_LIMIT_BYTES, USUAL_LIMIT_BYTES = 100_000, 1_048_588
"""`max.message.bytes` of the jobs topic. Every large job exceeds the small limit."""
BACK_SECONDS = 150
"""How long Kafka may be away, by faults of another lane, on a busy machine."""
FILL_SECONDS = 240.0
"""Seconds within which a lost journal must be filled again. Other faults kill its owner meanwhile,
and a long list that was there before has to end first."""


def greedy_reader(world: World, rng: random.Random, scale: float) -> str:
    """Many threads read everything at one replica, while broken records arrive."""
    address = rng.choice(world.addresses)
    ending = threading.Event()
    work: list[Callable[[], None]] = [lambda: _read_all(address, ending)] * READERS
    work.append(lambda: _send_broken(world, ending))
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
    """Read everything until `ending`. Errors are ignored: the replica may be killed meanwhile."""
    request = JobReadRequest(filter=JobFilter(creator="eve")).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(JOBS + "Read")
        while not ending.is_set():
            try:
                method(request, timeout=5)
            except grpc.RpcError:
                ending.wait(0.05)


def _send_broken(world: World, ending: threading.Event) -> None:
    """Send broken records. Each one must get one dead letter."""
    producer = Producer(
        {
            "bootstrap.servers": world.bootstrap,
            "enable.idempotence": True,
            "message.timeout.ms": 60_000,
            "log_level": 0,
        }
    )
    while not ending.wait(1 / BROKEN_PER_SECOND):
        producer.produce(world.names.jobs, b"\xff" * 5_000, "createJobs", partition=0)
        producer.poll(0)
    producer.flush(60)


def refuse_large(world: World, rng: random.Random, scale: float) -> str:
    """Kafka refuses the records of large jobs for a while. All other jobs must run."""
    if not _alter(world, SMALL_LIMIT_BYTES):
        return "nothing: Kafka does not answer"
    seconds = rng.uniform(3, 10) * scale
    time.sleep(seconds)
    eventually(
        lambda: _alter(world, USUAL_LIMIT_BYTES), timeout=BACK_SECONDS, what="the usual limit"
    )
    return f"{seconds:.1f} s"


def _alter(world: World, limit: int) -> bool:
    try:
        alter_topic(world.bootstrap, world.names.jobs, max_message_bytes=limit)
    except KafkaException:
        return False
    return True


def lose_journal(world: World, _rng: random.Random, _scale: float) -> str:
    """Delete the journal and make it again. Return when the service has filled it from Redis.

    The fault begins only when Redis has recovered from its last loss: losing both loses jobs.
    """
    topic = world.names.journal
    shards = range(int(world.settings.get("SCHEDULING_SHARDS", "1")))
    try:
        old = topic_id(world.bootstrap, topic)
        if not _has_all_jobs(world, shards, old):
            return "nothing: Redis has not recovered"
        delete_topic(world.bootstrap, topic)
    except KafkaException:
        return "nothing: Kafka does not answer"
    eventually(
        lambda: _make_again(world, topic, old, len(shards)),
        timeout=BACK_SECONDS,
        what="a new journal",
    )
    began, new = time.monotonic(), topic_id(world.bootstrap, topic)
    eventually(
        lambda: all(world.is_filled(each, new) for each in shards),
        timeout=FILL_SECONDS,
        what="a journal that is filled again",
    )
    return f"filled after {time.monotonic() - began:.1f} s"


def _has_all_jobs(world: World, shards: range, journal: str) -> bool:
    """Wait until Redis has recovered; returns whether that was soon enough."""
    with suppress(TimeoutError):
        eventually(
            lambda: (
                world.has_recovered() and all(world.is_filled(each, journal) for each in shards)
            ),
            timeout=FILL_SECONDS,
            what="a store that has all jobs",
        )
        return True
    return False


def _make_again(world: World, topic: str, old: str, partitions: int) -> bool:
    """Make the topic, unless the service was quicker; returns whether there is a new one."""
    with suppress(KafkaException):
        make_topic(world.bootstrap, topic, partitions=partitions, **{"cleanup.policy": "compact"})
    return topic_id(world.bootstrap, topic) not in ("", old)


CLIENT_KINDS = (
    Kind("greedy-reader", SERVERS, 2, greedy_reader),
    Kind("refuse-large", SERVERS, 2, refuse_large, nodes=-1),
    Kind("journal-lost", SERVERS, 2, lose_journal, nodes=-1),
)
