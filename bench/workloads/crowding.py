"""One caller beside another one that floods the service: quotas (docs/security.md)."""

from __future__ import annotations

from bench.actors import Actor
from bench.site import Broken, Product, Sample, Site
from bench.workloads import PRODUCT, Workload
from bench.workloads.submitting import later

CALLS = 100
"""A second, of the caller that is measured."""
QUOTA = CALLS + 20
"""Calls a second of each caller."""


def crowded(site: Site, count: int) -> Sample:
    """The p99 of a caller's single calls beside a flood of another one, by that without."""
    quota = {"quota_calls": str(QUOTA)}
    with site.product(**quota) as product, Actor.python("flood", "flood", site.folder) as flood:
        _calls(site, product, CALLS)  # not counted: the first ones are slow
        alone = _calls(site, product, count)
        flood.ask("start", address=product.service.address)
        beside = _calls(site, product, count)
        told = flood.ask("stop")
        if told["refused"] < told["rate"] / 4:
            raise Broken(f"crowded: it was no flood: {told}")
        return Sample(
            {
                "ratio": beside / alone,
                "alone": alone * 1000,
                "beside": beside * 1000,
                "flood": told["rate"],
            }
        )


def _calls(site: Site, product: Product, count: int) -> float:
    """The p99 of calls at a steady rate, in seconds; each is answered."""
    site.client.ask("prepare", **later(count), size=1)
    told = site.client.ask("submit", in_flight=1_000, pace=1 / CALLS)
    product.answered(count)
    return float(told["p99"])


WORKLOADS = (Workload("crowded", 1_000, {PRODUCT: crowded}, least=300),)
