"""The restore command puts jobs back from the events on jobs.resource (docs/contract.md)."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_client.wire import job_pb2
from scheduling_srv.app.commands import restore_pass
from scheduling_srv.app.commands.coordinator import ShardCoordinator
from scheduling_srv.app.commands.events import OFFSET_BITS, WantedEvents
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.commands.restore import Restorer, RestoreStarter
from scheduling_srv.app.ports import MAX_RESTORES, TOO_MANY_RESTORES, Receipt, Source
from scheduling_srv.app.replies import Span
from scheduling_srv.domain.errors import LogUnavailable, StoreFull, TooMany, Unavailable
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.kafka_records import Extent, LogRecord, Topic
from scheduling_srv.formats.messages import encode_command_response
from scheduling_srv.formats.outbox_entries import event_entry
from scheduling_srv.runtime.pieces import pieces
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
HOUR, SECOND = 3_600_000, 1000


class World:
    """The topic, the store and the pending restores."""

    def __init__(self) -> None:
        self.events: list[LogRecord] = []
        self.notes: dict[str, str] = {}
        self.put: list[NewJob] = []
        self.removed: list[str] = []
        self.newest: list[int] = []
        self.said: list[bytes] = []
        self.away = self.full = self.voided = False
        self.low = 0
        self.read: list[Sequence[Extent]] = []
        """The extents of each reading of the topic."""
        world: Any = self
        self.on_published: Callable[[], Any] = lambda: None
        """Called when the pass waits for Kafka."""
        self.on_read: Callable[[], Any] = lambda: None
        """Called before each reading of the topic."""
        self.restorer = Restorer(
            store=world,
            restores=world,
            history=world,
            clock=world,
            services=["scheduling"],
            coordinator=ShardCoordinator(0, [world], claims=world),
            published=self.published,
        )
        self.starter = RestoreStarter([world], world)

    async def published(self) -> None:
        self.on_published()

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
        self.events.append(LogRecord(0, self.low + len(self.events), at, key, value, headers or {}))

    async def resource_extents(self) -> Sequence[Extent]:
        return [Extent(0, self.low, self.low + len(self.events))]

    async def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        self.on_read()
        self.read.append(extents)
        if self.away:
            raise LogUnavailable("gone")
        for _, first, end in extents:
            within = [event for event in self.events if first <= event.offset < end]
            for piece in pieces(within, 1000):
                yield piece

    async def begin(
        self, request: str, now: int, source: Source | None, limit: int = MAX_RESTORES
    ) -> Receipt:
        if len(self.notes) >= limit:
            raise TooMany(TOO_MANY_RESTORES)
        self.notes[str(len(self.notes) + 1)] = request
        return Receipt("i", 1)

    async def count(self) -> int:
        return len(self.notes)

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
        await self.starter.start(RestoreRequest("topic", offset, frozenset(ignore)), None)
        assert await self.restorer.run_once("token") == 1
        return {job.id: job.due - NOW for job in self.put}


@pytest.fixture
def world() -> World:
    return World()


def response(last: int) -> bytes:
    return response_of({"topic": "topic", "offset": last})


def response_of(answer: dict[str, object]) -> bytes:
    text = json.dumps(answer).encode()
    return event_entry(
        Topic.COMMANDS, b"restoreResponse", encode_command_response(["scheduling"], text)
    )


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
    """They are neither put back nor removed: their run may still be unanswered."""
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


async def test_an_empty_topic_ends_it_too(world: World) -> None:
    assert await world.restore() == {}
    assert world.said == [response(-1)]


async def test_an_offset_at_the_end_restores_nothing_and_is_no_error(world: World) -> None:
    world.created("a", interval="1 day")
    assert await world.restore(offset=1) == {}
    assert world.said == [response(0)]


@pytest.mark.parametrize("events", [0, 2])
async def test_an_offset_beyond_the_end_is_an_error(world: World, events: int) -> None:
    """Before, the answer had an offset that the topic does not have."""
    for number in range(events):
        world.created(str(number), interval="1 day")
    with capture_logs() as lines:
        assert await world.restore(offset=5) == {}
    sentence = f"The topic topic ends at offset {events}: nothing to restore from 5."
    (line,) = (line for line in lines if line["event"].startswith("restore"))
    assert (line["event"], line["log_level"]) == ("restore failed", "warning")
    assert line["error"] == sentence
    assert world.said == [response_of({"error": sentence})]


async def test_a_topic_without_its_beginning_is_read_from_what_is_left(world: World) -> None:
    """Retention has deleted the records before offset 100."""
    world.low = 100
    assert await world.restore() == {}
    world.created("a", interval="1 day")
    world.created("b", interval="1 day")
    assert list(await world.restore(offset=7)) == ["a", "b"]
    assert world.said == [response(99), response(101)]


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
    """Any client may write to the topic. The other jobs are restored all the same."""
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


async def test_a_restore_waits_for_kafka_after_so_many_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the outbox fills the memory of Redis, and other calls are refused.

    It waits for the calls before the last ones, so Kafka always has some of them left to publish.
    """
    monkeypatch.setattr(restore_pass, "UNPUBLISHED_CALLS", 2)
    for number in range(12_000):
        world.created(str(number), interval="1 day")
    asked: list[asyncio.Event] = []

    async def published() -> None:
        asked.append(asyncio.Event())
        if len(asked) > 1:  # the first one is asked before the pass reads
            await asked[-1].wait()

    world.restorer.ports = replace(world.restorer.ports, published=published)
    restoring = asyncio.create_task(world.restore())
    stored = []
    for step in range(1, 6):
        await asyncio.sleep(1)
        assert len(asked) == step + 1
        stored.append(len(world.put))
        asked[step].set()
    assert len(await restoring) == 12_000
    assert all(step * 2000 <= put <= (step + 1) * 2000 for step, put in enumerate(stored, 1))


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
    """They are neither put back nor removed."""
    world.created("a", interval="1 day")
    world.created("a", when="2023-11-14T22:00:00Z")
    assert await world.restore() == {}
    assert world.removed == []
    assert world.newest == [], "nothing is to be done"


