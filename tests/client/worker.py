"""A service that does the jobs: it answers queuedJob with jobDone or jobFailed."""

from collections.abc import Callable
from typing import Any

from tests.client.contract import JobDone, JobFailed, ScheduledJob
from tests.client.topics import Record, Sender, TopicReader
from tests.harness.background import Background

Answer = Callable[[Any], Any]


def done(job: Any) -> Any:
    """jobDone for every ScheduledJob."""
    return JobDone(id=job.id, schedule_type=job.schedule_type)


def failed(job: Any, error: str = "boom") -> Any:
    """jobFailed for every ScheduledJob."""
    return JobFailed(id=job.id, error=error, schedule_type=job.schedule_type)


def silent(job: Any) -> None:
    """No answer at all."""


class Worker(Background):
    """Reads the jobs topic in a thread of its own until it is left.

    `answer` gets each ScheduledJob and returns a JobDone, a JobFailed, or None to say nothing.
    `queued` is what it has seen, `answers` what it has said, by instance id.
    """

    def __init__(self, bootstrap: str, topic: str, answer: Answer = done) -> None:
        super().__init__("worker")
        self.queued: list[Record] = []
        self.answers: dict[int, Any] = {}
        self._bootstrap = bootstrap
        self._topic = topic
        self._answer = answer

    def work(self) -> None:
        """Read and answer until the context ends."""
        with (
            TopicReader(self._bootstrap, self._topic) as reader,
            Sender(self._bootstrap) as sender,
        ):
            while not self.leaving.is_set():
                for record in reader.poll(0.1):
                    if record.key == "queuedJob":
                        self._handle(record, sender)

    def _handle(self, record: Record, sender: Sender) -> None:
        self.queued.append(record)
        job = record.parse(ScheduledJob)
        answer = self._answer(job)
        if answer is None:
            return
        self.answers[job.id] = answer
        event = "jobDone" if isinstance(answer, JobDone) else "jobFailed"
        sender.send(self._topic, event, answer, partition=record.partition)
