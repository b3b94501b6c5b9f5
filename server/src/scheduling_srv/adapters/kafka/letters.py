"""The dead-letter topic, read by windows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from scheduling_srv.adapters.kafka.history import KafkaHistory
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.formats.kafka_records import Extent, LogRecord, Topic


class KafkaLetters:
    """Implements `LetterLog`."""

    def __init__(self, history: KafkaHistory, logs: KafkaLogs) -> None:
        self.history = history
        self.logs = logs
        self.name = history.topics[Topic.DEAD_LETTER]

    async def topic_id(self) -> str:
        """As the broker tells it."""
        found = (await self.logs.topics([self.name])).get(self.name)
        return found.id if found else ""

    async def extents(self) -> Sequence[Extent]:
        """As they are now."""
        return await self.history.letter_extents()

    def read(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """In pieces."""
        return self.history.letters(extents)
