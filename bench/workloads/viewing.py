"""The admin pages: the cost of viewers beside an emission, and how soon a page is painted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from bench.actors import Actor
from bench.arming import TRIES, Armed, placing
from bench.site import Broken, Product, Sample, Site
from bench.workloads import PRODUCT, Workload
from bench.workloads.firing import TOO_LATE, attempt
from bench.workloads.submitting import warm

VIEWERS = 20
RATE = 5_000
"""Runs a second."""
BURSTS = 15
"""One run of so many is due at one instant: 100,000 runs, as `fire` has."""
LEAD_SECONDS = 12.0
"""Viewers are there for about so long before the first run: the first pages load templates."""
PACE = 25_000
"""Jobs a second that are put in place: 1,500,000 need a minute, and that twice a round."""
PAINTED = {
    "/": "tbody tr",
    "/jobs": "tbody tr",
    "/upcoming": "tbody tr",
    "/runs": "section.empty",  # no job was due yet
    "/events": "table.events",  # it shows those since it was opened
    "/system": "tbody tr",
}
"""Pages, and an element that each has to show."""
LOOKS = 7
"""Loads of each page, each in a new browser session."""
CHUNK = 50_000
SOON_SECONDS, STEP_SECONDS = 3_600.0, 0.05
"""Jobs of the painted pages: none is due while it is measured, and the next day has many."""


class Emitted(NamedTuple):
    """An emission, and what viewers saw beside it."""

    sample: Sample
    seen: dict[str, Any]


class Side(NamedTuple):
    """With viewers or without: runs at the steady rate, and runs of one instant."""

    steady: Emitted
    burst: Emitted


def viewed(site: Site, count: int) -> Sample:
    """Runs alone and beside viewers: at a steady rate, and all at one instant.

    Each time by a service of its own. Which of the two is first changes from round to round.
    A round of 1,500,000 runs takes 14 minutes: five minutes and one to put them in place, twice,
    and the bursts.
    """
    alone_first = site.round % 2 == 0
    found: dict[bool, Side] = {}
    for with_viewers in (not alone_first, alone_first):
        viewers = VIEWERS if with_viewers else 0
        burst = _emitted(site, 0.0, count // BURSTS, viewers)
        found[with_viewers] = Side(_emitted(site, 1 / RATE, count, viewers), burst)
    return compared(found[False], found[True], count)


def compared(alone: Side, beside: Side, count: int) -> Sample:
    """Costs of viewers. They differ by chance: a cost below zero is shown as it is.

    All are percent. Of runs at the steady rate: `cost` is the loss of their rate, `p50-cost` and
    `p99-cost` their added lateness, and `share` the part of a core that the service uses more.
    `burst-cost` is the loss of the rate at which runs of one instant are emitted: then runs and
    viewers compete for all cores. `page` and `burst-page`: ms until all but 1 % of the pages are
    answered, both those that are asked for and those that renew themselves.
    """
    before, after = alone.steady.sample.figures, beside.steady.sample.figures
    bursts = alone.burst.sample.figures["rate"], beside.burst.sample.figures["rate"]
    shares = [each.steady.sample.cpu["service"] * RATE / count * 100 for each in (alone, beside)]
    return Sample(
        {
            "cost": _loss(before["rate"], after["rate"]),
            "alone-rate": before["rate"],
            "rate": after["rate"],
            "burst-cost": _loss(*bursts),
            "alone-burst-rate": bursts[0],
            "burst-rate": bursts[1],
            "share": shares[1] - shares[0],
            "alone-share": shares[0],
            **{f"{name}-cost": (after[name] / before[name] - 1) * 100 for name in ("p50", "p99")},
            **{f"alone-{name}": before[name] for name in ("p50", "p99")},
            **{name: after[name] for name in ("p50", "p99")},
            "page": beside.steady.seen["p99"] * 1000,
            "burst-page": beside.burst.seen["p99"] * 1000,
        },
        count,
        beside.steady.sample.cpu,
    )


def _loss(before: float, after: float) -> float:
    """Percent."""
    return (1 - after / before) * 100


def _emitted(site: Site, step: float, count: int, viewers: int) -> Emitted:
    for trial in range(TRIES):
        emitted = _tried(site, step, count, viewers, trial)
        site.clean()
        if emitted:
            return emitted
    raise Broken(TOO_LATE)


def _tried(site: Site, step: float, count: int, viewers: int, trial: int) -> Emitted | None:
    """None: the jobs were due before they were in place."""
    seen: dict[str, Any] = {}
    with site.product() as service, ExitStack() as stack:
        site.watch(service.names.jobs)
        warm(service)
        meter = site.meter(service=service.pid)
        armed = Armed(meter, placing(service), pace=PACE, lead_seconds=LEAD_SECONDS)

        def look() -> None:
            stack.enter_context(_viewing(site, service, viewers, seen))

        sample = attempt(site, armed, step, count, trial=trial, beside=look)
    return Emitted(sample, seen) if sample else None


@contextmanager
def _viewing(site: Site, service: Product, count: int, seen: dict[str, Any]) -> Iterator[None]:
    """Viewers look from before the first run. Afterwards `seen` has their figures."""
    if not count:
        yield
        return
    with Actor.python("viewers", "viewers", site.folder) as viewers:
        viewers.ask("start", base=service.service.admin_url, count=count)
        yield
        seen |= viewers.ask("stop")
    if seen["faults"] or not seen["messages"] or not seen["pages"]:
        raise Broken(f"viewed: {seen}")


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
            first_paint(chromium, base + "/", PAINTED["/"])  # not counted: templates are compiled
            medians = {
                path: statistics.median(
                    first_paint(chromium, base + path, shown) for _ in range(LOOKS)
                )
                for path, shown in PAINTED.items()
            }
    figures = {path.strip("/") or "overview": value for path, value in medians.items()}
    return Sample({"paint": max(figures.values()), **figures}, count)


def first_paint(chromium: Any, address: str, shown: str) -> float:  # noqa: ANN401 - imported at its use
    """Milliseconds. Raises `Broken` unless the page is answered and shows this element."""
    context = chromium.new_context()
    try:
        page = context.new_page()
        answer = page.goto(address)
        if answer is None or not answer.ok:
            raise Broken(f"painted: {address} was answered with {answer and answer.status}")
        if not page.locator(shown).count():
            raise Broken(f"painted: {address} shows no {shown}")
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
