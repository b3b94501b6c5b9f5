"""Emitting runs: all at one instant, steadily, again and again, and while others submit."""

from __future__ import annotations

import time
from functools import partial

from bench.actors import Reply
from bench.arming import MARGIN, TRIES, Arm, Armed, bare, bullmq, in_place, placing, product
from bench.site import Broken, Sample, Site, honest
from bench.workloads import BARE, BULLMQ, PRODUCT, Measure, Workload
from bench.workloads.submitting import FAR

PATIENCE = 20.0
TOO_LATE = "The jobs were due before they were there."
SECOND = 1.0


def emit(site: Site, arm: Arm, step: float, count: int) -> tuple[Reply, dict[str, float]]:
    """Emit `count` runs, `step` seconds apart, and check them; what the reader saw, and CPU."""
    for trial in range(TRIES):
        with arm(site) as armed:
            if placed := in_place(armed, step, count, trial):
                first, ids = placed
                time.sleep(max(0.0, first - MARGIN - time.time()))
                before = armed.meter.read()
                site.reader.ask("collect", count=count, patience=PATIENCE)
                cpu = armed.meter.since(before)
                seen = site.reader.ask("judge", ids=str(ids))
                honest("emitting", seen)
                return seen, cpu
        site.clean()
    raise Broken(TOO_LATE)


def fire(arm: Arm) -> Measure:
    """All at one instant, until the last one is read."""

    def measure(site: Site, count: int) -> Sample:
        seen, cpu = emit(site, arm, 0.0, count)
        rate = count / (seen["last"] - seen["nominal"])
        return Sample({"rate": rate, "p50": seen["p50"], "p99": seen["p99"]}, count, cpu)

    return measure


def steady(arm: Arm, rate: float) -> Measure:
    """`rate` runs a second: lateness from due to read."""

    def measure(site: Site, count: int) -> Sample:
        seen, cpu = emit(site, arm, 1 / rate, count)
        figures = {name: seen[name] for name in ("p50", "p99", "max")}
        figures["rate"] = count / (seen["last"] - seen["nominal"])
        return Sample(figures, count, cpu, seen["late"])

    return measure


RECURRING_PACE, RECURRING_BATCH = 0.05, 500
"""10,000 jobs are created over a second, as many clients would do it."""
RECURRING_SECONDS = 10.0


def recurring(site: Site, count: int) -> Sample:
    """Jobs of one second: every occurrence of ten seconds, each once."""
    with site.product() as service:
        site.watch(service.names.jobs)
        size = min(RECURRING_BATCH, count // 10)
        site.client.ask("prepare_recurring", interval="1 second", count=count, size=size)
        began = time.time()
        site.client.ask("submit", in_flight=64, pace=RECURRING_PACE * size / RECURRING_BATCH)
        ids = service.answered(count)
        since = max(time.time(), began + 1) + 1
        until = since + min(RECURRING_SECONDS, max(3.0, count / 1_000))
        site.reader.tell("collect", count=1 << 60, patience=3.0)
        time.sleep(max(0.0, since - time.time()))
        meter = site.meter(service=service.pid)
        before = meter.read()
        time.sleep(max(0.0, until - time.time()))
        cpu = meter.since(before)
        time.sleep(SECOND)  # runs that are late still count
        service.stop()
        site.reader.hear()
        order = {"interval": 1.0, "since": since, "until": until}
        seen = site.reader.ask("judge_rhythm", ids=str(ids), **order)
        honest("recurring", seen)
        figures = {name: seen[name] for name in ("p50", "p99", "max")}
        figures["missed"] = seen["lost"]
        return Sample(figures, seen["count"], cpu, seen["late"])


MIXED_RATE = 200
"""Single creates a second while others fire."""


def mixed(site: Site, count: int) -> Sample:
    """Single creates, one each 5 ms whatever the answers take, while jobs fire at one instant."""
    calls = int(MIXED_RATE * (2 + count / 20_000))
    for trial in range(TRIES):
        with site.product() as service:
            site.watch(service.names.jobs)
            armed = Armed(site.meter(service=service.pid), placing(service))
            if placed := in_place(armed, 0.0, count, trial):
                instant, ids = placed
                site.client.ask("prepare", first=instant + FAR, step=0.001, count=calls, size=1)
                time.sleep(max(0.0, instant - MARGIN - time.time()))
                site.client.tell("submit", in_flight=1000, pace=1 / MIXED_RATE)
                told = site.reader.ask("collect", count=count, patience=PATIENCE)
                site.client.hear()
                honest("mixed", site.reader.ask("judge", ids=str(ids)))
                late = site.client.ask("latencies", since=instant, until=told["last"])
                service.answered(calls)
                if not late["calls"]:
                    raise Broken("mixed: no call was under way while the jobs fired")
                return Sample({name: late[name] * 1000 for name in ("p50", "p99")}, count)
        site.clean()
    raise Broken(TOO_LATE)


at_least_once = partial(product, delivery="at_least_once")
plain = partial(bare, exactly_once=False)

WORKLOADS = (
    Workload("fire", 100_000, {PRODUCT: fire(product), BARE: fire(bare), BULLMQ: fire(bullmq)}),
    Workload(
        "steady",
        20_000,
        {
            PRODUCT: steady(product, 1_000),
            BARE: steady(bare, 1_000),
            BULLMQ: steady(bullmq, 1_000),
        },
        least=1_000,
    ),
    Workload(
        "steady-at-least-once",
        20_000,
        {PRODUCT: steady(at_least_once, 1_000), BARE: steady(plain, 1_000)},
        least=1_000,
    ),
    Workload(
        "steady-10k",
        100_000,
        {PRODUCT: steady(product, 10_000), BARE: steady(bare, 10_000)},
        least=5_000,
    ),
    Workload("recurring", 10_000, {PRODUCT: recurring}, least=500),
    Workload("mixed", 100_000, {PRODUCT: mixed}, least=2_000),
)
