"""The Kafka of the harness is a real one: transactions, and data that survives SIGKILL."""

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.client.topics import Sender, TopicReader, make_topic
from tests.harness.given import Kafka
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS


def transact(bootstrap: str, topic: str, value: str, *, commit: bool = True) -> None:
    settings = {"bootstrap.servers": bootstrap, "transactional.id": topic, "log_level": 0}
    with Producer(settings) as producer:
        producer.init_transactions(PATIENCE_SECONDS)
        producer.begin_transaction()
        producer.produce(topic, value, "event", headers={"h": "1"})
        producer.flush(PATIENCE_SECONDS)
        if commit:
            producer.commit_transaction(PATIENCE_SECONDS)
        else:
            producer.abort_transaction(PATIENCE_SECONDS)


def values(reader: TopicReader) -> list[bytes]:
    return [record.value for record in reader.drain()]


def test_only_committed_transactions_are_read(kafka: Kafka, names: Names) -> None:
    make_topic(kafka.bootstrap, names.jobs)
    transact(kafka.bootstrap, names.jobs, "committed")
    transact(kafka.bootstrap, names.jobs, "aborted", commit=False)
    with TopicReader(kafka.bootstrap, names.jobs) as reader:
        assert values(reader) == [b"committed"]
        assert (reader.records[0].key, reader.records[0].headers) == ("event", {"h": "1"})
    with TopicReader(kafka.bootstrap, names.jobs, isolation="read_uncommitted") as reader:
        assert values(reader) == [b"committed", b"aborted"]


def test_data_and_address_survive_sigkill(breakable_kafka: KafkaServer, names: Names) -> None:
    bootstrap = breakable_kafka.bootstrap
    make_topic(bootstrap, names.jobs)
    transact(bootstrap, names.jobs, "before")
    breakable_kafka.kill()
    breakable_kafka.start()
    assert breakable_kafka.bootstrap == bootstrap
    transact(bootstrap, names.jobs, "after")
    with TopicReader(bootstrap, names.jobs) as reader:
        assert values(reader) == [b"before", b"after"]


def test_a_paused_kafka_answers_when_it_is_resumed(
    breakable_kafka: KafkaServer, names: Names
) -> None:
    make_topic(breakable_kafka.bootstrap, names.jobs)
    with (
        Sender(breakable_kafka.bootstrap) as sender,
        TopicReader(breakable_kafka.bootstrap, names.jobs) as reader,
    ):
        sender.send(names.jobs, "event", b"1")
        reader.wait_for(lambda record: record.value == b"1")
        breakable_kafka.pause()
        sender.post(names.jobs, "event", b"2")
        assert reader.poll(0.5) == []
        breakable_kafka.resume()
        reader.wait_for(lambda record: record.value == b"2")


def test_topics_are_not_made_by_themselves(kafka: Kafka, names: Names) -> None:
    with AdminClient({"bootstrap.servers": kafka.bootstrap}) as admin:
        assert names.jobs not in admin.list_topics(timeout=PATIENCE_SECONDS).topics
        assert (
            admin.list_topics(names.jobs, timeout=PATIENCE_SECONDS).topics[names.jobs].error
            is not None
        )


def test_a_reader_drains_past_what_it_is_not_shown(kafka: Kafka, names: Names) -> None:
    make_topic(kafka.bootstrap, names.jobs, partitions=2)
    with TopicReader(kafka.bootstrap, names.jobs, names.resources) as reader:
        make_topic(kafka.bootstrap, names.resources)
        assert reader.drain() == []
        transact(kafka.bootstrap, names.resources, "aborted", commit=False)
        assert reader.drain() == []
        transact(kafka.bootstrap, names.resources, "x")
        assert [record.value for record in reader.drain()] == [b"x"]
        assert [record.value for record in reader.drain()] == [b"x"]
