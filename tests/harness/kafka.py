"""A real Apache Kafka: one KRaft node on loopback."""

import os
import re
import subprocess
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import PATIENCE_SECONDS

JAVA = Path(__file__).parent / "java"
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"


def jars() -> Path:
    """Where `make kafka` puts Kafka."""
    version = re.search(r"<version.kafka>(.*)</version.kafka>", (JAVA / "pom.xml").read_text())
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "scheduling-srv" / f"kafka-{version[1]}"
    if not found.is_dir():
        raise RuntimeError(f'{found} is not there: run "make kafka"')
    return found


class KafkaServer:
    """Keeps its data and its port over kill() and start()."""

    def __init__(
        self, directory: Path, *, quick_start: bool = True, pauses: Path | None = None
    ) -> None:
        """`quick_start` leaves out the optimizing compiler: up sooner, slower under load.

        The garbage collector notes its pauses in the file `pauses`.
        """
        self.directory = directory
        self.port = free_port()
        self.process = Process("kafka", directory / "kafka.log")
        self._controller_port = free_port()
        self._flags = ["-XX:TieredStopAtLevel=1"] if quick_start else []
        self._flags += ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC"]
        if pauses:
            self._flags.append(f"-Xlog:gc:file={pauses}:time")

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Returns when the broker answers and leads all its partitions."""
        self.launch()
        self.wait_until_up(timeout)

    def launch(self) -> None:
        """Starts it without waiting."""
        if not self._properties.exists():
            self._format()
        self.process.spawn(self._java("kafka.Kafka", str(self._properties)))

    def wait_until_up(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Until it answers, and every partition that it knows of has a leader."""
        with AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,  # "connection refused" is what we wait through
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
            }
        ) as admin:
            self.process.until_ready(lambda: _leads_all(admin), timeout=timeout)

    def stop(self) -> None:
        """An orderly shutdown."""
        self.process.end()

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def restore(self) -> None:
        """Running again, whatever a test has done to it."""
        if self.process.alive:
            self.resume()
        else:
            self.start()

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, main: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={JAVA / 'log4j2.xml'}"
        return ["java", *self._flags, logging, "-cp", f"{jars()}/*", main, *arguments]

    def _format(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = self.directory / "formatted.properties"
        settings.write_text(self._settings())
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(settings)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage was not formatted:\n{done.stdout}{done.stderr}")
        settings.rename(self._properties)

    def _settings(self) -> str:
        return "".join(f"{name}={value}\n" for name, value in self._server_settings().items())

    def _server_settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.directory / "data",
            # Topics must be made by who needs them.
            "auto.create.topics.enable": "false",
            # There is one node.
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 3,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # Tests that kill members miss them sooner than anybody else would want to.
            "group.min.session.timeout.ms": 1000,
            # After a SIGKILL the controller waits for the old session's end before it lets the
            # same broker in again.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
        }


def _leads_all(admin: AdminClient) -> bool:
    try:
        metadata = admin.list_topics(timeout=0.5)
    except KafkaException:
        return False
    partitions = [each for topic in metadata.topics.values() for each in topic.partitions.values()]
    return bool(metadata.brokers) and all(partition.leader >= 0 for partition in partitions)