async def test_what_was_done_before_it_is_read_as_well(world: World) -> None:
    """Found by review: an answered Delete that was not on Kafka yet was undone, and an Update."""
    world.created("gone", interval="7 minutes")
    world.created("updated", interval="7 minutes")

    def published() -> None:
        world.deleted("gone")
        world.deleted("updated")
        world.created("updated", interval="9 minutes")

    world.on_published = published
    assert await world.restore() == {"updated": 3 * 60 * SECOND}
    assert world.removed == ["gone"]


# --- Memory ---


class Large(bytes):
    """The value of an event, counted while anything refers to it."""

    living = most = 0

    def __init__(self, _value: bytes) -> None:
        Large.living += 1
        Large.most = max(Large.most, Large.living)

    def __del__(self) -> None:
        Large.living -= 1


class LargeWorld(World):
    """A world that reads events in small pieces, and counts the values that exist."""

    async def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        async for entries in super().resources(extents):
            for piece in pieces(entries, 4):
                yield [entry._replace(value=Large(entry.value or b"")) for entry in piece]


@pytest.fixture
def large_world() -> Iterator[LargeWorld]:
    """The garbage collector is off: cycles stay."""
    world, Large.most = LargeWorld(), 0
    data = job_pb2.Data()
    data.payload.add(value=b"x" * 300_000)
    for number in range(60):
        world.created(str(number), interval="1 day", data=data)
        if number % 3 == 0:
            world.deleted(str(number))
    gc.disable()
    yield world
    gc.enable()


async def test_a_restore_holds_a_bounded_part_of_what_it_reads(large_world: LargeWorld) -> None:
    """Before, it kept the last event of every job: 3.6 GB for 4,000 large ones."""
    assert len(await large_world.restore()) == 40
    assert len(large_world.removed) == 20
    assert Large.most < 20
    assert Large.living == 0


