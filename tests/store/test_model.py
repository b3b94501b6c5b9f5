"""Random lives of a shard, held against a naive model: what is staged in which order, and what
is left.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import uvloop
from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.ports import WriteMode
from scheduling_srv.domain.backoff import BackoffType
from scheduling_srv.domain.job import Answer, Priority, TriggerKind
from scheduling_srv.formats.versions import FORMATS, READS, WRITES
from tests.harness.given import Store
from tests.harness.names import Names
from tests.store.model import Model, Spec
from tests.store.shard import DAY, NOW, Shard, of_version

IDS = ["a", "b", "c", "d", "e", "f"]
TIMEOUT = 7000
PRECISION = 1000
"""So much less than its timeout may a run have had (docs/decisions/0027)."""


class Write(NamedTuple):
    mode: WriteMode
    specs: list[Spec]
    version: int = FORMATS[WRITES].job
    """Of the records: replicas of two versions may write."""


class Delete(NamedTuple):
    ids: list[str]


class Answers(NamedTuple):
    """`which` counts back from the newest instance."""

    which: list[tuple[int, bool]]


class Stage(NamedTuple):
    limit: int


class Pass(NamedTuple):
    ms: int


class Expire(NamedTuple):
    pass


class Publish(NamedTuple):
    pass


class Clear(NamedTuple):
    pass


class Reset(NamedTuple):
    pass


Step = Write | Delete | Answers | Stage | Pass | Expire | Publish | Clear | Reset


SPECS = st.builds(
    Spec,
    id=st.sampled_from(IDS),
    kind=st.sampled_from([kind for kind in TriggerKind if kind is not TriggerKind.ENDING]),
    due=st.sampled_from([-300, 0, 0, 1, 700, 2000]),
    type=st.sampled_from(["t", "t", "u"]),
    priority=st.sampled_from([Priority.NORMAL, *Priority]),
    parallel=st.sampled_from([0, 1, 1, 2, 3]),
    attempts=st.integers(0, 3),
    backoff=st.sampled_from(BackoffType),
    delay=st.sampled_from([0, 1, 700, 5000]),
    interval=st.sampled_from([300, 1000, 2500]),
)
"""`due` is relative to the clock."""

STAGE = st.builds(Stage, st.sampled_from([1, 2, 3, 500, 500]))
ANSWER = st.builds(
    Answers, st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=4)
)
WRITE = st.builds(
    Write,
    st.sampled_from([WriteMode.CREATE, WriteMode.UPSERT, WriteMode.UPDATE, WriteMode.UPSERT]),
    st.lists(SPECS, min_size=1, max_size=4, unique_by=lambda spec: spec.id),
    st.integers(0, FORMATS[READS].job),
)
RARE: st.SearchStrategy[Step] = st.one_of(
    st.builds(Delete, st.lists(st.sampled_from(IDS), min_size=1, max_size=3)),
    st.just(Expire()),
    st.just(Publish()),
    st.sampled_from([Clear(), Reset(), Publish()]),
)
PASS = st.builds(Pass, st.sampled_from([1, 300, 1000, 4000]))
STEPS: st.SearchStrategy[Step] = st.one_of(STAGE, WRITE, STAGE, ANSWER, PASS, RARE)


@dataclass
class Life:
    """The store and the model, doing the same."""

    shard: Shard
    model: Model = field(default_factory=lambda: Model(TIMEOUT))
    now: int = NOW

    async def do(self, step: Step) -> None:
        match step:
            case Write(mode, asked, version):
                await self.write(mode, [self.timed(spec) for spec in asked], version)
            case Delete(ids):
                await self.shard.delete(*ids, now=self.now)
                self.model.delete(ids)
            case Answers(which):
                await self.answer(which)
            case Stage(limit):
                await self.stage(limit)
            case Pass(ms):
                self.now += ms
            case Publish():
                await self.shard.publish(self.now)
                self.model.publish(self.now)
            case Expire():
                await self.expire()
            case Clear():
                await self.shard.clear(self.now)
                self.model.clear()
            case Reset():
                await self.shard.reset(self.now)
                self.model.reset()
        await self.compare()

    def timed(self, spec: Spec) -> Spec:
        """Due times are relative to the clock; those of cron jobs are even seconds."""
        due = self.now + spec.due
        if spec.kind is TriggerKind.CRON:
            due -= due % 2000
        return Spec(**{**vars(spec), "due": due})

    async def write(self, mode: WriteMode, asked: list[Spec], version: int) -> None:
        jobs = [spec.job() for spec in asked]
        jobs = [job._replace(record=of_version(job.record, version)) for job in jobs]
        written = await self.shard.write(mode, *jobs, now=self.now)
        assert written.refusals == [self.model.write(mode, asked, self.now)]

    async def answer(self, which: list[tuple[int, bool]]) -> None:
        answers = [Answer(self.model.instance - back, failed) for back, failed in which]
        answers = [answer for answer in answers if answer.instance > 0]
        applied = await self.shard.answer(*answers, now=self.now)
        expected = [
            self.model.answer(answer.instance, failed=answer.failed, now=self.now)
            for answer in answers
        ]
        assert applied == sum(expected)

    async def expire(self) -> None:
        """Nothing times out more than a second early, and nothing late."""
        expired = await self.shard.schedule.expire(self.shard.token, self.now, 500)
        left = {int(instance) for instance in await self.shard.raw("HKEYS", "runs")}
        ended = self.model.running.keys() - left
        assert expired.expired == len(ended)
        assert self.model.late(self.now) <= ended <= self.model.late(self.now, PRECISION)
        self.model.expire(ended, self.now)

    async def stage(self, limit: int) -> None:
        assert await self.shard.stage(self.now, limit) == self.model.stage(self.now, limit)
        await self.shard.plan()

    async def compare(self) -> None:
        """What both hold."""
        model, raw = self.model, self.shard.raw
        assert await self.shard.ids() == model.resources()
        assert await raw("HLEN", "jobs") == len(model.jobs)
        assert await raw("HLEN", "runs") == await raw("ZCARD", "running") == len(model.running)
        for kind in ("t", "u"):
            assert int(await raw("HGET", "types", kind) or 0) == model.count(kind)
        waiting = await raw("ZCARD", "due") + await raw("ZCARD", "waiting")
        assert waiting == len(model.waiting)
        retries = sum(each.attempt > 1 or each.kept for each in model.waiting)
        assert await raw("ZCARD", "retries") == retries

    async def end(self) -> None:
        """Everything runs out: nobody was forgotten, and nothing is left."""
        for _ in range(100):
            staged = self.model.stage(self.now, 500)
            assert await self.shard.stage(self.now) == staged
            await self.shard.plan()
            running = list(self.model.running)
            await self.shard.done(*running, now=self.now)
            for instance in running:
                self.model.answer(instance, failed=False, now=self.now)
            if not running:
                break
        assert not any(each.held or each.due <= self.now for each in self.model.waiting)
        await self.shard.delete(*IDS)
        assert await self.shard.drain(self.now + DAY) == []
        await self.shard.publish()
        assert set(await self.shard.keys()) <= {"inputs", "meta"}


async def live(url: str, steps: list[Step], stored: int) -> None:
    client = RedisClient(url)
    try:
        shard = await Shard.of(client, Names.unique().namespace).open()
        await shard.raw("HSET", "meta", "format", stored)
        shard.rule(completion_timeout=TIMEOUT, catch_up_window=1000 * DAY)
        life = Life(shard)
        for step in steps:
            await life.do(step)
        await life.end()
        await shard.raw("DEL", "meta", *[shard.jobs.base + name for name in ("inputs", "lease")])
    finally:
        await client.close()


@given(
    steps=st.lists(STEPS, min_size=20, max_size=60),
    stored=st.sampled_from(range(WRITES, READS + 1)),
)
def test_random_lives(valkey: Store, steps: list[Step], stored: int) -> None:
    run: Callable[..., None] = uvloop.run
    run(live(valkey.url, steps, stored))


def test_the_model_is_not_the_store() -> None:
    """It would notice: a model without limits stages what the store may not."""
    model = Model(TIMEOUT)
    jobs = [Spec(name, TriggerKind.ONCE, NOW, parallel=1) for name in ("a", "b")]
    model.write(WriteMode.CREATE, jobs, NOW)
    assert [run.id for run in model.stage(NOW, 500)] == ["a"]
    assert model.stage(NOW, 500) == []
