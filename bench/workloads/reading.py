"""Reads of scheduling.v1 while many jobs wait and runs are emitted."""

from __future__ import annotations

from bench.actors import Actor
from bench.site import Broken, Sample, Site
from bench.workloads import PRODUCT, Workload
from bench.workloads.keeping import emit_among, fill

LEAST_RUNS, MOST_RUNS = 30_000, 60_000
"""At 1,000 a second: there are 150 reads of each kind at least, so a p99 is not the maximum."""
KINDS = ("get", "list", "upcoming", "overview")


def v1_reads(site: Site, count: int) -> Sample:
    """Get, pages of lists, upcoming and overview, beside 1,000 runs a second; ms."""
    runs = min(MOST_RUNS, max(LEAST_RUNS, count // 100))
    service = site.product()
    seconds = fill(site, service, count, varied=True)
    with service, Actor.python("reads", "reads", site.folder) as reads:
        site.watch(service.names.jobs)
        place = {"address": service.service.address, "count": count}
        seen = emit_among(site, service, 0.001, runs, lambda: reads.ask("start", **place))
        told = reads.ask("stop")
        if not all(told.get(kind) for kind in KINDS):
            raise Broken(f"v1-reads: calls were not answered: {told}")
        figures = {
            f"{kind}-{name}": told[kind][name] for kind in KINDS for name in ("p50", "p99", "max")
        }
        figures |= {
            "waiting": float(count),
            "p99": seen.figures["p99"],
            "calls": float(sum(told[kind]["calls"] for kind in KINDS)),
            "load": seconds,
        }
        return Sample(figures, runs, seen.cpu, seen.late)


WORKLOADS = (Workload("v1-reads", 10_000_000, {PRODUCT: v1_reads}, least=20_000, long=True),)
