"""Replicas of their own, a load on them, and a verdict at the end: what a failpoint is tried on."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import grpc
from confluent_kafka import Consumer

from chaos.generator import to_job
from chaos.history import (
    CREATE,
    CRON,
    DELETE,
    DELETE_ALL,
    GRPC,
    INTERVAL,
    KAFKA,
    NOW,
    OK,
    REFUSED,
    UNKNOWN,
    UPDATE,
    WHEN,
    Ask,
    Call,
    History,
)
from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import Record, Sender, alter_topic
from tests.client.worker import Worker, done, failed
from tests.e2e.product import fresh, now_ms
from tests.harness.fork_server import ForkServer
from tests.harness.given import Kafka, Store
from tests.harness.names import Names
from tests.harness.service import PATIENT, Service
from tests.harness.waiting import PATIENCE_SECONDS, eventually

LEASE = "600ms"
SILENT, HELD = "silent", "held"
"""Types of jobs that nobody answers, ever or before the end."""
REFUSALS = ("refuse.found", "refuse.set_aside")
"""Failpoints that a refusal may reach."""
FAR = now_ms() + 3_600_000
CALL = 3.0
"""Seconds that a call may take: longer than the longest pause."""
GRACE = 1_000
"""Milliseconds from now to what is due for certain after the call that asks for it."""
CERTAIN = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
}
LARGE = 850_000
"""Bytes of a job of which one call to the store takes four."""
SETTINGS = {
    **PATIENT,
    "SCHEDULING_LEASE": LEASE,
    "SCHEDULING_OFFSET_INTERVAL": "100ms",
    "SCHEDULING_LOG_LEVEL": "info",
    "SCHEDULING_LOG_FORMAT": "json",
    # A member that was killed is missed soon; one that was stopped for a while is not.
    "SCHEDULING_KAFKA_OPTIONS": '{"session.timeout.ms": 3000, "heartbeat.interval.ms": 300}',
}


class Lane:
    """Two replicas (or one), what clients did to them, and were told."""

    def __init__(  # noqa: PLR0917
        self,
        folder: Path,
        kafka: Kafka,
        store: Store,
        fork_server: ForkServer,
        count: int = 2,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.names = Names.unique()
        self.kafka, self.store = kafka, store
        self.history = History()
        self.delivery = (settings or {}).get("SCHEDULING_DELIVERY", "exactly_once")
        self.tolerated: set[grpc.StatusCode] = set()
        """Codes that a call may be answered with although that would be a fault otherwise."""
        self.buried = 0
        """Records that nobody can read."""
        self._failed: set[str] = set()
        self._refusal_seconds = CALL
        """How long a refusal is waited for: longer if the machine was too slow."""
        self._stack = ExitStack()
        self.replicas = [self._replica(folder, fork_server, settings or {}) for _ in range(count)]
        self.clients = [Client(each.address, timeout=CALL) for each in self.replicas]
        self.sender = Sender(kafka.bootstrap)
        self.worker = Worker(kafka.bootstrap, self.names.jobs, self._answer)

    def _replica(self, folder: Path, fork_server: ForkServer, settings: dict[str, str]) -> Service:
        log = folder / f"{self.names.namespace}-{fresh('replica')}.log"
        arms = log.with_suffix(".points")
        service = Service(
            self.names,
            log,
            bootstrap=self.kafka.bootstrap,
            redis_url=self.store.url,
            settings={**SETTINGS, "SCHEDULING_FAILPOINTS": f"@{arms}", **settings},
            fork_server=fork_server,
        )
        self._stack.callback(_end, service)
        return service

    def __enter__(self) -> Self:
        self.arm([], "")
        self.worker.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.worker.__exit__()
        for client in self.clients:
            client.__exit__()
        self.sender.__exit__()
        self._stack.close()

    # --- The replicas ---

    def arm(self, replicas: Sequence[Service], text: str) -> None:
        """From here on these replicas have these failpoints, and the others have none."""
        for replica in self.replicas:
            arms = replica.log.with_suffix(".points")
            fresh_file = arms.with_suffix(".new")
            fresh_file.write_text(text if replica in replicas else "")
            fresh_file.rename(arms)

    def hits(self, point: str) -> int:
        """How often the replicas said that they have reached the point."""
        needle = f'"point": "{point}"'
        return sum(
            needle in line
            for replica in self.replicas
            if replica.log.exists()
            for line in replica.log.read_text(errors="replace").splitlines()
        )

    def owner(self) -> Service | None:
        """Whose process id is in the lease's token."""
        with self.store.client() as client:
            token = str(client.get(f"{self.names.namespace}:{{0}}:lease") or "")
        alive = [each for each in self.replicas if each.process.alive]
        return next((each for each in alive if f"-{each.process.pid}-" in token), None)

    def client_of(self, replica: Service) -> Client:
        """Its client; of another one when it is dead."""
        alive = [each for each in self.replicas if each.process.alive]
        chosen = replica if replica in alive or not alive else alive[0]
        return self.clients[self.replicas.index(chosen)]

    def heal(self) -> set[int]:
        """Start what has ended, until all serve; returns the exit codes."""
        codes = set()

        def all_serve() -> bool:
            for replica in self.replicas:
                if not replica.process.alive:
                    if replica.log.exists():
                        codes.add(replica.exit_code())
                    replica.launch()
            return all(replica.is_serving() for replica in self.replicas)

        eventually(all_serve, what="all replicas serve", every=0.1)
        return codes

    # --- What makes a point be reached ---

    def lose_lease(self) -> None:
        with self.store.client() as client:
            client.delete(f"{self.names.namespace}:{{0}}:lease")

    def lose_store(self) -> None:
        lose_store(self.store, self.names)

    def stop_owner(self) -> None:
        if owner := self.owner():
            owner.process._running().send_signal(signal.SIGTERM)

    def join_group(self) -> None:
        """Another member comes and goes: partitions are shared out anew, twice."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "group.id": self.names.group_id,
                "session.timeout.ms": 3000,
                "heartbeat.interval.ms": 300,
                "log_level": 0,
            }
        )
        consumer.subscribe([self.names.jobs, self.names.commands])
        deadline = time.monotonic() + 3
        while not consumer.assignment() and time.monotonic() < deadline:
            consumer.poll(0.1)
        consumer.close()

    def bury(self) -> None:
        """A record that cannot be read."""
        self.sender.send(self.names.jobs, "createJobs", b"\xff\xff\xff")
        self.buried += 1

    def refuse(self) -> None:
        """A dead letter that its topic refuses for a while: it is sent again without its value."""
        before = sum(map(self.hits, REFUSALS))
        alter_topic(self.kafka.bootstrap, self.names.dead_letter, max_message_bytes=5_000)
        self.sender.send(self.names.jobs, "createJobs", b"\xff" * 10_000)
        self.buried += 1
        if not until(lambda: sum(map(self.hits, REFUSALS)) > before, self._refusal_seconds):
            self._refusal_seconds *= 2
        alter_topic(self.kafka.bootstrap, self.names.dead_letter, max_message_bytes=1_000_000)

    def restore(self, client: Client) -> None:
        with suppress(Refusal):
            client.command("restore", {"jobs": {"offset": 0}})

    # --- The load ---

    def begin(self, client: Client | None = None) -> None:
        """The jobs that are there all the time."""
        client = client or self.clients[0]
        self.write(client, Ask(fresh("rhythm"), INTERVAL, period=200))
        self.write(client, Ask(fresh("cron"), CRON, cron="* * * * * *"))
        self.write(client, Ask(fresh("held"), WHEN, HELD, due=now_ms() + GRACE))

    def round(self, client: Client) -> Iterator[None]:
        """One of everything that ends by itself; may be left between any two steps."""
        first = Ask(fresh("when"), WHEN, due=FAR)
        deleted = Ask(fresh("short"), INTERVAL, period=100)
        self.write(client, Ask(fresh("when"), WHEN, due=now_ms() + GRACE))
        yield
        self.event()
        if self.write(client, first):
            yield
            tag = f"{first.tag}#2"
            self.write(client, Ask(tag, WHEN, id=first.tag, due=now_ms() + GRACE), UPDATE)
        yield
        self.write(client, Ask(fresh("now"), NOW, attempts=2, backoff=30))
        yield
        if self.write(client, deleted):
            yield
            self._call(DELETE, lambda: client.delete(deleted.tag), ids=(deleted.tag,))
        yield

    def let_expire(self, client: Client) -> None:
        """Two runs that nobody answers."""
        self.write(client, Ask(fresh("silent"), NOW, SILENT, attempts=2))

    def delete_all(self, client: Client) -> None:
        """And begin again."""
        self._call(DELETE_ALL, lambda: client.delete(collection=True))
        self.begin(client)

    def write(self, client: Client, ask: Ask, op: str = CREATE) -> bool:
        """Create the job, or update it; whether that was acknowledged."""
        asked = replace(ask, id=ask.id or ask.tag)
        call = client.create if op == CREATE else client.update
        return self._call(op, lambda: call(to_job(asked)), jobs=(asked,)).outcome == OK

    def long_list(self, client: Client) -> None:
        """More than one call to the store may write: it goes in pieces."""
        self._write_large(
            client, [Ask(fresh("part"), NOW, attempts=2, backoff=30) for _ in range(5)]
        )

    def refused_list(self, client: Client) -> None:
        """The same, but the last of its ids is there already."""
        there = Ask(fresh("there"), WHEN, due=FAR)
        if self.write(client, there):
            parts = [Ask(fresh("part"), WHEN, due=FAR) for _ in range(5)]
            self._write_large(client, [*parts, Ask(fresh("again"), WHEN, id=there.tag, due=FAR)])
            self._call(DELETE, lambda: client.delete(there.tag), ids=(there.tag,))

    def _write_large(self, client: Client, asks: Sequence[Ask]) -> None:
        asked = [replace(ask, id=ask.id or ask.tag) for ask in asks]
        jobs = [to_job(ask) for ask in asked]
        for job in jobs:
            job.data.payload.add(value=bytes(LARGE))
        self._call(CREATE, lambda: client.create(*jobs), jobs=asked)

    def event(self, kind: str = "t") -> None:
        """A `now` job by Kafka."""
        ask = Ask(fresh("event"), NOW, kind)
        call = self._begun(CREATE, KAFKA, jobs=(replace(ask, id=ask.tag),))
        jobs = contract.JobList(items=[to_job(call.jobs[0])])
        headers = {"call": str(call.number)}
        self.sender.send(self.names.jobs, "createJobs", jobs, headers=headers)
        call.ended, call.outcome = now_ms(), OK

    def _call(
        self, op: str, act: Callable[[], object], jobs: Sequence[Ask] = (), ids: Sequence[str] = ()
    ) -> Call:
        call = self._begun(op, GRPC, tuple(jobs), tuple(ids))
        try:
            act()
        except Refusal as refusal:
            certain = refusal.code in CERTAIN
            call.outcome = REFUSED if certain else UNKNOWN
            call.code = "" if refusal.code in self.tolerated else refusal.code.name
        else:
            call.outcome = OK
        call.ended = now_ms()
        return call

    def _begun(
        self, op: str, via: str, jobs: tuple[Ask, ...] = (), ids: tuple[str, ...] = ()
    ) -> Call:
        call = Call(len(self.history.calls) + 1, op, via, now_ms(), jobs, ids)
        self.history.calls.append(call)
        return call

    def _answer(self, job: Any) -> Any:
        """Retries are tried by failing a `now` job the first time."""
        if job.type in {HELD, SILENT}:
            return None
        tag = job.data.payload[0].value.decode() if job.data.payload else ""
        if job.schedule_type == "NOW" and tag and tag not in self._failed:
            self._failed.add(tag)
            return failed(job)
        return done(job)

    def settle(self) -> None:
        """Returns when what was sent and asked for before has been handled and is on the topics."""
        kind = fresh("settle")
        self.clients[0].timeout = PATIENCE_SECONDS
        self.event(kind)
        eventually(
            lambda: any(_type(record) == kind for record in self.worker.queued),
            what="the run of an event",
        )


def lose_store(store: Store, names: Names) -> None:
    """As if Redis had lost everything, between two calls of the service."""
    script = "return redis.call('UNLINK', unpack(redis.call('KEYS', ARGV[1])))"
    with store.client() as client:
        client.eval(script, 0, f"{names.namespace}:*")


def _end(service: Service) -> None:
    if service.process.alive:
        service.kill()


def _type(record: Record) -> str:
    return str(record.parse(contract.ScheduledJob).type)


def until(ask: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    try:
        return eventually(ask, timeout=seconds, what="")
    except TimeoutError:
        return False
