"""`make bench-quick`: the figures that the shape of the product has to reach, on real servers.

One Kafka and one Valkey (`appendfsync always`, acks=all, exactly_once), one replica, the client and
the consumer, all on this machine. Prints a table; exits 1 below a floor or when a check fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import redis

from bench.load import batches, delete_all, submit
from bench.observe import Observer, verdict
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer

FAR = 30 * 86_400.0
"""Seconds from now at which jobs wait that must not run meanwhile."""
BATCH, IN_FLIGHT = 500, 8


class Figure(NamedTuple):
    """One measured figure and its floor."""

    name: str
    value: float
    unit: str
    floor: float
    higher_is_better: bool

    @property
    def reached(self) -> bool:
        """Whether it is on the right side of its floor."""
        return self.value >= self.floor if self.higher_is_better else self.value <= self.floor


@dataclass(frozen=True)
class Bench:
    """The running servers."""

    service: Service
    observer: Observer
    store: redis.Redis
    scale: float

    def count(self, full: int) -> int:
        """A workload's size, for a smaller run."""
        return max(BATCH, int(full * self.scale))

    def send(self, whens: list[float], size: int = BATCH) -> tuple[list[str], float]:
        """Submit jobs; returns their ids and the rate."""
        sent = asyncio.run(submit(self.service.address, batches(whens, size), IN_FLIGHT))
        return sent.ids, sent.rate


def submit_rate(bench: Bench) -> list[Figure]:
    """Batches of 500, answered when durable and announced; and the memory of what then waits."""
    bench.send([time.time() + FAR] * bench.count(20_000))  # warms up JVM and connections
    delete_all(bench.service.address)
    before, count = _used_memory(bench), bench.count(50_000)
    ids, rate = bench.send([time.time() + FAR + i / 1000 for i in range(count)])
    if len(set(ids)) != count:
        raise SystemExit(f"submit: {count} sent, {len(set(ids))} answered")
    memory = (_used_memory(bench) - before) / count
    waiting = bench.store.hlen(f"{bench.service.names.namespace}:{{0}}:jobs")
    if waiting != count:
        raise SystemExit(f"submit: {count} answered, {waiting} waiting")
    delete_all(bench.service.address)
    return [
        Figure("submit, batches of 500", rate, "jobs/s", 20_000, higher_is_better=True),
        Figure("Redis per waiting job of 220 bytes", memory, "bytes", 600, higher_is_better=False),
    ]


def fire_rate(bench: Bench) -> list[Figure]:
    """20,000 jobs due at one instant, until the last one is read."""
    count, seen = bench.count(20_000), len(bench.observer.raw)
    instant = time.time() + 2 + count / 15_000
    ids, _ = bench.send([instant] * count)
    if time.time() >= instant:
        raise SystemExit("fire: the jobs were due before they were submitted")
    bench.observer.wait(seen + count, 10)
    arrivals = bench.observer.arrivals(seen)
    verdict(ids, arrivals).check("fire")
    last = max(arrival.at for arrival in arrivals)
    nominal = arrivals[0].nominal
    rate = count / (last - nominal)
    return [Figure("fire, 20,000 at one instant", rate, "runs/s", 15_000, higher_is_better=True)]


def lateness(bench: Bench) -> list[Figure]:
    """500 runs a second for twenty seconds: from due to read."""
    count, seen = bench.count(10_000), len(bench.observer.raw)
    begin = time.time() + 3
    ids, _ = bench.send([begin + i / 500 for i in range(count)])
    bench.observer.wait(seen + count, 10)
    arrivals = bench.observer.arrivals(seen)
    verdict(ids, arrivals).check("lateness")
    late = sorted((arrival.at - arrival.nominal) * 1000 for arrival in arrivals)
    return [
        Figure("lateness at 500/s, p50", statistics.median(late), "ms", 15, higher_is_better=False),
        Figure(
            "lateness at 500/s, p99",
            late[int(len(late) * 0.99)],
            "ms",
            1000,
            higher_is_better=False,
        ),
    ]


WORKLOADS: tuple[Callable[[Bench], list[Figure]], ...] = (submit_rate, fire_rate, lateness)


def run(scale: float) -> list[Figure]:
    """Start everything, measure, stop everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        for name in ("kafka", "valkey"):
            (folder / name).mkdir()
        kafka = KafkaServer(folder / "kafka", quick_start=False)
        valkey = ValkeyServer(folder / "valkey")
        for server in (kafka, valkey):
            stack.callback(server.stop)
            server.start()
        service = Service(
            Names.unique(),
            folder / "service.log",
            bootstrap=kafka.bootstrap,
            redis_url=valkey.url,
            settings={"SCHEDULING_LOG_LEVEL": "info"},
        )
        stack.callback(service.stop)
        service.start(60)
        observer = Observer(kafka.bootstrap, service.names.jobs)
        stack.callback(observer.close)
        bench = Bench(service, observer, valkey.client(), scale)
        return [figure for workload in WORKLOADS for figure in workload(bench)]


def _used_memory(bench: Bench) -> int:
    """Bytes that Redis uses once everything is published."""
    outbox = f"{bench.service.names.namespace}:{{0}}:outbox"
    while bench.store.llen(outbox) > 100:
        time.sleep(0.05)
    return int(bench.store.info("memory")["used_memory"])


def main() -> int:
    """Print the table; 0 if every floor was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the workloads, 1 = full")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--no-floors", action="store_true", help="only check, do not judge speed")
    options = parser.parse_args()
    figures = run(options.scale)
    for figure in figures:
        sign = ">=" if figure.higher_is_better else "<="
        mark = "" if figure.reached else "  BELOW THE FLOOR"
        sys.stdout.write(
            f"{figure.name:<38} {figure.value:>10,.1f} {figure.unit:<7} "
            f"floor {sign} {figure.floor:,.0f}{mark}\n"
        )
    sys.stdout.write("checked: nothing lost, doubled or early\n")
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=2))
    return 0 if options.no_floors or all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
