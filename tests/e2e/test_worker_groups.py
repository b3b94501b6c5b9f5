"""The worker kit on Kafka alone: its group, and a topic that changes under it."""

from collections import Counter
from collections.abc import Iterable

import pytest
from confluent_kafka import Consumer, TopicPartition

from scheduling_client import Run, Worker
from tests.client import contract
from tests.client.topics import Sender, TopicReader, group_members, make_topic, unmake_topic
from tests.client.worker_kit import AtWork
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import eventually

KIND = "type"


def worker_of(kafka: Kafka, topic: str, seen: Counter[int], **more: int) -> Worker:
    """It counts the instance ids of its runs. `more`: options of librdkafka."""
    options = {
        "session.timeout.ms": 300_000,  # a member that is missed is not missed by this test
        "fetch.wait.max.ms": 10,
        "reconnect.backoff.max.ms": 200,
        "topic.metadata.refresh.interval.ms": 500,
        **{name.replace("_", "."): value for name, value in more.items()},
    }
    worker = Worker("kit", kafka=kafka.bootstrap, topic=topic, group=topic, kafka_options=options)

    @worker.job(KIND)
    async def count(run: Run) -> None:
        seen[run.id] += 1

    return worker


def emit(kafka: Kafka, topic: str, instances: Iterable[int]) -> None:
    """As the service emits runs."""
    with Sender(kafka.bootstrap) as sender:
        for number in instances:
            run = contract.ScheduledJob(id=number, type=KIND, schedule_type="NOW")
            headers = {"occurrence-id": f"job/{number}/1796000000000/1"}
            sender.post(topic, "queuedJob", run, headers=headers)


def answered(reader: TopicReader) -> list[int]:
    return sorted(record.parse(contract.JobDone).id for record in reader.of("jobDone"))


def test_an_orderly_stop_leaves_the_group_at_once(kafka: Kafka, names: Names) -> None:
    """Others need not wait until they miss this member."""
    topic, seen = names.jobs, Counter[int]()
    make_topic(kafka.bootstrap, topic)
    with AtWork(worker_of(kafka, topic, seen)) as first:
        eventually(lambda: first.worker.is_ready, what="the first worker")
        with AtWork(worker_of(kafka, topic, seen)) as second:
            eventually(lambda: second.worker.is_ready, what="the second worker")
            emit(kafka, topic, range(1, 50))
            first.worker.stop()
            eventually(lambda: first.left == 0, what="the end of the first worker")
            eventually(lambda: len(members(kafka, topic)) == 1, what="one member")
            emit(kafka, topic, range(50, 100))
            eventually(lambda: len(seen) == 99, what=lambda: f"{len(seen)} runs")
    eventually(lambda: members(kafka, topic) == [], what="no member")
    assert set(seen.values()) == {1}


def members(kafka: Kafka, group: str) -> list[str]:
    return group_members(kafka.bootstrap).get(group, [])


@pytest.mark.parametrize("more", [10, 100])
def test_a_topic_that_is_made_anew_loses_no_run(kafka: Kafka, names: Names, more: int) -> None:
    """Whether it is shorter than the worker's position, or longer."""
    topic, seen = names.jobs, Counter[int]()
    make_topic(kafka.bootstrap, topic)
    with AtWork(worker_of(kafka, topic, seen)):
        emit(kafka, topic, range(1, 31))
        with TopicReader(kafka.bootstrap, topic) as reader:
            eventually(lambda: reader.drain() and len(answered(reader)) == 30, what="answers")
        unmake_topic(kafka.bootstrap, topic)
        make_topic(kafka.bootstrap, topic)
        new = [*range(1001, 1001 + more)]
        emit(kafka, topic, new)
        eventually(lambda: set(new) <= seen.keys(), what=lambda: f"{len(seen) - 30} of {more}")
        with TopicReader(kafka.bootstrap, topic) as reader:
            eventually(lambda: reader.drain() and answered(reader) == new, what="new answers")
    assert set(seen.values()) == {1}


def test_a_worker_that_reads_on_in_a_topic_made_anew_does_all_its_runs(
    kafka: Kafka, names: Names
) -> None:
    """It fetches again when the new topic is longer than its position: Kafka refuses no offset."""
    topic, seen = names.jobs, Counter[int]()
    make_topic(kafka.bootstrap, topic)
    waits = {"fetch_error_backoff_ms": 3_000, "topic_metadata_refresh_interval_ms": 30_000}
    with AtWork(worker_of(kafka, topic, seen, **waits)):
        emit(kafka, topic, range(1, 31))
        with TopicReader(kafka.bootstrap, topic) as reader:
            eventually(lambda: reader.drain() and len(answered(reader)) == 30, what="answers")
        unmake_topic(kafka.bootstrap, topic)
        make_topic(kafka.bootstrap, topic)
        new = [*range(1001, 1101)]
        emit(kafka, topic, new)
        eventually(lambda: set(new) <= seen.keys(), what=lambda: f"{len(seen) - 30} of {len(new)}")
    assert set(seen.values()) == {1}


def test_an_offset_of_the_topic_of_before_means_nothing(kafka: Kafka, names: Names) -> None:
    """A worker may commit once more after its topic was made anew, and then end."""
    topic, seen = names.jobs, Counter[int]()
    make_topic(kafka.bootstrap, topic)
    emit(kafka, topic, range(1, 31))
    late = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic})
    place = TopicPartition(topic, 0, 20, "the identity of the topic of before")
    late.commit(offsets=[place], asynchronous=False)
    late.close()
    with AtWork(worker_of(kafka, topic, seen)):
        eventually(lambda: len(seen) == 30, what=lambda: f"{len(seen)} runs")
    assert set(seen.values()) == {1}
