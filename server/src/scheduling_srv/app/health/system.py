"""The use cases of SystemService: how the service is set up, and a diagnosis of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence

from scheduling_srv import __version__
from scheduling_srv.app.health.diagnosis import Diagnosis
from scheduling_srv.app.health.guarantees import TopicFacts
from scheduling_srv.domain.finding import Finding
from scheduling_srv.domain.system import Setting, System, TopicUse
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.runtime.tzdata import tzdata_version

PURPOSES = {
    Topic.JOBS: "job requests, runs and answers",
    Topic.RESOURCES: "announcements: jobsCreated and jobsDeleted",
    Topic.COMMANDS: "system commands and their responses",
    Topic.DEAD_LETTER: "records that could not be applied",
    Topic.JOURNAL: "all jobs: a rebuild reads it",
    Topic.POSITION: "how far the outbox is published",
    Topic.EVENTS: "events of jobs and runs that have no other record",
}


class SystemCalls:
    """`topics` returns the topics as they were last seen."""

    def __init__(
        self,
        *,
        namespace: str,
        shards: int,
        settings: Sequence[Setting],
        names: Mapping[Topic, str],
        topics: Callable[[], Mapping[Topic, TopicFacts | None]],
        diagnosis: Diagnosis,
    ) -> None:
        self._namespace = namespace
        self._shards = shards
        self._settings = settings
        self._names = names
        self._topics = topics
        self._diagnosis = diagnosis

    def system(self) -> System:
        """Settings, versions, topics."""
        return System(
            version=__version__,
            python_version=platform.python_version(),
            tzdata_version=tzdata_version(),
            namespace=self._namespace,
            settings=self._settings,
            topics=[self._use(topic) for topic in self._names],
            shards=self._shards,
        )

    def _use(self, topic: Topic) -> TopicUse:
        facts = self._topics().get(topic)
        return TopicUse(self._names[topic], PURPOSES[topic], facts.partitions if facts else 0)

    async def diagnose(self) -> Sequence[Finding]:
        """All findings, the worst first."""
        return await self._diagnosis.run()
