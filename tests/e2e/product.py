"""The product as a test holds it: its replicas, one client of each kind, and what they saw."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Self

from google.protobuf.message import DecodeError

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import Record, Sender, TopicReader
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import TooSlow, in_time

RFC3339_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

_numbers = count(1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def rfc3339(instant_ms: int) -> str:
    instant = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant_ms % 1000:03d}Z"


def in_ms(delay: int) -> tuple[int, str]:
    """An instant `delay` ms from now, and its `when` text.

    The service refuses it if it has elapsed on the way: see `Product.create_in`, `create_at`.
    """
    due = now_ms() + delay
    return due, rfc3339(due)


def instant(text: str) -> int:
    """The instant that a job shows as its `when`, in epoch milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def until(due: int) -> None:
    """Return after this instant."""
    eventually(lambda: now_ms() > due, what="a later time")


def tomorrow() -> str:
    """A `when` text that no test lives to see."""
    return f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%S}Z"


def fresh(prefix: str = "job") -> str:
    """A type or an id that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


@dataclass(frozen=True)
class Run:
    """One queuedJob record."""

    record: Record
    message: Any

    @property
    def instance(self) -> int:
        return int(self.message.id)

    @property
    def job_id(self) -> str:
        return self.record.headers["job-id"]

    @property
    def occurrence(self) -> str:
        return self.record.headers["occurrence-id"]

    @property
    def attempt(self) -> int:
        return int(self.record.headers["attempt"])

    @property
    def nominal(self) -> int:
        """When it was due, in epoch milliseconds."""
        text = self.record.headers["nominal-time"]
        assert RFC3339_MS.fullmatch(text), text
        return instant(text)

    def assert_not_early(self, due: int) -> None:
        """Due at exactly this instant, and not sent before it, to the millisecond."""
        assert self.nominal == due
        assert self.record.timestamp >= due
        assert self.record.read_at * 1000 >= due


class Product:
    """Replicas that share their names, with clients that are closed on leaving."""

    def __init__(self, bootstrap: str, names: Names, *replicas: Service) -> None:
        self.bootstrap = bootstrap
        self.names = names
        self.replicas = replicas
        self.client = Client(replicas[0].address, timeout=PATIENCE_SECONDS)
        self.reader = TopicReader(bootstrap, *names.topics)
        self.sender = Sender(bootstrap)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sender.__exit__()
        self.reader.__exit__()
        self.client.__exit__()

    @property
    def service(self) -> Service:
        """The replica that the gRPC client talks to."""
        return self.replicas[0]

    # --- what a client says by gRPC ---

    def create_in(self, delay: int, job: Any) -> int:
        """Create a job that is due `delay` ms after the service has it; answers when that is.

        However long the call takes, it never comes too late.
        """
        job.when = f"in {delay} milliseconds"
        (created,) = self.client.create(job).items
        return instant(created.when)

    def create_at(self, due: int, *jobs: Any) -> None:
        """Create jobs that are due at this very instant; raises TooSlow if it has elapsed."""
        for job in jobs:
            job.when = rfc3339(due)
        self._create_in_time(*jobs)

    def create_each_at(self, dues: Sequence[int], **fields: Any) -> None:
        """The same, a job for each instant."""
        self._create_in_time(*(contract.job(when=rfc3339(due), **fields) for due in dues))

    def _create_in_time(self, *jobs: Any) -> None:
        try:
            self.client.create(*jobs)
        except Refusal as refusal:
            if "elapsed time" in refusal.message:
                raise TooSlow("the service had the jobs before they were due") from refusal
            raise

    def end_before(self, due: int, *ids: str, end: str = "kill") -> None:
        """Kill or stop the service before its jobs with these ids are due.

        If that was too late, start it again, delete the jobs and raise TooSlow.
        """
        getattr(self.service, end)()
        ended = now_ms()
        if ended >= due:
            self.service.start()
            self.client.delete(*ids)
        in_time(ended < due, "the service had ended before the jobs were due")

    # --- what a client says by Kafka ---

    def send(self, event: str | None, message: Any, **options: Any) -> int:
        """An event on the jobs topic; answers its offset."""
        return self.sender.send(self.names.jobs, event, message, **options)

    def done(self, run: Run) -> int:
        answer = contract.JobDone(id=run.instance, schedule_type=run.message.schedule_type)
        return self.send("jobDone", answer, partition=run.record.partition)

    def failed(self, run: Run, error: str = "boom") -> int:
        answer = contract.JobFailed(
            id=run.instance, error=error, schedule_type=run.message.schedule_type
        )
        return self.send("jobFailed", answer, partition=run.record.partition)

    def settle(self, *, partition: int = 0, timeout: float = PATIENCE_SECONDS) -> None:
        """Returns when all that was said before has been handled, and its effects announced.

        A `now` job follows the records of its partition and its run follows their effects.
        """
        kind = fresh("settle")
        job = contract.job(type=kind, now=True)
        self.send("createJobs", contract.JobList(items=[job]), partition=partition)
        self.done(self.run(kind, timeout=timeout))

    # --- what a client sees on Kafka ---

    def runs(self, kind: str, count: int = 1, *, timeout: float = PATIENCE_SECONDS) -> list[Run]:
        """The runs of jobs of this type, once there are at least `count` of them."""
        return [
            Run(record, record.parse(contract.ScheduledJob))
            for record in self.reader.wait_for_all(
                lambda record: self._is_run(record, kind), count, timeout
            )
        ]

    def run(self, kind: str, number: int = 1, *, timeout: float = PATIENCE_SECONDS) -> Run:
        """The `number`-th run of jobs of this type."""
        return self.runs(kind, number, timeout=timeout)[number - 1]

    def run_of(self, job_id: str) -> Run:
        """The first run of this job."""
        record = self.reader.wait_for(
            lambda record: record.key == "queuedJob" and record.headers["job-id"] == job_id
        )
        return Run(record, record.parse(contract.ScheduledJob))

    def attempt(self, kind: str, nominal: int, attempt: int) -> Run:
        """The run of this type that was due at `nominal`, at its `attempt`-th attempt."""

        def fits(record: Record) -> bool:
            run = Run(record, None)
            return self._is_run(record, kind) and (run.nominal, run.attempt) == (nominal, attempt)

        record = self.reader.wait_for(fits)
        return Run(record, record.parse(contract.ScheduledJob))

    def runs_so_far(self, kind: str) -> list[Run]:
        """All runs that are on the topic at this moment."""
        self.reader.drain()
        return self.runs(kind, 0)

    def resource_events(self, *ids: str) -> list[tuple[str, str]]:
        """(event, job id) of these jobs in order, as they are on jobs.resource at this moment."""
        self.reader.drain()
        events = [(record.key, resource_id(record)) for record in self.resources()]
        return [(key, job_id) for key, job_id in events if job_id in ids]

    def resources(self) -> list[Record]:
        """What was read so far of jobs.resource."""
        return [record for record in self.reader.records if record.topic == self.names.resources]

    def created(self, job_id: str, number: int = 1, *, timeout: float = PATIENCE_SECONDS) -> Any:
        """The `number`-th Job announced as created with this id."""
        return self._announced("jobsCreated", job_id, number, timeout).parse(contract.Job)

    def deleted(self, job_id: str, number: int = 1, *, timeout: float = PATIENCE_SECONDS) -> Record:
        """The `number`-th record that announces this job as deleted."""
        return self._announced("jobsDeleted", job_id, number, timeout)

    def dead_letter(
        self, fits: Callable[[Record], bool], *, timeout: float = PATIENCE_SECONDS
    ) -> Record:
        return self.reader.wait_for(
            lambda record: record.topic == self.names.dead_letter and fits(record), timeout
        )

    def dead_letters(self) -> list[Record]:
        """All that are there at this moment."""
        self.reader.drain()
        return [record for record in self.reader.records if record.topic == self.names.dead_letter]

    def end_of(self, topic: str) -> int:
        """The offset behind the last record of partition 0 that was read, at this moment."""
        self.reader.drain()
        places = [
            record.offset + 1
            for record in self.reader.records
            if record.topic == topic and record.partition == 0
        ]
        return max(places, default=0)

    # --- short forms ---

    def ids(self, **request: Any) -> list[str]:
        """The ids that Read answers."""
        return [job.id for job in self.client.read(**request).items]

    def living(self, *ids: str) -> list[str]:
        """Which of these jobs Read shows."""
        return sorted(self.ids(filter=contract.JobFilter(jobs_ids=ids)))

    def finish(self, kind: str, runs: Sequence[Run] | None = None) -> None:
        """Answers the runs of this type, so that the test leaves nothing behind."""
        for run in self.runs_so_far(kind) if runs is None else runs:
            self.done(run)

    def _announced(self, event: str, job_id: str, number: int, timeout: float) -> Record:
        return self.reader.wait_for(
            lambda record: (
                record.topic == self.names.resources
                and record.key == event
                and resource_id(record) == job_id
            ),
            timeout,
            count=number,
        )

    def _is_run(self, record: Record, kind: str) -> bool:
        return (
            record.topic == self.names.jobs
            and record.key == "queuedJob"
            and record.parse(contract.ScheduledJob).type == kind
        )


def resource_id(record: Record) -> str:
    """The id that a jobsCreated or jobsDeleted speaks of; none where a test sent no protobuf."""
    kind = contract.Job if record.key == "jobsCreated" else contract.Deleted
    try:
        return str(record.parse(kind).id)
    except DecodeError:
        return ""
