"""The admin pages: the cost of viewers beside an emission, and how soon a page is painted."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.actors import Actor
from bench.arming import Armed, in_place, placing, until_due
from bench.site import Broken, Product, Sample, Site
from bench.workloads import PRODUCT, Workload
from bench.workloads.firing import PATIENCE_SECONDS, judged
from bench.workloads.submitting import warm

VIEWERS = 20
RATE = 5_000
"""Runs a second."""
TRIES = 3
PAINTED = ("/", "/jobs", "/upcoming", "/runs", "/events", "/system")
LOOKS = 7
"""Loads of each page, each in a new browser session."""
_TURNS = itertools.count()
CHUNK = 50_000
SOON_SECONDS, STEP_SECONDS = 3_600.0, 0.05
"""Jobs of the painted pages: none is due while it is measured, and the next day has many."""


def viewed(site: Site, count: int) -> Sample:
    """Runs at a steady rate, alone and beside viewers: each time by a service of its own.

    Which of the two is first changes from round to round.
    """
    alone_first = next(_TURNS) % 2 == 0
    found: dict[bool, Sample] = {}
    told: dict[str, Any] = {}
    for with_viewers in (not alone_first, alone_first):
        with site.product() as service:
            found[with_viewers], seen = _emitted(site, service, count, with_viewers=with_viewers)
            told |= seen
        site.clean()
    alone, beside = found[False], found[True]
    rates = {name: sample.figures["rate"] for name, sample in (("a", alone), ("b", beside))}
    seconds = count / rates["b"]
    more = beside.cpu["service"] - alone.cpu["service"]
    return Sample(
        {
            "cost": max(0.0, 1 - rates["b"] / rates["a"]) * 100,
            "rate": rates["b"],
            "share": more / seconds * 100,
            "alone-p50": alone.figures["p50"],
            "p50": beside.figures["p50"],
            "alone-p99": alone.figures["p99"],
            "p99": beside.figures["p99"],
            "page": told["p99"] * 1000,
        },
        count,
        beside.cpu,
    )


def _emitted(
    site: Site, service: Product, count: int, *, with_viewers: bool
) -> tuple[Sample, dict[str, Any]]:
    """The sample, and what the viewers saw."""
    site.watch(service.names.jobs)
    warm(service)
    armed = Armed(site.meter(service=service.pid), placing(service))
    for trial in range(TRIES):
        if placed := in_place(armed, 1 / RATE, count, trial):
            break
    else:
        raise Broken("The jobs were due before they were there.")
    first, ids = placed
    with _viewing(site, service, VIEWERS if with_viewers else 0) as told:
        until_due(first)
        with armed.meter.counting() as cpu:
            site.reader.ask("collect", count=count, patience=PATIENCE_SECONDS)
    return judged(site, ids, count, cpu), told


@contextmanager
def _viewing(site: Site, service: Product, count: int) -> Iterator[dict[str, Any]]:
    """Viewers, who look from before the first run on; afterwards what they saw."""
    told: dict[str, Any] = {}
    if not count:
        yield told
        return
    with Actor.python("viewers", "viewers", site.folder) as viewers:
        viewers.ask("start", base=service.service.admin_url, count=count)
        yield told
        told |= viewers.ask("stop")
    if told["faults"] or not told["messages"] or not told["pages"]:
        raise Broken(f"viewed: {told}")


def painted(site: Site, count: int) -> Sample:
    """Milliseconds to the first paint of each page in Chromium, with `count` jobs."""
    from tests.harness.chromium import browser  # noqa: PLC0415 - other workloads need none

    with site.product() as service:
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            first = time.time() + SOON_SECONDS + start * STEP_SECONDS
            service.submit(first, STEP_SECONDS, size)
            service.answered(size)
        service.until_published()
        with browser() as chromium:
            base = service.service.admin_url
            _first_paint(chromium, base + PAINTED[0])  # not counted: templates are compiled
            medians = {
                path: statistics.median(_first_paint(chromium, base + path) for _ in range(LOOKS))
                for path in PAINTED
            }
    figures = {path.strip("/") or "overview": value for path, value in medians.items()}
    return Sample({"paint": max(figures.values()), **figures}, count)


def _first_paint(chromium: Any, address: str) -> float:  # noqa: ANN401 - imported at its use
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(address)
        found = page.wait_for_function(
            "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        )
        return float(found.json_value())
    finally:
        context.close()


WORKLOADS = (
    Workload("viewed", RATE * 300, {PRODUCT: viewed}, least=RATE * 4),
    Workload("painted", 1_000_000, {PRODUCT: painted}, least=2_000, long=True),
)
