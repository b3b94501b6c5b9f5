"""Writes docs/metrics.md, from the metrics of the code: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from scheduling_srv.runtime import metrics

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

BEGIN = """\
# Metrics

<!-- Written by `make docs` from server/src/scheduling_srv/runtime/metrics.py: change that. -->

`/metrics` at `SCHEDULING_ADMIN_ADDRESS` has them in the text format of Prometheus, beside those of
Python and of the process. Times are in seconds.

`type` is the type of a job if `SCHEDULING_METRICS_TYPES` names it, and else `other`: types come
from clients, and each value is a time series. Without that setting all types are `other`.

Counters and histograms are those of one replica: add them up. Figures of Redis are the same on each
replica: take the maximum. While Redis does not answer they are left out, and `scheduling_serving`
is 0.
"""
OF_REPLICA = """\
## Of this replica
"""
OF_REDIS = """\
## Of Redis

Each page asks Redis for them, at most once a second and for at most half a second.
"""
HEAD = "| metric | type | labels | meaning |\n|---|---|---|---|\n"


class Row(NamedTuple):
    """A metric as operators see it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        labels = ", ".join(f"`{label}`" for label in self.labels)
        return f"| `{self.name}` | {self.kind} | {labels} | {self.sentence} |\n"


def of_replica() -> Iterator[Row]:
    """Every metric that the code has as such."""
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            total = "_total" if isinstance(metric, Counter) else ""
            labels = tuple(metric._labelnames)  # noqa: SLF001 - there is no public name
            yield Row(family.name + total, family.type, labels, family.documentation)


def of_redis() -> Iterator[Row]:
    """Every metric that Redis is asked for."""
    for name, sentence in metrics.STORE.HELP.items():
        yield Row(name, "gauge", tuple(metrics.STORE.LABELS.get(name, ())), sentence)


def registered() -> set[str]:
    """The names of all metrics of this product, as the registry knows them."""
    names = REGISTRY._names_to_collectors  # noqa: SLF001 - there is no public name
    return {name for name in names if name.startswith("scheduling_")}


def page() -> str:
    """The page as it has to be."""
    replica, redis = sorted(of_replica()), sorted(of_redis())
    rows = HEAD + "".join(map(str, replica)), HEAD + "".join(map(str, redis))
    return "\n".join((BEGIN, OF_REPLICA, rows[0], OF_REDIS, rows[1]))


if __name__ == "__main__":
    PAGE.write_text(page())
