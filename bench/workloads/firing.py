"""Emitting runs: all at one instant, steadily, again and again, and while others submit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.arming import TRIES, Arm, Armed, bare, bullmq, in_place, placing, product, until_due
from bench.site import Broken, Sample, Site, honest
from bench.workloads import BARE, BULLMQ, PRODUCT, Measure, Workload
from bench.workloads.submitting import FAR_SECONDS

PATIENCE_SECONDS = 60.0
TOO_LATE = "The jobs were due before they were there."
SECOND = 1.0


def nothing() -> None:
    """Beside an emission that is measured alone."""


def judged(site: Site, ids: Path, count: int, cpu: dict[str, float]) -> Sample:
    """The runs of these jobs that the reader has collected, each once and none early."""
    seen = site.reader.ask("judge", ids=str(ids))
    honest("emitting", seen)
    figures = {name: seen[name] for name in ("p50", "p99", "max")}
    figures["rate"] = count / (seen["last"] - seen["nominal"])
    return Sample(figures, count, cpu, seen["late"])


def attempt(
    site: Site,
    armed: Armed,
    step: float,
    count: int,
    *,
    trial: int,
    beside: Callable[[], object] = nothing,
) -> Sample | None:
    """Emit `count` runs, `step` seconds apart; None if they were due before they were in place.

    `beside` is called when the jobs are in place, before the first one is due.
    """
    if not (placed := in_place(armed, step, count, trial)):
        return None
    first, ids = placed
    beside()
    until_due(first)
    with armed.meter.counting() as cpu:
        site.reader.ask("collect", count=count, patience=PATIENCE_SECONDS)
    return judged(site, ids, count, cpu)


def emit(site: Site, arm: Arm, step: float, count: int) -> Sample:
    """The same by a contender that is started for it."""
    for trial in range(TRIES):
        with arm(site) as armed:
            if sample := attempt(site, armed, step, count, trial=trial):
                return sample
        site.clean()
    raise Broken(TOO_LATE)


def emitting(arm: Arm, rate: float = math.inf) -> Measure:
    """`rate` runs a second, or all at one instant."""
    return lambda site, count: emit(site, arm, 1 / rate, count)


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
        with site.meter(service=service.pid).counting() as cpu:
            time.sleep(max(0.0, until - time.time()))
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
                site.client.ask(
                    "prepare", first=instant + FAR_SECONDS, step=0.001, count=calls, size=1
                )
                until_due(instant)
                site.client.tell("submit", in_flight=1000, pace=1 / MIXED_RATE)
                told = site.reader.ask("collect", count=count, patience=PATIENCE_SECONDS)
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
    Workload(
        "fire",
        100_000,
        {PRODUCT: emitting(product), BARE: emitting(bare), BULLMQ: emitting(bullmq)},
    ),
    Workload(
        "steady",
        20_000,
        {
            PRODUCT: emitting(product, 1_000),
            BARE: emitting(bare, 1_000),
            BULLMQ: emitting(bullmq, 1_000),
        },
        least=1_000,
    ),
    Workload(
        "steady-at-least-once",
        20_000,
        {PRODUCT: emitting(at_least_once, 1_000), BARE: emitting(plain, 1_000)},
        least=1_000,
    ),
    Workload(
        "steady-10k",
        100_000,
        {PRODUCT: emitting(product, 10_000), BARE: emitting(bare, 10_000)},
        least=5_000,
    ),
    Workload("recurring", 10_000, {PRODUCT: recurring}, least=500),
    Workload("mixed", 100_000, {PRODUCT: mixed}, least=2_000),
)
