"""Consumed records are applied in order, each once; a bad one goes to the dead letters."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_client.wire import job_pb2
from scheduling_client.wire.commandinterface_pb2 import CommandRequest
from scheduling_client.wire.resourcebase_pb2 import DeleteRequest
from scheduling_srv.app.inputs import dead_letters, shard_inputs
from scheduling_srv.app.inputs.consume import Consume
from scheduling_srv.app.inputs.dead_letters import REFUSED
from scheduling_srv.app.inputs.event_reader import EventReader
from scheduling_srv.app.ports import (
    NO_RECORD,
    Answered,
    Origin,
    Receipt,
    Refusal,
    Source,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.errors import StaleSource, StoreUnavailable
from scheduling_srv.domain.job import Answer, JobRequest
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats import messages
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.job_record import header
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.runtime.throttle import MINUTE_S, Throttle
from scheduling_srv.service.service import THROTTLES
from tests.store.shard import one_shard

JOBS, COMMANDS = Place("jobs", 0), Place("commands", 0)
NOW = 1_700_000_000_000
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class World:
    """The store, which keeps to the contract of ports.py, and the commands."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.existing: set[str] = set()
        self.position = 0
        self.fault: Exception | None = None
        self.calls: list[Source] = []
        self.answers_at_once = 1000
        self.unknown = set[int]()
        world: Any = self
        self.letters_taken = True
        jobs = Jobs(one_shard(world, world), world, Rules(max_items=5))
        reader = EventReader(jobs.rules, jobs_topic="jobs", commands_topic="commands")
        self.consume = Consume(jobs, world, reader, world)

    def now(self) -> int:
        return NOW

    def largest(self) -> int | None:
        return None

    async def are_taken(self) -> bool:
        return self.letters_taken

    def advance(self, source: Source | None) -> None:
        """Positions are those that the store expects, and only go forward."""
        assert source
        if self.fault:
            raise self.fault
        if source.stored != self.position:
            raise StaleSource("out of turn")
        assert source.next > source.stored
        assert source.lineage == "inc"
        self.position = source.next
        self.calls.append(source)

    async def write(self, groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        refusals: list[Refusal | None] = []
        last = None
        for group in groups:
            taken = [n for n, job in enumerate(group.jobs) if job.id in self.existing]
            if taken and group.mode == "create":
                refusals.append(Refusal("exists", taken[0]))
                break
            refusals.append(None)
            last = group
            self.existing.update(job.id for job in group.jobs)
            self.done.append((str(group.mode), *[job.id for job in group.jobs]))
        if last:
            self.advance(source._replace(next=last.offset + 1))
        return Written(Receipt("inc", 1), refusals)

    async def delete(
        self, ids: Sequence[str], now: int, source: Source, within: object = None
    ) -> tuple[Receipt, int]:
        self.advance(source)
        self.done.append(("delete", *ids))
        return Receipt("inc", 1), len(ids)

    async def clear(
        self, now: int, source: Source, entries: Any = (), *, announced: bool
    ) -> Receipt:
        self.advance(source)
        self.done.append(("clear", announced))
        return Receipt("inc", 1)

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        looked_at = min(len(answers), self.answers_at_once)
        if looked_at < len(answers):
            source = source._replace(next=answers[looked_at - 1].next)
        self.advance(source)
        done = answers[:looked_at]
        self.done.append(("complete", *[(each.instance, each.failed) for each in done]))
        return Answered(looked_at, sum(each.instance not in self.unknown for each in done))

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        self.advance(source)
        for record in Announcer().records(entries, 0, "inc"):
            assert record.topic is Topic.DEAD_LETTER
            self.done.append(("buried", record.key, record.value, dict(record.headers)))
        return Receipt("inc", 1)

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        self.advance(source)
        self.done.append(("command", key, name, payload))

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        self.advance(source)
        self.done.append(("refused", key, sentence))

    async def apply(self, *records: Consumed) -> None:
        """All from the start, as the listener does."""
        self.begin()
        await self.consume.apply([records])
        place = records[0].place if records else JOBS
        assert self.consume.applied(place) == self.position

    def begin(self, position: int | None = None) -> None:
        at = InputPosition(self.position if position is None else position)
        self.consume.begin([Begun("inc", {JOBS: at, COMMANDS: at})])

    @property
    def buried(self) -> list[tuple[Any, ...]]:
        return [each for each in self.done if each[0] == "buried"]


@pytest.fixture
def world() -> World:
    return World()


def record(
    offset: int,
    key: bytes | None,
    value: bytes | None,
    *headers: tuple[str, bytes],
    topic: str = "jobs",
) -> Consumed:
    return Consumed(topic, 0, offset, key, value, headers)


def job(job_id: str, **fields: Any) -> job_pb2.Job:
    return job_pb2.Job(id=job_id, **{"type": "t", "data": job_pb2.Data(), "now": True, **fields})


def jobs(offset: int, *items: job_pb2.Job, key: bytes = b"createJobs") -> Consumed:
    return record(offset, key, job_pb2.JobList(items=items).SerializeToString())


def accepted_jobs() -> float:
    labels = {"type": "other"}
    return REGISTRY.get_sample_value("scheduling_jobs_accepted_total", labels) or 0


def answer(offset: int, instance: int, *, failed: bool = False) -> Consumed:
    key = b"jobFailed" if failed else b"jobDone"
    return record(offset, key, job_pb2.JobDone(id=instance).SerializeToString())


async def test_answers_of_a_batch_are_one_call(world: World) -> None:
    await world.apply(answer(0, 7), answer(1, 8, failed=True), answer(2, 7))
    assert world.done == [("complete", (7, False), (8, True), (7, False))]
    assert world.position == 3


async def test_answers_without_a_run_are_counted(world: World) -> None:
    """A worker that answers a wrong instance left no trace."""

    def ignored() -> float:
        return REGISTRY.get_sample_value("scheduling_answers_ignored_total") or 0.0

    before, world.unknown, world.answers_at_once = ignored(), {8, 9}, 2
    await world.apply(answer(0, 7), answer(1, 8, failed=True), answer(2, 9), answer(3, 7))
    assert ignored() - before == 2


async def test_jobs_of_a_batch_are_one_call_of_several_groups(world: World) -> None:
    await world.apply(jobs(0, job("a"), job("b")), jobs(3, job("a"), key=b"modifyJobs"))
    assert world.done == [("create", "a", "b"), ("update", "a")]
    assert world.position == 4


async def test_dead_letters_of_a_batch_are_one_call(world: World) -> None:
    """A flood of wrong records must not hold up the right ones behind it."""
    wrong = [record(n, b"createJobs", b"\x0a\x7f\x01") for n in range(1, 4)]
    await world.apply(
        answer(0, 1), *wrong, answer(4, 2), jobs(5, job("a")), wrong[0]._replace(offset=6)
    )
    assert [each[0] for each in world.done] == [
        *("complete", "buried", "buried", "buried", "complete", "create", "buried")
    ]
    assert [source.next for source in world.calls] == [1, 4, 5, 6, 7]
    offsets = [each[3]["offset"] for each in world.buried]
    assert offsets == [b"1", b"2", b"3", b"6"]


async def test_refused_records_share_a_line_a_minute_for_each_topic_and_status(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 wrong records were 3,000 lines, although the dead letters hold them."""
    now = 0.0
    throttle = Throttle(REFUSED.event, counted=REFUSED.counted, monotonic=lambda: now)
    monkeypatch.setattr(dead_letters, "REFUSED", throttle)
    with capture_logs() as lines:
        await world.apply(*(record(n, b"createJobs", b"\x0a\x7f\x01") for n in range(50)))
        now = MINUTE_S
        throttle.tick()
        throttle.tick()
    told = [(line["last_offset"], line["refused_since_last_line"]) for line in lines]
    assert told == [(0, 1), (49, 49)]
    assert {(line["topic"], line["status"]) for line in lines} == {("jobs", "INVALID_ARGUMENT")}
    assert REFUSED in THROTTLES  # a replica ticks it


async def test_the_log_has_each_dead_letter_that_has_no_topic(world: World) -> None:
    world.letters_taken = False
    with capture_logs() as lines:
        await world.apply(*(record(n, b"createJobs", b"\x0a\x7f\x01") for n in range(3)))
    dropped = [line for line in lines if line["event"].startswith("a dead letter is not written")]
    assert [line["offset"] for line in dropped] == ["0", "1", "2"]
    assert {line["status"] for line in dropped} == {"INVALID_ARGUMENT"}


async def test_dead_letters_of_one_call_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_inputs, "MOST_LETTER_BYTES", 1_000)
    await world.apply(*(record(n, b"createJobs", b"\x0a\x7f" + b"x" * 400) for n in range(4)))
    assert len(world.buried) == 4
    assert len(world.calls) > 1


async def test_the_order_of_the_records_is_kept(world: World) -> None:
    """Whatever kinds of them follow one another."""
    await world.apply(
        answer(0, 1),
        jobs(1, job("a")),
        answer(2, 2),
        record(3, b"deleteJobs", DeleteRequest(ids=["a"]).SerializeToString()),
        jobs(4, job("b")),
        record(5, b"deleteJobs", DeleteRequest(collection=True).SerializeToString()),
        answer(6, 3),
    )
    assert world.done == [
        ("complete", (1, False)),
        ("create", "a"),
        ("complete", (2, False)),
        ("delete", "a"),
        ("create", "b"),
        ("clear", True),
        ("complete", (3, False)),
    ]
    assert world.position == 7


async def test_unknown_keys_are_skipped(world: World) -> None:
    """Silently, as are events of the other topic and records without a key."""
    await world.apply(
        record(0, b"queuedJob", b"\xff"),
        record(1, None, None),
        record(2, b"\xff", b""),
        record(3, b"resetCommand", b""),
        record(4, b"jobDone", b"\x08\x07", topic="commands"),
    )
    assert world.done == []
    assert world.position == 0


async def test_one_shard_delivers_nothing_to_others(world: World) -> None:
    """The store is not even asked."""
    await world.consume.settle()
    assert world.done == []


async def test_a_deleted_event_deletes_as_well(world: World) -> None:
    """2018 clients send either message (docs/contract.md)."""
    await world.apply(record(0, b"deleteJobs", job_pb2.Deleted(id="abc:12").SerializeToString()))
    assert world.done == [("delete", "abc:12")]


@pytest.mark.parametrize(
    ("key", "value", "status", "reason"),
    [
        (b"createJobs", b"\xff\xff", "INVALID_ARGUMENT", "cannot be read as"),
        (b"createJobs", b"", "INVALID_ARGUMENT", "Missing items in create request."),
        (b"createJobs", None, "INVALID_ARGUMENT", "Missing items in create request."),
        (b"modifyJobs", b"\x0a\x00", "INVALID_ARGUMENT", "Job type not specified."),
        (b"createJobs", b"\x0a\x00" * 6, "RESOURCE_EXHAUSTED", "The list has 6 items"),
        (b"deleteJobs", b"", "INVALID_ARGUMENT", "No arguments provided for delete operation"),
        (b"deleteJobs", b"\xff\xff", "INVALID_ARGUMENT", "cannot be read as"),
        (b"jobDone", b"\xff\xff", "INVALID_ARGUMENT", "cannot be read as"),
        (b"jobFailed", b"\x0a\x01a", "INVALID_ARGUMENT", "wrong wire type"),
    ],
)
async def test_a_bad_record_is_put_aside_with_its_reason(
    world: World, key: bytes, value: bytes | None, status: str, reason: str
) -> None:
    """And those around it are applied (docs/contract.md)."""
    await world.apply(answer(4, 1), record(5, key, value), answer(6, 2))
    (letter,) = world.buried
    assert letter[1:3] == (key, value or b"")
    headers = letter[3]
    assert headers["status"] == status.encode()
    assert reason in headers["reason"].decode()
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"jobs", b"0", b"5")
    assert [each[0] for each in world.done] == ["complete", "buried", "complete"]
    assert world.position == 7


async def test_a_refused_list_in_the_middle_stops_only_itself(world: World) -> None:
    world.existing = {"old"}
    accepted = accepted_jobs()
    await world.apply(
        jobs(0, job("a")), jobs(1, job("b"), job("old")), jobs(2, job("c")), jobs(9, job("a"))
    )
    assert [each[:2] for each in world.done] == [
        ("create", "a"),
        ("buried", b"createJobs"),
        ("create", "c"),
        ("buried", b"createJobs"),
    ]
    headers = world.buried[0][3]
    assert headers["status"] == b"ALREADY_EXISTS"
    assert headers["reason"] == b"A job with the id old already exists."
    assert headers["field"] == b"items[1].id"
    assert world.position == 10
    assert accepted_jobs() == accepted + 2


async def test_a_large_value_is_cut_in_the_dead_letter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to fit into a Kafka message itself."""
    monkeypatch.setattr(dead_letters, "LARGEST_DEAD_LETTER", 3)
    await world.apply(record(0, b"jobDone", b"\xff" * 9))
    (letter,) = world.buried
    assert letter[2] == b"\xff" * 3
    assert letter[3]["truncated-from"] == b"9"


async def test_one_call_takes_so_many_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_inputs, "CALL_JOBS", 3)
    lists = [jobs(n, *[job(f"{n}/{m}") for m in range(2)]) for n in range(3)]
    await world.apply(*lists, jobs(3, *[job(f"big/{m}") for m in range(5)]))
    assert [len(each) - 1 for each in world.done] == [2, 2, 2, 5]
    assert world.position == 4


async def test_later_records_are_checked_while_the_store_writes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call at a time: the store takes each from the position where the one before it ended."""
    monkeypatch.setattr(shard_inputs, "CALL_JOBS", 1)
    write, calls, may_write = world.write, list[Sequence[WriteGroup]](), asyncio.Event()
    checked = list[int]()
    prepare = world.consume.shards[0].jobs.prepare

    async def slowly(groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        calls.append(groups)
        await may_write.wait()
        return await write(groups, now, source)

    async def spied(
        mode: WriteMode, requests: Sequence[JobRequest], origin: Origin = NO_RECORD
    ) -> WriteGroup:
        checked.append(origin.offset)
        return await prepare(mode, requests, origin)

    world.write = slowly  # type: ignore[method-assign]
    world.consume.shards[0].jobs.prepare = spied  # type: ignore[method-assign]
    applying = asyncio.create_task(world.apply(*(jobs(n, job(str(n))) for n in range(5))))
    for _ in range(50):
        await asyncio.sleep(0)
    assert [[group.offset for group in groups] for groups in calls] == [[0]]
    assert checked == [0, 1, 2]
    may_write.set()
    await applying
    assert world.done == [("create", str(n)) for n in range(5)]
    assert [source.next for source in world.calls] == [1, 2, 3, 4, 5]


async def test_other_records_wait_for_the_lists_before_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a call that is under way."""
    monkeypatch.setattr(shard_inputs, "CALL_JOBS", 1)
    delete = record(2, b"deleteJobs", DeleteRequest(ids=["a"]).SerializeToString())
    wrong = record(5, b"createJobs", b"\x0a\x7f\x01")
    await world.apply(
        jobs(0, job("a")), jobs(1, job("b")), delete, jobs(3, job("c")), jobs(4, job("d")), wrong
    )
    assert [each[0] for each in world.done] == [
        *("create", "create", "delete", "create", "create", "buried")
    ]
    assert world.position == 6


async def test_a_call_under_way_that_fails_ends_the_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_inputs, "CALL_JOBS", 1)
    world.fault = StoreUnavailable("away")
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable):
        await world.apply(*(jobs(n, job(str(n))) for n in range(5)))
    assert asyncio.all_tasks() == before
    assert world.position == 0
    world.fault = None
    await world.apply(*(jobs(n, job(f"again-{n}")) for n in range(5)))
    assert world.position == 5


