"""Which other services are replicas of this one, which are in its way, and when they are gone."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from scheduling_srv.app.deployments import neighbours as module
from scheduling_srv.app.deployments.deployment import OLDER, Deployment, Identity, Member, Tag
from scheduling_srv.app.deployments.neighbours import (
    QUIET_SECONDS,
    STARTING_SECONDS,
    Alone,
    Neighbours,
    Rules,
)
from scheduling_srv.domain.errors import LogUnavailable, StartError, Unavailable
from scheduling_srv.formats.kafka_records import LogRecord

NOW = 1_700_000_000_000
RULES = Rules("scheduling", "group", "jobs", "commands", session_seconds=6.0)
OURS, OTHER = "0" * 12, "1" * 12
EMPTY, FULL = "e" * 12, "f" * 12
"""Fingerprints: of our Redis, and of another one."""


def member(
    deployment: str = OURS,
    fingerprint: str = EMPTY,
    name: str = "sibling",
    group: str = "group",
    topics: Sequence[str] = (),
) -> Member:
    return Member(Tag(deployment, fingerprint, name), group, "10.0.0.9", frozenset(topics))


class World:
    """Redis, Kafka and the time, which passes when somebody sleeps."""

    def __init__(self, *members: Member, rules: Rules = RULES) -> None:
        self.looks: list[Sequence[Member] | None] = []
        """What Kafka says, one look after the other; then `members`."""
        self.members_now: Sequence[Member] | None = members
        self.here: set[str] = set()
        self.stored: Identity | None = None
        self.time = 0.0
        self.asked = 0
        self.runs: list[tuple[str, int]] = []
        """Deployments, and when their runs were emitted, in epoch ms."""
        self.tails = 0
        self.continued_here = False
        """Whether the last position names the schedule in our Redis."""
        self.neighbours = Neighbours(
            deployment=Deployment("me"),
            home=self,
            groups=self,
            rules=rules,
            clock=self,
            runs_since=self.runs_since,
            is_continued_here=self.is_continued_here,
            monotonic=lambda: self.time,
        )

    async def members(self) -> Sequence[Member] | None:
        self.asked += 1
        found = self.looks.pop(0) if self.looks else self.members_now
        if isinstance(found, Exception):
            raise found
        return found

    async def runs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        self.tails += 1
        yield [
            LogRecord(0, number, stamp, b"queuedJob", b"", {"deployment": name.encode()})
            for number, (name, stamp) in enumerate(self.runs)
            if stamp >= instant
        ]

    async def is_continued_here(self) -> bool:
        return self.continued_here

    def now(self) -> int:
        return NOW + int(self.time * 1000)

    async def read(self) -> Identity | None:
        return self.stored

    async def note(self, identity: Identity) -> Identity:
        self.stored = self.stored or identity
        return self.stored

    async def replace(self, identity: Identity) -> None:
        self.stored = identity

    async def is_here(self, name: str) -> bool:
        return name in self.here


@pytest.fixture(autouse=True)
def sleeping(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """Worlds whose time passes."""
    worlds: list[World] = []

    async def sleep(seconds: float) -> None:
        for world in worlds:
            world.time += seconds

    class Asyncio:
        Event, Lock, timeout = asyncio.Event, asyncio.Lock, asyncio.timeout

    fake: Any = Asyncio
    fake.sleep = staticmethod(sleep)
    monkeypatch.setattr(module, "asyncio", fake)
    return worlds


@pytest.fixture
def begin(sleeping: list[World]) -> Any:
    def make(*members: Member, rules: Rules = RULES) -> World:
        world = World(*members, rules=rules)
        sleeping.append(world)
        world.stored = Identity(OURS, EMPTY)
        world.neighbours.deployment.be(world.stored)
        return world

    return make


async def patiently(question: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await question()
        except Unavailable:
            looping: Any = module
            await looping.asyncio.sleep(0.5)


async def nothing_known() -> str:
    return ""


async def known_to_kafka() -> str:
    return OTHER


# --- who we are ---


async def test_a_first_start_makes_an_identity() -> None:
    world = World()
    await world.neighbours.introduce(nothing_known)
    assert world.stored
    assert world.neighbours.deployment.identity == world.stored
    assert len(world.stored.deployment) == len(world.stored.fingerprint) == 12


async def test_redis_is_believed_first() -> None:
    world = World()
    world.stored = Identity(OURS, EMPTY)
    await world.neighbours.introduce(known_to_kafka)
    assert world.neighbours.deployment.identity == (OURS, EMPTY)


async def test_after_a_loss_of_redis_kafka_knows_it() -> None:
    world = World()
    await world.neighbours.introduce(known_to_kafka)
    assert world.neighbours.deployment.id == OTHER


async def test_the_first_of_two_replicas_decides(begin: Any) -> None:
    world = begin()
    world.stored = None
    answers = [None]

    async def read() -> Identity | None:
        return answers.pop()

    world.read = read
    world.stored = Identity(OTHER, FULL)
    await world.neighbours.introduce(nothing_known)
    assert world.neighbours.deployment.identity == (OTHER, FULL)


async def test_a_redis_that_was_emptied_gets_the_id_back_and_a_new_fingerprint(begin: Any) -> None:
    world = begin()
    world.stored = None
    await world.neighbours.note()
    assert world.stored.deployment == OURS
    assert world.stored.fingerprint != EMPTY


# --- before anything fences ---


@pytest.mark.parametrize(
    "members",
    [
        [],
        [member()],
        [member(name="me", fingerprint=FULL)],
        [member(OTHER, group="another", topics=["jobs"])],
        [member(OTHER, topics=["theirs"]), member(OTHER)],
    ],
)
async def test_replicas_and_strangers_elsewhere_are_no_conflict(
    begin: Any, members: list[Member]
) -> None:
    world = begin(*members)
    await world.neighbours.check()
    assert (world.asked, world.time) == (1, 0)


async def test_a_process_that_has_started_long_ago_waits_and_does_not_end(begin: Any) -> None:
    """Redis was emptied, and a replica that cannot reach it looks like a stranger."""
    world = begin(member(fingerprint=FULL))
    world.time = STARTING_SECONDS + 1
    with pytest.raises(LogUnavailable, match="another Redis"):
        await world.neighbours.before_rebuild(OURS)
    assert world.time == STARTING_SECONDS + 11
    world.members_now = ()
    await world.neighbours.before_rebuild(OURS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (member(fingerprint=FULL), "the namespace scheduling and another Redis"),
        (member(fingerprint=FULL, group="another"), "SCHEDULING_NAMESPACE"),
        (member(OTHER, topics=["jobs"]), "reads jobs as well: each would"),
        (member(OTHER, topics=["commands", "x"]), "SCHEDULING_KAFKA_GROUP_ID"),
        (member(OTHER)._replace(stable=False), "as Kafka does not say"),
    ],
)
async def test_a_living_stranger_is_refused_with_its_host(
    begin: Any, found: Member, words: str
) -> None:
    world = begin(found)
    with pytest.raises(StartError) as refused:
        await world.neighbours.check()
    assert words in str(refused.value)
    assert f"10.0.0.9 (sibling), consumer group {found.group}" in str(refused.value)
    ours = found.tag.deployment == OURS
    assert world.time == (49 if ours else 10)


async def test_a_dead_replica_of_ours_leaves_in_a_rebalance(begin: Any) -> None:
    """Its session time-out may have been longer than ours."""
    world = begin()
    dead = member(fingerprint=FULL)
    world.looks = [*[[dead]] * 95, *[[dead._replace(stable=False)]] * 20]
    await world.neighbours.check()
    assert world.time == 57.5


async def test_a_long_session_is_waited_for(begin: Any) -> None:
    long = RULES._replace(session_seconds=60.0)
    for found in (member(fingerprint=FULL), member(OTHER, topics=["jobs"])):
        world = begin(found, rules=long)
        with pytest.raises(StartError):
            await world.neighbours.check()
        assert world.time == 64


async def test_a_dead_member_is_waited_for_until_it_leaves(begin: Any) -> None:
    world = begin()
    world.looks = [[member(fingerprint=FULL)]] * 3
    await world.neighbours.check()
    assert world.time == 1.5


@pytest.mark.parametrize("found", [member(fingerprint=FULL), member(OTHER, topics=["jobs"])])
async def test_a_member_that_is_connected_to_our_redis_is_ours(begin: Any, found: Member) -> None:
    world = begin(found)
    world.here.add("sibling")
    await world.neighbours.check()
    assert world.time == 0


async def test_a_replica_that_was_ours_and_has_died_is_not_waited_for(begin: Any) -> None:
    """Redis is emptied again before the dead one has left its group."""
    world = begin(member(fingerprint=FULL))
    world.here.add("sibling")
    await world.neighbours.check()
    world.here.clear()
    world.stored = None
    world.time = 100.0
    await world.neighbours.before_rebuild(OURS)
    assert world.time == 100.0


async def test_a_replica_that_connects_late_is_ours(begin: Any, sleeping: list[World]) -> None:
    world = begin(member(fingerprint=FULL))

    async def is_here(_name: str) -> bool:
        return bool(world.time > 3)

    world.is_here = is_here
    await world.neighbours.check()
    assert 3 < world.time < 5


async def test_without_the_right_to_look_it_goes_on(begin: Any) -> None:
    world = begin()
    world.members_now = None
    await world.neighbours.check()
    assert world.time == 0


async def test_a_broker_that_falls_silent_does_not_end_a_conflict(begin: Any) -> None:
    world = begin(member(fingerprint=FULL))
    world.looks = [[member(fingerprint=FULL)], None]
    with pytest.raises(LogUnavailable):
        await world.neighbours.check()


async def test_a_start_asks_kafka_once(begin: Any) -> None:
    world = begin(member(topics=["jobs"]))
    await world.neighbours.check()
    await world.neighbours.until_alone(patiently)
    assert world.asked == 1


async def test_shards_share_a_look(begin: Any) -> None:
    world = begin()
    for _ in range(64):
        await world.neighbours.check()
    assert world.asked == 1


# --- after an owner was fenced ---


ME = member(name="me")
RIVAL = member(fingerprint=FULL, name="rival")


@pytest.mark.parametrize("members", [[], [ME, member()], [ME, member(OTHER, group="another")]])
async def test_a_fenced_owner_without_a_rival_is_not_held_up(
    begin: Any, members: list[Member]
) -> None:
    """Also by a broker that has made its producer void: a look is all that it costs."""
    world = begin(*members)
    for _ in range(64):  # shards
        await world.neighbours.after_fencing()
    assert (world.asked, world.time) == (1, 0)


async def test_a_fenced_owner_does_not_wait_for_an_answer(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RIVAL_LOOK_SECONDS", 0.01)
    world = begin(RIVAL)
    world.looks = [LogUnavailable("away")]
    await world.neighbours.after_fencing()

    async def members() -> Sequence[Member]:
        await asyncio.Event().wait()
        return ()

    world.members = members
    await world.neighbours.after_fencing()
    assert world.time == 0


@pytest.mark.parametrize(
    ("members", "continued_here"), [([RIVAL], True), ([RIVAL], False), ([ME, RIVAL], False)]
)
async def test_a_fenced_owner_gives_way(
    begin: Any, members: list[Member], continued_here: bool
) -> None:
    """The rival does not see it, or Kafka names the schedule of the rival."""
    world = begin(*members)
    world.continued_here = continued_here
    with pytest.raises(StartError, match="another Redis"):
        await world.neighbours.after_fencing()
    world.time = STARTING_SECONDS + 1
    with pytest.raises(LogUnavailable, match="another Redis"):
        await world.neighbours.after_fencing()


async def test_a_conflict_lasts_until_a_look_finds_none(begin: Any) -> None:
    world = begin(RIVAL)
    world.time = STARTING_SECONDS + 1
    assert not world.neighbours.in_conflict
    with pytest.raises(LogUnavailable):
        await world.neighbours.before_rebuild(OURS)
    assert world.neighbours.in_conflict
    world.looks = [LogUnavailable("away")] * 2
    with pytest.raises(LogUnavailable):
        await world.neighbours.after_fencing()
    assert world.neighbours.in_conflict
    world.members_now = ()
    await world.neighbours.after_fencing()
    assert not world.neighbours.in_conflict


async def test_a_fenced_owner_goes_on_when_the_rival_has_gone(begin: Any) -> None:
    world = begin()
    world.looks = [[ME, RIVAL]] * 5
    await world.neighbours.after_fencing()
    assert 0 < world.time < 3


@pytest.mark.parametrize("look", ["after_fencing", "check"])
async def test_the_owner_that_the_position_names_goes_on_at_once(begin: Any, look: str) -> None:
    """Another shard of it may have to be rebuilt: `check` says the same."""
    world = begin(ME, RIVAL)
    world.continued_here = True
    await getattr(world.neighbours, look)()
    assert world.time == 0


@pytest.mark.parametrize("named", [0, 1])
async def test_of_two_that_fence_each_other_one_goes_on(sleeping: list[World], named: int) -> None:
    """Each sees both, and both read the same position."""
    pair = [World(), World()]
    for number, world in enumerate(pair):
        world.neighbours.deployment.name = f"replica-{number}"
        world.neighbours.deployment.be(Identity(OURS, str(number) * 12))
        world.members_now = [member(OURS, str(each) * 12, f"replica-{each}") for each in (0, 1)]
        world.continued_here = number == named
    sleeping += pair
    await pair[named].neighbours.after_fencing()
    with pytest.raises(StartError):
        await pair[1 - named].neighbours.after_fencing()


# --- before a rebuild ---


async def test_a_lost_redis_is_rebuilt_at_once_beside_siblings_of_before(begin: Any) -> None:
    world = begin(member(fingerprint=EMPTY))
    world.stored = None
    await world.neighbours.before_rebuild(OURS)
    assert world.time == 0
    assert world.stored.deployment == OURS


async def test_a_position_without_a_deployment_is_ours(begin: Any) -> None:
    world = begin()
    await world.neighbours.before_rebuild("")
    assert (world.time, world.stored) == (0, (OURS, EMPTY))


async def test_two_that_began_at_once_do_not_both_go_on(begin: Any) -> None:
    """The other one has published, and is about to join its group."""
    world = begin(member(OTHER, FULL, topics=["jobs"]))
    world.looks = [[]] * 5
    with pytest.raises(StartError):
        await world.neighbours.before_rebuild(OTHER)


async def test_the_living_writer_of_the_position_has_perhaps_no_partition(begin: Any) -> None:
    """All partitions are ours, as it joined the group after us."""
    world = begin(member(OTHER, FULL))
    with pytest.raises(StartError, match="writes our position as well"):
        await world.neighbours.before_rebuild(OTHER)
    assert world.neighbours.deployment.id == OURS


@pytest.mark.parametrize("topics", [[], ["jobs"]])
async def test_a_living_replica_of_an_older_version_is_refused(
    begin: Any, topics: Sequence[str]
) -> None:
    world = begin(Member(OLDER, "group", "10.0.0.9", frozenset(topics)))
    with pytest.raises(StartError, match=r"on 10\.0\.0\.9, .* Stop all replicas of the older"):
        await world.neighbours.check()


async def test_an_older_service_with_topics_of_its_own_is_no_conflict(begin: Any) -> None:
    world = begin(Member(OLDER, "group", "10.0.0.9", frozenset({"theirs"})))
    await world.neighbours.check()


async def test_an_older_replica_that_stops_is_waited_for(begin: Any) -> None:
    world = begin()
    world.looks = [[Member(OLDER, "group", "10.0.0.9", frozenset())]] * 3
    await world.neighbours.check()
    assert world.asked == 4


async def test_a_writer_that_joins_late_and_dies_is_taken_over(begin: Any) -> None:
    world = begin()
    world.looks = [[]] * 3 + [[member(OTHER, FULL)]] * 4
    await world.neighbours.before_rebuild(OTHER)
    assert world.stored == (OTHER, EMPTY)


async def test_the_schedule_of_a_dead_deployment_is_taken_over(begin: Any) -> None:
    """Its runs on the topic are those of the schedule that is rebuilt."""
    world = begin()
    await world.neighbours.before_rebuild(OTHER)
    assert world.time >= 10
    assert world.stored == (OTHER, EMPTY)
    assert world.neighbours.deployment.headers == [("deployment", OTHER.encode())]


# --- the jobs topic ---


@pytest.mark.parametrize("topics", [["jobs"], ["commands"], ["jobs", "commands"]])
async def test_a_shared_topic_of_commands_is_waited_for_as_well(
    begin: Any, topics: list[str]
) -> None:
    """A reset on it emptied both services."""
    world = begin(member(OTHER, FULL, group="theirs", topics=topics))
    await world.neighbours.check()
    await world.neighbours._note_readers()
    assert " and ".join(sorted(topics)) in world.neighbours._reason
    assert (
        "SCHEDULING_TOPIC_JOBS, _RESOURCES, _COMMANDS and _DEAD_LETTER" in world.neighbours._reason
    )


STRANGER = member(OTHER, FULL, group="theirs", topics=["jobs"])


async def test_a_start_waits_for_a_service_that_reads_the_topic(begin: Any) -> None:
    world = begin()
    world.looks = [[STRANGER]] * 4
    said = []

    async def is_here(_name: str) -> bool:
        said.append(world.neighbours.waits_for)
        return False

    world.is_here = is_here
    await world.neighbours.until_alone(patiently)
    assert world.time >= QUIET_SECONDS
    assert "10.0.0.9 (sibling), consumer group theirs" in said[-1]
    assert OTHER in said[-1]
    assert "SCHEDULING_SHARED_TOPIC=true" in said[-1]
    assert world.neighbours.waits_for == ""
    assert not world.neighbours.is_foreign(OTHER.encode(), world.now() - 1)


@pytest.mark.parametrize(
    "found",
    [
        STRANGER._replace(topics=frozenset({"theirs"})),
        STRANGER._replace(topics=frozenset()),
        member(topics=["jobs"]),
    ],
)
async def test_a_start_does_not_wait_for_others(begin: Any, found: Member) -> None:
    world = begin(found)
    await world.neighbours.until_alone(patiently)
    assert world.time == 0


async def test_a_service_that_restarts_finds_its_topic_free(begin: Any) -> None:
    """Before, the one that waited took the topic in the moment without readers."""
    world = begin()
    starting = STRANGER._replace(topics=frozenset())
    gone = int((QUIET_SECONDS - 10) / 3)
    world.looks = [[STRANGER], *[[]] * gone, [starting], *[[]] * gone]
    await world.neighbours.until_alone(patiently)
    assert world.time >= 2 * gone * 3 + 10
    assert not world.neighbours.strangers


async def test_no_server_is_blamed_for_the_wait(begin: Any) -> None:
    """A fault of a moment is over when the wait begins."""
    world = begin()
    world.looks = [[STRANGER]] * 3
    answers, asking = iter([False]), [0]

    async def is_here(_name: str) -> bool:
        if not next(answers, True):
            raise LogUnavailable("away")
        return False

    async def ask(question: Callable[[], Awaitable[None]]) -> None:
        began = world.asked
        asking.append(1)
        await patiently(question)
        asking.append(0)
        assert world.asked - began <= 2

    told = []
    world.is_here = is_here
    world.neighbours._tell = lambda _reason: told.append(asking[-1])
    await world.neighbours.until_alone(ask)
    assert set(told) == {0}


async def test_a_late_start_waits_for_a_conflict_and_tells_it(begin: Any) -> None:
    world = begin()
    world.time = STARTING_SECONDS + 1
    world.looks = [[member(fingerprint=FULL)]] * 30
    said: list[str] = []
    world.neighbours._tell = said.append
    await world.neighbours.until_alone(patiently)
    assert "another Redis" in said[0]


async def test_a_rebalance_of_another_service_does_not_free_the_topic(begin: Any) -> None:
    """Kafka describes its members without their partitions meanwhile."""
    world = begin()
    moving = STRANGER._replace(topics=frozenset(), stable=False)
    world.looks = [[moving], [moving], [STRANGER]]
    world.members_now = ()
    said: list[str] = []
    world.neighbours._tell = said.append
    await world.neighbours.until_alone(patiently)
    assert world.asked >= 4
    assert "consumer group theirs is not stable" in said[0]
    assert "uses the topic jobs" in said[2]


async def test_a_topic_may_be_shared(begin: Any) -> None:
    world = begin(STRANGER, rules=RULES._replace(shared=True))
    await world.neighbours.until_alone(patiently)
    assert world.time == 0
    assert not world.neighbours.watches


async def test_in_one_group_nothing_may_be_shared(begin: Any) -> None:
    world = begin(member(OTHER, topics=["jobs"]), rules=RULES._replace(shared=True))
    with pytest.raises(StartError):
        await world.neighbours.check()


def test_what_was_there_before_the_start_is_not_foreign(begin: Any) -> None:
    neighbours = begin().neighbours
    assert not neighbours.is_foreign(OTHER.encode(), NOW - 1)
    assert not neighbours.is_foreign(OURS.encode(), NOW)
    assert not neighbours.is_foreign(None, NOW)
    assert neighbours.is_foreign(OTHER.encode(), NOW)


async def test_a_foreign_run_blocks_until_its_service_is_gone_for_long(begin: Any) -> None:
    world = begin(STRANGER)
    neighbours = world.neighbours
    neighbours.saw(OTHER.encode())
    assert OTHER in neighbours.blocked
    await neighbours.run_once()
    assert "10.0.0.9 (sibling)" in neighbours.blocked
    world.time = 1_000.0
    await neighbours.run_once()
    world.members_now = []
    world.time += QUIET_SECONDS - 1
    await neighbours.run_once()
    assert neighbours.blocked
    world.time += 1
    await neighbours.run_once()
    assert not neighbours.blocked
    # The record that has blocked it is read again.
    assert not neighbours.is_foreign(OTHER.encode(), world.now() - 1)
    assert neighbours.is_foreign(OTHER.encode(), world.now())


async def test_a_look_without_an_answer_does_not_free_the_topic(begin: Any) -> None:
    world = begin()
    neighbours = world.neighbours
    neighbours.saw(OTHER.encode())
    world.time = QUIET_SECONDS + 1
    world.looks = [LogUnavailable("away")]
    with pytest.raises(LogUnavailable):
        await neighbours.run_once()
    world.time += QUIET_SECONDS - 1
    await neighbours.run_once()
    assert neighbours.blocked
    world.time += 1
    await neighbours.run_once()
    assert not neighbours.blocked


async def test_without_rights_a_stranger_is_gone_when_it_emits_no_more(begin: Any) -> None:
    """Before, the block was lifted each minute, and what had come meanwhile was applied."""
    world = begin()
    neighbours, world.members_now = world.neighbours, None
    neighbours.saw(OTHER.encode())
    for second in range(1, 301):
        world.time = float(second)
        world.runs.append((OTHER, world.now()))
        await neighbours.run_once()
        assert neighbours.blocked
    assert world.tails == 5, "it is expensive"
    last = world.now()
    while neighbours.blocked:
        world.time += 1
        await neighbours.run_once()
    assert world.now() > last + QUIET_SECONDS * 1000
    assert neighbours.is_foreign(OTHER.encode(), world.now())


async def test_runs_of_ours_and_old_ones_do_not_keep_the_topic(begin: Any) -> None:
    world = begin()
    world.neighbours.saw(OTHER.encode())
    world.runs = [(OTHER, world.now())]
    world.time = QUIET_SECONDS + 1
    world.runs.append((OURS, world.now()))
    await world.neighbours.run_once()
    assert not world.neighbours.blocked


async def test_a_start_waits_for_an_answer(begin: Any) -> None:
    world = begin()
    world.looks = [LogUnavailable("away")]
    with pytest.raises(LogUnavailable):
        await world.neighbours.check()
    world.looks = [[STRANGER], *[LogUnavailable("away")] * 200]
    await world.neighbours.until_alone(patiently)
    assert world.time >= 100 + QUIET_SECONDS


async def test_a_replica_with_an_id_of_before_does_not_block(begin: Any) -> None:
    """Redis and Kafka have lost the id, and a replica that has just started has made another."""
    world = begin(STRANGER)
    world.here.add("sibling")
    world.neighbours.saw(OTHER.encode())
    await world.neighbours.run_once()
    assert not world.neighbours.blocked
    assert not world.neighbours.is_foreign(OTHER.encode(), world.now())


async def test_an_id_that_another_replica_has_taken_over_is_ours(begin: Any) -> None:
    world = begin()
    world.stored = Identity(OTHER, EMPTY)
    world.neighbours.saw(OTHER.encode())
    await world.neighbours.run_once()
    assert not world.neighbours.blocked


async def test_embedded_servers_have_no_neighbours() -> None:
    world: Any = World()
    alone = Alone(Deployment("me"), world)
    await alone.introduce(nothing_known)
    await alone.check()
    await alone.before_rebuild(OTHER)
    assert world.stored == alone.deployment.identity
    assert not alone.is_foreign(b"other", NOW)
