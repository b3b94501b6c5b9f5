"""Owning a shard: recover, stage and publish, and recover again on whatever is in doubt."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner import owner as owner_module
from scheduling_srv.app.owner.balance import Holdings
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.owner import Owner
from scheduling_srv.app.owner.refusals import Settled
from scheduling_srv.app.owner.stager import StageResult
from scheduling_srv.app.owner.standby import StandBy
from scheduling_srv.app.replies import Cursor, Holder, Signal, Staged, Taken
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import (
    Diverged,
    Fenced,
    LeaseLost,
    LogUnavailable,
    PublishFailed,
    RecordRefused,
    SchedulingError,
    StoreFull,
    StoreNotReady,
    StoreUnavailable,
)
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.versions import newer
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
FAR = NOW + 10**9


class World:
    """Everything that an owner touches."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.holder_name = ""
        self.faults: dict[str, list[Exception]] = {}
        self.outbox = 1
        self.sleep_until = FAR
        self.staged = 0
        self.during_stage: Callable[[], None] = lambda: None
        self.publish_gate = asyncio.Event()
        self.publish_gate.set()
        self.inputs_gate = asyncio.Event()
        self.inputs_gate.set()
        self.extras: list[str] = []
        self.refused = 1
        self.begun = 0
        """Number of the position that the publisher goes on from."""
        self.handed = 0
        """Entries that are taken and not published."""
        self.fenced: list[bool] = []
        """Of each recovery: whether the owner was fenced before."""
        self.told: list[bool] = []
        """Whether the owner emits, as it says when it renews its lease."""
        self.owner = self.another("me")

    async def prepare(self) -> None:
        self.note("prepare")

    def another(self, name: str, *extras: Any) -> Owner:
        world: Any = self
        refusals: Any = _Refusals(self)
        rules = ShardRules(lease=3000)
        return Owner(
            name=name,
            lease=world,
            standby=StandBy(lease=world, clock=world, rules=rules, connect=(self.prepare,)),
            holdings=Holdings(),
            recovery=_Recovery(self),  # type: ignore[arg-type]
            refusals=refusals,
            emitter=Emitter(
                shard=0,
                stager=_Stager(self),  # type: ignore[arg-type]
                outbox=world,
                publisher=_Publisher(self),
                refusals=refusals,
                hold=Hold(world, rules.stage_ahead),
                known=KnownRuns(),
                clock=world,
            ),
            beside=extras,
            clock=world,
            rules=rules,
        )

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        entries = [b"C"] * min(self.outbox - self.handed, 2)
        self.handed += len(entries)
        return Taken(cursor.published + cursor.ahead, entries, self.outbox)

    def note(self, what: str) -> None:
        self.done.append(what)
        if self.faults.get(what):
            raise self.faults[what].pop(0)

    def now(self) -> int:
        return NOW

    def until(self, instant: int) -> float:
        return (instant - NOW) / 1000

    async def acquire(self, owner: str, *, dead: str = "") -> str | None:
        self.note("acquire")
        if self.holder_name:
            return None
        self.holder_name = owner
        return f"{owner}:1"

    async def holder(self) -> Holder | None:
        return Holder(self.holder_name, 3000, gone=False) if self.holder_name else None

    async def renew(self, token: str, *, emitting: bool) -> None:
        self.note("renew")
        self.told.append(emitting)

    async def release(self, token: str) -> None:
        self.note("release")
        self.holder_name = ""

    def count(self, what: str) -> int:
        return self.done.count(what)


class _Recovery:
    def __init__(self, world: World) -> None:
        self.world = world

    async def run_once(
        self, token: str, *, careful: bool = False, fenced: bool = False
    ) -> tuple[Position, str]:
        self.world.fenced.append(fenced)
        self.world.note("recover carefully" if careful else "recover")
        return Position(5, "i"), "lineage"


class _Refusals:
    def __init__(self, world: World) -> None:
        self.world = world

    async def settle(self, token: str, position: Position, lineage: str) -> Settled:
        self.world.note("settle")
        return Settled(replace(position, number=7), self.world.refused)

    async def screen(self, token: str, lineage: str, taken: object) -> bool:
        return False

    async def reopen(self) -> None:
        self.world.note("reopen")

    def shrink_batches(self) -> None:
        self.world.note("shrink")


