"""What Kafka refuses is set aside, and what it announced is undone (docs/decisions/0009)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scheduling_srv.adapters.redis.backfills import RedisBackfills
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.refill import RedisRefill
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner.backfiller import Backfiller
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.refusals import KINDS, SCREEN_MS, Refusals
from scheduling_srv.app.ports import Receipt, WriteGroup, WriteMode
from scheduling_srv.app.recovery.refill import Extent
from scheduling_srv.app.run_control_ports import BackfillVerdict, NewBackfill
from scheduling_srv.domain.errors import Diverged, FailedPrecondition, LeaseLost, RecordRefused
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunId
from scheduling_srv.domain.run_control import Backfilled
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats.announcer import KEPT_KINDS, Announcer
from scheduling_srv.formats.kafka_records import Record, Refusal, Topic
from scheduling_srv.formats.outbox_entries import event_entry
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime import metrics
from tests.store.shard import HOUR, MINUTE, NOW, SECOND, Shard, at_once, briefly, cron, every, once

NAMES = {topic: f"the-{topic}" for topic in Topic}
Refuses = Callable[[Record], bool]
LEAD_MS = 10


class Log:
    """A Kafka that refuses what it is told to."""

    def __init__(self) -> None:
        self.refuses: Refuses = lambda _: False
        self.by_size = False
        """Whether it is their size that is wrong."""
        self.without: set[Topic] = set()
        """Topics that are missing."""
        self.sent: list[Record] = []
        self.positions: list[Position] = []
        self.dues: list[int] = []
        """Before these instants the transactions must not be committed."""

    async def publish_carefully(
        self, records: Sequence[Record], position: Position, due: int
    ) -> Sequence[Refusal]:
        refused = [
            Refusal(place, each.topic, "too large", each.topic in self.without, self.by_size)
            for place, each in enumerate(records)
            if each.topic in self.without or self.refuses(each)
        ]
        if not refused:
            self.sent += records
            self.positions.append(position)
            self.dues.append(due)
        return refused

    def of(self, topic: Topic) -> list[Record]:
        return [record for record in self.sent if record.topic is topic]

    def told(self) -> list[tuple[str, str]]:
        """(event, job id) on jobs.resource."""
        return [
            (record.key.decode(), header(record, "job-id")) for record in self.of(Topic.RESOURCES)
        ]

    def letters(self) -> list[dict[str, str]]:
        found = self.of(Topic.DEAD_LETTER)
        return [{name: text.decode() for name, text in record.headers} for record in found]

    def journal(self) -> dict[bytes, bool]:
        """What it has at last: whether there is a value."""
        return {record.key: record.value is not None for record in self.of(Topic.JOURNAL)}


def header(record: Record, name: str) -> str:
    return dict(record.headers)[name].decode()


def about(*ids: str, topics: Sequence[Topic] = tuple(Topic), tombstones: bool = False) -> Refuses:
    """Refuse records on these jobs: as a rule those that are large."""
    wanted = {job_id.encode() for job_id in ids}
    return lambda record: (
        record.route in wanted
        and record.topic in topics
        and (tombstones or record.value is not None)
    )


class Publication:
    """A shard, and what its owner publishes."""

    def __init__(self, shard: Shard) -> None:
        world: Any = self
        self.shard = shard
        self.log = Log()
        self.announcements = Announcements()
        log: Any = self.log
        self.refusals = Refusals(
            outbox=shard.schedule,
            publisher=log,
            announcer=Announcer(),
            announcements=self.announcements,
            hold=Hold(world, LEAD_MS),
            known=KnownRuns(),
            clock=world,
            topics=NAMES,
        )
        self.position = Position(0, shard.incarnation)
        self.time = NOW

    def now(self) -> int:
        return self.time

    def until(self, instant: int) -> float:
        """Who asks sleeps until then."""
        self.time = instant
        return 0.0

    async def settle(self) -> int:
        """Publish all there is; returns how many entries were set aside."""
        refused = 0
        while True:
            before = self.position.number
            refused += await self.settle_once()
            if self.position.number == before:
                self.shard.seen = before
                return refused

    async def settle_once(self) -> int:
        """The same for what one transaction takes."""
        await self.shard.take(self.position.number)
        settled = await self.refusals.settle(self.shard.token, self.position, self.shard.lineage)
        self.position = settled.position
        return settled.refused


@pytest.fixture
def kafka(shard: Shard) -> Publication:
    return Publication(shard)


async def test_without_a_refusal_it_publishes_all(shard: Shard, kafka: Publication) -> None:
    await shard.create(once("a"), every("b", SECOND))
    assert await kafka.settle() == 0
    assert kafka.log.told() == [("jobsCreated", "a"), ("jobsCreated", "b")]
    assert kafka.position.number == (await shard.schedule.state()).trimmed


async def test_a_run_that_was_staged_ahead_waits_for_its_time(
    shard: Shard, kafka: Publication
) -> None:
    """Whatever is published on the way, whether Kafka refuses some of it or not."""
    await shard.create(once("a", NOW + 5), once("b", NOW + 6))
    await shard.schedule.stage(shard.token, NOW, 500, None, LEAD_MS)
    kafka.log.refuses = about("a", topics=[Topic.JOBS])
    assert await kafka.settle() == 1
    assert [header(record, "job-id") for record in kafka.log.of(Topic.JOBS)] == ["b"]
    assert (kafka.log.dues[0], kafka.log.positions[0].at) == (NOW + 6, NOW + 6)


async def test_a_refused_job_is_undone(shard: Shard, kafka: Publication) -> None:
    await shard.create(once("a"))
    await shard.create(once("b", NOW + SECOND, creator="c"))
    await shard.create(once("c"))
    kafka.log.refuses = about("b")
    assert await kafka.settle() == 1
    assert await shard.ids() == ["a", "c"]
    assert kafka.log.told() == [("jobsCreated", "a"), ("jobsCreated", "c")]
    assert kafka.log.journal() == {b"a": True, b"b": False, b"c": True}
    (letter,) = kafka.log.letters()
    assert letter["job-id"] == "b"
    assert letter["refused-by"] == "the-resources"
    assert letter["reason"] == "Kafka refuses the record for good: too large."
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", 0), ("c", 0)]
    await shard.forget_runs(NOW)


@pytest.mark.parametrize("topic", [Topic.RESOURCES, Topic.JOURNAL])
async def test_its_list_is_undone_and_no_other(
    shard: Shard, kafka: Publication, topic: Topic
) -> None:
    """Though one call has stored them, and they are published together."""
    groups = [
        WriteGroup(WriteMode.CREATE, [once("a"), once("b")]),
        WriteGroup(WriteMode.CREATE, [once("c")]),
        WriteGroup(WriteMode.CREATE, [once("d"), at_once("e"), every("f", SECOND)]),
        WriteGroup(WriteMode.CREATE, [once("g"), once("h")]),
    ]
    await shard.jobs.write(groups, NOW)
    kafka.log.refuses = about("f", topics=[topic])
    await kafka.settle()
    assert await shard.ids() == ["a", "b", "c", "g", "h"]
    assert [job_id for _, job_id in kafka.log.told()] == ["a", "b", "c", "g", "h"]
    assert [letter["job-id"] for letter in kafka.log.letters()] == ["f"]
    await shard.delete(*"abcgh")


async def test_the_calls_that_wait_are_told(shard: Shard, kafka: Publication) -> None:
    """Those whose list it was, and no others of the same store call."""
    groups = [
        WriteGroup(WriteMode.CREATE, [once("a"), once("b")]),
        WriteGroup(WriteMode.CREATE, [once("c")]),
    ]
    receipt = (await shard.jobs.write(groups, NOW)).receipt
    kafka.log.refuses = about("b")
    others = Announcements()  # of another replica, which has missed the signal
    await kafka.settle()
    for news in (await shard.schedule.state()).refused:
        others.refused(news)
    for announcements in (kafka.announcements, others):
        with pytest.raises(FailedPrecondition, match=r"too large\. Nothing of the req"):
            announcements.check(receipt, 0, ["a", "b"])
        announcements.check(receipt, 0, ["c"])
        announcements.check(Receipt("other", receipt.number), 0, ["a"])
        announcements.check(Receipt(shard.lineage, receipt.number + 5), receipt.number, ["a"])


async def test_a_list_from_a_record_is_a_dead_letter_that_names_it(
    shard: Shard, kafka: Publication
) -> None:
    """And the position moves on, with the lists of other records of the same call."""
    groups = [
        WriteGroup(WriteMode.CREATE, [once(job_id)], offset) for offset, job_id in enumerate("abc")
    ]
    await shard.jobs.write(groups, NOW, shard.source(0, 2))
    kafka.log.refuses = about("b")
    await kafka.settle()
    assert await shard.ids() == ["a", "c"]
    (letter,) = kafka.log.letters()
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("jobs", "0", "1")
    assert kafka.position.inputs == {"jobs:0": 3}


async def test_a_refused_update_brings_the_old_jobs_back(shard: Shard, kafka: Publication) -> None:
    """All of its list, each in its place: due, held back, to be planned, waiting for a retry."""
    kept = {"due": 5 * SECOND, "held": 0, "planned": MINUTE, "retry": 0}
    await shard.create(
        every("due", 5 * SECOND),
        every("held", HOUR, NOW, type="h", parallel=1),
        every("first", HOUR, NOW - 1, type="h", parallel=1),
        cron("planned", "* * * * *", NOW),
        once("retry", type="r", attempts=3, delay=SECOND),
    )
    runs = {run.id: run for run in await shard.stage()}
    assert {*runs} == {"first", "planned", "retry"}
    await shard.fail(runs["retry"])
    await kafka.settle()
    kafka.log.sent.clear()
    changed = [once(job_id, NOW + HOUR, type="new") for job_id in kept]
    await shard.update(*changed)
    kafka.log.refuses = about("held")
    await kafka.settle()
    assert kafka.log.told() == []
    assert [letter["job-id"] for letter in kafka.log.letters()] == ["held"]
    await shard.done(runs["first"])
    await shard.plan()
    later = await shard.drain(NOW + 5 * SECOND)
    assert sorted(briefly(later)) == [("due", 5 * SECOND), ("held", 0), ("retry", 0)]
    assert {run.id: run.attempt for run in later}["retry"] == 2
    assert ("planned", 40 * SECOND) in briefly(await shard.drain(NOW + 40 * SECOND))
    assert {*await shard.ids()} == {*kept, "first"}
    await shard.delete(*await shard.ids())
    await shard.forget_runs(NOW)


@pytest.mark.parametrize("types", [False, True], ids=["job", "type"])
@pytest.mark.parametrize("schedule", ["every", "once"])
async def test_a_refused_update_brings_back_what_rests(
    shard: Shard, kafka: Publication, types: bool, schedule: str
) -> None:
    pauses, name = RedisPauses(shard.client, shard.namespace, 0), "t" if types else "a"
    await shard.create(every("a", MINUTE, NOW) if schedule == "every" else once("a", NOW))
    await pauses.pause([name], '{"since": 1}', types=types)
    assert await shard.stage(NOW) == []
    await kafka.settle()
    await shard.update(once("a", NOW + HOUR, creator="large"))
    kafka.log.refuses = about("a", topics=[Topic.RESOURCES])
    await kafka.settle()
    assert await shard.stage(NOW + SECOND) == []
    assert (await pauses.resume([name], NOW + SECOND, types=types)).changed == 1
    runs = await shard.drain(NOW + SECOND) + await shard.drain(NOW + MINUTE)
    assert briefly(runs) == [("a", MINUTE if schedule == "every" else 0)]
    assert await shard.raw("EXISTS", "retries") == 0
    await shard.delete("a")
    await shard.forget_runs(NOW)


async def test_a_refused_update_brings_back_the_run_that_waits_for_another(
    shard: Shard, kafka: Publication
) -> None:
    rules = Properties(overlap=Overlap.ONE)
    await shard.create(every("a", MINUTE, NOW, properties=rules))
    (first,) = await shard.stage(NOW)
    assert await shard.stage(NOW + MINUTE) == []
    await kafka.settle()
    await shard.update(once("a", NOW + HOUR, creator="large"))
    kafka.log.refuses = about("a", topics=[Topic.RESOURCES])
    await kafka.settle()
    assert await shard.drain(NOW + MINUTE) == []
    await shard.done(first, now=NOW + MINUTE)
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", MINUTE)]


@pytest.mark.parametrize("schedule", ["every", "once"])
async def test_a_refused_update_keeps_the_counts_and_the_history(
    shard: Shard, kafka: Publication, schedule: str
) -> None:
    """Runs of the old definition that end meanwhile count as well."""
    await shard.create(every("a", MINUTE, NOW))
    for n, answer in enumerate((shard.done, shard.fail, shard.done)):
        (run,) = await shard.stage(NOW + n * MINUTE)
        await answer(run, now=NOW + n * MINUTE)
    (run,) = await shard.stage(NOW + 3 * MINUTE)
    await kafka.settle()
    new = every("a", HOUR, creator="large") if schedule == "every" else once("a", NOW + HOUR)
    await shard.update(new)
    if schedule == "every":
        await shard.done(run, now=NOW + 3 * MINUTE)
    kafka.log.refuses = about("a", topics=[Topic.RESOURCES])
    await kafka.settle()
    if schedule == "once":
        await shard.done(run, now=NOW + 3 * MINUTE)
    runs = (await shard.runs.job_runs(["a"]))["a"]
    assert (runs.counters.done, runs.counters.failed) == (3, 1)
    assert runs.last
    assert runs.last.id.nominal == NOW + 3 * MINUTE
    await shard.delete("a")


async def test_a_refused_update_lets_the_backfill_go_on(shard: Shard, kafka: Publication) -> None:
    """One of its runs waits for its retry, one for its place, and one has ended meanwhile."""
    backfills = RedisBackfills(shard.client, shard.namespace, 0, shard.schedule.rules)
    loop = Backfiller(backfills, kafka)
    await shard.create(every("a", HOUR, NOW + HOUR, attempts=2, parallel=2))
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    seq, since = int.from_bytes(stored.record[:6], "little"), NOW - 6 * HOUR
    asked = NewBackfill("a", seq, NOW, 3, Backfilled(6, RunId("a", seq, since), None))
    assert (await backfills.begin(asked, ""))[0] is BackfillVerdict.BEGUN
    await loop.run_once(shard.token)
    first, second = await shard.drain(NOW)
    await kafka.settle()
    await shard.update(every("a", 2 * HOUR, creator="large"))
    assert await shard.raw("EXISTS", "backfills") == 0
    await shard.done(first)
    kafka.log.refuses = about("a", topics=[Topic.RESOURCES])
    await kafka.settle()
    await shard.fail(second)
    found = [first, second]
    for _ in range(12):
        await loop.run_once(shard.token)
        for run in await shard.drain(NOW):
            found.append(run)
            await shard.done(run)
    hours = [(run.nominal - since) // HOUR for run in found]
    assert sorted(hours) == [0, 1, 1, 2, 3, 4, 5]
    assert await shard.raw("EXISTS", "backfills") == 0
    await shard.delete("a")


async def test_what_was_changed_again_stays_as_it_is_now(shard: Shard, kafka: Publication) -> None:
    """The refused definition is not there any more."""
    await shard.create(every("a", SECOND), every("b", SECOND))
    await kafka.settle()
    await shard.update(every("a", HOUR, type="refused"), every("b", HOUR, type="refused"))
    await shard.update(every("a", MINUTE))
    await shard.delete("b")
    kafka.log.sent.clear()
    seen: set[bytes] = set()

    def refuses_first(record: Record) -> bool:
        first = record.key == b"jobsCreated" and b"refused" in (record.value or b"")
        seen.add(record.key)
        return first

    kafka.log.refuses = refuses_first
    await kafka.settle()
    assert await shard.ids() == ["a"]
    assert kafka.log.told() == [("jobsDeleted", "a"), ("jobsCreated", "a"), ("jobsDeleted", "b")]
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", MINUTE)]
    await shard.delete("a")
    await shard.forget_runs(NOW)


async def test_a_job_that_was_undone_does_not_come_back(shard: Shard, kafka: Publication) -> None:
    """When the change that has replaced it meanwhile is refused as well."""
    await shard.create(every("a", SECOND))
    await shard.update(every("a", MINUTE))
    kafka.log.refuses = about("a", topics=[Topic.RESOURCES])
    await kafka.settle()
    assert await shard.ids() == []
    assert kafka.log.told() == []
    assert kafka.log.journal() == {b"a": False}


async def test_runs_of_an_undone_job_are_not_sent(shard: Shard, kafka: Publication) -> None:
    """They may be staged long before their job is refused."""
    await shard.create(at_once("a", type="t", parallel=1), at_once("b"))
    await shard.create(once("c", type="t", parallel=1))
    assert briefly(await shard.stage()) == [("a", 0), ("b", 0)]
    kafka.log.refuses = about("b", topics=[Topic.JOURNAL])
    await kafka.settle()
    assert kafka.log.of(Topic.JOBS) == []
    assert await shard.raw("HLEN", "runs") == 0
    assert briefly(await shard.stage()) == [("c", 0)]
    await shard.forget_runs(NOW)
    await shard.delete("c")


async def test_a_refused_run_ends_its_one_time_job(shard: Shard, kafka: Publication) -> None:
    """Without a retry. `now` jobs are announced nowhere."""
    await shard.create(once("a", attempts=3), at_once("b"), once("c"))
    await shard.stage()
    kafka.log.refuses = about("a", "b", topics=[Topic.JOBS])
    assert await kafka.settle() == 2
    assert await shard.ids() == ["c"]
    assert [record.route for record in kafka.log.of(Topic.JOBS)] == [b"c"]
    deleted = [record for record in kafka.log.of(Topic.RESOURCES) if record.key == b"jobsDeleted"]
    assert [header(record, "job-id") for record in deleted] == ["a"]
    assert header(deleted[0], "outcome") == "refused"
    assert header(deleted[0], "error") == "too large"
    assert deleted[0].value == b"\x0a\x01a"
    assert kafka.log.journal() == {b"a": False, b"b": False, b"c": True}
    letters = kafka.log.letters()
    assert [letter["job-id"] for letter in letters] == ["a", "b"]
    assert letters[0]["occurrence-id"].startswith("a/")
    assert letters[0]["attempt"] == "1"
    await shard.forget_runs(NOW)


async def test_a_refused_run_of_a_recurring_job_is_one_of_many(
    shard: Shard, kafka: Publication
) -> None:
    """It holds no place of its type, and the next one comes at its time."""
    await shard.create(every("a", SECOND, parallel=1))
    await shard.stage(NOW + SECOND)
    kafka.log.refuses = about("a", topics=[Topic.JOBS])
    assert await kafka.settle() == 1
    assert await shard.ids() == ["a"]
    assert briefly(await shard.stage(NOW + 2 * SECOND)) == [("a", 2 * SECOND)]
    kafka.log.refuses = about()
    await kafka.settle()
    assert [record.route for record in kafka.log.of(Topic.JOBS)] == [b"a"]
    await shard.forget_runs(NOW)
    await shard.delete("a")


async def test_runs_of_that_size_are_not_tried_for_a_while(
    shard: Shard, kafka: Publication
) -> None:
    """Each would interrupt all others; smaller ones go on, and later it is tried again."""
    kafka.log.by_size = True
    await shard.create(every("large", SECOND, type="long" * 20), every("small", SECOND))
    await shard.stage(NOW + SECOND)
    kafka.log.refuses = about("large", topics=[Topic.JOBS])
    assert await kafka.settle() == 1
    kafka.log.refuses = about()
    await shard.stage(NOW + 2 * SECOND)
    taken = await shard.take(kafka.position.number)
    kafka.time += SCREEN_MS
    assert await kafka.refusals.screen(shard.token, shard.lineage, taken)
    assert await kafka.settle() == 0
    assert len(kafka.log.letters()) == 2
    await shard.stage(NOW + 3 * SECOND)
    taken = await shard.take(kafka.position.number)
    kafka.time += 1
    assert not await kafka.refusals.screen(shard.token, shard.lineage, taken)
    assert await kafka.settle() == 0
    routes = [record.route for record in kafka.log.of(Topic.JOBS)]
    assert (routes.count(b"small"), routes.count(b"large")) == (3, 1)
    await shard.forget_runs(NOW)
    await shard.delete("large", "small")


async def test_a_job_whose_run_is_under_way_is_what_it_was(
    shard: Shard, kafka: Publication
) -> None:
    """An update of an unchanged `when` keeps its number, and its run."""
    await shard.create(once("a", attempts=2))
    await kafka.settle()
    (run,) = await shard.stage()
    await shard.update(once("a", attempts=1))
    kafka.log.refuses = lambda record: record.topic is Topic.RESOURCES
    assert await kafka.settle() > 0
    assert [record.route for record in kafka.log.of(Topic.JOBS)] == [b"a"]
    assert await shard.ids() == ["a"]
    await shard.fail(run)
    assert [each.attempt for each in await shard.stage()] == [2]
    await shard.delete("a")
    await shard.forget_runs(NOW)


async def test_a_refused_retry_is_the_last_one(shard: Shard, kafka: Publication) -> None:
    await shard.create(once("a", attempts=3))
    (run,) = await shard.stage()
    await shard.fail(run)
    assert [each.attempt for each in await shard.stage()] == [2]
    kafka.log.refuses = lambda record: (
        header(record, "attempt") == "2" if record.topic is (Topic.JOBS) else False
    )
    await kafka.settle()
    assert await shard.ids() == []
    assert not any(kafka.log.journal().values())


@pytest.mark.parametrize("topic", [Topic.RESOURCES, Topic.JOURNAL])
async def test_of_a_deletion_the_other_half_is_published(
    shard: Shard, kafka: Publication, topic: Topic
) -> None:
    """The job is gone in any case."""
    await shard.create(once("a"))
    await kafka.settle()
    await shard.delete("a")
    kafka.log.refuses = about("a", topics=[topic], tombstones=True)
    assert await kafka.settle() == 1
    assert kafka.log.journal()[b"a"] == (topic is Topic.JOURNAL)
    events = [event for event, _ in kafka.log.told()]
    assert events == ["jobsCreated", "jobsDeleted"][: 1 if topic is Topic.RESOURCES else 2]
    assert [letter["job-id"] for letter in kafka.log.letters()] == ["a"]


async def test_what_is_written_to_the_journal_again_is_not_undone(
    shard: Shard, kafka: Publication
) -> None:
    """Jobs that live, also `now` jobs: a restore puts them back, a refill repeats them."""
    await shard.create(every("a", HOUR), at_once("b", attempts=2))
    await shard.stage()
    await kafka.settle()
    await shard.put_back([every("c", HOUR)], [], 10)
    refill = RedisRefill(shard.client, shard.namespace, 0, 1)
    extent = Extent("id", 0, 0)
    while (await refill.refill(shard.token, extent, NOW, 10, 0)).state == "ok":
        pass
    kafka.log.refuses = lambda record: record.topic is Topic.JOURNAL and record.value is not None
    assert await kafka.settle() == 4
    assert await shard.ids() == ["a", "c"]
    assert await shard.raw("HLEN", "jobs") == 3
    assert sorted(letter["job-id"] for letter in kafka.log.letters()) == [*"abcc"]
    await shard.delete("a", "c")
    await shard.forget_runs(NOW)


async def test_a_refused_note_of_a_retry_is_dropped(shard: Shard, kafka: Publication) -> None:
    """Only a rebuild would read it; the retry itself comes."""
    await shard.create(once("a", attempts=2, delay=SECOND))
    (run,) = await shard.stage()
    await shard.fail(run)
    kafka.log.refuses = lambda record: record.topic is Topic.JOURNAL and b"\0" in record.key
    assert await kafka.settle() == 1
    assert [each.attempt for each in await shard.stage(NOW + SECOND)] == [2]
    await shard.forget_runs(NOW)
    await kafka.settle()


@pytest.mark.parametrize("name", ["a", "t"], ids=["job", "type"])
async def test_a_refused_note_of_a_pause_is_dropped(
    shard: Shard, kafka: Publication, name: str
) -> None:
    """The job stays paused until Redis is lost."""
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(once("a", NOW, type="t"))
    await kafka.settle()
    await pauses.pause([name], '{"since": 1}', types=name == "t")
    kafka.log.refuses = lambda record: b"\0pause" in record.key and record.value is not None
    assert await kafka.settle() == 1
    assert [letter.get("job-id") for letter in kafka.log.letters()] == ["a" if name == "a" else ""]
    assert await shard.stage(NOW) == []


async def test_a_refused_record_of_a_resume_is_dropped(shard: Shard, kafka: Publication) -> None:
    """Its group is no list: the job goes on, and its pause has ended."""
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("a", MINUTE, NOW))
    await pauses.pause(["a"], '{"since": 1}', types=False)
    assert await shard.stage(NOW) == []
    await kafka.settle()
    await pauses.resume(["a"], NOW + SECOND, types=False)
    kafka.log.refuses = about("a", topics=[Topic.JOURNAL])
    assert await kafka.settle() == 1
    assert kafka.log.journal() == {b"a": True, b"a\0pause": False}
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", MINUTE)]


async def test_a_refused_count_is_dropped(shard: Shard, kafka: Publication) -> None:
    """Its run goes on."""
    await shard.create(every("a", MINUTE, NOW, properties=Properties(max_runs=3)))
    await kafka.settle()
    await shard.stage(NOW)
    kafka.log.refuses = lambda record: b"\0count" in record.key and record.value is not None
    assert await kafka.settle() == 1
    assert [letter["job-id"] for letter in kafka.log.letters()] == ["a"]
    assert [record.route for record in kafka.log.of(Topic.JOBS)] == [b"a"]


def test_every_record_that_the_journal_keeps_has_a_name() -> None:
    assert set(KEPT_KINDS) <= set(KINDS)
    assert set(KINDS.values()) <= set(metrics.KINDS)


async def test_a_dead_letter_is_cut_and_then_dropped(shard: Shard, kafka: Publication) -> None:
    headers = [("reason", b"unreadable"), ("offset", b"7")]
    letter = event_entry(Topic.DEAD_LETTER, b"createJobs", b"x" * 500, headers)
    await shard.jobs.append([letter, event_entry(Topic.COMMANDS, b"versionResponse", b"v")], NOW)
    kafka.log.refuses = lambda record: record.topic is Topic.DEAD_LETTER and bool(record.value)
    assert await kafka.settle() == 1
    (cut,) = kafka.log.of(Topic.DEAD_LETTER)
    assert (cut.key, cut.value) == (b"createJobs", b"")
    assert header(cut, "truncated-from") == "500"
    assert header(cut, "offset") == "7"
    await shard.jobs.append([letter], NOW)
    kafka.log.refuses = lambda record: record.topic is Topic.DEAD_LETTER
    assert await kafka.settle() == 2
    assert len(kafka.log.of(Topic.DEAD_LETTER)) == 1
    assert len(kafka.log.of(Topic.COMMANDS)) == 1


async def test_a_refused_response_is_a_dead_letter(shard: Shard, kafka: Publication) -> None:
    await shard.jobs.append([event_entry(Topic.COMMANDS, b"versionResponse", b"v" * 99)], NOW)
    kafka.log.refuses = lambda record: record.topic is Topic.COMMANDS
    assert await kafka.settle() == 1
    (letter,) = kafka.log.of(Topic.DEAD_LETTER)
    assert (letter.key, letter.value) == (b"versionResponse", b"")


async def test_dead_letters_without_a_topic_stop_nothing(shard: Shard, kafka: Publication) -> None:
    letters = [event_entry(Topic.DEAD_LETTER, b"k", b"v", [("offset", b"1")])] * 3
    await shard.create(once("a"))
    await shard.jobs.append(letters, NOW, shard.source(0))
    await shard.stage()
    kafka.log.without = {Topic.DEAD_LETTER}
    assert await kafka.settle() == 3
    assert [record.route for record in kafka.log.of(Topic.JOBS)] == [b"a"]
    assert kafka.position.inputs == {"jobs:0": 1}
    await shard.forget_runs(NOW)


async def test_what_cannot_do_without_a_topic_waits_for_it(
    shard: Shard, kafka: Publication
) -> None:
    """What is before it goes out, and nothing is undone."""
    await shard.jobs.append([event_entry(Topic.COMMANDS, b"k", b"v")], NOW)
    await shard.create(once("a"), once("b"))
    kafka.log.without = {Topic.RESOURCES}
    with pytest.raises(RecordRefused, match="too large"):
        await kafka.settle()
    assert len(kafka.log.of(Topic.COMMANDS)) == 1
    assert await shard.ids() == ["a", "b"]
    kafka.position = kafka.log.positions[-1]
    kafka.log.without = set()
    assert await kafka.settle() == 0
    assert [job_id for _, job_id in kafka.log.told()] == ["a", "b"]
    await shard.delete("a", "b")


async def test_many_are_set_aside(shard: Shard, kafka: Publication) -> None:
    """In one go, whatever lies between them."""
    ids = [f"j{number}" for number in range(250)]
    for job_id in ids:
        await shard.create(once(job_id))
    kafka.log.refuses = about(*ids[::3])
    assert await kafka.settle() == len(ids[::3])
    assert {*await shard.ids()} == {*ids} - {*ids[::3]}
    await shard.delete(*ids)


async def test_only_the_owner_sets_aside(
    shard: Shard, kafka: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the store that it has looked at; else nothing has changed."""
    await shard.create(once("a"), once("b"))
    kafka.log.refuses = about("b")
    aside = kafka.refusals.outbox.set_aside
    for change, fault in (("token", LeaseLost), ("lineage", Diverged)):

        async def call(token: str, lineage: str, *rest: Any, change: str = change) -> None:
            other = {"token": (change, lineage), "lineage": (token, change)}[change]
            await aside(*other, *rest)

        monkeypatch.setattr(kafka.refusals.outbox, "set_aside", call)
        with pytest.raises(fault):
            await kafka.settle()
        assert await shard.ids() == ["a", "b"]
    monkeypatch.setattr(kafka.refusals.outbox, "set_aside", aside)
    assert await kafka.settle() == 1
    assert await shard.ids() == []


async def test_other_entries_are_not_replaced(
    shard: Shard, kafka: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers mean what they did when they were read, or nothing is done."""
    await shard.create(once("a"))
    kafka.log.refuses = about("a")
    aside = kafka.refusals.outbox.set_aside

    async def call(token: str, lineage: str, what: Any, now: int) -> None:
        what.replaced[:] = [replace_number(each) for each in what.replaced]
        await aside(token, lineage, what, now)

    def replace_number(each: Any) -> Any:
        return each._replace(number=each.number - 1)

    monkeypatch.setattr(kafka.refusals.outbox, "set_aside", call)
    with pytest.raises(Diverged):
        await kafka.settle()
    assert await shard.ids() == ["a"]
    await shard.delete("a")
