"""What Kafka would hold of a shard's outbox, made by the product's announcer."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from scheduling_client.wire import job_pb2
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Extent, LogRecord, Topic
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.formats.positions import InputPosition


class KafkaLog:
    """Implements `History`. The jobs topic has one partition; `now` stamps what is appended."""

    def __init__(self, incarnation: str, now: int) -> None:
        self.announcer = Announcer()
        self.position = Position(0, incarnation, at=now)
        self.jobs: list[LogRecord] = []
        self.kept: list[LogRecord] = []

    def copy(self) -> "KafkaLog":
        other = KafkaLog(self.position.incarnation, 0)
        other.position = self.position
        other.jobs, other.kept = list(self.jobs), list(self.kept)
        return other

    def publish(self, entries: Sequence[bytes], now: int) -> None:
        """One transaction."""
        after = self.position.number
        for record in self.announcer.records(entries, after, self.position.incarnation):
            topic = {Topic.JOBS: self.jobs, Topic.JOURNAL: self.kept}.get(record.topic)
            if topic is not None:
                stamp = (0, len(topic), now)
                topic.append(LogRecord(*stamp, record.key, record.value, dict(record.headers)))
        self.position = replace(advance(self.position, entries, after), at=now)

    def answer(self, answer: Answer, now: int) -> int:
        """A worker's word; returns its offset."""
        done = job_pb2.JobDone(id=answer.instance).SerializeToString()
        key = b"jobFailed" if answer.failed else b"jobDone"
        self.jobs.append(LogRecord(0, len(self.jobs), now, key, done, {}))
        return len(self.jobs) - 1

    def answers_from(self, offset: int) -> list[Answer]:
        """What the listener has not applied yet."""
        return [
            Answer(job_pb2.JobDone.FromString(each.value or b"").id, each.key == b"jobFailed")
            for each in self.jobs[offset:]
            if each.key in (b"jobDone", b"jobFailed")
        ]

    async def last_position(self) -> Position | None:
        return self.position

    async def input_starts(self) -> Mapping[str, InputPosition]:
        return {}

    async def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        yield self.kept

    async def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        yield [record for record in self.jobs if record.timestamp >= instant]

    async def resource_extents(self) -> Sequence[Extent]:
        return []

    async def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        yield []
