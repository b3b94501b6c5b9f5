"""The demonstration shows a job's creation before its runs, in whatever order the topics come."""

from typing import Any

from examples.demo.events import JOBS, LONGEST_WAIT_MS, RESOURCES, Events
from scheduling_client.wire import job_pb2 as wire


class Record:
    """Implements what is used of a `Message`."""

    def __init__(self, topic: str, key: str, message: Any, at: int) -> None:
        self._topic, self._key, self._message, self._at = topic, key, message, at

    def topic(self) -> str:
        return self._topic

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes:
        return bytes(self._message.SerializeToString())

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at

    def error(self) -> None:
        return None

    def headers(self) -> list[tuple[str, bytes]]:
        nominal = b"2030-01-01T00:00:00.000Z"
        return [("job-id", b"a"), ("attempt", b"1"), ("nominal-time", nominal)]


class Fed:
    """Implements what is used of a `Consumer`: one record in each poll."""

    def __init__(self, records: list[Record | None]) -> None:
        self.records = records

    def poll(self, _seconds: float) -> Any:
        return self.records.pop(0)

    def consume(self, _count: int, timeout: float) -> list[Any]:
        del timeout
        return []


def shown(*records: Record | None) -> list[str]:
    """The events in the order in which the screen shows them."""
    events = Events("127.0.0.1:1", now=lambda: NOW)
    events.close()
    fed: Any = Fed([*records])
    events._consumer = fed
    return [event.what for _ in records for event in events.poll()]


NOW = 1_900_000_000_000
CREATED = Record(RESOURCES, "jobsCreated", wire.Job(id="a", type="print"), NOW)
QUEUED = Record(
    JOBS, "queuedJob", wire.ScheduledJob(id=7, type="print", schedule_type="ONCE"), NOW + 1
)
DONE = Record(JOBS, "jobDone", wire.JobDone(id=7), NOW + 2)


def test_a_run_that_comes_before_its_creation_waits_for_it() -> None:
    assert shown(QUEUED, DONE, CREATED) == ["created", "queued", "done"]
    assert shown(CREATED, QUEUED, DONE) == ["created", "queued", "done"]


def test_a_run_without_a_creation_is_shown_after_a_while() -> None:
    old = Record(JOBS, "queuedJob", wire.ScheduledJob(id=7), NOW - LONGEST_WAIT_MS - 1_000)
    assert shown(QUEUED, None) == []
    assert shown(old) == ["queued"]


def test_a_now_job_has_no_creation() -> None:
    run = wire.ScheduledJob(id=7, type="greet", schedule_type="NOW")
    assert shown(Record(JOBS, "queuedJob", run, NOW)) == ["queued"]
