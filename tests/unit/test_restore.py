"""The restore command: jobs are put back from the events on jobs.resource (docs/contract.md)."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from scheduling_srv.app import restore
from scheduling_srv.app.announce import event_entry
from scheduling_srv.app.command_payloads import RestoreRequest
from scheduling_srv.app.events import Codec
from scheduling_srv.app.ports import Receipt, Source
from scheduling_srv.app.records import LogRecord, Topic
from scheduling_srv.app.replies import Span
from scheduling_srv.app.restore import Restorer
from scheduling_srv.domain.errors import LogUnavailable, StoreFull
from scheduling_srv.domain.job import NewJob
from scheduling_srv.entrances.readback import read_deleted, read_ids, read_jobs
from scheduling_srv.wire import job_pb2

NOW = 1_700_000_000_000
HOUR, SECOND = 3_600_000, 1000


class World:
    """The topic, the store and the notes of restores."""

    def __init__(self) -> None:
        self.events: list[LogRecord] = []
        self.notes: dict[str, str] = {}
        self.put: list[NewJob] = []
        self.removed: list[str] = []
        self.newest: list[int] = []
        self.said: list[bytes] = []
        self.away = self.full = self.voided = False
        world: Any = self
        codec = Codec(read_ids, read_jobs, read_deleted, lambda text: b"response " + text)
        self.restorer = Restorer(
            store=world, restores=world, history=world, clock=world, codec=codec
        )

    def now(self) -> int:
        return NOW

    def created(self, job_id: str, *, at: int = NOW - HOUR, first: str = "", **fields: Any) -> None:
        job = job_pb2.Job(id=job_id, **{"type": "t", "data": job_pb2.Data(), **fields})
        headers = {"nominal-time": first.encode()} if first else {}
        self.event(b"jobsCreated", job.SerializeToString(), at, headers)

    def deleted(self, job_id: str) -> None:
        self.event(b"jobsDeleted", job_pb2.Deleted(id=job_id).SerializeToString())

    def event(
        self,
        key: bytes | None,
        value: bytes | None,
        at: int = NOW - HOUR,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        self.events.append(LogRecord(0, len(self.events), at, key, value, headers or {}))

    async def resources(self, offset: int) -> AsyncGenerator[Sequence[LogRecord]]:
        if self.away:
            raise LogUnavailable("gone")
        for start in range(offset, len(self.events), 1000):
            yield self.events[start : start + 1000]

    async def begin(self, request: str, now: int, source: Source | None) -> Receipt:
        self.notes[str(len(self.notes) + 1)] = request
        return Receipt("i", 1)

    async def pending(self) -> Sequence[tuple[str, str]]:
        return list(self.notes.items())

    async def end(self, token: str, number: str, entry: bytes) -> None:
        del self.notes[number]
        self.said.append(entry)

    async def last_seq(self) -> int:
        return 77

    async def put_back(
        self, token: str, number: str, jobs: Sequence[NewJob], removed: Sequence[str], span: Span
    ) -> bool:
        assert (token, span.now) == ("token", NOW)
        assert number in self.notes
        self.put += jobs
        self.removed += removed
        self.newest.append(span.last)
        await asyncio.sleep(0)
        if self.full:
            raise StoreFull("full")
        return not self.voided

    async def restore(self, offset: int = 0, ignore: Sequence[int] = ()) -> dict[str, int]:
        """Returns the ids that were put back, with the time of their next run from now."""
        await self.restorer.start(RestoreRequest("topic", offset, frozenset(ignore)), None)
        assert await self.restorer.run_once("token") == 1
        return {job.id: job.due - NOW for job in self.put}


@pytest.fixture
def world() -> World:
    return World()


def response(last: int) -> bytes:
    text = json.dumps({"topic": "topic", "offset": last}).encode()
    return event_entry(Topic.COMMANDS, b"restoreResponse", b"response " + text)


async def test_jobs_come_back_with_their_ids_and_their_phase(world: World) -> None:
    world.created("every", interval="7 minutes")
    world.created("cron", interval="0 0 * * *")
    world.created("later", when="2023-11-14T23:00:00Z")
    assert await world.restore() == {
        "every": 3 * 60 * SECOND,  # 63 minutes after its creation an hour ago
        "cron": 6400 * SECOND,
        "later": 2800 * SECOND,
    }
    assert world.said == [response(2)]
    assert world.newest == [77]


async def test_a_first_due_time_that_was_announced_is_believed(world: World) -> None:
    """The event may have been written long after the job was accepted."""
    world.created("a", first="2023-11-14T22:13:15.000Z", interval="7 seconds")
    world.created("b", first="2023-11-14T23:13:20.000Z", interval="7 seconds")
    world.created("c", first="nonsense", interval="2 hours")
    assert await world.restore() == {"a": 2 * SECOND, "b": HOUR, "c": HOUR}


async def test_when_jobs_whose_time_has_passed_are_skipped(world: World) -> None:
    """Neither put back nor taken away: their run may still be unanswered."""
    world.created("past", at=NOW - 3 * HOUR, when="in 1 hour")
    assert await world.restore() == {}
    assert world.removed == []


async def test_a_when_job_that_was_announced_late_is_left_alone(world: World) -> None:
    """An update is a deletion and a creation: the deletion must not be taken for the last word."""
    due = "2023-11-14T21:13:00.000Z"
    world.deleted("updated")
    world.created("updated", at=NOW - HOUR, when=due, first=due)
    assert await world.restore() == {}
    assert world.removed == []


async def test_the_last_event_of_a_job_counts(world: World) -> None:
    world.created("a", interval="1 day")
    world.deleted("a")
    world.created("b", interval="1 day")
    world.deleted("b")
    world.created("b", interval="1 day", priority=-10)
    assert list(await world.restore()) == ["b"]
    assert world.removed == ["a"]


async def test_it_begins_at_an_offset_and_ignores_some(world: World) -> None:
    world.created("a", interval="1 day")
    world.created("b", interval="1 day")
    world.created("c", interval="1 day")
    world.deleted("b")
    assert list(await world.restore(offset=1, ignore=[3])) == ["b", "c"]
    assert world.said == [response(3)]


@pytest.mark.parametrize(("offset", "last"), [(0, -1), (5, 4)])
async def test_an_empty_topic_ends_it_too(world: World, offset: int, last: int) -> None:
    assert await world.restore(offset=offset) == {}
    assert world.said == [response(last)]


async def test_an_ignored_or_stray_last_record_ends_it_too(world: World) -> None:
    world.created("a", interval="1 day")
    world.event(b"stray", b"\xff")
    world.event(None, None)
    assert list(await world.restore()) == ["a"]
    assert world.said == [response(2)]


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": 7},
        {"type": ""},
        {"data": None},
        {"interval": ""},
        {"interval": "whenever"},
        {"id": ""},
        {"id": "a\nb"},
        {"data": job_pb2.Data(timezone="Mars")},
        {"backoff": job_pb2.Backoff(delay=float("nan"))},
        {"backoff": job_pb2.Backoff(type=9)},  # type: ignore[arg-type]
    ],
)
async def test_an_event_that_is_no_job_of_ours_is_skipped(
    world: World, fields: dict[str, Any]
) -> None:
    """Anybody may write to the topic; the others are restored all the same."""
    job = {"id": "bad", "type": "t", "data": job_pb2.Data(), "interval": "1 day", **fields}
    world.event(b"jobsCreated", job_pb2.Job(**job).SerializeToString())
    world.event(b"jobsCreated", b"\xff\xff")
    world.event(b"jobsDeleted", b"\xff\xff")
    world.created("good", interval="1 day")
    assert list(await world.restore()) == ["good"]
    assert world.said == [response(3)]


async def test_a_job_that_would_be_too_fast_today_comes_back(world: World) -> None:
    """What was accepted once is put back, whatever the settings say now."""
    world.created("a", interval="2 ms")
    assert list(await world.restore()) == ["a"]


async def test_a_restore_outlives_a_kafka_that_is_away(world: World) -> None:
    world.created("a", interval="1 day")
    world.away = True
    with pytest.raises(LogUnavailable):
        await world.restore()
    assert world.said == []
    world.away = False
    assert await world.restorer.run_once("token") == 1
    assert world.said == [response(0)]
    assert await world.restorer.run_once("token") == 0


async def test_many_jobs_are_put_back_in_pieces(world: World) -> None:
    """In the order of their events, as Read shows them in the order of creation."""
    names = [str(number) for number in range(2100)]
    for name in names:
        world.created(name, interval="1 day")
    assert list(await world.restore()) == names
    assert len(world.newest) == 3


async def test_no_more_is_put_back_than_kafka_can_follow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it takes memory of Redis, and has others refused."""
    monkeypatch.setattr(restore, "UNPUBLISHED", 2)
    for number in range(4100):
        world.created(str(number), interval="1 day")
    so_far = []

    async def published() -> None:
        so_far.append(len(world.put))

    world.restorer.published = published
    await world.restore()
    assert so_far == [0, 2000, 4000]


