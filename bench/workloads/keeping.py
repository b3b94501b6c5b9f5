"""What depends on how much waits: idling, starting, rebuilding, and whether anything grows."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from pathlib import Path

from bench.actors import Actor, memory_bytes
from bench.arming import TRIES, Arm, Armed, bare, placing, product
from bench.contenders.rivals import BATCH
from bench.load import command
from bench.site import Broken, Product, Sample, Site, Skipped, honest
from bench.workloads import BARE, PRODUCT, Measure, Workload
from bench.workloads.firing import PATIENCE_SECONDS, TOO_LATE, attempt, emit, nothing
from bench.workloads.submitting import FAR_SECONDS

BYTES_A_JOB = 700
"""Of memory that has to be free for a job that is to wait; what it really takes is measured."""
SPREAD_SECONDS = 0.1
"""Seconds between jobs that wait."""
IDLE_SECONDS = 20.0
SETTLE_SECONDS = 3.0
CHUNK = 100_000
QUIET_SECONDS = 5.0
"""Seconds without a run after which none is left of a trial that failed."""


def available_memory() -> float:
    """Bytes that may still be used; without `/proc` nobody knows."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return math.inf
    found = re.search(r"^MemAvailable:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else math.inf


def fill(
    site: Site, service: Product, count: int, now: float = 0.0, *, varied: bool = False
) -> float:
    """Let `count` jobs wait in the store of a service that has not started; seconds it took."""
    if count * BYTES_A_JOB > available_memory():
        raise Skipped(f"{count:,} jobs need more memory than is free")
    if not count:
        return 0.0
    # How they came there is not what is measured.
    site.store.config_set("appendfsync", "no")
    with Actor.python("loader", "loader", site.folder) as loader:
        place = {"url": site.valkey.url, "namespace": service.names.namespace}
        span = {"first": time.time() + FAR_SECONDS, "step": SPREAD_SECONDS, "now": now}
        told = loader.ask("load", count=count, varied=varied, **place, **span)
    site.store.config_set("appendfsync", "always")
    # Answered when all of it is on the disk: a start must not have to wait for that.
    site.store.set("filled", 1)
    return float(told["seconds"])


def idle(site: Site, count: int) -> Sample:
    """A share of one core, in percent, while nothing is due."""
    service = site.product()
    fill(site, service, count)
    with service:
        time.sleep(SETTLE_SECONDS)
        with site.meter(service=service.pid).counting() as cpu:
            began = time.perf_counter()
            time.sleep(IDLE_SECONDS)
            seconds = time.perf_counter() - began
        memory = memory_bytes(service.pid) / 1e6
        if service.waiting() != count:
            raise Broken(f"idle: {service.waiting()} of {count} wait")
        shares = {part: used / seconds * 100 for part, used in cpu.items()}
        return Sample({"share": shares["service"], "memory": memory, "valkey": shares["valkey"]})


def _create(service: Product, count: int) -> set[str]:
    ids: set[str] = set()
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        service.submit(time.time() + FAR_SECONDS, SPREAD_SECONDS, size)
        ids |= set(service.answered(size).read_text().split("\n"))
    service.until_published()
    return ids


def _until_kept(site: Site, service: Product, ids: set[str], name: str) -> None:
    kept = {
        key.decode() if isinstance(key, bytes) else key
        for key in site.store.hkeys(service.key("jobs"))
    }
    if kept != ids:
        raise Broken(f"{name}: {len(ids - kept)} lost, {len(kept - ids)} strange")


def rebuild(site: Site, count: int) -> Sample:
    """From the start of a service whose Redis is empty until it emits."""
    with site.product() as service:
        ids = _create(service, count)
        service.stop()
        site.store.flushall()
        began = time.time()
        service.service.start(600)
        while not site.store.exists(service.key("emitting")):
            time.sleep(0.01)
        seconds = time.time() - began
        _until_kept(site, service, ids, "rebuild")
        return Sample({"seconds": seconds, "memory": memory_bytes(service.pid) / 1e6}, count)


def restore(site: Site, count: int) -> Sample:
    """From the command until its response is on Kafka."""
    path = site.file("ids")
    with site.product() as service:
        with Actor.python("loader", "loader", site.folder) as loader:
            place = {"bootstrap": site.kafka.bootstrap, "topic": service.names.resources}
            loader.ask(
                "announce", count=count, first=time.time() + FAR_SECONDS, ids=str(path), **place
            )
        site.watch(service.names.commands, "restoreResponse")
        with site.meter(service=service.pid).counting() as cpu:
            began = time.time()
            command(service.service.address, "restore", {"jobs": {"offset": 0}})
            told = site.reader.ask("collect", count=1, patience=600.0)
        _until_kept(site, service, set(path.read_text().split("\n")), "restore")
        return Sample({"seconds": told["last"] - began}, count, cpu)


def cycle(site: Site, count: int) -> Sample:
    """Jobs for now: created, queued, answered, gone."""
    with site.product() as service, Actor.python("cycle", "cycle", site.folder) as actor:
        place = {
            "address": service.service.address,
            "bootstrap": site.kafka.bootstrap,
            "url": site.valkey.url,
            "topic": service.names.jobs,
            "keys": [service.key("jobs"), service.key("runs")],
        }
        with site.meter(service=service.pid, worker=actor.pid).counting() as cpu:
            told = actor.ask("run", count=count, in_flight=2_000, **place)
        honest("cycle", told)
        return Sample({"rate": count / told["seconds"]}, count, cpu)


def emit_among(
    site: Site, service: Product, step: float, count: int, beside: Callable[[], object] = nothing
) -> Sample:
    """Emit `count` runs of a service that runs, and that the reader watches already."""
    armed = Armed(site.meter(service=service.pid), placing(service))
    for trial in range(TRIES):
        site.reader.ask("forget")
        if sample := attempt(site, armed, step, count, trial=trial, beside=beside):
            return sample
        site.reader.ask("collect", count=1 << 60, patience=QUIET_SECONDS)
    raise Broken(TOO_LATE)


def waiting(site: Site, count: int) -> Sample:
    """Lateness with none and with `count` waiting, the start, and memory."""
    runs = min(10_000, max(1_000, count // 100))
    with site.product() as service:
        site.watch(service.names.jobs)
        none = emit_among(site, service, 0.001, runs)
    site.clean()
    service = site.product()
    seconds = fill(site, service, count, now=time.time())
    site.make_topics(service.names.jobs)
    site.watch(service.names.jobs)
    began = time.time()
    service.service.launch()
    first = site.reader.ask("collect", count=1, patience=PATIENCE_SECONDS)["last"] - began
    with service:
        some = emit_among(site, service, 0.001, runs)
        figures = {
            "waiting": float(count),
            "p99-none": none.figures["p99"],
            "p99": some.figures["p99"],
            "ratio": some.figures["p99"] / none.figures["p99"],
            "first": first,
            "memory": memory_bytes(service.pid) / 1e6,
            "load": seconds,
        }
        return Sample(figures, runs, some.cpu)


def growth(site: Site, count: int) -> Sample:
    """Submitting, firing and lateness with none, and with 1, 10 and 100 times so many waiting."""
    figures = {}
    for others in (0, count // 100, count // 10, count):
        service = site.product()
        fill(site, service, others)
        with service:
            site.watch(service.names.jobs)
            service.submit(time.time() + FAR_SECONDS, SPREAD_SECONDS, BATCH)  # warms up
            size = max(BATCH, count // 20)
            told = service.submit(time.time() + FAR_SECONDS, SPREAD_SECONDS, size)
            service.answered(BATCH + size)
            fired = emit_among(site, service, 0.0, max(BATCH, count // 50))
            steady = emit_among(site, service, 0.001, max(1_000, count // 200))
            figures[f"submit {others}"] = size / told["seconds"]
            figures[f"fire {others}"] = fired.figures["rate"]
            figures[f"p50 {others}"] = steady.figures["p50"]
            figures[f"p99 {others}"] = steady.figures["p99"]
        site.clean()
    return Sample(figures)


NOISY_WAITING = 130_000
"""Jobs of others that a filtered Read has to look through."""


def noisy(site: Site, count: int) -> Sample:
    """Lateness at 1,000 runs a second without and beside a greedy client; the lease is kept."""
    with Actor.python("noise", "noise", site.folder) as noise, site.product() as service:
        address, waiting = service.service.address, NOISY_WAITING * count // 20_000
        noise.ask("fill", address=address, count=waiting, first=time.time() + FAR_SECONDS)
        service.until_published()
        site.watch(service.names.jobs)
        quiet = emit_among(site, service, 0.001, count)
        epoch = site.store.hget(service.key("meta"), "epoch")
        place = {"bootstrap": site.kafka.bootstrap, "topic": service.names.jobs}
        loud = emit_among(
            site, service, 0.001, count, lambda: noise.ask("start", address=address, **place)
        )
        told = noise.ask("stop")
        if site.store.hget(service.key("meta"), "epoch") != epoch:
            raise Broken("noisy: the lease was lost")
        if not all(told.get(kind) for kind in ("reads", "creates", "garbage")):
            raise Broken(f"noisy: the client was not heard: {told}")
        figures = {
            "p99-quiet": quiet.figures["p99"],
            "p99": loud.figures["p99"],
            "max": loud.figures["max"],
            "ratio": loud.figures["p99"] / quiet.figures["p99"],
            "lists": float(told.get("creates", 0) + told.get("updates", 0)),
            "reads": float(told["reads"]),
            "memory": memory_bytes(service.pid) / 1e6,
        }
        return Sample(figures, count, loud.cpu, loud.late)


RATES = (100, 500, 1_000, 2_000, 5_000, 10_000)


def load_curve(arm: Arm) -> Measure:
    """Lateness against runs a second."""

    def measure(site: Site, count: int) -> Sample:
        figures: dict[str, float] = {}
        for rate in RATES:
            seen = emit(site, arm, 1 / rate, max(100, count * rate // RATES[-1])).figures
            figures |= {f"{name} {rate}": seen[name] for name in ("p50", "p99")}
            site.clean()
        return Sample(figures)

    return measure


WORKLOADS = (
    Workload("cycle", 50_000, {PRODUCT: cycle}, least=2_000),
    Workload("noisy", 20_000, {PRODUCT: noisy}, least=2_000),
    Workload("idle", 1_000_000, {PRODUCT: idle}, least=10_000, long=True),
    Workload("rebuild", 1_000_000, {PRODUCT: rebuild}, least=5_000, long=True),
    Workload("restore", 1_000_000, {PRODUCT: restore}, least=5_000, long=True),
    Workload("growth", 1_000_000, {PRODUCT: growth}, least=10_000, long=True),
    Workload(
        "load-curve",
        50_000,
        {PRODUCT: load_curve(product), BARE: load_curve(bare)},
        least=5_000,
        long=True,
    ),
    # Last: for a minute after it the system is busy with the memory that was given back.
    Workload("waiting", 10_000_000, {PRODUCT: waiting}, least=100_000, long=True),
)
