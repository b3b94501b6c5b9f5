"""The service that is fuzzed: sends it a batch, and waits until it has dealt with all of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from chaos.fuzz_checker import Sent
from chaos.fuzz_doors import HEADER, TOKEN, credentials
from chaos.fuzz_inputs import COMMANDS_TOPIC, FAR, JOBS_TOPIC, Input
from chaos.fuzz_watch import WITNESS, Watch
from tests.client import raw_kafka
from tests.client.contract import CommandRequest, Data, Job, JobFilter, JobList, payload
from tests.client.grpc_client import JOBS, Client
from tests.harness.fork_server import ForkServer
from tests.harness.names import Names
from tests.harness.service import Service

CALL_SECONDS = 60.0
HANDLED_SECONDS, GRACE_SECONDS = 60.0, 5.0
"""How long a batch may take, and still may once the service has failed."""
FLUSH_SECONDS = 120.0


class Target:
    """One deployment, with topics and keys of its own."""

    def __init__(
        self, directory: Path, fork_server: ForkServer, *, bootstrap: str, redis_url: str, bug: str
    ) -> None:
        """`fork_server` is of `chaos.replica`; `bug` is one of `chaos.seeded`, or empty."""
        self.names = Names.unique()
        self.service = Service(
            self.names,
            directory / f"{self.names.namespace}.log",
            bootstrap=bootstrap,
            redis_url=redis_url,
            settings={
                "SCHEDULING_LOG_LEVEL": "error",
                "SCHEDULING_COMPLETION_TIMEOUT": "10m",
                **credentials(directory),
                "CHAOS_BUG": bug,
            },
            fork_server=fork_server,
        )
        self.bootstrap = bootstrap
        self.witnesses: list[str] = []
        """Ordinary one-time jobs of this round."""
        self.sound = True
        """Whether it has dealt with all batches so far."""
        self._logged = 0
        self._topics = {JOBS_TOPIC: self.names.jobs, COMMANDS_TOPIC: self.names.commands}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "message.max.bytes": 1_500_000,
                "log_level": 0,
            }
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self._end_service)
        self.service.start()
        self.client = self._stack.enter_context(
            Client(self.service.address, timeout=CALL_SECONDS, token=TOKEN)
        )
        self.watch = Watch(self.bootstrap, self.names, self._producer)
        self._stack.enter_context(self.watch.reader)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _end_service(self) -> None:
        if self.service.process.alive:
            self.service.kill()

    def send(self, batch: Sequence[Input]) -> list[Sent]:
        """Send all at once; returns when all is answered, or on its topic."""
        self.watch.begin_batch()
        sent, calls = [Sent(made) for made in batch], []
        for each in sent:
            if each.made.path:
                calls.append((each, self._call(each.made)))
            else:
                self._produce(each)
        self._flush()
        for each, call in calls:
            refusal = call.exception()
            each.code = refusal.code().name if refusal else "OK"
            each.sentence = refusal.details() or "" if refusal else ""
        return sent

    def finish(self, tag: str) -> bool:
        """Read all that the batch leads to; False if the service does not deal with it in time.

        Each topic has its order. So one more record of the service on each of them, asked for after
        the batch, shows that everything before it was read.
        """
        marker, witness = f"marker-{tag}", f"{WITNESS.decode()}{tag}"
        wrong = marker.encode()
        command = CommandRequest(name="health_check", payload=payload(f'{{"service": "{marker}"}}'))
        jobs = JobList(items=[lasting(marker), ordinary(witness, now=True)])
        self._record("createJobs", wrong, JOBS_TOPIC)
        self._record("createJobs", jobs.SerializeToString(), JOBS_TOPIC)
        self._record("healthCheckCommand", command.SerializeToString(), COMMANDS_TOPIC)
        self._flush()
        self.witnesses.append(witness)
        watch = self.watch

        def has_dealt() -> bool:
            return (
                watch.runs[witness] > 0
                and marker in watch.announced
                and any(wrong in each for each in watch.results)
                and any(wrong == each.value for each in watch.letters)
            )

        watch.until(lambda: has_dealt() or self._has_failed(), HANDLED_SECONDS)
        self.sound = watch.until(has_dealt, GRACE_SECONDS)
        watch.letters = [each for each in watch.letters if each.value != wrong]
        return self.sound

    def create_soon(self, count: int = 1) -> None:
        """Ordinary jobs over gRPC, in a second, each in a call of its own; all calls at once."""
        tags = [f"{WITNESS.decode()}{time.time_ns()}-{number}" for number in range(count)]
        self.witnesses += tags
        create: Any = self.client.channel.unary_unary(JOBS + "Create")
        lists = [JobList(items=[ordinary(tag, when="in 1 second")]) for tag in tags]
        about: dict[str, Any] = {"timeout": CALL_SECONDS, "metadata": self.client.metadata}
        calls = [create.future(each.SerializeToString(), **about) for each in lists]
        for call in calls:
            call.result()

    def living(self, *ids: str) -> list[str]:
        """Those of the jobs that are there."""
        return [job.id for job in self.client.read(filter=JobFilter(jobs_ids=ids)).items]

    def _has_failed(self) -> bool:
        return not self.service.process.alive or self.service.log.stat().st_size > self._logged

    def new_errors(self) -> str:
        """What the service has logged since this was asked."""
        with self.service.log.open(errors="replace") as log:
            log.seek(self._logged)
            text = log.read()
            self._logged = log.tell()
        return text

    def memory_mib(self) -> float:
        """Resident memory of the process."""
        asked = subprocess.run(  # noqa: S603
            ["ps", "-o", "rss=", "-p", str(self.service.process.pid)],  # noqa: S607 - wherever it is
            capture_output=True,
            text=True,
            check=True,
        )
        return int(asked.stdout) / 1024

    def _call(self, made: Input) -> Any:
        metadata = [(name.decode(), (value or b"").decode()) for name, value in made.headers]
        if HEADER not in dict(made.headers):
            metadata += [(HEADER.decode(), f"Bearer {TOKEN}")]
        stub: Any = self.client.channel.unary_unary(made.path)
        return stub.future(made.value, timeout=CALL_SECONDS, metadata=metadata)

    def _produce(self, sent: Sent) -> None:
        made, topic = sent.made, self._topics[sent.made.topic]

        def delivered(error: KafkaError | None, record: Message) -> None:
            if error:
                raise KafkaException(error)
            sent.place = topic, record.offset() or 0

        try:
            headers: list[tuple[str, str | bytes | None]]
            headers = [(name.decode(), value) for name, value in made.headers]
        except UnicodeDecodeError:  # librdkafka would not send it, other clients do
            key, value, odd = made.key, made.value, [*made.headers]
            sent.place = topic, raw_kafka.produce(self.bootstrap, topic, key, value, odd)
            return
        self._producer.produce(
            topic, made.value, made.key, partition=0, headers=headers, on_delivery=delivered
        )

    def _record(self, key: str, value: bytes, topic: str) -> None:
        self._producer.produce(self._topics[topic], value, key, partition=0)

    def _flush(self) -> None:
        if self._producer.flush(FLUSH_SECONDS):
            raise TimeoutError("Kafka does not take the records")


def ordinary(tag: str, **fields: Any) -> Any:
    """A job as it should be."""
    data = Data(timezone="UTC", creator="witness", payload=[payload(tag)])
    return Job(type="witness", data=data, **fields)


def lasting(tag: str) -> Any:
    """One that is there until it is deleted."""
    return ordinary(tag, id=tag, when=FAR)
