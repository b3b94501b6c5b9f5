"""Clients that write, read and delete jobs, and note down what they were told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
from confluent_kafka import KafkaError, Message, Producer

from chaos.caller_thread import CallerThread
from chaos.clock import now_ms
from chaos.generator import INVALID, random_ask, to_job, with_schedule_of
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
    READ,
    REFUSED,
    UNKNOWN,
    UPDATE,
    UPSERT,
    WHEN,
    Ask,
    Recorder,
)
from tests.client.contract import DeleteRequest, JobFilter, JobList, JobReadRequest
from tests.client.grpc_client import JOBS

DEADLINE_SECONDS = 6.0
TRIGGERS = (NOW, NOW, WHEN, WHEN, WHEN, INTERVAL, INTERVAL, CRON)
OPEN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "ABORTED", "INTERNAL"}
"""Codes that leave the outcome open."""
METHODS = {CREATE: "Create", UPDATE: "Update", UPSERT: "Upsert", DELETE: "Delete", READ: "Read"}
EVENTS = {CREATE: "createJobs", UPDATE: "modifyJobs", DELETE: "deleteJobs"}


class GrpcCalls:
    """Calls to replicas, each written down."""

    def __init__(self, recorder: Recorder, addresses: Sequence[str]) -> None:
        self.recorder = recorder
        options = [("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 300)]
        self._channels = [grpc.insecure_channel(each, options=options) for each in addresses]

    def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            channel.close()

    def write(self, op: str, asks: Sequence[Ask], replica: int) -> tuple[str, list[str]]:
        """The outcome and the ids in the answer."""
        number = self.recorder.call(op, GRPC, now_ms(), jobs=asks)
        request = JobList(items=[to_job(ask) for ask in asks])
        outcome, answer = self._call(number, op, request, replica)
        return outcome, [job.id for job in answer.items] if answer else []

    def delete(self, ids: Sequence[str], replica: int) -> str:
        """Of these, or with none, of all."""
        op = DELETE if ids else DELETE_ALL
        number = self.recorder.call(op, GRPC, now_ms(), ids=ids)
        request = DeleteRequest(ids=ids, collection=not ids)
        return self._call(number, DELETE, request, replica)[0]

    def read(self, ids: Sequence[str], replica: int) -> tuple[str, Any]:
        """The outcome and the list."""
        number = self.recorder.call(READ, GRPC, now_ms(), ids=ids)
        return self._call(number, READ, JobReadRequest(filter=JobFilter(jobs_ids=ids)), replica)

    def _call(self, number: int, op: str, request: Any, replica: int) -> tuple[str, Any]:
        channel = self._channels[replica % len(self._channels)]
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        method = channel.unary_unary(JOBS + METHODS[op])
        try:
            raw = method(request.SerializeToString(), timeout=DEADLINE_SECONDS)
        except grpc.RpcError as fault:
            code = fault.code().name
            outcome = UNKNOWN if code in OPEN else REFUSED
            self.recorder.told(number, now_ms(), outcome, code)
            return outcome, None
        at = now_ms()
        answer = None if op == DELETE else JobList.FromString(raw)
        ids = [job.id for job in answer.items] if answer else []
        self.recorder.told(number, at, OK, answered=ids)
        return OK, answer


class KafkaCalls:
    """Events on the jobs topic, each written down; a header says which call it is."""

    def __init__(self, recorder: Recorder, bootstrap: str, topic: str) -> None:
        self.recorder = recorder
        self.topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                # After a message timeout librdkafka sends the later records once more.
                "message.timeout.ms": 600_000,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Wait until what was sent has arrived, or not."""
        self._producer.flush(60)

    def write(self, op: str, asks: Sequence[Ask]) -> None:
        """CreateJobs or modifyJobs."""
        number = self.recorder.call(op, KAFKA, now_ms(), jobs=asks)
        self._send(number, op, JobList(items=[to_job(ask) for ask in asks]))

    def delete(self, ids: Sequence[str]) -> None:
        """DeleteJobs."""
        number = self.recorder.call(DELETE, KAFKA, now_ms(), ids=ids)
        self._send(number, DELETE, DeleteRequest(ids=ids))

    def _send(self, number: int, op: str, request: Any) -> None:
        def delivered(error: KafkaError | None, _message: Message) -> None:
            self.recorder.told(number, now_ms(), UNKNOWN if error else OK)

        self._producer.produce(
            self.topic,
            request.SerializeToString(),
            EVENTS[op],
            partition=0,
            headers=[("call", str(number).encode())],
            on_delivery=delivered,
        )
        self._producer.poll(0)


