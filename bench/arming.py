"""Contenders with their jobs in place, before these are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bullmq import queue
from bench.site import Broken, Meter, Site

IN_FLIGHT, BATCH = 8, 500


@dataclass
class Armed:
    """A contender that will emit what waits."""

    meter: Meter
    ids: Path
    """The file of the ids of what waits."""


Arm = Callable[[Site, float, float, int], AbstractContextManager[Armed]]
"""Takes when the first job is due, the seconds between two, and how many there are."""


@contextmanager
def product(site: Site, first: float, step: float, count: int, **settings: str) -> Iterator[Armed]:
    """The product, its jobs answered and announced."""
    with site.product(**settings) as service:
        site.watch(service.names.jobs)
        service.submit(first, step, count)
        service.until_published()
        yield Armed(site.meter(service=service.pid), service.answered(count))


@contextmanager
def bare(
    site: Site, first: float, step: float, count: int, *, exactly_once: bool = True
) -> Iterator[Armed]:
    """The bare loop, its jobs in Redis."""
    with site.bare(exactly_once=exactly_once) as (actor, topics):
        site.watch(topics[0])
        path = site.file("ids")
        actor.ask("prepare", first=first, step=step, count=count)
        actor.ask("load", ids=str(path))
        actor.ask("start")
        yield Armed(site.meter(service=actor.pid), path)
        actor.ask("end")


@contextmanager
def bullmq(site: Site, first: float, step: float, count: int) -> Iterator[Armed]:
    """BullMQ, its jobs delayed."""
    with queue(site) as (actor, topic):
        site.watch(topic)
        path = site.file("ids")
        actor.ask("prepare", first=first, step=step, count=count)
        actor.ask("submit", size=BATCH, in_flight=IN_FLIGHT)
        if actor.ask("ids", path=str(path))["different"] != count:
            raise Broken("BullMQ did not take all jobs")
        actor.ask("start")
        yield Armed(site.meter(service=actor.pid), path)
        actor.ask("end")
