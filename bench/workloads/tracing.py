"""The cost of traces (docs/tracing.md): CPU of the service for a call, without and with them."""

from __future__ import annotations

from bench.actors import Actor
from bench.site import Broken, Sample, Site
from bench.workloads import PRODUCT, Workload
from bench.workloads.submitting import SINGLES, later, until_stored, warm

SHARE = 0.01
"""Of the calls that are sampled, in the third measurement."""


def traced(site: Site, count: int) -> Sample:
    """Single calls with no trace, with a trace each, and with a trace of one in a hundred."""
    with Actor.python("collector", "collector", site.folder) as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.ask("start")["endpoint"]}
        share = {
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(SHARE),
        }
        off = _call_us(site, count, {})
        on = _call_us(site, count, endpoint)
        if collector.ask("take")["spans"] < count:
            raise Broken("traced: spans are missing")
        some = _call_us(site, count, {**endpoint, **share})
    return Sample({"off": off, "on": on, "some": some, "cost": on / off, "share": some / off})


def _call_us(site: Site, count: int, settings: dict[str, str]) -> float:
    """Microseconds of CPU of the service for a call."""
    with site.product(**settings) as product:
        warm(product)
        site.client.ask("prepare", **later(count), size=1)
        with site.meter(service=product.pid).counting() as cpu:
            site.client.ask("submit", in_flight=SINGLES)
        until_stored(product, count)
        return cpu["service"] / count * 1e6


WORKLOADS = (Workload("traced", 10_000, {PRODUCT: traced}, least=2_000),)