async def test_a_reset_that_comes_meanwhile_ends_it(world: World) -> None:
    for number in range(3100):
        world.created(str(number), interval="1 day")
    world.voided = True
    await world.restore()
    assert len(world.newest) == 1
    assert world.said == [response(3099)]


async def test_a_store_that_fails_meanwhile_leaves_nothing_behind(world: World) -> None:
    for number in range(3100):
        world.created(str(number), interval="1 day")
    world.full = True
    before = asyncio.all_tasks()
    with pytest.raises(StoreFull):
        await world.restore()
    assert asyncio.all_tasks() == before
    assert world.said == []


@pytest.mark.parametrize(
    "strange",
    [
        b"\xff\xff",
        job_pb2.Job(id="a").SerializeToString(),
        b"\x0a\x01a\x08\x01",  # the id again, with a wrong wire type
    ],
)
async def test_an_event_that_says_nothing_does_not_count(world: World, strange: bytes) -> None:
    """Neither instead of the one before it, nor instead of the one behind it."""
    world.event(b"jobsCreated", strange)
    world.created("a", interval="7 minutes")
    world.event(b"jobsCreated", strange)
    world.created("b", interval="7 minutes")
    world.deleted("b")
    world.event(b"jobsCreated", strange.replace(b"\x01a", b"\x01b"))
    world.created("c", interval="7 minutes")
    assert list(await world.restore()) == ["a", "c"]
    assert world.removed == ["b"]


async def test_one_time_jobs_that_have_run_since_are_left_alone(world: World) -> None:
    """Neither put back nor taken away, whatever they were before."""
    world.created("a", interval="1 day")
    world.created("a", when="2023-11-14T22:00:00Z")
    assert await world.restore() == {}
    assert world.removed == []
    assert world.newest == [], "nothing is to be done"


async def test_what_was_done_before_it_is_read_as_well(world: World) -> None:
    """Found by review: an answered Delete that was not on Kafka yet was undone, and an Update."""
    world.created("gone", interval="7 minutes")
    world.created("updated", interval="7 minutes")

    async def published() -> None:
        world.deleted("gone")
        world.deleted("updated")
        world.created("updated", interval="9 minutes")

    world.restorer.published = published
    assert await world.restore() == {"updated": 3 * 60 * SECOND}
    assert world.removed == ["gone"]
