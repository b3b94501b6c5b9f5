"""`python -m bench.takeover`: how long nobody emits when an owner dies, restarts, or hands over.

A job runs every 20 ms; what counts is what a read_committed consumer has on the topic. Each run is
checked: every occurrence once, none early. Prints min, median and p99 for each kind of change:

* standby: SIGKILL of the owner while another replica stands by: the gap on the topic;
* restart: SIGKILL of the only replica, started again at once: from its "listening" to its first
  run;
* handover: SIGTERM of the owner while another replica stands by: the gap on the topic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import grpc

from bench.load import CREATE
from bench.observe import Arrival, Observer
from scheduling_srv.wire import job_pb2
from tests.harness.given import Kafka, Store
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

INTERVAL = 0.02
"""Seconds between runs."""
SETTLED = 0.5
"""Seconds of even rhythm around each change."""
PATIENCE = 30.0
"""Seconds that a change may take before the benchmark gives up."""


class Figure(NamedTuple):
    """What came of one kind of change, in seconds."""

    name: str
    bound: float
    times: Sequence[float]

    @property
    def p99(self) -> float:
        """The time that 99 of 100 changes do not exceed; with fewer of them, the longest."""
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * 0.99))]

    def row(self) -> str:
        """One line of the table, in milliseconds."""
        numbers = (min(self.times), statistics.median(self.times), self.p99)
        texts = "".join(f"{number * 1000:>10,.0f}" for number in numbers)
        mark = "" if self.p99 <= self.bound else "  ABOVE THE BOUND"
        return f"{self.name:<10}{len(self.times):>8}{texts}{self.bound * 1000:>10,.0f}{mark}"


@dataclass(frozen=True)
class Site:
    """Replicas that share their names, with a job every 20 ms and a consumer that watches."""

    replicas: Sequence[Service]
    observer: Observer
    store: Store

    def owner(self) -> Service | None:
        """The replica that holds the lease: its process id is in the lease's token."""
        names = self.replicas[0].names
        with self.store.client() as client:
            token = str(client.get(f"{names.namespace}:{{0}}:lease") or "")
        for replica in self.replicas:
            if replica.process.alive and f"-{replica.process.pid}-" in token:
                return replica
        return None

    def settled_owner(self) -> Service:
        """The owner, once all replicas serve and the rhythm is even."""
        for replica in self.replicas:
            replica.wait_until_serving(PATIENCE)
        owner = eventually(self.owner, timeout=PATIENCE, what="an owner")
        self.wait_for_runs_after(time.time() + SETTLED)
        return owner

    def wait_for_runs_after(self, instant: float) -> float:
        """When the first run arrived after `instant`."""
        return eventually(
            lambda: next((run.at for run in self.recent(instant) if run.at > instant), None),
            timeout=PATIENCE,
            what="a run",
        )

    def recent(self, since: float) -> list[Arrival]:
        """The runs that arrived from shortly before `since` on."""
        raw = self.observer.raw
        first = len(raw)
        while first and raw[first - 1][0] >= since - SETTLED:
            first -= 1
        return self.observer.arrivals(first)

    def gap(self, since: float) -> float:
        """The longest time without a run from `since` until the rhythm is even again."""
        self.wait_for_runs_after(self.wait_for_runs_after(time.time()) + SETTLED)
        times = [run.at for run in self.recent(since)]
        return max(later - earlier for earlier, later in pairwise(times))


def standby(site: Site) -> float:
    """Kill the owner; the other one takes over."""
    owner = site.settled_owner()
    began = time.time()
    owner.kill()
    gap = site.gap(began)
    owner.launch()
    return gap


def handover(site: Site) -> float:
    """Stop the owner; the other one takes over."""
    owner = site.settled_owner()
    began = time.time()
    owner.stop()
    gap = site.gap(began)
    owner.launch()
    return gap


def restart(site: Site) -> float:
    """Kill the only replica and start it again at once."""
    (replica,) = site.replicas
    site.settled_owner()
    replica.kill()
    known = replica.log.stat().st_size
    replica.launch()
    ready = eventually(
        lambda: _said(replica, "listening", known), timeout=PATIENCE, what="a replica that is ready"
    )
    return site.wait_for_runs_after(ready) - ready


