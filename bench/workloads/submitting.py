"""Taking jobs in: over gRPC in batches and one by one, and as records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypedDict

from confluent_kafka import Producer

from bench.actors import Actor
from bench.contenders.rivals import BATCH, BULLMQ, IN_FLIGHT, RIVALS, Rival
from bench.load import batches
from bench.site import Broken, Product, Sample, Site
from bench.workloads import BARE, PRODUCT, Measure, Workload
from tests.harness.ports import free_port

FAR_SECONDS = 30 * 86_400.0
"""Seconds from now at which jobs wait that must not run meanwhile."""
WARM_UP = 2_000
RECORD = 100
"""Jobs of one createJobs record."""
SINGLES = 64
"""Calls in flight."""
PATIENCE_SECONDS = 20.0
MOST_SECONDS = 10
"""Of jobs that are submitted to a slow contender."""


class Later(TypedDict):
    """Times of jobs: the first, in epoch seconds; the seconds between two; how many."""

    first: float
    step: float
    count: int


def later(count: int) -> Later:
    """Jobs that must not run while it is measured, a millisecond apart."""
    return {"first": time.time() + FAR_SECONDS, "step": 0.001, "count": count}


def warm(product: Product) -> None:
    """Jobs that are not counted: the first ones take longer."""
    product.submit(time.time() + FAR_SECONDS, 0.001, WARM_UP)
    product.answered(WARM_UP)
    product.until_published()


def until_stored(product: Product, count: int) -> None:
    """Each of these jobs was answered, and is in the store. Raises `Broken`."""
    product.answered(count)
    if product.waiting() != WARM_UP + count:
        raise Broken(f"{count} jobs answered, {product.waiting() - WARM_UP} stored")


def calls(size: int, in_flight: int) -> Measure:
    """`size` jobs a call, answered when durable and announced."""

    def measure(site: Site, count: int) -> Sample:
        with site.product() as product:
            warm(product)
            site.client.ask("prepare", **later(count), size=size)
            with site.meter(service=product.pid).counting() as cpu:
                told = site.client.ask("submit", in_flight=in_flight)
            until_stored(product, count)
            return Sample({"rate": count / told["seconds"], "p99": told["p99"] * 1000}, count, cpu)

    return measure


def submit_bare(site: Site, count: int) -> Sample:
    """The same calls to Redis and Kafka, from jobs that lie ready in memory."""
    with site.bare() as (bare, topics):
        site.watch(topics[1], "jobsCreated")
        for size in (WARM_UP, count):
            bare.ask("prepare", **later(size))
            with site.meter(service=bare.pid).counting() as cpu:
                told = bare.ask("submit")
        seen = site.reader.ask("collect", count=WARM_UP + count, patience=PATIENCE_SECONDS)["count"]
        if site.store.hlen("bare:jobs") != WARM_UP + count or seen != WARM_UP + count:
            raise Broken(f"submit: {seen} of {WARM_UP + count} announced")
        return Sample({"rate": count / told["seconds"]}, count, cpu)


def submit_rival(rival: Rival) -> Measure:
    """Its calls are answered when the jobs are stored. It announces no job."""

    def measure(site: Site, count: int) -> Sample:
        count = min(count, rival.pace * MOST_SECONDS)
        with rival.running(site) as running:
            running.submit(**later(WARM_UP))
            running.accepted(site.file("ids"), WARM_UP)
            with site.meter(service=running.actor.pid, **running.parts).counting() as cpu:
                seconds = running.submit(**later(count))
            running.accepted(site.file("ids"), count)
            return Sample({"rate": count / seconds}, count, cpu)

    return measure


def single_echo(site: Site, count: int) -> Sample:
    """The same calls to a server that only sends them back."""
    address = f"127.0.0.1:{free_port()}"
    with Actor.python("echo", "echo", site.folder, address) as echo:
        echo.hear()
        site.client.ask("connect", address=address)
        for number in (WARM_UP, count):
            site.client.ask("prepare", **later(number), size=1)
            with site.meter(service=echo.pid).counting() as cpu:
                told = site.client.ask("submit", in_flight=SINGLES)
        return Sample({"rate": count / told["seconds"], "p99": told["p99"] * 1000}, count, cpu)


def records_product(site: Site, count: int) -> Sample:
    """Records of createJobs, until the last job is announced."""
    producer = Producer({"bootstrap.servers": site.kafka.bootstrap, "linger.ms": 0})
    with site.product() as product:
        site.watch(product.names.resources, "jobsCreated")
        _send(producer, product, _lists(WARM_UP))
        seen = site.reader.ask("collect", count=WARM_UP, patience=PATIENCE_SECONDS)["count"]
        site.reader.ask("forget")
        values = _lists(count)  # before the clock starts: they take 10 us a job
        with site.meter(service=product.pid).counting() as cpu:
            began = time.time()
            site.reader.tell("collect", count=count, patience=PATIENCE_SECONDS)
            _send(producer, product, values)
            told = site.reader.hear()
        if seen != WARM_UP or told["count"] != count or product.waiting() != WARM_UP + count:
            raise Broken(f"records: {told['count']} of {count} announced")
        return Sample({"rate": count / (told["last"] - began)}, count, cpu)


def _lists(count: int) -> list[bytes]:
    """Values of createJobs records, `RECORD` jobs each."""
    first = time.time() + FAR_SECONDS
    return batches([first + number / 1000 for number in range(count)], RECORD)


def _send(producer: Producer, product: Product, values: Sequence[bytes]) -> None:
    for value in values:
        producer.produce(product.names.jobs, value, b"createJobs", 0)
    producer.flush(30)


def memory_product(site: Site, count: int) -> Sample:
    """What Redis uses more when so many jobs wait."""
    with site.product() as product:
        warm(product)
        before = used_memory(site)
        product.submit(time.time() + FAR_SECONDS, 0.001, count)
        product.until_published()
        after = used_memory(site)
        until_stored(product, count)
        return Sample({"bytes": (after - before) / count}, count)


def memory_bare(site: Site, count: int) -> Sample:
    """A hash field and a sorted set's entry a job, and nothing else."""
    with site.bare() as (bare, _):
        bare.ask("prepare", **later(count))
        before = used_memory(site)
        bare.ask("load", ids=str(site.file("ids")))
        return Sample({"bytes": (used_memory(site) - before) / count}, count)


def memory_bullmq(site: Site, count: int) -> Sample:
    """Delayed jobs."""
    with BULLMQ.running(site) as running:
        before = used_memory(site)
        running.submit(**later(count))
        return Sample({"bytes": (used_memory(site) - before) / count}, count)


def used_memory(site: Site) -> int:
    """Bytes that hold data: without the buffers of clients and of the append-only file."""
    memory = site.store.info("memory")
    return (
        int(memory["used_memory_dataset"])
        + int(memory["used_memory_overhead"])
        - (int(memory["mem_clients_normal"]) + int(memory["mem_aof_buffer"]))
    )


WORKLOADS = (
    Workload(
        "submit",
        100_000,
        {
            PRODUCT: calls(BATCH, IN_FLIGHT),
            BARE: submit_bare,
            **{each.name: submit_rival(each) for each in RIVALS},
        },
    ),
    Workload("single", 20_000, {PRODUCT: calls(1, SINGLES), BARE: single_echo}),
    Workload("records", 100_000, {PRODUCT: records_product}),
    Workload(
        "memory",
        100_000,
        {PRODUCT: memory_product, BARE: memory_bare, BULLMQ.name: memory_bullmq},
        least=20_000,
    ),
)