async def test_a_store_call_is_bounded_in_bytes(large_world: LargeWorld) -> None:
    sizes = []
    put_back = large_world.put_back

    async def measured(
        token: str, number: str, jobs: Sequence[NewJob], removed: Sequence[str], span: Span
    ) -> bool:
        sizes.append(sum(len(job.record) for job in jobs))
        return await put_back(token, number, jobs, removed, span)

    large_world.put_back = measured  # type: ignore[method-assign]
    await large_world.restore()
    assert max(sizes) < restore_pass.PIECE_BYTES
    assert len(sizes) < 30


async def test_a_restore_waits_for_kafka_after_so_many_bytes(
    large_world: LargeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_pass, "UNPUBLISHED_BYTES", 3_000_000)
    so_far: list[int] = []
    large_world.on_published = lambda: so_far.append(len(large_world.put))
    await large_world.restore()
    steps = [later - before for before, later in pairwise(so_far)]
    assert len(steps) >= 3
    assert max(steps) <= 13


@pytest.mark.parametrize("fault", ["full", "away"])
async def test_a_failed_pass_frees_what_it_has_read(large_world: LargeWorld, fault: str) -> None:
    """Before, its exception was part of a cycle, so the memory of each attempt stayed."""
    if fault == "full":
        large_world.full = True
    else:
        reads: list[None] = []

        def on_read() -> None:
            reads.append(None)
            large_world.away = len(reads) > 1

        large_world.on_read = on_read
    await large_world.starter.start(RestoreRequest("topic", 0, frozenset()), None)
    with pytest.raises(Unavailable) as raised:
        await large_world.restorer.run_once("token")
    del raised
    assert Large.most > 0
    assert Large.living == 0


async def test_the_answer_counts_events_that_kafka_deletes_during_the_restore(world: World) -> None:
    """Kafka deletes them between the two readings, so their jobs are not restored."""
    for number in range(5):
        world.created(str(number), interval="1 day")

    def on_read() -> None:
        if world.read:
            del world.events[:2]

    world.on_read = on_read
    assert list(await world.restore()) == ["2", "3", "4"]
    sentence = (
        "Kafka deleted 2 events of topic during the restore:"
        " their jobs are not restored, all others are."
    )
    assert world.said == [response_of({"error": sentence})]


