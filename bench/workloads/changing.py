"""How long no run is emitted when the owner dies, restarts, or hands over.

A job runs every 20 ms; what counts is when a read_committed consumer has its runs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from bench.actors import quantile
from bench.load import delete_all
from bench.site import Product, Sample, Site, honest
from bench.workloads import PRODUCT, Measure, Workload
from tests.harness.service import Service
from tests.harness.waiting import eventually

INTERVAL_SECONDS = 0.02
SETTLED_SECONDS = 1.0
"""Of even rhythm before and after each change."""
LONGEST_SECONDS = 15.0
"""A change that takes longer is not measured."""


@dataclass(frozen=True)
class Replicas:
    """Of one deployment."""

    product: Product
    services: Sequence[Service]

    def owner(self) -> Service | None:
        """The replica that emits: its process id is in the lease's token."""
        store, key = self.product.site.store, self.product.key
        token = store.get(key("lease")) if store.exists(key("emitting")) else b""
        marks = {each: f"-{each.process.pid}-" for each in self.services if each.process.alive}
        return next((each for each, mark in marks.items() if mark.encode() in (token or b"")), None)

    def settled_owner(self) -> Service:
        """The owner, once all replicas serve and the rhythm is even."""
        for each in self.services:
            each.wait_until_serving()
        owner = eventually(self.owner, what="an owner")
        time.sleep(SETTLED_SECONDS)
        return owner

    def until_another_owns(self, former: Service) -> None:
        """Return when a replica other than the former owner emits."""
        eventually(lambda: self.owner() not in {None, former}, what="another owner")


def standby(replicas: Replicas) -> float:
    """Kill the owner; another replica takes over. Returns the instant, in epoch seconds."""
    owner, began = replicas.settled_owner(), time.time()
    owner.kill()
    replicas.until_another_owns(owner)
    owner.launch()
    return began


def handover(replicas: Replicas) -> float:
    """Stop the owner; another replica takes over."""
    owner, began = replicas.settled_owner(), time.time()
    owner.stop()
    replicas.until_another_owns(owner)
    owner.launch()
    return began


def restart(replicas: Replicas) -> float:
    """Kill the only replica and start it again. Returns the instant of its "listening"."""
    owner = replicas.settled_owner()
    owner.kill()
    known = owner.log.stat().st_size
    owner.launch()
    return eventually(lambda: _said_at(owner, "listening", known), what="a replica that listens")


def _said_at(replica: Service, event: str, known: int) -> float | None:
    """When the replica said `event`, after its log had `known` bytes."""
    *lines, _ = replica.log.read_bytes()[known:].split(b"\n")
    said = (json.loads(line) for line in lines)
    times = (each["timestamp"] for each in said if each.get("event") == event)
    return next((datetime.fromisoformat(each).timestamp() for each in times), None)


@contextmanager
def deployed(site: Site, count: int) -> Iterator[Replicas]:
    """Replicas that serve, and a job that runs every 20 ms."""
    product = site.product(min_interval=f"{INTERVAL_SECONDS * 1000:.0f}ms", log_format="json")
    with ExitStack() as stack:
        stack.enter_context(product)
        others = [product.replica() for _ in range(count - 1)]
        for other in others:
            stack.callback(other.process.end)
            other.start()
        yield Replicas(product, [product.service, *others])


def change(happen: Callable[[Replicas], float], count: int, *, gap: bool = True) -> Measure:
    """Measure times without a run; `gap`: the longest one around each change, not from it on."""

    def measure(site: Site, changes: int) -> Sample:
        with deployed(site, count) as replicas:
            product = replicas.product
            site.watch(product.names.jobs)
            interval = f"{INTERVAL_SECONDS * 1000:.0f} ms"
            site.client.ask("prepare_recurring", interval=interval, count=1, size=1)
            site.client.ask("submit", in_flight=1)
            ids = product.answered(1)
            site.client.ask("disconnect")
            site.reader.tell("collect", count=1 << 60, patience=LONGEST_SECONDS)
            since = time.time()
            instants = [happen(replicas) for _ in range(changes)]
            address = replicas.settled_owner().address
            until = time.time()
            delete_all(address)
            site.reader.hear()
            span = {"since": since, "until": until - SETTLED_SECONDS}
            seen = site.reader.ask("judge_rhythm", ids=str(ids), interval=INTERVAL_SECONDS, **span)
            honest(happen.__name__, seen)
            told = site.reader.ask("silences", instants=instants, whole=gap)
        times = sorted(1000 * seconds for seconds in told["seconds"])
        return Sample(
            {"p50": statistics.median(times), "p99": quantile(times, 0.99), "max": times[-1]},
            changes,
        )

    return measure


WORKLOADS = (
    Workload("standby", 20, {PRODUCT: change(standby, 2)}, least=2, long=True),
    Workload("restart", 20, {PRODUCT: change(restart, 1, gap=False)}, least=2, long=True),
    Workload("handover", 20, {PRODUCT: change(handover, 2)}, least=2, long=True),
)
