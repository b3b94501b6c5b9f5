"""Taking jobs in: over gRPC in batches and one by one, and as records."""

from __future__ import annotations

import time
from contextlib import ExitStack

from confluent_kafka import Producer

from bench.actors import Actor
from bench.bullmq import queue
from bench.load import batches
from bench.site import Broken, Product, Sample, Site
from bench.workloads import BARE, BULLMQ, PRODUCT, Workload
from tests.harness.ports import free_port

FAR = 30 * 86_400.0
"""Seconds from now at which jobs wait that must not run meanwhile."""
WARM_UP = 2_000
BATCH = 500
RECORD = 100
"""Jobs of one createJobs record."""
SINGLES = 64
"""Calls in flight."""
IN_FLIGHT = 8
PATIENCE = 20.0


def _warm(product: Product) -> None:
    product.submit(time.time() + FAR, 0.001, WARM_UP)
    product.answered(WARM_UP)
    product.until_published()


def submit_product(site: Site, count: int) -> Sample:
    """Answered when durable and announced; every answered job is then in the store."""
    with site.product() as product:
        _warm(product)
        site.client.ask("prepare", first=time.time() + FAR, step=0.001, count=count, size=BATCH)
        meter = site.meter(service=product.pid)
        before = meter.read()
        told = site.client.ask("submit", in_flight=IN_FLIGHT)
        cpu = meter.since(before)
        product.answered(count)
        if product.waiting() != WARM_UP + count:
            raise Broken(f"submit: {count} answered, {product.waiting() - WARM_UP} stored")
        return Sample({"rate": count / told["seconds"], "p99": told["p99"] * 1000}, count, cpu)


def submit_bare(site: Site, count: int) -> Sample:
    """The same calls to Redis and Kafka, from jobs that lie ready in memory."""
    with site.bare() as (bare, topics):
        site.watch(topics[1], "jobsCreated")
        for size in (WARM_UP, count):
            bare.ask("prepare", first=time.time() + FAR, step=0.001, count=size)
            meter = site.meter(service=bare.pid)
            before = meter.read()
            told = bare.ask("submit")
            cpu = meter.since(before)
        seen = site.reader.ask("collect", count=WARM_UP + count, patience=PATIENCE)["count"]
        if site.store.hlen("bare:jobs") != WARM_UP + count or seen != WARM_UP + count:
            raise Broken(f"submit: {seen} of {WARM_UP + count} announced")
        return Sample({"rate": count / told["seconds"]}, count, cpu)


def submit_bullmq(site: Site, count: int) -> Sample:
    """Its addBulk, answered when the jobs are in Redis; nobody announces them."""
    with queue(site) as (bull, _):
        for size in (WARM_UP, count):
            bull.ask("prepare", first=time.time() + FAR, step=0.001, count=size)
            meter = site.meter(service=bull.pid)
            before = meter.read()
            told = bull.ask("submit", size=BATCH, in_flight=IN_FLIGHT)
            cpu = meter.since(before)
        answered = bull.ask("ids", path=str(site.file("ids")))["different"]
        if answered != WARM_UP + count:
            raise Broken(f"submit: {answered} of {WARM_UP + count} ids answered")
        return Sample({"rate": count / told["seconds"]}, count, cpu)


def single_product(site: Site, count: int) -> Sample:
    """One job a call."""
    with site.product() as product:
        _warm(product)
        site.client.ask("prepare", first=time.time() + FAR, step=0.001, count=count, size=1)
        meter = site.meter(service=product.pid)
        before = meter.read()
        told = site.client.ask("submit", in_flight=SINGLES)
        cpu = meter.since(before)
        product.answered(count)
        return Sample({"rate": count / told["seconds"], "p99": told["p99"] * 1000}, count, cpu)


def single_echo(site: Site, count: int) -> Sample:
    """The same calls to a server that only sends them back."""
    address = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        echo = Actor.python("echo", "echo", site.folder, address)
        stack.callback(echo.close)
        echo.hear()
        site.client.ask("connect", address=address)
        for size in (WARM_UP, count):
            site.client.ask("prepare", first=time.time() + FAR, step=0.001, count=size, size=1)
            meter = site.meter(service=echo.pid)
            before = meter.read()
            told = site.client.ask("submit", in_flight=SINGLES)
            cpu = meter.since(before)
        return Sample({"rate": count / told["seconds"], "p99": told["p99"] * 1000}, count, cpu)


def records_product(site: Site, count: int) -> Sample:
    """Records of createJobs, until the last job is announced."""
    producer = Producer({"bootstrap.servers": site.kafka.bootstrap, "linger.ms": 0})
    with site.product() as product:
        site.watch(product.names.resources, "jobsCreated")
        _send(producer, product, WARM_UP)
        seen = site.reader.ask("collect", count=WARM_UP, patience=PATIENCE)["count"]
        site.reader.ask("forget")
        meter = site.meter(service=product.pid)
        before, began = meter.read(), time.time()
        site.reader.tell("collect", count=count, patience=PATIENCE)
        _send(producer, product, count)
        told = site.reader.hear()
        cpu = meter.since(before)
        if seen != WARM_UP or told["count"] != count or product.waiting() != WARM_UP + count:
            raise Broken(f"records: {told['count']} of {count} announced")
        return Sample({"rate": count / (told["last"] - began)}, count, cpu)


def _send(producer: Producer, product: Product, count: int) -> None:
    first = time.time() + FAR
    for value in batches([first + number / 1000 for number in range(count)], RECORD):
        producer.produce(product.names.jobs, value, b"createJobs", 0)
    producer.flush(30)


def memory_product(site: Site, count: int) -> Sample:
    """What Redis uses more when so many jobs wait."""
    with site.product() as product:
        _warm(product)
        before = used_memory(site)
        product.submit(time.time() + FAR, 0.001, count)
        product.until_published()
        after = used_memory(site)
        product.answered(count)
        if product.waiting() != WARM_UP + count:
            raise Broken(f"memory: {count} answered, {product.waiting() - WARM_UP} stored")
        return Sample({"bytes": (after - before) / count}, count)


def memory_bare(site: Site, count: int) -> Sample:
    """A hash field and a sorted set's entry a job, and nothing else."""
    with site.bare() as (bare, _):
        bare.ask("prepare", first=time.time() + FAR, step=0.001, count=count)
        before = used_memory(site)
        bare.ask("load", ids=str(site.file("ids")))
        return Sample({"bytes": (used_memory(site) - before) / count}, count)


def memory_bullmq(site: Site, count: int) -> Sample:
    """Delayed jobs."""
    with queue(site) as (bull, _):
        bull.ask("prepare", first=time.time() + FAR, step=0.001, count=count)
        before = used_memory(site)
        bull.ask("submit", size=BATCH, in_flight=IN_FLIGHT)
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
        "submit", 100_000, {PRODUCT: submit_product, BARE: submit_bare, BULLMQ: submit_bullmq}
    ),
    Workload("single", 20_000, {PRODUCT: single_product, BARE: single_echo}),
    Workload("records", 100_000, {PRODUCT: records_product}),
    Workload(
        "memory",
        100_000,
        {PRODUCT: memory_product, BARE: memory_bare, BULLMQ: memory_bullmq},
        least=20_000,
    ),
)
