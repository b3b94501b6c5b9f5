"""A service that does the jobs: it answers queuedJob with jobDone or jobFailed."""

import threading
from collections.abc import Callable
from typing import Any, Self

from tests.client.contract import JobDone, JobFailed, ScheduledJob
from tests.client.topics import Record, Sender, TopicReader

Answer = Callable[[Any], Any]


def done(job: Any) -> Any:
    """jobDone for every ScheduledJob."""
    return JobDone(id=job.id, schedule_type=job.schedule_type)


def failed(job: Any, error: str = "boom") -> Any:
    """jobFailed for every ScheduledJob."""
    return JobFailed(id=job.id, error=error, schedule_type=job.schedule_type)


def silent(job: Any) -> None:
    """No answer at all."""


class Worker:
    """Reads the jobs topic in a thread of its own until it is left.

    `answer` gets each ScheduledJob and returns a JobDone, a JobFailed, or None to say nothing.
    `queued` is what it has seen, `answers` what it has said, by instance id.
    """

    def __init__(self, bootstrap: str, topic: str, answer: Answer = done) -> None:
        self.queued: list[Record] = []
        self.answers: dict[int, Any] = {}
        self._bootstrap = bootstrap
        self._topic = topic
        self._answer = answer
        self._leaving = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with (
                TopicReader(self._bootstrap, self._topic) as reader,
                Sender(self._bootstrap) as sender,
            ):
                while not self._leaving.is_set():
                    for record in reader.poll(0.1):
                        if record.key == "queuedJob":
                            self._handle(record, sender)
        except BaseException as failure:  # noqa: BLE001 - raised again where the test sees it
            self._failure = failure

    def _handle(self, record: Record, sender: Sender) -> None:
        self.queued.append(record)
        job = record.parse(ScheduledJob)
        answer = self._answer(job)
        if answer is None:
            return
        self.answers[job.id] = answer
        event = "jobDone" if isinstance(answer, JobDone) else "jobFailed"
        sender.send(self._topic, event, answer, partition=record.partition)
