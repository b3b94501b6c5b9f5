"""Contenders that run, and the jobs that are put in place before they are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.actors import Failed
from bench.contenders.rivals import Rival
from bench.site import Meter, Product, Site

TRIES = 5
MARGIN_SECONDS = 0.3
"""Seconds of quiet before the first job is due."""


@dataclass
class Armed:
    """A contender that runs, and that the reader watches."""

    meter: Meter
    place: Callable[[float, float, int], Path]
    """Puts jobs in place: when the first is due, the seconds between two, how many; their ids."""
    pace: int = 15_000
    """Jobs a second that are surely put in place."""
    lead_seconds: float = 2.0
    """Between the last job that is sent at this pace and the first that is due."""
    crash: Callable[[], None] = lambda: None
    """SIGKILL to the service or worker; then it is started again."""
    recovery_seconds: float = 10.0
    """Without a run after a crash, until none comes any more."""


Arm = Callable[[Site], AbstractContextManager[Armed]]


def placing(service: Product) -> Callable[[float, float, int], Path]:
    """Jobs that are answered and announced."""

    def place(first: float, step: float, count: int) -> Path:
        service.submit(first, step, count)
        service.until_published()
        return service.answered(count)

    return place


@contextmanager
def product(site: Site, **settings: str) -> Iterator[Armed]:
    """The product."""
    with site.product(**settings) as service:
        site.watch(service.names.jobs)

        def crash() -> None:
            service.service.kill()
            service.service.launch()

        yield Armed(site.meter(service=service.pid), placing(service), crash=crash)


@contextmanager
def bare(site: Site, *, exactly_once: bool = True) -> Iterator[Armed]:
    """The bare loop."""
    with site.bare(exactly_once=exactly_once) as (actor, topics):
        site.watch(topics[0])

        def place(first: float, step: float, count: int) -> Path:
            path = site.file("ids")
            actor.ask("prepare", first=first, step=step, count=count)
            actor.ask("load", ids=str(path))
            actor.ask("start")
            return path

        yield Armed(site.meter(service=actor.pid), place)
        actor.ask("end")


@contextmanager
def rival(which: Rival, site: Site) -> Iterator[Armed]:
    """A contender; its worker starts when the jobs are there."""
    with which.running(site) as running:
        site.watch(running.topic)

        def place(first: float, step: float, count: int) -> Path:
            running.submit(first, step, count)
            path = running.accepted(site.file("ids"), count)
            running.actor.ask("start")
            return path

        meter = site.meter(service=running.actor.pid, **running.parts)
        yield Armed(
            meter,
            place,
            pace=which.pace,
            lead_seconds=which.lead_seconds,
            crash=running.crash,
            recovery_seconds=which.recovery_seconds,
        )
        running.actor.ask("end")


def in_place(armed: Armed, step: float, count: int, trial: int) -> tuple[float, Path] | None:
    """When the first job is due, and the ids; None when that came before all of them were there."""
    # Whole seconds: no contender rounds them, up or down.
    first = float(int(time.time() + (armed.lead_seconds + count / armed.pace) * 2**trial) + 1)
    try:
        ids = armed.place(first, step, count)
    except Failed:
        if time.time() < first:
            raise
        return None
    return (first, ids) if time.time() < first - MARGIN_SECONDS else None


def until_due(first: float) -> None:
    """Sleep until the jobs are almost due."""
    time.sleep(max(0.0, first - MARGIN_SECONDS - time.time()))
