"""Watchers: one reader for all, their filters and cursors, and those that are too slow."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from scheduling_client.wire import job_pb2 as jobs
from scheduling_srv.adapters.kafka.tail import in_order
from scheduling_srv.app.access import call
from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.watching import hub as hub_module
from scheduling_srv.app.watching.hub import Hub
from scheduling_srv.app.watching.ports import Glance, Tailed, Tells
from scheduling_srv.app.watching.watcher import MOST_SENT, MOST_WAITING, Waiting, Watcher
from scheduling_srv.domain.errors import (
    CursorGone,
    InvalidRequest,
    LogUnavailable,
    Overloaded,
    SlowWatcher,
    Unavailable,
)
from scheduling_srv.domain.event import Event, EventFilter, EventKind, EventRun
from scheduling_srv.domain.job import LONGEST_ERROR
from scheduling_srv.entrances.grpc_events import _source, watch_events
from scheduling_srv.formats import event_cursor
from scheduling_srv.formats.kafka_records import LogRecord, Topic
from scheduling_srv.formats.positions import Place
from scheduling_srv.formats.v1.event_records import EventRecords
from tests.harness.waiting import PATIENCE_SECONDS

NAMES = {Topic.JOBS: "the-jobs", Topic.RESOURCES: "the-resources", Topic.EVENTS: "the-events"}
RUNS, MADE = Place("the-jobs", 0), Place("the-resources", 0)
ANY = EventFilter()


def record(offset: int, key: str, value: bytes = b"", **headers: str) -> LogRecord:
    named = {name.replace("_", "-"): text.encode() for name, text in headers.items()}
    return LogRecord(0, offset, 1000 + offset, key.encode(), value, named)


def queued(offset: int, instance: int = 7, job: str = "a", labels: str = "{}") -> LogRecord:
    run = jobs.ScheduledJob(id=instance, type="t", schedule_type="ONCE")
    return record(
        offset,
        "queuedJob",
        run.SerializeToString(),
        occurrence_id=f"{job}/3/500/1",
        event_id=f"x-{offset}",
        labels=labels,
    )


def deleted(offset: int, job: str = "a") -> LogRecord:
    return record(offset, "jobsDeleted", job_id=job, outcome="deleted", event_id=f"x-{offset}")


# --- Records ------------------------------------------------------------------------------------


def test_answers_are_known_by_the_run_before_them() -> None:
    records = EventRecords()
    first = records.read(Topic.JOBS, queued(1, labels='{"team": "a"}'))
    assert first
    assert (first.kind, first.id, first.type) == (EventKind.QUEUED, "x-1", "t")
    failure = jobs.JobFailed(id=7, error="boom").SerializeToString()
    failed = records.read(Topic.JOBS, record(2, "jobFailed", failure))
    assert failed
    assert (failed.kind, failed.job_id, failed.reason) == (EventKind.FAILED, "a", "boom")
    assert (failed.run, failed.labels) == (first.run, {"team": "a"})
    assert failed.id == "jobs:0:2"
    gone = records.read(Topic.RESOURCES, deleted(3))
    assert gone
    assert (gone.type, gone.reason) == ("t", "deleted")


def test_an_unknown_run_and_an_unknown_job() -> None:
    records = EventRecords()
    done = records.read(Topic.JOBS, record(1, "jobDone", jobs.JobDone(id=9).SerializeToString()))
    assert done
    assert (done.job_id, done.run and done.run.instance) == ("", 9)
    assert not EventFilter(type="t").matches(done)
    assert ANY.matches(done)


@pytest.mark.parametrize(
    ("occurrence", "job", "run"),
    [
        ("a/b/3/500/2", "a/b", EventRun("a/b/3/500", 500, "schedule", 2, 9)),
        ("a/3/500m/1", "a", EventRun("a/3/500m", 500, "manual", 1, 9)),
        ("a/3/-500/1", "", EventRun("", 0, "", 0, 9)),
        ("a/3/500/-1", "", EventRun("", 0, "", 0, 9)),
        ("a/3", "", EventRun("", 0, "", 0, 9)),
    ],
)
def test_an_answer_names_a_run_that_was_emitted_before(
    occurrence: str, job: str, run: EventRun
) -> None:
    records = EventRecords()
    answer = jobs.JobDone(id=9).SerializeToString()
    done = records.read(Topic.JOBS, record(1, "jobDone", answer, occurrence_id=occurrence))
    assert done
    assert (done.job_id, done.type, done.run) == (job, "", run)


@pytest.mark.parametrize(
    ("topic", "made"),
    [
        (Topic.JOBS, record(1, "createJobs")),
        (Topic.JOBS, record(1, "queuedJob")),
        (Topic.JOBS, record(1, "jobDone", b"\xff")),
        (Topic.EVENTS, record(1, "a", b"x")),
        (Topic.EVENTS, record(1, "a", b'{"kind": "LATER"}')),
        (Topic.EVENTS, record(1, "a", b"[]")),
        (Topic.EVENTS, record(1, "a", b'{"kind": "PAUSED", "job": "\\ud800"}')),
        (Topic.EVENTS, record(1, "a", b'{"kind": "PAUSED", "job": 1}')),
        (Topic.EVENTS, record(1, "a", b'{"kind": "PAUSED", "pause": []}')),
        (Topic.EVENTS, record(1, "a", b'{"kind": "PAUSED", "at": -1}')),
        (Topic.EVENTS, record(1, "a", b"[" * 200_000)),
        (Topic.RESOURCES, record(1, "jobsCreated", b"\x0a\xff")),
        (Topic.JOBS, queued(1, labels="[" * 200_000)),
        (Topic.JOBS, queued(1, labels="[]")),
        (Topic.JOBS, queued(1, labels='{"team": 1}')),
        (Topic.JOBS, LogRecord(0, 1, 1, b"jobDone", b"", {"event-id": b"\xff"})),
    ],
)
def test_other_records_and_broken_ones_tell_of_nothing(topic: Topic, made: LogRecord) -> None:
    assert EventRecords().read(topic, made) is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"kind": "PAUSED", "job": "a", "type": "t", "pause": {"since": 5, "note": "n"}},
            Event("x", EventKind.PAUSED, 5, "a", "t", reason="n"),
        ),
        (
            {"kind": "RESUMED", "job": "", "type": "t", "at": 9},
            Event("x", EventKind.RESUMED, 9, "", "t"),
        ),
    ],
)
def test_events_without_a_record_of_their_own(told: Any, expected: Event) -> None:
    made = record(1, "a", json.dumps(told).encode(), event_id="x")
    assert EventRecords().read(Topic.EVENTS, made) == expected


def test_the_error_of_a_worker_is_cut_as_it_is_where_it_is_kept() -> None:
    long = "é" * LONGEST_ERROR
    failure = jobs.JobFailed(id=7, error=long).SerializeToString()
    failed = EventRecords().read(Topic.JOBS, record(1, "jobFailed", failure))
    gone = EventRecords().read(
        Topic.RESOURCES, record(2, "jobsDeleted", job_id="a", outcome="failed", error=long)
    )
    assert failed
    assert gone
    assert failed.reason == "é" * (LONGEST_ERROR // 2)
    assert gone.reason == f"failed: {failed.reason}"


def test_the_run_of_an_event() -> None:
    told = {"kind": "TIMED_OUT", "job": "a", "type": "t", "seq": 3, "nominal": 500, "attempt": 2}
    found = EventRecords().read(Topic.EVENTS, record(1, "a", json.dumps(told).encode()))
    assert found
    assert found.run
    assert (found.run.run_id, found.run.attempt) == ("a/3/500", 2)


def test_a_partition_keeps_its_order_whatever_the_clocks_of_producers_say() -> None:
    """A watcher takes an offset below the last one as seen."""

    def tailed(place: Place, offset: int, time: int) -> Tailed:
        return Tailed(place, LogRecord(0, offset, time, b"", b"", {}))

    found = [tailed(RUNS, 1, 50), tailed(RUNS, 2, 10), tailed(RUNS, 3, 60), tailed(MADE, 7, 55)]
    assert in_order(found) == [found[0], found[1], found[3], found[2]]


# --- Watchers -----------------------------------------------------------------------------------


def event(number: int, kind: EventKind = EventKind.QUEUED) -> Event:
    return Event(str(number), kind, number, "a", "t")


async def test_a_slow_watcher_ends_after_all_that_waits() -> None:
    watcher = Watcher(ANY, {RUNS: 0})
    for number in range(MOST_WAITING + 2):
        watcher.note(RUNS, number, event(number))
    seen = 0
    while seen < MOST_WAITING:
        batch = await watcher.take(1)
        assert len(batch.events) == MOST_SENT
        seen += MOST_SENT
        assert batch.offsets == {RUNS: seen}
    with pytest.raises(SlowWatcher):
        await watcher.take(1)


async def test_the_cursor_passes_events_of_others() -> None:
    watcher = Watcher(EventFilter(kinds=frozenset({EventKind.DONE})), {RUNS: 0})
    watcher.note(RUNS, 0, event(0, EventKind.DONE))
    watcher.note(RUNS, 1, event(1))
    watcher.note(RUNS, 2, None)
    assert await watcher.take(1) == ([event(0, EventKind.DONE)], {RUNS: 3}, 0)
    assert await watcher.take(0.001) == ([], {RUNS: 3}, 0)


# --- The reader ---------------------------------------------------------------------------------


class Log:
    """The topics, and how they were read."""

    def __init__(self) -> None:
        self.records: dict[Place, list[LogRecord]] = {RUNS: [], MADE: []}
        self.low = 0
        self.glances = 0
        self.tails: list[Tail] = []
        self.away = False
        self.most = 1_000
        """Records of a partition in one poll."""
        self.polls = asyncio.Event()
        """Polls end."""
        self.polls.set()
        self.answers = asyncio.Event()
        """Extents are answered."""
        self.answers.set()

    def add(self, place: Place, *made: LogRecord) -> None:
        self.records[place] += made

    def tail(self) -> "Tail":
        self.tails.append(Tail(self))
        return self.tails[-1]


class Tail:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.offsets: dict[Place, int] = {}
        self.begun: list[Mapping[Place, int]] = []
        self.closed = asyncio.Event()

    async def extents(self) -> Mapping[Place, tuple[int, int]]:
        if self.log.away:
            raise LogUnavailable("Away.")
        await self.log.answers.wait()
        return {place: (self.log.low, len(made)) for place, made in self.log.records.items()}

    async def begin(self, offsets: Mapping[Place, int]) -> None:
        self.offsets = dict(offsets)
        self.begun.append(offsets)

    async def poll(self) -> Sequence[Tailed]:
        await asyncio.sleep(0)
        if self.log.away:
            raise LogUnavailable("Away.")
        found = []
        for place, offset in self.offsets.items():
            made = self.log.records[place][offset : offset + self.log.most]
            found += [Tailed(place, each) for each in made]
            self.offsets[place] = offset + len(made)
        if found:
            await self.log.polls.wait()
        return found

    async def glance(self, most: int, tells: Tells) -> Glance:
        self.log.glances += 1
        found = [each for each in await self.poll() if tells(each.place.topic, each.record.key)]
        return Glance(found[-most:], len(found[:-most]), dict(self.offsets))

    async def close(self) -> None:
        self.closed.set()


@pytest.fixture
def log() -> Log:
    return Log()


def hub_of(log: Log) -> Hub:
    return Hub(log.tail, NAMES, linger_seconds=0.01)


async def ids(watcher: Watcher, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += [each.id for each in (await watcher.take(1)).events]
    return found


async def test_one_reader_serves_all_watchers(log: Log) -> None:
    hub = hub_of(log)
    log.add(RUNS, queued(0))
    async with (
        hub.watcher(ANY, "", "a") as first,
        hub.watcher(EventFilter(job_id="b"), "", "a") as second,
    ):
        log.add(RUNS, queued(1), queued(2, job="b"))
        assert await ids(first, 2) == ["x-1", "x-2"]
        assert await ids(second, 1) == ["x-2"]
    assert len(log.tails) == 1


MANY = 3 * hub_module.MOST_GLANCED


async def test_who_glances_gets_the_newest_events_and_the_number_of_the_others(log: Log) -> None:
    async with hub_of(log).watcher(ANY, "", "a", glances=True) as watcher:
        log.add(RUNS, *(queued(number) for number in range(MANY)), record(MANY, "other"))
        batch = await watcher.take(1)
        newest = [f"x-{number}" for number in range(MANY - hub_module.MOST_GLANCED, MANY)]
        assert [each.id for each in batch.events] == newest
        assert batch.passed == MANY - len(newest)
        log.add(RUNS, queued(MANY + 1))
        batch = await watcher.take(1)
        assert ([each.id for each in batch.events], batch.passed) == ([f"x-{MANY + 1}"], 0)
    assert log.glances


async def test_all_events_are_read_for_one_who_needs_them(log: Log) -> None:
    hub = hub_of(log)
    async with hub.watcher(ANY, "", "a", glances=True) as first, hub.watcher(ANY, "", "a") as all_:
        log.add(RUNS, *(queued(number) for number in range(MANY)))
        assert len(await ids(all_, MANY)) == MANY
        assert len(await ids(first, MANY)) == MANY
    assert not log.glances


async def test_who_begins_during_a_glance_misses_nothing(log: Log) -> None:
    hub = hub_of(log)
    async with hub.watcher(ANY, "", "a", glances=True) as first:
        await first.take(0.01)
        log.polls.clear()
        log.add(RUNS, *(queued(number) for number in range(MANY)))
        await first.take(0.01)
        async with hub.watcher(ANY, hub.cursor({RUNS: 0, MADE: 0}), "a") as all_:
            log.polls.set()
            assert len(await ids(all_, MANY)) == MANY
            assert len(await ids(first, MANY)) == MANY


async def test_the_reader_lets_due_runs_go_first_for_a_while(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PAUSE_SECONDS", 0.2)
    behind = True
    hub = Hub(log.tail, NAMES, linger_seconds=0.01, giving_way=GivingWay(lambda: behind))
    async with hub.watcher(ANY, "", "a") as watcher:
        log.add(RUNS, queued(0))
        began = time.monotonic()
        assert await ids(watcher, 1) == ["x-0"]
        assert time.monotonic() - began > 0.1, "it waited, and went on nevertheless"
        behind = False
        log.add(RUNS, queued(1))
        assert await ids(watcher, 1) == ["x-1"]


async def test_a_cursor_goes_back_and_others_see_nothing_twice(log: Log) -> None:
    hub = hub_of(log)
    log.add(RUNS, *(queued(number) for number in range(3)))
    async with hub.watcher(ANY, "", "a") as first:
        log.add(RUNS, queued(3))
        assert await ids(first, 1) == ["x-3"]
        cursor = hub.cursor({RUNS: 1, MADE: 0})
        async with hub.watcher(ANY, cursor, "a") as second:
            assert await ids(second, 3) == ["x-1", "x-2", "x-3"]
            log.add(RUNS, queued(4))
            assert await ids(first, 1) == ["x-4"]


async def test_a_partition_that_has_come_later_is_read_from_its_begin(log: Log) -> None:
    log.add(MADE, deleted(0))
    async with hub_of(log).watcher(
        ANY, event_cursor.pack({RUNS: 0}, {"the-jobs": Topic.JOBS}), "a"
    ) as it:
        assert await ids(it, 1) == ["x-0"]


async def test_a_cursor_that_kafka_has_forgotten_is_refused(log: Log) -> None:
    hub = hub_of(log)
    log.add(RUNS, queued(0), queued(1))
    log.add(MADE, deleted(0))
    log.low = 1
    for offsets in ({RUNS: 0, MADE: 1}, {RUNS: 9, MADE: 1}):
        with pytest.raises(CursorGone):
            async with hub.watcher(ANY, hub.cursor(offsets), "a"):
                pass
    for text in ("x", "W10", "WyJ2MSIsWyJqb2JzIiwwXV0", "WyJ2MSJd"):
        with pytest.raises(InvalidRequest):
            async with hub.watcher(ANY, text, "a"):
                pass


async def test_a_cursor_that_is_far_behind_is_refused(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling_srv.app.watching.hub.MOST_BEHIND", 3)
    hub = hub_of(log)
    log.add(RUNS, *(queued(number) for number in range(2)))
    log.add(MADE, *(deleted(number) for number in range(2)))
    with pytest.raises(CursorGone):
        async with hub.watcher(ANY, hub.cursor({RUNS: 0, MADE: 0}), "a"):
            pass
    async with hub.watcher(ANY, hub.cursor({RUNS: 0, MADE: 1}), "a") as watcher:
        assert len(await ids(watcher, 3)) == 3


async def test_a_watcher_that_begins_during_a_poll_misses_nothing(log: Log) -> None:
    hub = hub_of(log)
    log.add(RUNS, *(queued(number) for number in range(3)))
    async with hub.watcher(ANY, "", "a") as first:
        log.polls.clear()
        log.add(RUNS, queued(3))
        await first.take(0.01)
        async with hub.watcher(ANY, hub.cursor({RUNS: 1, MADE: 0}), "a") as second:
            log.polls.set()
            assert await ids(second, 3) == ["x-1", "x-2", "x-3"]
            assert await ids(first, 1) == ["x-3"]


async def test_the_reader_goes_on_without_an_old_watcher_that_has_left(log: Log) -> None:
    hub = hub_of(log)
    log.most = 1
    log.add(RUNS, *(queued(number) for number in range(1_000)))
    async with hub.watcher(ANY, "", "a") as first:
        async with hub.watcher(ANY, hub.cursor({RUNS: 0, MADE: 0}), "a") as second:
            await ids(second, 1)
        log.add(RUNS, queued(1_000))
        assert await ids(first, 1) == ["x-1000"]
        assert log.tails[0].begun[-1] == {RUNS: 1_000, MADE: 0}
        begun = len(log.tails[0].begun)
        async with hub.watcher(ANY, "", "a"):
            pass
        await first.take(0.001)
        assert len(log.tails[0].begun) == begun


async def test_others_run_while_records_are_handed_out(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling_srv.runtime.time_slice.SLICE_MS", 0.0)
    async with hub_of(log).watcher(ANY, "", "a") as watcher:
        log.add(RUNS, *(queued(number) for number in range(50)))
        assert len((await watcher.take(1)).events) < 50


async def test_no_watcher_is_left_with_a_reader_that_has_ended(log: Log) -> None:
    hub = hub_of(log)
    log.answers.clear()
    beginning = asyncio.ensure_future(hub.watcher(ANY, "", "a").__aenter__())
    for _ in range(3):
        await asyncio.sleep(0)
    log.away = True
    await log.tails[0].closed.wait()
    log.answers.set()
    with pytest.raises(LogUnavailable):
        await beginning


async def test_watchers_are_bounded_with_those_that_begin(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling_srv.app.watching.hub.MOST_WATCHERS", 3)
    monkeypatch.setattr("scheduling_srv.app.watching.hub.MOST_OF_A_SOURCE", 2)
    hub = hub_of(log)
    log.answers.clear()
    async with AsyncExitStack() as stack:
        beginning = [
            asyncio.ensure_future(stack.enter_async_context(hub.watcher(ANY, "", source)))
            for source in "aaabc"
        ]
        await asyncio.sleep(0)
        log.answers.set()
        found = await asyncio.gather(*beginning, return_exceptions=True)
    assert [isinstance(each, Overloaded) for each in found] == [False, False, True, False, True]
    async with hub.watcher(ANY, "", "a"), hub.watcher(ANY, "", "a"), hub.watcher(ANY, "", "b"):
        pass


def test_watchers_are_counted_by_caller_and_else_by_host() -> None:
    """Callers behind one proxy have one host."""
    context: Any = SimpleNamespace(peer=lambda: "ipv4:10.0.0.1:50000")
    found = [_source(context)]
    for name in "ab":
        token = call._current.set(Call(Caller(name, Role.READER), "", "Watch"))
        found.append(_source(context))
        call._current.reset(token)
    assert found == ["ipv4:10.0.0.1", "a", "b"]


class Endless:
    """Events without an end."""

    def __init__(self) -> None:
        self.it = Watcher(ANY, {})

    @asynccontextmanager
    async def watcher(
        self, _wanted: EventFilter, _cursor: str, _source: str, *, glances: bool = False
    ) -> Any:
        big = Event("x", EventKind.FAILED, 1, reason="e" * 1_000)
        for number in range(MOST_WAITING + 1):
            self.it.note(RUNS, number, big)
        yield self.it

    def cursor(self, _offsets: Mapping[Place, int]) -> str:
        return "c" * 60_000


async def test_a_client_that_never_reads_gets_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling_srv.app.watching.watcher.UNHEARD_SECONDS", 0.1)
    events, server = Endless(), grpc.aio.server()
    stream = watch_events(events)

    async def call(_messages: object, context: Any) -> Any:
        async with aclosing(cast("AsyncGenerator[bytes]", stream(context))) as answers:
            async for each in answers:
                events.it.end(SlowWatcher("Slow."))
                for number in range(MOST_SENT):
                    events.it._waiting.append(Waiting(event(number), RUNS, number))
                yield each

    method: Any = grpc.stream_stream_rpc_method_handler(call)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("s", {"m": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch: Any = channel.stream_stream("/s/m")()
        await watch.write(b"")
        await watch.done_writing()
        await asyncio.sleep(0.7)
        with pytest.raises(grpc.aio.AioRpcError, match="Slow"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for _ in watch:
                    pass
    await server.stop(0)


async def test_the_reader_ends_after_the_last_watcher(log: Log) -> None:
    hub = hub_of(log)
    async with hub.watcher(ANY, "", "a"):
        pass
    await log.tails[0].closed.wait()
    async with hub.watcher(ANY, "", "a") as again:
        log.add(RUNS, queued(0))
        assert await ids(again, 1) == ["x-0"]
    assert len(log.tails) == 2


async def test_watchers_end_when_kafka_is_away_and_when_the_process_stops(log: Log) -> None:
    hub = hub_of(log)
    async with AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(hub.watcher(ANY, "", "a"))
        log.away = True
        with pytest.raises(LogUnavailable):
            while True:
                await watcher.take(1)
        with pytest.raises(LogUnavailable):
            await stack.enter_async_context(hub.watcher(ANY, "", "a"))
        log.away = False
        watcher = await stack.enter_async_context(hub.watcher(ANY, "", "a"))
        hub.close()
        with pytest.raises(Unavailable, match="shutting down"):
            while True:
                await watcher.take(1)
