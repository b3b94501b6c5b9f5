"""A prefix of the outbox determines the state (docs/decisions/0001): Redis may lose all it has."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import uvloop
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.ports import Source, WriteMode
from scheduling_srv.app.recovery import rebuild
from scheduling_srv.app.recovery.rebuild import Rebuild
from scheduling_srv.domain.job import Answer, TriggerKind
from scheduling_srv.formats.job_record import header
from tests.harness.given import Store
from tests.harness.names import Names
from tests.store.kafka_log import KafkaLog
from tests.store.model import Model, Spec
from tests.store.shard import DAY, NOW, PARTITION, Shard, runs_in
from tests.store.test_model import (
    STEPS,
    TIMEOUT,
    Answers,
    Expire,
    Life,
    Pass,
    Publish,
    Stage,
    Step,
    Write,
)

Run = tuple[str, int, int, int]
"""Job, generation, nominal time, attempt."""


@dataclass
class Host:
    """Implements `Clock`."""

    life: Life

    def now(self) -> int:
        return self.life.now


@dataclass
class Logged(Life):
    """A life in which everything is published at once, but for the last step."""

    log: KafkaLog = field(default_factory=lambda: KafkaLog("", 0))
    stored: int = 0

    async def begin(self) -> None:
        await self.shard.own()
        self.shard.lineage = await self.shard.schedule.initialise(
            self.shard.token, self.log.position, NOW
        )
        await self.publish()

    async def do(self, step: Step) -> None:
        if not isinstance(step, Publish):
            await super().do(step)

    def timed(self, spec: Spec) -> Spec:
        """A recurring job is first due after its creation, as validation has it."""
        spec = super().timed(spec)
        if spec.kind.recurring and spec.due <= self.now:
            first = spec.interval if spec.kind is TriggerKind.INTERVAL else 2000 - self.now % 2000
            return replace(spec, due=self.now + first)
        return spec

    async def publish(self) -> list[bytes]:
        entries = await self.shard.publish(self.now)
        self.log.publish(entries, self.now)
        self.model.publish(self.now)
        return entries

    async def answer(self, which: list[tuple[int, bool]]) -> None:
        answers = [Answer(self.model.instance - back, failed) for back, failed in which]
        answers = [answer for answer in answers if answer.instance > 0]
        for answer in answers:
            behind = self.log.answer(answer, self.now) + 1
            source = Source(PARTITION, self.stored, behind, self.shard.lineage)
            await self.shard.jobs.complete([answer], self.now, source)
            self.model.answer(answer.instance, failed=answer.failed, now=self.now)
            self.stored = behind


async def rebuilt(life: Logged, log: KafkaLog) -> Shard:
    """A shard made from nothing but what Kafka has; then the listener reads on."""
    shard = Shard.of(life.shard.client, Names.unique().namespace)
    shard.rule(completion_timeout=TIMEOUT, catch_up_window=1000 * DAY)
    await shard.own()
    maker = Rebuild(
        shard.schedule,
        log,
        jobs_topic=PARTITION.removesuffix(":0"),
        clock=Host(life),
    )
    position, shard.lineage = await maker.run(shard.token, log.position)
    stored = position.inputs.get(PARTITION, 0)
    source = Source(PARTITION, stored, len(log.jobs), shard.lineage)
    if answers := log.answers_from(stored):
        await shard.jobs.complete(answers, life.now, source)
    return shard


async def running_in(shard: Shard) -> set[int]:
    return {int(instance) for instance in await shard.raw("HKEYS", "runs")}


async def check(life: Logged, log: KafkaLog, model: Model) -> None:
    """The rebuilt shard is what the model is, and goes on as the model does."""
    shard = await rebuilt(life, log)
    living = {job.spec.id: job.seq for job in model.jobs.values()}
    for job_id, job in zip(living, await shard.jobs.get(list(living)), strict=True):
        assert job
        assert header(job.record).seq == living[job_id]
    assert await shard.raw("HLEN", "jobs") == len(living)
    # A time-out that had no consequence is not on Kafka: it is found again, as time begins anew.
    model.publish(life.now)
    assert set(model.running) <= await running_in(shard)
    later = life.now + TIMEOUT
    assert not (await shard.schedule.expire(shard.token, later - 1, 500)).expired
    await shard.schedule.expire(shard.token, later, 500)
    model.expire(model.late(later), later)
    assert await running_in(shard) == set(model.running)
    await same_future(shard, model, later)
    await shard.schedule.begin_rebuild(shard.token)
    await shard.raw("DEL", "meta", shard.jobs.base + "lease")


async def same_future(shard: Shard, model: Model, now: int) -> None:
    """Staged again and again while all is answered: the same runs at the same times."""
    await shard.publish(now)
    for _ in range(5):
        expected = {(run.id, run.seq, run.nominal, run.attempt) for run in model.stage(now, 500)}
        runs = await shard.drain_once(now)
        assert {(run.id, run.seq, run.nominal, run.attempt) for run in runs} == expected
        for instance in list(model.running):
            model.answer(instance, failed=False, now=now)
        await shard.forget_runs(now)
        now += 1000


async def live(url: str, steps: Sequence[Step]) -> None:
    client = RedisClient(url)
    try:
        shard = Shard.of(client, Names.unique().namespace)
        shard.rule(completion_timeout=TIMEOUT, catch_up_window=1000 * DAY)
        life = Logged(shard, log=KafkaLog("first", NOW))
        await life.begin()
        for step in steps[:-1]:
            await life.do(step)
            await life.publish()
        before, log = copy.deepcopy(life.model), life.log.copy()
        await life.do(steps[-1])
        log.jobs += life.log.jobs[len(log.jobs) :]
        entries = await life.publish()
        await check_cuts(life, steps[-1], entries, before, log)
        await shard.schedule.begin_rebuild(shard.token)
        await shard.raw("DEL", "meta", shard.jobs.base + "lease")
    finally:
        await client.close()


async def check_cuts(
    life: Logged, step: Step, entries: list[bytes], before: Model, log: KafkaLog
) -> None:
    """Kafka has all of the last step, or, of a staging call, only a part."""
    log_of_all = log.copy()
    log_of_all.jobs = list(log.jobs)
    log_of_all.publish(entries, life.now)
    await check(life, log_of_all, copy.deepcopy(life.model))
    if isinstance(step, Stage):
        for cut in range(len(entries)):
            part, model = log.copy(), copy.deepcopy(before)
            part.publish(entries[:cut], life.now)
            model.started(runs_in(entries[:cut]), life.now)
            await check(life, part, model)
    if isinstance(step, Expire):
        part = log.copy()
        await check(life, part, before)


async def test_a_late_retry_does_not_bring_settled_occurrences_back(
    valkey: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is seen of the job is the retry of an old occurrence; a newer one was answered."""
    monkeypatch.setattr(rebuild, "SKEW", 0)
    minutes = 60_000
    job = Spec("a", TriggerKind.INTERVAL, 5 * minutes, attempts=2, delay=7 * minutes)
    created = Write(WriteMode.CREATE, [replace(job, interval=5 * minutes)])
    steps: list[Step] = [
        *(created, Pass(5 * minutes), Stage(9), Answers([(0, True)])),
        *(Pass(5 * minutes), Stage(9), Answers([(0, False)])),
        *(Pass(2 * minutes), Stage(9)),
    ]
    await live(valkey.url, steps)


@given(steps=st.lists(STEPS, min_size=15, max_size=60))
@settings(max_examples=80, phases=[Phase.generate])
def test_random_losses(valkey: Store, steps: list[Step]) -> None:
    """Whatever has happened, and wherever Kafka has been cut off, nothing is lost or doubled."""
    run: Callable[..., None] = uvloop.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "SKEW", 0)  # here all clocks are one
        run(live(valkey.url, steps))