class Change(NamedTuple):
    """A kind of change, how many replicas it needs, and what p99 it has to stay within."""

    happen: Callable[[Site], float]
    replicas: int
    bound: float


CHANGES = {
    "standby": Change(standby, 2, 5.0),
    "restart": Change(restart, 1, 2.0),
    "handover": Change(handover, 2, 0.2),
}


def _said(replica: Service, event: str, behind: int) -> float | None:
    """When the replica said `event`, after its log was `behind` bytes long."""
    *lines, _ = replica.log.read_bytes()[behind:].split(b"\n")
    for line in lines:
        said = json.loads(line)
        if said.get("event") == event:
            return datetime.fromisoformat(said["timestamp"]).timestamp()
    return None


@contextmanager
def running(
    folder: Path, kafka: Kafka, store: Store, replicas: int, **settings: str
) -> Iterator[Site]:
    """A site whose rhythm is checked at the end. `settings`: `lease="1s"` and the like."""
    names = Names.unique()
    environment = {f"SCHEDULING_{name.upper()}": value for name, value in settings.items()}
    environment |= {"SCHEDULING_MIN_INTERVAL": "20ms", "SCHEDULING_LOG_FORMAT": "json"}
    services = [
        Service(
            names,
            folder / f"{names.namespace}-{number}.log",
            bootstrap=kafka.bootstrap,
            redis_url=store.url,
            settings={**environment, "SCHEDULING_LOG_LEVEL": "info"},
        )
        for number in range(replicas)
    ]
    with ExitStack() as stack:
        for service in services:
            service.start(PATIENCE)
            stack.callback(_end, service)
        _create_rhythm(services[0].address)
        observer = Observer(kafka.bootstrap, names.jobs)
        stack.callback(observer.close)
        yield Site(services, observer, store)
        check_rhythm(observer.arrivals())


def _end(service: Service) -> None:
    if service.process.alive:
        service.wait_until_serving(PATIENCE)
        service.stop()


def _create_rhythm(address: str) -> None:
    job = job_pb2.Job(id="rhythm", type="rhythm", interval=f"{INTERVAL * 1000:.0f} ms")
    job.data.creator = "bench"
    with grpc.insecure_channel(address) as channel:
        request = job_pb2.JobList(items=[job]).SerializeToString()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CREATE)
        call(request, timeout=PATIENCE, wait_for_ready=True)


def check_rhythm(arrivals: Sequence[Arrival]) -> None:
    """Every occurrence once and in order, none early; else the figures do not count."""
    nominals = [round(run.nominal * 1000) for run in arrivals]
    steps = {later - earlier for earlier, later in pairwise(nominals)}
    early = sum(run.written < run.nominal for run in arrivals)
    if steps != {round(INTERVAL * 1000)} or early:
        msg = f"runs were {sorted(steps)} ms apart, {early} of {len(nominals)} early"
        raise SystemExit(msg)


def measure(folder: Path, kafka: Kafka, store: Store, name: str, trials: int) -> Figure:
    """One kind of change, `trials` times."""
    change = CHANGES[name]
    with running(folder, kafka, store, change.replicas) as site:
        return Figure(name, change.bound, [change.happen(site) for _ in range(trials)])


def main() -> int:
    """Print the table; 0 if every p99 is within its bound."""
    parser = argparse.ArgumentParser(description="Take-over and hand-over, measured on the topic.")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", choices=CHANGES, action="append", help="may be repeated")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="takeover-")))
        kafka = KafkaServer(folder / "kafka", quick_start=False)
        valkey = ValkeyServer(folder / "valkey")
        for server in (kafka, valkey):
            server.directory.mkdir()
            stack.callback(server.stop)
            server.start()
        _say(f"{'change':<10}{'trials':>8}{'min':>10}{'median':>10}{'p99':>10}{'bound':>10}   ms")
        figures = []
        for name in options.only or CHANGES:
            figures.append(measure(folder, kafka, valkey, name, options.trials))
            _say(figures[-1].row())
    _say("checked: every occurrence once, none early")
    return 0 if all(figure.p99 <= figure.bound for figure in figures) else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
