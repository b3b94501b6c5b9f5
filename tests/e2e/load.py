"""Clients under load, who write down what they did and what they were told."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import grpc

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import Record, Sender, TopicReader
from tests.client.worker import Worker, done, failed
from tests.e2e.checker import (
    FOREVER,
    Announcement,
    Answer,
    Observed,
    Outcome,
    Removal,
    Run,
    Step,
    Trigger,
    Write,
)
from tests.e2e.product import Run as QueuedRun
from tests.e2e.product import now_ms, rfc3339
from tests.harness.names import Names
from tests.harness.waiting import eventually

TYPE = "load"
PERIODS = (200, 500, 700)
BACKOFFS = (0, 50, 200)
CALL_TIMEOUT = 30.0
QUIET = 2.5

OUTCOMES = {
    grpc.StatusCode.UNAVAILABLE: Outcome.UNKNOWN,
    grpc.StatusCode.CANCELLED: Outcome.UNKNOWN,
    grpc.StatusCode.NOT_FOUND: Outcome.REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: Outcome.REFUSED,
    # The call had to wait for a replica, and its time has passed meanwhile.
    grpc.StatusCode.INVALID_ARGUMENT: Outcome.REFUSED,
}
"""What a status means; any other one fails the test."""


@dataclass(frozen=True)
class Place:
    """Where the product is."""

    bootstrap: str
    names: Names
    addresses: tuple[str, ...]


class Submitter:
    """One client: makes jobs of all kinds until it is told to stop, one step after the other."""

    def __init__(self, place: Place, seed: int, number: int) -> None:
        self.history: list[Step] = []
        self.recurring: list[str] = []
        """Ids of interval jobs that are still to be deleted."""
        self._random = random.Random(f"{seed}-{number}")
        self._place = place
        self._clients = [Client(address, timeout=CALL_TIMEOUT) for address in place.addresses]
        self._sender = Sender(place.bootstrap)
        self._ids = (f"c{number}-{serial}" for serial in count())
        self._versions = count()

    def run_until(self, stopping: threading.Event) -> None:
        """Makes one story after the other."""
        stories = [self._now, self._now_batch, self._by_event, self._when, self._when]
        stories += [self._updated, self._deleted, self._interval]
        while not stopping.is_set():
            self._random.choice(stories)()
            stopping.wait(self._random.uniform(0, 0.05))

    def end_all(self) -> None:
        """Deletes the interval jobs that are left."""
        for job_id in self.recurring:
            self._delete(job_id)
        self.recurring = []
        self._sender.__exit__()
        for client in self._clients:
            client.__exit__()

    # --- stories: what becomes of one job, or some ---

    def _now(self) -> None:
        self._write("create", self._version(Trigger.NOW))

    def _now_batch(self) -> None:
        self._write("create", *(self._version(Trigger.NOW) for _ in range(10)))

    def _when(self) -> None:
        self._write("create", self._version(Trigger.WHEN, delay=self._random.randint(0, 2000)))

    def _by_event(self) -> None:
        """Of a kind that cannot be refused, however late it is read: no answer tells of that."""
        version = replace(self._version(Trigger.NOW), begun=now_ms())
        event = contract.JobList(items=[as_job(version)])
        self._sender.send(self._place.names.jobs, "createJobs", event, timeout=CALL_TIMEOUT)
        self.history.append(version)

    def _updated(self) -> None:
        first = self._version(Trigger.WHEN, delay=self._random.randint(50, 1000))
        self._write("create", first)
        again = self._version(Trigger.WHEN, first.job_id, delay=self._random.randint(50, 1000))
        self._write("update", again)

    def _deleted(self) -> None:
        version = self._version(Trigger.WHEN, delay=self._random.randint(0, 300))
        self._write("create", version)
        self._delete(version.job_id)

    def _interval(self) -> None:
        if len(self.recurring) > 3:
            place = self._random.randrange(len(self.recurring))
            self._delete(self.recurring.pop(place))
        version = self._version(Trigger.INTERVAL)
        if self._write("create", version) is not Outcome.REFUSED:
            self.recurring.append(version.job_id)

    # --- steps ---

    def _version(self, trigger: Trigger, job_id: str | None = None, *, delay: int = 0) -> Write:
        new_id = job_id or next(self._ids)
        return Write(
            job_id=new_id,
            tag=f"{new_id}#{next(self._versions)}",
            trigger=trigger,
            begun=0,
            due=now_ms() + delay if trigger is Trigger.WHEN else 0,
            period=self._random.choice(PERIODS) if trigger is Trigger.INTERVAL else 0,
            attempts=self._random.choice([1, 1, 2, 4]),
            backoff=self._random.choice(BACKOFFS),
        )

    def _write(self, method: str, *versions: Write) -> Outcome:
        client = self._random.choice(self._clients)
        jobs = [as_job(version) for version in versions]
        begun, answered, outcome = told(lambda: getattr(client, method)(*jobs))
        self.history += [
            replace(version, begun=begun, answered=answered, outcome=outcome)
            for version in versions
        ]
        return outcome

    def _delete(self, job_id: str) -> None:
        """Again and again, until it is known what became of it."""
        outcome = Outcome.UNKNOWN
        while outcome is Outcome.UNKNOWN:
            client = self._random.choice(self._clients)
            begun, answered, outcome = told(lambda client=client: client.delete(job_id))  # type: ignore[misc]
            self.history.append(Removal(job_id, begun, answered, outcome))


def told(call: Callable[[], object]) -> tuple[int, int, Outcome]:
    """When the call began, when it was answered, and what that says."""
    begun = now_ms()
    try:
        call()
    except Refusal as refusal:
        outcome = OUTCOMES.get(refusal.code)
        if outcome is None:
            raise
        return begun, now_ms() if outcome is Outcome.REFUSED else FOREVER, outcome
    return begun, now_ms(), Outcome.ACKNOWLEDGED


def as_job(version: Write) -> Any:
    triggers: dict[Trigger, dict[str, Any]] = {
        Trigger.NOW: {"now": True},
        Trigger.WHEN: {"when": rfc3339(version.due)},
        Trigger.INTERVAL: {"interval": f"{version.period} ms"},
    }
    return contract.job(
        id=version.job_id,
        type=TYPE,
        data=contract.Data(payload=[contract.payload(version.tag)]),
        attempts=version.attempts,
        backoff=contract.Backoff(delay=version.backoff),
        **triggers[version.trigger],
    )


def answer_at_random(seed: int) -> Callable[[Any], Any]:
    """A worker that fails now and then, in a way that does not depend on when it is asked."""

    def answer(job: Any) -> Any:
        lucky = random.Random(f"{seed}-{job.id}").random() < 0.8
        return done(job) if lucky else failed(job)

    return answer


class Load:
    """Some submitters and a worker, each in a thread of its own."""

    def __init__(self, place: Place, *, seed: int, clients: int = 3) -> None:
        self._place = place
        self._submitters = [Submitter(place, seed, number) for number in range(clients)]
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=[submitter]) for submitter in self._submitters
        ]
        self.worker = Worker(place.bootstrap, place.names.jobs, answer_at_random(seed))

    @property
    def history(self) -> list[Step]:
        return [step for each in self._submitters for step in each.history]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()
        if self._failures:
            raise self._failures[0]

    def until_caught_up(self, reader: TopicReader, *, timeout: float) -> int:
        """Waits until each recurring job has run once more than until now; answers `now`."""
        now = now_ms()
        acknowledged = {
            step.job_id for step in self.history if step.outcome is Outcome.ACKNOWLEDGED
        }
        waiting = {job_id for each in self._submitters for job_id in each.recurring} & acknowledged
        deadline = time.monotonic() + timeout
        # What does not catch up is for the checker to tell.
        while waiting and time.monotonic() < deadline:
            runs = [as_run(record) for record in reader.poll(0.1) if is_ours(record)]
            waiting -= {run.job_id for run in runs if run.nominal > now}
        return now

    def end_all(self) -> None:
        for submitter in self._submitters:
            submitter.end_all()

    def _run(self, submitter: Submitter) -> None:
        try:
            submitter.run_until(self._stopping)
        except BaseException as failure:  # noqa: BLE001 - raised again where the test sees it
            self._failures.append(failure)


def observe(
    reader: TopicReader, names: Names, living: Sequence[str], recurring_until: int
) -> Observed:
    """What is on the topics at this moment."""
    observed = Observed(living={*living}, complete_until=now_ms(), recurring_until=recurring_until)
    for record in reader.drain(30):
        if is_ours(record):
            observed.runs.append(as_run(record))
        elif record.key in ("jobDone", "jobFailed"):
            observed.answers.append(as_answer(record))
        elif record.topic == names.resources:
            observed.announcements.append(as_announcement(record))
    return observed


def is_ours(record: Record) -> bool:
    """A run of a job that a submitter has made."""
    return record.key == "queuedJob" and record.parse(contract.ScheduledJob).type == TYPE


def as_run(record: Record) -> Run:
    run = QueuedRun(record, record.parse(contract.ScheduledJob))
    [tag] = run.message.data.payload
    return Run(
        tag=tag.value.decode(),
        job_id=run.job_id,
        schedule_type=run.message.schedule_type,
        occurrence=run.occurrence,
        nominal=run.nominal,
        attempt=run.attempt,
        instance=run.instance,
        at=record.timestamp,
        offset=record.offset,
    )


def as_answer(record: Record) -> Answer:
    is_failed = record.key == "jobFailed"
    message = record.parse(contract.JobFailed if is_failed else contract.JobDone)
    return Answer(message.id, is_failed, record.timestamp, record.offset)


def as_announcement(record: Record) -> Announcement:
    if record.key == "jobsDeleted":
        return Announcement(record.parse(contract.Deleted).id, None, record.timestamp)
    job = record.parse(contract.Job)
    return Announcement(job.id, job.data.payload[0].value.decode(), record.timestamp)


def until_quiet(worker: Worker, reader: TopicReader, *, timeout: float) -> None:
    """Waits until no new run has come for a while, and each has been answered."""
    last = (0, time.monotonic())

    def quiet() -> bool:
        nonlocal last
        reader.drain(30)
        runs = len(reader.of("queuedJob"))
        if runs != last[0] or len(worker.queued) < runs:
            last = (runs, time.monotonic())
        # Longer than the longest backoff, and than anything that is still due.
        return time.monotonic() - last[1] > QUIET

    eventually(quiet, timeout=timeout, every=0.1, what=lambda: f"quiet; {reader.summary()}")
