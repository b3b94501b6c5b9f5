"""Kafka with further doors, for proxies; and three nodes of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness.kafka import KafkaServer
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS


class KafkaWithDoors(KafkaServer):
    """One node; who comes through a door is sent to `advertised` for everything else."""

    def __init__(self, directory: Path, advertised: Sequence[int], **options: Any) -> None:
        super().__init__(directory, **options)
        self.doors = [free_port() for _ in advertised]
        """Where Kafka itself listens, in the order of `advertised`."""
        self._advertised = list(advertised)

    def _server_settings(self) -> dict[str, object]:
        settings = super()._server_settings()
        names = [f"DOOR{number}" for number in range(len(self.doors))]

        def listed(ports: Sequence[int]) -> str:
            pairs = zip(names, ports, strict=True)
            return "".join(f",{name}://127.0.0.1:{port}" for name, port in pairs)

        settings["listeners"] = f"{settings['listeners']}{listed(self.doors)}"
        settings["advertised.listeners"] = (
            f"{settings['advertised.listeners']}{listed(self._advertised)}"
        )
        settings["listener.security.protocol.map"] = (
            f"{settings['listener.security.protocol.map']}"
            + "".join(f",{name}:PLAINTEXT" for name in names)
        )
        settings["inter.broker.listener.name"] = "PLAINTEXT"
        settings["group.min.session.timeout.ms"] = 500
        return settings


class KafkaNode(KafkaServer):
    """One of several nodes."""

    number = 1
    voters = ""

    @property
    def controller_port(self) -> int:
        return self._controller_port

    def _server_settings(self) -> dict[str, object]:
        return {
            **super()._server_settings(),
            "node.id": self.number,
            "controller.quorum.voters": self.voters,
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
            "group.min.session.timeout.ms": 500,
            "replica.lag.time.max.ms": 3000,
            "unclean.leader.election.enable": "false",
        }


class KafkaCluster:
    """Three nodes: any one of them may die, and nothing is lost."""

    def __init__(self, directory: Path, *, nodes: int = 3, quick_start: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.nodes = [
            KafkaNode(directory / f"node-{number}", quick_start=quick_start)
            for number in range(1, nodes + 1)
        ]
        voters = ",".join(
            f"{number}@127.0.0.1:{node.controller_port}"
            for number, node in enumerate(self.nodes, start=1)
        )
        for number, node in enumerate(self.nodes, start=1):
            node.number, node.voters = number, voters

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Returns when every node answers and every partition has a leader."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_up(timeout)

    def stop(self) -> None:
        """At once: a node that leaves in order waits for a quorum, which may be gone already."""
        for node in self.nodes:
            if node.process.alive:
                node.kill()
