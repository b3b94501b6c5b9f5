"""Contenders that run, and the jobs that are put in place before they are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.actors import Failed
from bench.bullmq import queue
from bench.site import Broken, Meter, Product, Site

IN_FLIGHT, BATCH = 8, 500
LEAD, LOAD_RATE = 2.0, 15_000
"""Jobs are due so many seconds, and one second for so many jobs, after they begin to be sent."""
TRIES = 5
MARGIN_SECONDS = 0.3
"""Seconds of quiet before the first job is due."""


@dataclass
class Armed:
    """A contender that runs, and that the reader watches."""

    meter: Meter
    place: Callable[[float, float, int], Path]
    """Puts jobs in place: when the first is due, the seconds between two, how many; their ids."""


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
        yield Armed(site.meter(service=service.pid), placing(service))


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
def bullmq(site: Site) -> Iterator[Armed]:
    """BullMQ, its jobs delayed."""
    with queue(site) as (actor, topic):
        site.watch(topic)

        def place(first: float, step: float, count: int) -> Path:
            path = site.file("ids")
            actor.ask("prepare", first=first, step=step, count=count)
            actor.ask("submit", size=BATCH, in_flight=IN_FLIGHT)
            if actor.ask("ids", path=str(path))["different"] != count:
                raise Broken("BullMQ did not take all jobs")
            actor.ask("start")
            return path

        yield Armed(site.meter(service=actor.pid), place)
        actor.ask("end")


def in_place(armed: Armed, step: float, count: int, trial: int) -> tuple[float, Path] | None:
    """When the first job is due, and the ids; None when that came before all of them were there."""
    # Whole seconds: no contender rounds them, up or down.
    first = float(int(time.time() + (LEAD + count / LOAD_RATE) * 2**trial) + 1)
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
