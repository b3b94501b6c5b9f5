"""The clients of the tests, tried against one another."""

import pytest

from tests.client import contract
from tests.client.topics import Sender, TopicReader, make_topic
from tests.client.worker import Worker, failed
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import eventually


@pytest.fixture
def topic(kafka: Kafka, names: Names) -> str:
    make_topic(kafka.bootstrap, names.jobs)
    return names.jobs


def test_a_worker_answers_each_job(kafka: Kafka, topic: str) -> None:
    def answer(job: object) -> object:
        return contract.JobDone(id=job.id) if job.id == 1 else failed(job, "no")  # type: ignore[attr-defined]

    with (
        Worker(kafka.bootstrap, topic, answer) as worker,
        Sender(kafka.bootstrap) as sender,
        TopicReader(kafka.bootstrap, topic) as reader,
    ):
        for number in (1, 2):
            job = contract.ScheduledJob(id=number, type="t", schedule_type="ONCE")
            sender.send(topic, "queuedJob", job)
        first = reader.wait_for(lambda record: record.key == "jobDone")
        second = reader.wait_for(lambda record: record.key == "jobFailed")
    assert first.parse(contract.JobDone).id == 1
    assert second.value.hex() == "080212026e6f1a044f4e4345"
    assert list(worker.answers) == [1, 2]


def test_a_worker_that_fails_says_so(kafka: Kafka, topic: str) -> None:
    def broken(job: object) -> None:
        raise ValueError("broken")

    with (
        pytest.raises(ValueError, match="broken"),
        Worker(kafka.bootstrap, topic, broken) as worker,
        Sender(kafka.bootstrap) as sender,
    ):
        sender.send(topic, "queuedJob", contract.ScheduledJob(id=1))
        eventually(lambda: worker.queued, what="the run that it fails at")


def test_a_reader_tells_what_it_saw_instead(kafka: Kafka, topic: str) -> None:
    with Sender(kafka.bootstrap) as sender, TopicReader(kafka.bootstrap, topic) as reader:
        sender.send(topic, "event", b"", headers={"a": "b"})
        reader.wait_for(lambda record: record.key == "event")
        with pytest.raises(TimeoutError, match=f"0 of 1 in 0.5 s.*{topic}/event': 1"):
            reader.wait_for(lambda record: record.key == "other", timeout=0.5)
        assert reader.records[0].headers == {"a": "b"}
        assert reader.of("event") == reader.records
