"""Emitting runs: all at one instant, steadily, again and again, and while others submit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.arming import TRIES, Arm, Armed, bare, in_place, placing, product, rival, until_due
from bench.contenders.rivals import BULLMQ, RIVALS
from bench.site import Broken, Sample, Site, honest
from bench.workloads import BARE, PRODUCT, Measure, Workload
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
    figures = {name: seen[name] for name in ("p50", "p99", "max", "seen-p50", "seen-p99")}
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


def in_time(site: Site, arm: Arm, measure: Callable[[Armed, int], Sample | None]) -> Sample:
    """Start the contender and measure, again if the jobs were due before they were in place.

    `measure` gets the number of the trial. Each trial has twice the time of the one before.
    """
    for trial in range(TRIES):
        with arm(site) as armed:
            if sample := measure(armed, trial):
                return sample
        site.clean()
    raise Broken(TOO_LATE)


def emit(site: Site, arm: Arm, step: float, count: int) -> Sample:
    """The same by a contender that is started for it."""
    return in_time(site, arm, lambda armed, trial: attempt(site, armed, step, count, trial=trial))


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


KILLED_AFTER = 4
"""The kill comes when one of so many runs was read."""
UNDER_WAY_SECONDS = 0.2
"""After a kill, records that were sent before may still be read."""


def kill(arm: Arm, *tolerated: str) -> Measure:
    """SIGKILL while jobs of one instant are emitted, and a restart: the runs that came of it.

    Faults that are not `tolerated` ("lost", "doubled") make the measurement fail.
    """

    def count_faults(site: Site, armed: Armed, count: int, trial: int) -> Sample | None:
        if not (placed := in_place(armed, 0.0, count, trial)):
            return None
        first, ids = placed
        until_due(first)
        site.reader.ask("collect", count=count // KILLED_AFTER, patience=PATIENCE_SECONDS)
        site.reader.tell("collect", count=1 << 60, patience=armed.recovery_seconds)
        killed = time.time()
        armed.crash()
        site.reader.hear()
        seen = site.reader.ask("judge", ids=str(ids))
        if seen["last"] < killed + UNDER_WAY_SECONDS:
            raise Broken("kill: nothing was left to be emitted")
        honest("kill", {name: number for name, number in seen.items() if name not in tolerated})
        return Sample({name: seen[name] for name in ("lost", "doubled", "early")}, count)

    def measure(site: Site, count: int) -> Sample:
        return in_time(site, arm, lambda armed, trial: count_faults(site, armed, count, trial))

    return measure


at_least_once = partial(product, delivery="at_least_once")
plain = partial(bare, exactly_once=False)
ARMS = {each.name: partial(rival, each) for each in RIVALS}


def steady(rate: int, count: int, *, long: bool = False) -> list[Workload]:
    """`rate` runs a second: with exactly once beside all contenders, and at least once."""
    name = "steady" if rate == 1_000 else f"steady-{rate}"
    others = {} if long else {other: emitting(arm, rate) for other, arm in ARMS.items()}
    both = {PRODUCT: emitting(product, rate), BARE: emitting(bare, rate)}
    loose = {PRODUCT: emitting(at_least_once, rate), BARE: emitting(plain, rate)}
    return [
        Workload(name, count, both | others, least=rate, long=long),
        Workload(f"{name}-at-least-once", count, loose, least=rate, long=long),
    ]


WORKLOADS = (
    Workload(
        "fire",
        100_000,
        {
            PRODUCT: emitting(product),
            BARE: emitting(bare),
            BULLMQ.name: emitting(ARMS[BULLMQ.name]),
        },
    ),
    *steady(1_000, 20_000),
    *steady(200, 4_000),
    *steady(100, 2_000, long=True),
    *steady(10, 300, long=True),
    Workload(
        "steady-10k",
        100_000,
        {PRODUCT: emitting(product, 10_000), BARE: emitting(bare, 10_000)},
        least=5_000,
    ),
    Workload("kill", 20_000, {PRODUCT: kill(product)}, least=20_000),
    Workload("kill-at-least-once", 20_000, {PRODUCT: kill(at_least_once, "doubled")}, least=20_000),
    Workload(
        "kill-contenders",
        20_000,
        {name: kill(arm, "lost", "doubled") for name, arm in ARMS.items()},
        least=20_000,
        long=True,
    ),
    Workload("recurring", 10_000, {PRODUCT: recurring}, least=500),
    Workload("mixed", 100_000, {PRODUCT: mixed}, least=2_000),
)
