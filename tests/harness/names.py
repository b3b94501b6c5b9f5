"""Names that no other test uses, so that tests share servers without seeing one another."""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Names:
    """The namespace, the topics and the Kafka identities of one test."""

    namespace: str
    jobs: str
    resources: str
    commands: str
    dead_letter: str
    group_id: str
    client_id: str

    @classmethod
    def unique(cls) -> "Names":
        tag = secrets.token_hex(5)
        return cls(
            namespace=f"test-{tag}",
            jobs=f"jobs-{tag}",
            resources=f"jobs.resource-{tag}",
            commands=f"command-{tag}",
            dead_letter=f"jobs.dead-letter-{tag}",
            group_id=f"group-{tag}",
            client_id=f"client-{tag}",
        )

    @property
    def journal(self) -> str:
        """The topic from which a rebuild restores the schedule."""
        return f"{self.namespace}.journal"

    @property
    def topics(self) -> tuple[str, ...]:
        return (self.jobs, self.resources, self.commands, self.dead_letter)

    def environment(self) -> dict[str, str]:
        """What tells the service to use these names."""
        return {
            "SCHEDULING_NAMESPACE": self.namespace,
            "SCHEDULING_TOPIC_JOBS": self.jobs,
            "SCHEDULING_TOPIC_RESOURCES": self.resources,
            "SCHEDULING_TOPIC_COMMANDS": self.commands,
            "SCHEDULING_TOPIC_DEAD_LETTER": self.dead_letter,
            "SCHEDULING_KAFKA_GROUP_ID": self.group_id,
            "SCHEDULING_KAFKA_CLIENT_ID": self.client_id,
        }