async def test_the_trace_of_a_record_is_kept(world: World) -> None:
    kept: list[bytes] = []
    write = world.write

    async def spied(groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        kept.extend(each.record for group in groups for each in group.jobs)
        return await write(groups, now, source)

    world.write = spied  # type: ignore[method-assign]
    value = job_pb2.JobList(items=[job("a")]).SerializeToString()
    await world.apply(record(0, b"createJobs", value, ("traceparent", PARENT)))
    assert kept[0].endswith(PARENT)
    assert header(kept[0]).trace_size == len(PARENT)


async def test_ignored_triggers_of_accepted_jobs_are_counted(world: World) -> None:
    def counted(field: str) -> float:
        labels = {"transport": "kafka", "field": field}
        return REGISTRY.get_sample_value("scheduling_ignored_triggers_total", labels) or 0.0

    before = counted("when"), counted("now")
    both = job("a", interval="daily", when="tomorrow")
    refused = job("b", interval="daily", when="tomorrow", type="")
    with capture_logs() as logs:
        await world.apply(jobs(0, both, job("c")), jobs(1, refused))
    assert (counted("when") - before[0], counted("now") - before[1]) == (1, 1)
    (line,) = (each for each in logs if "triggers" in each["event"])
    assert (line["used"], line["ignored"]) == ("interval", ["when", "now"])
    assert line["caller"] == "jobs:0@0"


async def test_commands_are_run_with_their_position(world: World) -> None:
    reset, request = CommandRequest(name="reset"), CommandRequest(name="version")
    request.payload.value = b"{}"
    await world.apply(
        record(4, b"resetCommand", reset.SerializeToString(), topic="commands"),
        record(5, b"versionCommand", request.SerializeToString(), topic="commands"),
        record(6, b"restoreCommand", b"\xff\xff", topic="commands"),
    )
    assert world.done[:2] == [
        ("command", "resetCommand", "reset", None),
        ("command", "versionCommand", "version", b"{}"),
    ]
    assert world.done[2][:2] == ("refused", "restoreCommand")
    assert world.position == 7


@pytest.mark.parametrize("fault", [StaleSource("late"), StoreUnavailable("gone")])
async def test_what_is_no_fault_of_the_record_is_not_put_aside(
    world: World, fault: Exception
) -> None:
    """It comes again."""
    world.fault = fault
    with pytest.raises(type(fault)):
        await world.apply(jobs(0, job("a")))
    with pytest.raises(type(fault)):
        await world.consume.apply_alone(answer(0, 1))
    assert world.buried == []


async def test_a_record_that_breaks_is_put_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fault of our own: with its kind, and without stopping the partition."""

    def broken(*_: object, **__: object) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(messages, "decode_answer", broken)
    world.begin()
    await world.consume.apply_alone(answer(3, 1))
    assert world.consume.applied(JOBS) == 4
    (letter,) = world.buried
    assert letter[3]["status"] == b"INTERNAL"
    assert letter[3]["reason"] == b"The record could not be handled: ZeroDivisionError."


class Partitions(World):
    """Several partitions: each call moves all that it applies."""

    def __init__(self) -> None:
        super().__init__()
        places = [Place("jobs", number) for number in range(3)]
        self.at = dict.fromkeys((place.name for place in places), InputPosition(0, 0, "id"))
        positions = {place: self.at[place.name] for place in places}
        self.consume.begin([Begun("inc", positions)])

    def advance(self, source: Source | None) -> None:
        assert source
        for each in (source, *source.others):
            assert (each.stored, each.lineage) == (self.at[each.partition].next, "inc")
            self.at[each.partition] = InputPosition(each.next, each.stamp, each.topic_id)
        self.calls.append(source)

    async def write(self, groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        moves = {group.partition: group.own(source) for group in groups}
        first, *others = moves.values()
        self.advance(first._replace(others=others))
        self.done += [("create", *[job.id for job in group.jobs]) for group in groups]
        return Written(Receipt("inc", 1), [None] * len(groups))


def at(record: Consumed, partition: int, timestamp: int = 0) -> Consumed:
    return record._replace(partition=partition, timestamp=timestamp)


async def test_records_of_one_kind_go_together_whatever_their_partition() -> None:
    """The order within each holds; 150 partitions would be 150 calls otherwise."""
    world = Partitions()
    await world.consume.apply(
        [
            [at(answer(0, 1), 0), at(jobs(1, job("a")), 0), at(answer(2, 2), 0)],
            [at(answer(0, 3), 1), at(answer(1, 4), 1)],
            [at(jobs(5, job("b")), 2), at(answer(7, 5), 2)],
        ]
    )
    assert world.done == [
        ("complete", (1, False), (3, False), (4, False)),
        ("create", "a"),
        ("create", "b"),
        ("complete", (2, False), (5, False)),
    ]
    assert len(world.calls) == 3
    assert {name: each.next for name, each in world.at.items()} == {
        "jobs:0": 3,
        "jobs:1": 2,
        "jobs:2": 8,
    }


async def test_a_position_holds_the_newest_time_stamp() -> None:
    """Of all records before it; a clock that is far ahead would hide what others send later."""
    world = Partitions()
    ahead = NOW + 3_600_000
    await world.consume.apply(
        [
            [at(answer(0, 1), 0, NOW - 5), at(answer(1, 2), 0, NOW - 9)],
            [at(answer(0, 3), 1, ahead)],
        ]
    )
    await world.consume.apply([[at(jobs(2, job("a")), 0, NOW - 7)]])
    assert world.at["jobs:0"] == InputPosition(3, NOW - 5, "id")
    assert world.at["jobs:1"] == InputPosition(1, NOW + shard_inputs.SKEW_MS, "id")


async def test_positions_behind_what_was_skipped_are_one_call() -> None:
    """Those that are there already are left alone."""
    world = Partitions()
    await world.consume.skip({Place("jobs", n): End(n, NOW - n) for n in range(3)})
    (call,) = world.calls
    assert [each.partition for each in (call, *call.others)] == ["jobs:1", "jobs:2"]
    assert world.at["jobs:2"] == InputPosition(2, NOW - 2, "id")
    assert world.consume.applied(Place("jobs", 2)) == 2


async def test_a_long_list_moves_its_own_partition() -> None:
    """Other partitions of the same call are moved with their own records."""
    source = Source("a:0", 1, 9, "inc", 7, "x", (Source("b:0", 2, 8, "inc", 6, "y"),))
    group = WriteGroup(WriteMode.CREATE, [], 4, "b:0", 5)
    assert group.own(source) == Source("b:0", 2, 5, "inc", 5, "y")
    assert WriteGroup(WriteMode.CREATE, [], 4).own(source) == Source("a:0", 1, 5, "inc", 7, "x")