async def test_the_second_reading_covers_only_the_wanted_events(world: World) -> None:
    for number in range(9):
        world.created("a", interval="1 day")
        world.created(str(number // 4), interval="1 day")
    await world.restore()
    assert world.read == [[Extent(0, 0, 18)], [Extent(0, 7, 18)]]


async def test_partitions_are_read_one_after_the_other() -> None:
    """The last event of a job counts in the order in which they are read."""
    wanted = WantedEvents([3, 8, (1 << OFFSET_BITS) + 2, (7 << OFFSET_BITS) + 2**62])
    assert wanted.extents() == [Extent(0, 3, 9), Extent(1, 2, 3), Extent(7, 2**62, 2**62 + 1)]

    def event(partition: int, offset: int) -> LogRecord:
        return LogRecord(partition, offset, NOW, b"jobsDeleted", b"", {})

    assert [each.offset for each in wanted.pick([event(0, n) for n in (3, 4, 5)])] == [3]
    assert wanted.missed == 0
    assert [each.offset for each in wanted.pick([event(1, n) for n in (2, 3)])] == [2]
    assert wanted.end() == 2


async def test_long_ids_are_told_apart(world: World) -> None:
    """A restore keeps only a digest of a long id."""
    names = ["x" * size for size in (1, 14, 15, 16, 17, 36, 1000)] + ["y" * 36]
    for name in names:
        world.created(name, interval="1 day")
    world.deleted("x" * 36)
    world.deleted("z" * 36)
    assert list(await world.restore()) == [name for name in names if name != "x" * 36]
    assert world.removed == ["x" * 36, "z" * 36]


# --- Several commands ---


def request(offset: int = 0, *ignore: int) -> RestoreRequest:
    return RestoreRequest("topic", offset, frozenset(ignore))


async def test_equal_requests_are_carried_out_by_one_pass(world: World) -> None:
    """Each is answered. Before, ten commands read the topic ten times."""
    world.created("a", interval="1 day")
    for _ in range(10):
        await world.starter.start(request(), None)
    assert await world.restorer.run_once("token") == 10
    assert world.said == [response(0)] * 10
    assert len(world.newest) == 1
    assert world.notes == {}


async def test_different_requests_have_their_own_passes(world: World) -> None:
    world.created("a", interval="1 day")
    world.created("b", interval="1 day")
    for each in (request(), request(1), request(0, 1), request(1), request()):
        await world.starter.start(each, None)
    assert await world.restorer.run_once("token") == 5
    # First 0 without 1, whose last command is the oldest; then from 1 on; then all.
    assert [job.id for job in world.put] == ["a", "b", "a", "b"]


async def test_the_last_request_decides_each_job(world: World) -> None:
    """As if each request had a pass of its own, in order."""
    world.created("a", interval="1 day")
    world.deleted("a")
    for each in (request(), request(0, 1), request()):
        await world.starter.start(each, None)
    numbers = []
    put_back = world.put_back

    async def noted(
        token: str, number: str, jobs: Sequence[NewJob], removed: Sequence[str], span: Span
    ) -> bool:
        numbers.append((number, len(jobs), len(removed)))
        return await put_back(token, number, jobs, removed, span)

    world.put_back = noted  # type: ignore[method-assign]
    assert await world.restorer.run_once("token") == 3
    assert numbers == [("2", 1, 0), ("3", 0, 1)]


async def test_a_request_that_comes_during_a_pass_has_its_own(world: World) -> None:
    """It must see the events up to its own beginning."""
    world.created("a", interval="1 day")
    await world.starter.start(request(), None)

    def on_read() -> None:
        if len(world.read) == 1:
            world.notes["2"] = world.notes["1"]
            world.created("b", interval="1 day")

    world.on_read = on_read
    assert await world.restorer.run_once("token") == 2
    assert world.said == [response(0), response(1)]
    assert [job.id for job in world.put] == ["a", "a", "b"]


async def test_shards_of_a_replica_restore_one_after_the_other() -> None:
    """A shard releases the lock before it waits for the others to end."""
    lock, under_way = asyncio.Lock(), []
    worlds = [World(), World()]

    class Waiting:
        """The shard that answers waits for the other one."""

        def __init__(self, shard: int) -> None:
            self.shard = shard

        @asynccontextmanager
        async def claimed(self, jobs: Sequence[NewJob]) -> AsyncGenerator[Any]:
            under_way.append(self.shard)
            await asyncio.sleep(0)
            yield jobs, ""

        async def is_last(self, text: str) -> bool:
            while self.shard == 0 and worlds[1].notes:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return self.shard == 0

    for shard, world in enumerate(worlds):
        for number in range(2500):
            world.created(str(number), interval="1 day")
        restorer = world.restorer
        restorer.lock, restorer.coordinator = lock, Waiting(shard)
        restorer.ports = replace(restorer.ports, coordinator=restorer.coordinator)
        await world.starter.start(request(), None)
    async with asyncio.timeout(10):
        await asyncio.gather(*(world.restorer.run_once("token") for world in worlds))
    assert under_way == [0, 0, 0, 1, 1, 1]
    assert [world.said for world in worlds] == [[response(2499)], [b""]]


async def test_at_most_a_hundred_restores_are_pending(world: World) -> None:
    for _ in range(MAX_RESTORES):
        await world.starter.start(request(), None)
    with pytest.raises(TooMany, match="send it again"):
        await world.starter.start(request(), None)
    assert await world.restorer.run_once("token") == MAX_RESTORES
    assert len(world.newest) == 0
    assert len(world.read) == 2
    await world.starter.start(request(), None)


async def test_a_refused_restore_is_stored_in_no_shard(world: World) -> None:
    """The answering shard decides: it has the most pending restores, as it ends last."""
    other, clock = World(), as_port(world)
    starter = RestoreStarter([as_port(world), as_port(other)], clock)
    for _ in range(MAX_RESTORES):
        await starter.start(request(), None)
    other.notes.clear()
    with pytest.raises(TooMany, match="send it again"):
        await starter.start(request(), None)
    assert other.notes == {}


def as_port(world: World) -> Any:
    return world
