"""Consumed records in several shards: each is read once, and applied in its own shards."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_client.wire import job_pb2
from scheduling_client.wire.commandinterface_pb2 import CommandRequest
from scheduling_client.wire.resourcebase_pb2 import DeleteRequest
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.inputs.consume import Consume
from scheduling_srv.app.inputs.event_reader import EventReader
from scheduling_srv.app.inputs.keys import ANSWERS
from scheduling_srv.app.ports import Answered, Receipt, Source, WriteGroup, Written
from scheduling_srv.app.records import Consumed, Content
from scheduling_srv.app.replies import Claimed, Held
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.job import Answer
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.positions import InputPosition, Place

JOBS, COMMANDS = Place("jobs", 0), Place("commands", 0)
NOW = 1_700_000_000_000
SHARDS = 3


class Shard:
    """The store of a shard, its way to the others, and what was done there."""

    def __init__(self, number: int, done: list[tuple[Any, ...]]) -> None:
        self.number, self.done = number, done

    def note(self, *done: Any) -> Receipt:
        self.done.append((self.number, *done))
        return Receipt("inc", 1)

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        self.note("complete", *[each.instance for each in answers])
        return Answered(len(answers), len(answers))

    async def write(self, groups: Sequence[WriteGroup], now: int, source: Source) -> Written:
        types = [len(group.jobs) for group in groups]
        return Written(self.note("write", *types), [None] * len(groups))

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        return self.note("append", len(entries))

    async def clear(self, now: int, source: Source, *, announced: bool) -> Receipt:
        return self.note("clear" if announced else "reset")

    async def claim(self, token: str, ids: Sequence[str], lasts: int) -> Claimed:
        return Claimed("ok", [-1] * len(ids))

    async def unclaim(self, token: str, ids: Sequence[str]) -> None:
        pass

    async def commit(
        self,
        change: Change,
        now: int,
        held: Held | None = None,
        source: Source | None = None,
        *,
        request: str = "",
    ) -> Receipt:
        return self.note("commit", sorted(change.ids()))

    async def parcels(self) -> Sequence[Any]:
        return []


class CountingReader(EventReader):
    """Counts how often it decodes."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules, jobs_topic="jobs", commands_topic="commands")
        self.decoded = Counter[str]()
        self.broken = False

    async def _event(
        self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Content | None:
        self.decoded["answer" if key in ANSWERS else "list"] += 1
        if self.broken:
            raise ZeroDivisionError
        return await super()._event(key, value, headers)


class World:
    """Three shards."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        world: Any = self
        shards: list[Any] = [Shard(number, self.done) for number in range(SHARDS)]
        ports = [ShardPorts(each, each, each, Announcements(), world) for each in shards]
        jobs = Jobs(ShardedStore(ports, world), world, Rules())
        self.reader = CountingReader(jobs.rules)
        self.consume = Consume(jobs, world, self.reader, world)
        at = {JOBS: InputPosition(0), COMMANDS: InputPosition(0)}
        self.consume.begin([Begun("inc", at)] * SHARDS)

    def now(self) -> int:
        return NOW

    def largest(self) -> int | None:
        return None

    async def are_taken(self) -> bool:
        return True

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        self.done.append((0, name))

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        self.done.append((0, "refused", key))


@pytest.fixture
def world() -> World:
    return World()


TYPES = {shard_of(name, SHARDS): name for name in map(str, range(20))}
"""A type of each shard."""


def job(shard: int, job_id: str = "") -> job_pb2.Job:
    return job_pb2.Job(id=job_id, type=TYPES[shard], data=job_pb2.Data(), now=True)


def jobs(offset: int, *items: job_pb2.Job, key: bytes = b"createJobs") -> Consumed:
    return Consumed("jobs", 0, offset, key, job_pb2.JobList(items=items).SerializeToString())


def answer(offset: int, instance: int) -> Consumed:
    value = job_pb2.JobDone(id=instance).SerializeToString()
    return Consumed("jobs", 0, offset, b"jobDone", value)


async def test_each_shard_applies_its_own_answers_and_lists(world: World) -> None:
    """Each record is decoded once, although its shard is not known before."""
    await world.consume.apply(
        [[answer(0, 3), answer(1, 4), answer(2, 7), jobs(3, job(1), job(1)), answer(4, 5)]]
    )
    assert sorted(world.done) == [
        (0, "complete", 3),
        (1, "complete", 4, 7),
        (1, "write", 2),
        (2, "complete", 5),
    ]
    assert world.reader.decoded == {"answer": 4, "list": 1}
    assert world.consume.applied(JOBS) == 1  # of the shard that is least far


async def test_a_list_that_others_may_have_a_part_in_waits_for_the_records_before(
    world: World,
) -> None:
    """It is decided in the shard of its first item, also when it comes again."""
    await world.consume.apply(
        [
            [
                answer(0, 3),
                jobs(1, job(2, "a"), job(0, "b")),
                jobs(2, job(1), job(2)),
                jobs(3, job(0, "c"), key=b"modifyJobs")._replace(value=b"\xff"),
                answer(4, 4),
            ]
        ]
    )
    one, two, three, *rest = world.done
    assert (one, two) == ((0, "complete", 3), (2, "commit", ["a", "b"]))
    assert three[:2] == (1, "commit")
    assert sorted(rest) == [(0, "append", 1), (1, "complete", 4)]
    assert world.reader.decoded["list"] == 3


async def test_every_shard_deletes_everything(world: World) -> None:
    value = DeleteRequest(collection=True).SerializeToString()
    await world.consume.apply([[Consumed("jobs", 0, 0, b"deleteJobs", value), answer(1, 3)]])
    assert world.done == [*((shard, "clear") for shard in range(SHARDS)), (0, "complete", 3)]


async def test_a_reset_is_answered_when_all_other_shards_are_reset(world: World) -> None:
    value = CommandRequest(name="reset").SerializeToString()
    await world.consume.apply([[Consumed("commands", 0, 0, b"resetCommand", value)]])
    assert world.done == [(1, "reset"), (2, "reset"), (0, "reset")]
    assert world.consume.applied(COMMANDS) == 1


@pytest.mark.parametrize("value", [b"\xff\xff", CommandRequest(name="").SerializeToString()])
async def test_the_first_shard_answers_other_commands(world: World, value: bytes) -> None:
    await world.consume.apply([[Consumed("commands", 0, 0, b"resetCommand", value)]])
    assert world.done in ([(0, "refused", "resetCommand")], [(0, "")])


async def test_records_that_are_nothing_to_the_service_are_passed_over(world: World) -> None:
    await world.consume.apply([[answer(0, 3)._replace(topic="other", key=b"createJobs")]])
    await world.consume.apply([[answer(0, 3)._replace(key=b"queuedJob")]])
    assert world.done == []


async def test_a_record_that_breaks_before_its_shard_is_known_is_put_aside(world: World) -> None:
    """It would stop its partition: only in its shard a record was put aside."""
    world.reader.broken = True
    await world.consume.apply_alone(answer(3, 1))
    assert world.done == [(0, "append", 1)]


async def test_a_record_that_breaks_once_is_not_applied_in_another_shard(world: World) -> None:
    """The first shard would decide about a record of another one."""
    world.reader.broken = True
    broken = world.reader.read

    async def once(record: Consumed) -> Content | None:
        try:
            return await broken(record)
        finally:
            world.reader.broken = False

    world.reader.read = once  # type: ignore[method-assign]
    await world.consume.apply_alone(answer(3, 1))
    assert world.done == [(0, "append", 1)]