class _Stager:
    wake_ahead = 0

    def __init__(self, world: World) -> None:
        self.world = world

    async def apply_inputs(self) -> None:
        await self.world.inputs_gate.wait()
        self.world.note("read")

    async def stage(self, token: str, now: int, cursor: Cursor | None = None) -> Staged:
        await asyncio.sleep(0)
        self.world.note("stage")
        self.world.during_stage()
        return Staged(full=False, entries=self.world.staged)

    async def finish(self, token: str, now: int, staged: Staged) -> StageResult:
        return StageResult(staged.entries, self.world.sleep_until)


class _Publisher:
    def __init__(self, world: World) -> None:
        self.world = world

    def begin(self, position: Position, lineage: str) -> None:
        self.world.handed = 0
        self.world.note(f"begin {position.number}")

    async def prepare(self) -> None:
        """Nothing precedes a batch."""

    def cursor(self, end: int) -> Cursor:
        return Cursor(0, "", end)

    def is_settled(self, trimmed: int) -> bool:
        return not self.world.outbox

    def is_stale(self, batch: Batch) -> bool:
        return False

    def may_wait(self, entries: Sequence[bytes]) -> bool:
        return False

    async def publish(self, batch: Batch) -> int:
        await self.world.publish_gate.wait()
        self.world.note("publish")
        sent = len(batch.taken.entries)
        self.world.outbox -= sent
        self.world.handed -= sent
        return sent

    async def follow(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(owner_module, "RETRY_PAUSE_SECONDS", 0.001)
    return World()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the owner does not know that it is watched
            await asyncio.sleep(0.001)


class running:  # noqa: N801 - reads as a statement
    """The owner runs within; at the end it is stopped, and `run` has to return."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    async def __aenter__(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.owner.run())
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.owner.stop()
        async with asyncio.timeout(5):
            await self.task


async def test_it_recovers_before_it_stages_or_publishes(world: World) -> None:
    """It connects before it asks for the lease, and looks at that before it fences anybody."""
    async with running(world.owner):
        await until(lambda: world.owner.emitting and world.count("publish") > 0)
    work = [each for each in world.done if each != "renew"]
    assert work[:4] == ["prepare", "acquire", "recover", "begin 5"]
    assert world.done.index("renew") < world.done.index("recover")
    assert world.done[-1] == "release"
    assert not world.owner.emitting


@pytest.mark.parametrize(
    "fault",
    [
        PublishFailed("p"),
        Diverged("d"),
        StoreUnavailable("s"),
        StoreNotReady("n"),
        LogUnavailable("l"),
    ],
)
@pytest.mark.parametrize("where", ["recover", "stage", "publish"])
async def test_whatever_is_in_doubt_is_recovered(
    world: World, fault: SchedulingError, where: str
) -> None:
    """Under the same lease."""
    world.faults[where] = [fault]
    async with running(world.owner):
        await until(lambda: world.count("recover") == 2 and world.owner.emitting)
        assert world.owner.problem == ""
    assert (world.count("acquire"), world.count("release")) == (1, 1)


async def test_a_fenced_owner_recovers_as_one_until_it_has_recovered(world: World) -> None:
    """A service that is not a replica of it may be there (decision 19)."""
    world.faults["publish"] = [Fenced("f")]
    async with running(world.owner):
        await until(lambda: world.count("publish") == 1)
        world.faults["recover"] = [LogUnavailable("another service is there")]
        await until(lambda: world.count("recover") == 3 and world.owner.emitting)
        world.faults["publish"] = [PublishFailed("p")]
        world.outbox = 1
        world.owner.notice(Signal("work"))
        await until(lambda: world.count("recover") == 4 and world.owner.emitting)
    assert world.fenced == [False, True, True, False]


async def test_whoever_fences_an_owner_whose_lease_was_lost_is_a_replica(world: World) -> None:
    """Also if this one gets the lease again."""
    world.faults["publish"] = [Fenced("f")]
    async with running(world.owner):
        await until(lambda: world.count("publish") == 1)
        world.faults["renew"] = [LeaseLost("l")]
        await until(lambda: world.count("recover") == 2 and world.owner.emitting)
    assert world.fenced == [False, False]


async def test_what_kafka_refuses_is_looked_for_at_once(world: World) -> None:
    """Carefully, under the lease, before anything is staged; then all goes on as usual."""
    world.faults["publish"] = [RecordRefused("too large", too_large=True)]
    async with running(world.owner):
        await until(lambda: "begin 7" in world.done and world.owner.emitting)
    work = [each for each in world.done if each not in {"stage", "publish"}]
    at = work.index("recover carefully")
    assert work[at - 1 : at + 6] == [
        "renew",
        "recover carefully",
        "settle",
        "renew",
        "reopen",
        "begin 7",
        "renew",
    ]
    assert "shrink" not in world.done


async def test_a_batch_that_is_too_large_is_made_smaller(world: World) -> None:
    """When none of its records is."""
    world.refused = 0
    world.faults["publish"] = [RecordRefused("too large", too_large=True)]
    async with running(world.owner):
        await until(lambda: "begin 7" in world.done)
    assert world.count("shrink") == 1


async def test_a_topic_that_nothing_can_do_without_is_waited_for(world: World) -> None:
    """Each time with a careful look."""
    world.faults["publish"] = [RecordRefused("The topic x does not exist.")]
    world.faults["settle"] = [RecordRefused("The topic x does not exist.")] * 3
    async with running(world.owner):
        await until(lambda: world.count("settle") == 2)
        await until(lambda: world.owner.problem == "The topic x does not exist.")
        await until(lambda: world.owner.emitting)
    assert world.count("recover carefully") == 4


async def test_a_lease_that_is_lost_while_a_loop_ends_leaves_no_loop_behind(world: World) -> None:
    """Whatever ends slowly: the others are told to end all the same."""
    alive: list[str] = []

    async def slow(token: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            world.faults["renew"] = [LeaseLost("lost")] * 10_000
            await asyncio.sleep(0.02)

    async def other(token: str) -> None:
        alive.append(token)
        try:
            await asyncio.Event().wait()
        finally:
            alive.remove(token)

    owner = world.another("me", slow, other)
    owner.rules = ShardRules(lease=3)
    world.faults["publish"] = [PublishFailed("p")]
    async with running(owner):
        await until(lambda: world.count("release") > 0)
        world.faults.clear()
        assert len(alive) <= 1
        await until(lambda: owner.emitting and len(alive) == 1)
    assert alive == []


async def test_it_says_why_it_does_not_emit(world: World) -> None:
    world.faults["recover"] = [LogUnavailable("Kafka does not answer.")] * 10_000
    assert not world.owner.emitting
    async with running(world.owner):
        await until(lambda: world.count("recover") > 1)
        assert not world.owner.emitting
        assert world.owner.problem == "Kafka does not answer."


@pytest.mark.parametrize("lease_ends", [False, True])
async def test_it_does_not_say_that_redis_is_away_when_it_answers_again(
    world: World, *, lease_ends: bool
) -> None:
    """A recovery may take long. Until its end health blamed a server that answered."""
    away = "Redis does not answer: no server listens there."
    world.faults["acquire" if lease_ends else "stage"] = [StoreUnavailable(away)]
    said = list[str]()

    async def look(
        token: str, *, careful: bool = False, fenced: bool = False
    ) -> tuple[Position, str]:
        said.append(world.owner.problem)
        return Position(5, "i"), "lineage"

    world.owner.recovery.run_once = look  # type: ignore[method-assign]
    async with running(world.owner):
        await until(lambda: world.owner.emitting and not any(world.faults.values()))
    assert said[-1] == ("" if lease_ends else owner_module.RECOVERING)


async def test_it_says_that_it_emits_after_its_first_batch(world: World) -> None:
    """Before, health said SERVING as soon as it had recovered, whatever became of that batch."""
    world.publish_gate.clear()
    async with running(world.owner):
        await until(lambda: world.count("stage") > 0 and world.handed > 0)
        await asyncio.sleep(60)
        assert world.told
        assert not any((world.owner.emitting, *world.told))
        world.publish_gate.set()
        began = asyncio.get_running_loop().time()
        await until(lambda: world.told[-1])
        assert asyncio.get_running_loop().time() - began < 0.5, "the next renewal is a second away"
        told = len(world.told)
        world.faults["publish"] = [PublishFailed("p")]
        world.outbox = 1
        world.owner.notice(Signal("work"))
        await until(lambda: world.count("recover") == 2)
        assert world.told[told] is False


async def test_it_says_that_it_emits_if_there_is_nothing_to_publish(world: World) -> None:
    world.outbox = 0
    async with running(world.owner):
        await until(lambda: world.told != [] and world.told[-1])
    assert (world.count("publish"), world.count("recover")) == (0, 1)


async def test_a_full_store_stops_nothing_but_staging(world: World) -> None:
    """What is on its way to Kafka makes room; and it says that nothing is emitted."""
    world.faults["stage"] = [StoreFull("Redis is full.")]
    async with running(world.owner):
        await until(lambda: world.owner.problem == "Redis is full.")
        assert not world.owner.emitting
        world.outbox = 3
        world.owner.notice(Signal("work"))
        await until(lambda: world.outbox == 0)
        assert not world.owner.emitting
        world.owner.notice(Signal("work", due=NOW))
        await until(lambda: world.owner.emitting)
        assert not world.owner.problem
    assert world.count("recover") == 1


async def test_a_full_store_is_forgotten_after_another_trouble(world: World) -> None:
    """Before, the log said each minute that due runs wait, for ever."""
    world.faults["stage"] = [StoreFull("Redis is full.")]
    async with running(world.owner):
        await until(lambda: world.owner.emitter._stages.failing)
        world.outbox = 3
        world.faults["publish"] = [PublishFailed("Kafka is away.")]
        world.owner.notice(Signal("work"))
        await until(lambda: world.count("recover") == 2 and world.owner.emitting)
        await until(lambda: not world.owner.emitter._stages.failing)


@pytest.mark.parametrize("where", ["renew", "recover", "stage", "publish"])
async def test_a_lost_lease_is_let_go(world: World, where: str) -> None:
    """It does nothing more with the old token, and tries for a new one."""
    world.faults[where] = [LeaseLost("lost")]
    async with running(world.owner):
        await until(lambda: world.count("acquire") == 2 and world.owner.emitting)
    assert world.count("release") == 2


@pytest.mark.parametrize("where", ["recover", "stage", "publish"])
async def test_a_replica_that_is_too_old_gives_the_lease_back(world: World, where: str) -> None:
    """One of a later version may have it. It waits, and tries again (decision 24)."""
    world.faults[where] = [newer("format", 9)]
    async with running(world.owner):
        await until(lambda: world.count("release") == 1)
        await until(lambda: "has format 9" in world.owner.problem)
        await until(lambda: world.owner.emitting)
    assert world.count("acquire") == 2


async def test_a_fault_of_our_own_is_not_hidden(world: World) -> None:
    """The process ends, and the next one recovers."""
    world.faults["stage"] = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await world.owner.run()
    assert world.count("release") == 1


async def test_it_stands_by_while_another_one_owns(world: World) -> None:
    """And comes at once when the lease is given back."""
    world.holder_name = "other"
    async with running(world.owner):
        await until(lambda: world.count("acquire") == 1)
        assert world.owner.problem == ""
        assert not world.owner.emitting
        world.holder_name = ""
        world.owner.notice(Signal("released"))
        await until(lambda: world.owner.emitting)


async def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    world.faults["acquire"] = [StoreUnavailable("Redis does not answer.")] * 3
    async with running(world.owner):
        await until(lambda: world.owner.emitting)
    assert world.count("acquire") == 4


async def test_stopping_finishes_what_was_begun(world: World) -> None:
    """All that is staged is published before the lease is given back."""
    world.publish_gate.clear()
    async with running(world.owner) as task:
        await until(lambda: world.count("stage") > 0)
        world.outbox = 5
        world.owner.stop()
        await asyncio.sleep(0.02)
        assert not task.done()
        world.publish_gate.set()
    assert world.outbox == 0
    assert world.done[-1] == "release"


async def test_a_shard_that_is_left_is_published_and_may_be_had_again(world: World) -> None:
    """To another replica it looks like a planned hand-over; this one goes on standing by."""
    world.publish_gate.clear()
    async with running(world.owner) as task:
        await until(lambda: world.count("stage") > 0)
        world.outbox = 5
        world.owner.leave()
        await asyncio.sleep(0.02)
        assert world.count("release") == 0
        world.publish_gate.set()
        await until(lambda: world.count("release") == 1)
        assert world.outbox == 0
        assert not task.done()
        await until(lambda: world.owner.emitting)  # nobody else wanted it
        assert world.owner.owning
    assert world.count("acquire") == 2
    assert not world.owner.owning


async def test_a_free_lease_is_left_to_others_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.02, 0.0]
    courtesy = "courtesy_seconds"
    monkeypatch.setattr(Holdings, courtesy, lambda _self: seconds.pop(0) if seconds else 0.0)
    async with running(world.owner):
        await asyncio.sleep(0)
        assert world.count("acquire") == 0
        await until(lambda: world.owner.emitting)
    assert seconds == [0.0]


async def test_stopping_while_it_stands_by(world: World) -> None:
    world.holder_name = "other"
    async with running(world.owner):
        await until(lambda: world.count("acquire") == 1)
    assert world.count("release") == 0


async def test_stopping_while_it_cannot_recover(world: World) -> None:
    world.faults["recover"] = [PublishFailed("p")] * 10_000
    async with running(world.owner):
        await until(lambda: world.count("recover") > 1)
    assert world.count("release") == 1


async def test_a_lease_that_cannot_be_given_back_ends_by_itself(world: World) -> None:
    world.faults["release"] = [StoreUnavailable("gone")]
    async with running(world.owner):
        await until(lambda: world.owner.emitting)


async def staged_again(world: World, signal: Signal) -> bool:
    """Whether the stager looks at once when it hears this."""
    async with running(world.owner):
        await until(lambda: world.count("stage") == 1)
        await asyncio.sleep(0.005)
        world.owner.notice(signal)
        await asyncio.sleep(0.02)
        return world.count("stage") > 1


@pytest.mark.parametrize(
    ("signal", "again"),
    [
        (Signal("work", due=NOW), True),
        (Signal("connected"), True),
        (Signal("work", due=FAR + 1), False),
        (Signal("work"), False),
        (Signal("published", lineage="i", number=3), False),
    ],
)
async def test_an_earlier_job_wakes_the_stager(world: World, signal: Signal, again: bool) -> None:
    assert await staged_again(world, signal) is again


async def test_what_is_heard_during_a_staging_call_counts(world: World) -> None:
    """The call may have looked before the job came."""
    signals = [Signal("work", due=NOW)]
    world.during_stage = lambda: world.owner.notice(signals.pop()) if signals else None
    async with running(world.owner):
        await until(lambda: world.count("stage") >= 2)


async def test_work_wakes_the_publisher(world: World) -> None:
    async with running(world.owner):
        await until(lambda: world.count("publish") == 1)
        await asyncio.sleep(0.005)
        world.outbox = 3
        world.owner.notice(Signal("work"))
        await until(lambda: world.outbox == 0)


async def test_extra_work_runs_beside_and_ends_with_it(world: World) -> None:
    """Its faults are in doubt as any other's."""
    begun: list[str] = []

    async def extra(token: str) -> None:
        begun.append(token)
        if len(begun) == 1:
            raise StoreUnavailable("gone")
        await asyncio.Event().wait()

    owner = world.another("me", extra)
    async with running(owner):
        await until(lambda: len(begun) == 2 and owner.emitting)
    assert begun == ["me:1", "me:1"]
    assert world.count("recover") == 2


@pytest.mark.parametrize("kind", [StoreUnavailable, LeaseLost])
async def test_a_fault_does_not_keep_the_frames_that_it_passed_through(
    world: World, kind: type[SchedulingError]
) -> None:
    """Before, it was part of a cycle, which kept all that a restore had read."""
    known: list[weakref.ref[SchedulingError]] = []

    async def extra(_token: str) -> None:
        if not known:
            fault = kind("gone")
            known.append(weakref.ref(fault))
            try:
                raise fault
            finally:
                del fault
        await asyncio.Event().wait()

    owner = world.another("me", extra)
    gc.disable()
    try:
        async with running(owner):
            await until(lambda: bool(known) and known[0]() is None and owner.emitting)
    finally:
        gc.enable()


@pytest.mark.parametrize(("behind", "looks"), [(0, 5), (1, 1)])
async def test_a_job_that_is_behind_is_staged_without_waiting_for_transactions(
    world: World, behind: int, looks: int
) -> None:
    """It runs once in each call; what is due later waits for the transaction under way."""
    world.publish_gate.clear()
    world.staged, world.sleep_until = 1, NOW + behind
    async with running(world.owner):
        await until(lambda: world.count("stage") >= looks)
        await asyncio.sleep(0.01)
        assert (world.count("stage") > looks) == (behind == 0)
        world.staged, world.sleep_until = 0, FAR
        world.publish_gate.set()