class Sweeps:
    """Deletions of everything, which take jobs away from all callers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        """How many deletes of everything have begun or ended. A job may be gone if it changed."""

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """While one is under way."""
        with self._lock:
            self.count += 1
            try:
                yield
            finally:
                self.count += 1

    @contextmanager
    def away(self, count: int) -> Iterator[bool]:
        """None begins meanwhile; False if one has begun or ended since `count`."""
        with self._lock:
            yield self.count == count


class Caller(CallerThread):
    """One client in a thread of its own. No two callers touch the same ids."""

    JOIN_SECONDS = 30.0

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        grpc_calls: GrpcCalls | None = None,
        kafka_calls: KafkaCalls | None = None,
        pause: float,
        recurring: int,
        sweeps: Sweeps,
    ) -> None:
        super().__init__(name, seed, pause=pause)
        self.grpc = grpc_calls
        self.kafka = kafka_calls
        self.recurring = recurring
        self.living: dict[str, Ask] = {}
        """Ids that this caller believes to live, as it believes them to be."""
        self.sweeps = sweeps
        self.sure: dict[str, tuple[Ask, int]] = {}
        """Of those, recurring jobs whose last write was answered, and the sweeps before it."""
        self._unsure: set[str] = set()
        self._ids = 0

    def _choose(self) -> Callable[[], None]:
        recurring = [each for each in self.living.values() if each.recurs]
        if len(recurring) > self.recurring:
            return self._delete
        actions: dict[Callable[[], None], int] = {
            self._create: 10,
            self._update: 4 if self.living else 0,
            self._delete: 2 if self.living else 0,
        }
        if self.grpc:
            actions |= {self._upsert: 3, self._read: 4, self._create_wrongly: 1}
            actions[self._upsert_again] = 3 if self.sure else 0
        return self.rng.choices(list(actions), list(actions.values()))[0]

    def _ask(self, job_id: str | None = None) -> Ask:
        """A random job under this id, a new one, or one that the service chooses."""
        trigger = self.rng.choice(TRIGGERS)
        if job_id is None:
            self._ids += 1
            chosen = self.kafka is None and self.rng.random() < 0.3
            job_id = "" if chosen or trigger == NOW else f"{self.name}:{self._ids}"
        elif trigger == NOW:
            trigger = INTERVAL
        return random_ask(self.rng, trigger, job_id)

    def _some(self, most: int) -> list[str]:
        return self.rng.sample(sorted(self.living), min(len(self.living), most))

    def _create(self) -> None:
        self._write(CREATE, [self._ask() for _ in range(self.rng.choice((1, 1, 1, 2, 4)))])

    def _update(self) -> None:
        self._write(UPDATE, [self._change(each) for each in self._some(self.rng.choice((1, 1, 2)))])

    def _change(self, job_id: str) -> Ask:
        """Half of those that recur keep their schedule."""
        old = self.living[job_id]
        if old.recurs and self.rng.random() < 0.5:
            return with_schedule_of(self.rng, old, job_id)
        return self._ask(job_id)

    def _upsert(self) -> None:
        self._write(UPSERT, [self._ask(), *(self._change(each) for each in self._some(1))])

    def _upsert_again(self) -> None:
        """As it was: nothing must come of it."""
        job_id = self.rng.choice(sorted(self.sure))
        ask, count = self.sure[job_id]
        with self.sweeps.away(count) as lives:
            if lives:
                self._write(UPSERT, [replace(ask, id=job_id)])
            else:
                del self.sure[job_id]

    def _create_wrongly(self) -> None:
        """A list that must be refused as a whole: one item is invalid, or exists."""
        wrong = random_ask(self.rng, INVALID)
        recurring = [name for name, ask in self.living.items() if ask.recurs]
        if recurring and self.rng.random() < 0.5:
            wrong = self._ask(self.rng.choice(sorted(recurring)))
        self._write(CREATE, [self._ask(), wrong], keep=False)

    def _write(self, op: str, asks: list[Ask], *, keep: bool = True) -> None:
        if self.kafka:
            self.kafka.write(op, asks)
            ids = [ask.id for ask in asks]
        elif self.grpc:
            count = self.sweeps.count
            outcome, ids = self.grpc.write(op, asks, self.rng.randrange(100))
            self._note_certainty(outcome, ids, asks, count)
            if outcome == REFUSED and op == UPDATE:
                for ask in asks:  # most likely a one-time job that is over
                    if not self.living[ask.id].recurs:
                        del self.living[ask.id]
                return
            ids = ids or ([ask.id for ask in asks] if outcome == UNKNOWN else [])
        for job_id, ask in zip(ids, asks, strict=False):
            if keep and job_id and ask.trigger != NOW:
                self.living[job_id] = ask

    def _note_certainty(self, outcome: str, ids: list[str], asks: list[Ask], count: int) -> None:
        if outcome == UNKNOWN:
            self._unsure |= {ask.id for ask in asks}
        for job_id, ask in zip(ids or [ask.id for ask in asks], asks, strict=False):
            self.sure.pop(job_id, None)
            if outcome == OK and ask.recurs and job_id not in self._unsure:
                self.sure[job_id] = ask, count

    def _delete(self) -> None:
        ids = self._some(self.rng.choice((1, 1, 3)))
        for job_id in ids:
            self.sure.pop(job_id, None)
        if self.kafka:
            self.kafka.delete(ids)
        elif self.grpc and self.grpc.delete(ids, self.rng.randrange(100)) != OK:
            return
        for job_id in ids:
            del self.living[job_id]

    def _read(self) -> None:
        if self.grpc:
            self.grpc.read([*self._some(5), f"{self.name}:none"], self.rng.randrange(100))
