"""What a new owner finds out before it stages or publishes anything: the table of decision 1."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.app.deployments.deployment import Deployment, Identity
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.recovery.rebuild import SKEW
from scheduling_srv.app.recovery.recovery import STARTING_MS, Recovery
from scheduling_srv.app.replies import ShardState
from scheduling_srv.domain.errors import NewerData, StartError, Undecided
from scheduling_srv.formats.kafka_records import LogRecord
from scheduling_srv.formats.position_record import Position, with_inputs
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.formats.versions import READS, WRITES

NOW = 1_700_000_000_000
ENDS = {0: 77}
STARTS = {"jobs:0": InputPosition(7, 5)}


class World:
    """Redis, Kafka and the rebuild."""

    def __init__(self, state: ShardState, position: Position | None, *, journal: bool) -> None:
        self.given, self.position, self.has_journal = state, position, journal
        self.done: list[Any] = []
        self.events: list[bytes] = []
        """Event ids on the jobs topic."""
        self.looked: list[str] = []
        """Which runs were looked at."""
        self.compared = ""
        """The lineage that callers may believe."""
        self.undecided = 0
        """How often a transaction is found that has not ended."""

    def now(self) -> int:
        return NOW

    async def open(self, *, careful: bool = False) -> None:
        self.done.append("open")

    async def find(self) -> Mapping[Place, int]:
        return {Place("jobs", 0): 7}

    async def settle(self, places: Sequence[Place]) -> None:
        assert places == [Place("jobs", 0)]
        self.done.append("settle")

    async def last_position(self) -> Position | None:
        if self.undecided:
            self.undecided -= 1
            raise Undecided
        self.done.append("position")
        return self.position

    async def state(self) -> ShardState:
        return self.given

    async def input_starts(self) -> Mapping[str, InputPosition]:
        return STARTS

    async def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        yield []
        if self.has_journal:
            yield [LogRecord(0, 0, 0, b"a", b"", {})]

    async def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        assert instant == NOW - SKEW
        self.looked.append("all")
        yield [LogRecord(0, 0, 0, b"queuedJob", b"", {"event-id": event}) for event in self.events]

    async def jobs_after(
        self, ends: Mapping[int, int], instant: int
    ) -> AsyncGenerator[Sequence[LogRecord]]:
        assert (ends, instant) == (ENDS, NOW - SKEW)
        self.looked.append("after")
        yield [
            LogRecord(0, 0, 0, b"queuedJob", b"", {"event-id": event, "occurrence-id": event[-2:]})
            for event in self.events
        ]

    async def initialise(self, token: str, position: Position, now: int) -> str:
        self.done.append(("initialise", token, position, now))
        return LINEAGE

    async def run(self, token: str, position: Position) -> tuple[Position, str]:
        self.done.append(("rebuild", token, position))
        return Position(position.number, "rebuilt"), LINEAGE

    async def mark_inputs(self, token: str, now: int) -> None:
        assert now == NOW
        self.done.append(("mark_inputs", token))

    async def note_compared(self, token: str, lineage: str) -> None:
        assert token == "token"
        self.compared = lineage
        self.done.append("compared")

    async def note_backlog(self, token: str) -> None:
        self.done.append("backlog")

    async def note_shards(self) -> None:
        """It was not lost."""

    async def sweep(self) -> None:
        self.done.append("sweep")


LINEAGE = "content:server"


def at_hand(incarnation: str, trimmed: int, taken: int, origin: str = "") -> ShardState:
    """What Redis says; without an incarnation it is not ready."""
    return ShardState(bool(incarnation), incarnation, origin, LINEAGE, trimmed, taken)


def recovery_of(world: Any, *, known: KnownRuns | None = None, neighbours: Any = None) -> Recovery:
    return Recovery(
        world,
        world,
        world,
        world,
        store=world,
        known=known or KnownRuns(),
        hanging=world,
        clock=world,
        neighbours=neighbours,
    )


async def recovered(
    state: ShardState, position: Position | None, *, journal: bool = True
) -> tuple[Position, list[Any]]:
    """Where it goes on, and what it did between reading the position and sweeping."""
    world: Any = World(state, position, journal=journal)
    recovery = recovery_of(world)
    found, lineage = await recovery.run_once("token")
    assert lineage == world.compared == LINEAGE
    # The old owner is fenced before anything is read; what is void is swept at the end.
    assert world.done[:2] == ["open", "position"]
    # What callers decide by is believed once it was compared.
    assert world.done[-3:] == ["compared", "backlog", "sweep"]
    return found, world.done[2:-3]


@pytest.mark.parametrize("number", [10, 12, 15])
async def test_the_usual_crash(number: int) -> None:
    """Kafka is within what was handed out: trim to its number, and go on with what it knows."""
    position = Position(number, "same", at=3, replay_from=4, seq=5, instance=6, inputs={"t": 1})
    found, done = await recovered(at_hand("same", 10, 15), position)
    assert found == replace(position, format=WRITES)
    assert done == []


async def test_kafka_is_ahead() -> None:
    """Redis has lost writes."""
    position = Position(16, "same")
    found, done = await recovered(at_hand("same", 10, 15), position)
    assert done == [("rebuild", "token", position)]
    assert found == Position(16, "rebuilt", format=WRITES)


@pytest.mark.parametrize("journal", [True, False])
async def test_redis_has_nothing(journal: bool) -> None:
    """A position is a history, whether or not any job is alive."""
    position = Position(16, "old")
    _, done = await recovered(at_hand("", 0, 0), position, journal=journal)
    assert done == [("rebuild", "token", position)]


async def test_a_rebuild_that_was_interrupted_begins_anew() -> None:
    position = Position(16, "old")
    _, done = await recovered(at_hand("", 16, 16), position)
    assert done == [("rebuild", "token", position)]


async def test_a_journal_without_a_position() -> None:
    """All of it is looked at."""
    _, done = await recovered(at_hand("", 0, 0), None)
    assert done == [("rebuild", "token", with_inputs(Position(0, ""), STARTS))]


async def test_the_first_start() -> None:
    """Neither knows anything: a new schedule, which listens from where the logs are now."""
    found, done = await recovered(at_hand("", 0, 0), None, journal=False)
    assert (found.number, found.at, found.positions()) == (0, NOW, STARTS)
    assert found.incarnation
    assert done == [("initialise", "token", found, NOW)]


async def test_every_life_has_its_own_name() -> None:
    first, _ = await recovered(at_hand("", 0, 0), None, journal=False)
    second, _ = await recovered(at_hand("", 0, 0), None, journal=False)
    assert first.incarnation != second.incarnation


@pytest.mark.parametrize("position", [None, Position(4, "same")])
async def test_kafka_has_lost_its_position(position: Position | None) -> None:
    """Its topics were made anew, or lost their end: Redis goes on from where it is."""
    found, done = await recovered(at_hand("same", 10, 15), position)
    assert (found.number, found.incarnation) == (10, "same")
    # A later loss of Redis must find how far the listener was.
    assert done == ([] if position else [("mark_inputs", "token")])


async def test_a_store_that_was_rebuilt_goes_on_before_it_has_published() -> None:
    """Kafka still names the life before; the store knows that it came from it."""
    found, done = await recovered(at_hand("new", 12, 12, origin="old"), Position(12, "old"))
    assert (found.number, found.incarnation) == (12, "new")
    assert done == []


async def test_a_redis_of_another_life_is_not_believed() -> None:
    """A copy from before a rebuild, or somebody else's: its numbers mean other changes."""
    position = Position(12, "new")
    _, done = await recovered(at_hand("old", 10, 15), position)
    assert done == [("rebuild", "token", position)]


@pytest.mark.parametrize(
    ("events", "rebuilt"),
    [
        ([b"same-16"], True),
        ([b"same-15", b"same-16", b"same-9"], True),
        ([b"same-15"], False),
        ([b"old-16", b"same-1x", b"16", b""], False),
        ([], False),
    ],
)
async def test_runs_that_were_sent_at_once_tell_what_redis_has_lost(
    events: list[bytes], rebuilt: bool
) -> None:
    """It has handed out 15. Their position is not ahead of it, but they are."""
    position = Position(12, "same", at=NOW, lineage="content:server before")
    world: Any = World(at_hand("same", 10, 15), position, journal=True)
    world.events = events
    await recovery_of(world).run_once("token")
    assert (("rebuild", "token", position) in world.done) == rebuilt


@pytest.mark.parametrize(
    ("written", "here", "looks"),
    [
        ("", LINEAGE, []),
        (LINEAGE, LINEAGE, ["after"]),
        ("content:other", LINEAGE, ["all"]),
        ("content:", "content:", ["all"]),
    ],
)
async def test_which_runs_are_looked_at(written: str, here: str, looks: list[str]) -> None:
    """No lineage: there were transactions. A server without a name: it may be another one."""
    state = at_hand("same", 10, 15)._replace(lineage=here)
    position = Position(12, "same", at=NOW, lineage=written, runs=ENDS)
    world: Any = World(state, position, journal=True)
    await recovery_of(world).run_once("token")
    assert world.looked == looks


async def test_no_run_is_looked_at_after_a_planned_stop() -> None:
    """All that was handed out has a position."""
    position = Position(15, "same", at=NOW, lineage=LINEAGE, runs=ENDS)
    world: Any = World(at_hand("same", 10, 15), position, journal=True)
    known = KnownRuns()
    await recovery_of(world, known=known).run_once("token")
    assert world.looked == []


async def test_runs_that_kafka_has_are_not_sent_again() -> None:
    position = Position(12, "same", at=NOW, lineage=LINEAGE, runs=ENDS)
    world: Any = World(at_hand("same", 10, 15), position, journal=True)
    world.events = [b"same-11", b"same-13", b"other-14", b"same-15", b""]
    known = KnownRuns()
    await recovery_of(world, known=known).run_once("token")
    assert known._names == {13: b"13", 15: b"15"}


async def test_a_transaction_that_has_lost_its_end_is_ended() -> None:
    """A broker was killed between a commit and its markers: nobody else will write them."""
    world: Any = World(at_hand("same", 10, 15), Position(12, "same"), journal=True)
    world.undecided = 1
    recovery = recovery_of(world)
    found, _ = await recovery.run_once("token")
    assert found.number == 12
    assert world.done == ["open", "settle", "open", "position", "compared", "backlog", "sweep"]


async def test_one_that_stays_open_is_waited_for() -> None:
    """It is somebody else's: whoever recovers tries again later."""
    world: Any = World(at_hand("same", 10, 15), Position(12, "same"), journal=True)
    world.undecided = 2
    recovery = recovery_of(world)
    with pytest.raises(Undecided):
        await recovery.run_once("token")


# --- formats (decision 24) ---


@pytest.mark.parametrize(("written", "in_redis", "goes_on"), [(0, 0, WRITES), (0, 1, 1), (1, 0, 1)])
async def test_the_position_names_the_format_of_what_may_be_stored(
    written: int, in_redis: int, goes_on: int
) -> None:
    state = at_hand("same", 10, 15)._replace(format=in_redis)
    found, _ = await recovered(state, Position(12, "same", format=written))
    assert found.format == goes_on


async def test_a_later_format_in_redis_is_what_the_position_names() -> None:
    state = at_hand("same", 10, 15)._replace(format=9)
    found, _ = await recovered(state, Position(12, "same"))
    assert found.format == 9


@pytest.mark.parametrize("state", [at_hand("", 0, 0), at_hand("same", 10, 15)])
async def test_the_position_of_a_later_version_ends_the_start(state: ShardState) -> None:
    world: Any = World(state, Position(12, "same", format=READS + 1), journal=True)
    recovery = recovery_of(world)
    with pytest.raises(StartError, match=f"has format {READS + 1}, and .* up to {READS}"):
        await recovery.run_once("token")
    assert world.done == ["open", "position"]


async def test_a_replica_that_has_run_for_long_waits_for_a_later_version() -> None:
    world: Any = World(at_hand("", 0, 0), Position(12, "same", format=READS + 1), journal=True)
    recovery = recovery_of(world)
    recovery.began_at -= STARTING_MS
    with pytest.raises(NewerData):
        await recovery.run_once("token")
    assert world.done == ["open", "position"]


class Neighbourhood:
    """Says what it was asked, and may refuse."""

    def __init__(self, world: World, refused: str = "") -> None:
        self.world, self.refused = world, refused
        self.deployment = Deployment()
        self.deployment.be(Identity("004000000000", "fingerprint"))
        self.first_instance = 4 << 20
        self.in_conflict = False

    async def check(self) -> None:
        self._ask("check")

    async def after_fencing(self) -> None:
        self._ask("after_fencing")

    async def before_rebuild(self, written_by: str) -> None:
        self._ask(f"before_rebuild {written_by}")

    async def note(self) -> None:
        self.world.done.append("note")

    def _ask(self, question: str) -> None:
        self.world.done.append(question)
        if question.startswith(self.refused or "-"):
            raise StartError("Another service is there.")


async def beside(
    state: ShardState,
    position: Position | None,
    refused: str = "",
    *,
    journal: bool = False,
    fenced: bool = False,
    in_conflict: bool = False,
) -> tuple[Position | None, list[Any]]:
    """Where it goes on, if it does, and all that it did."""
    world: Any = World(state, position, journal=journal)
    neighbours: Any = Neighbourhood(world, refused)
    neighbours.in_conflict = in_conflict
    recovery = recovery_of(world, neighbours=neighbours)
    try:
        found, _ = await recovery.run_once("token", fenced=fenced)
    except StartError:
        return None, world.done
    return found, world.done


async def test_a_lost_redis_looks_for_other_services_before_it_fences() -> None:
    found, done = await beside(at_hand("", 0, 0), Position(7, "theirs"), "check", journal=True)
    assert (found, done) == (None, ["check"])


@pytest.mark.parametrize(
    ("state", "journal"),
    [(at_hand("", 0, 0), True), (at_hand("ours", 3, 9), False), (at_hand("ours", 3, 5), False)],
)
async def test_another_service_is_looked_for_before_each_rebuild(
    state: ShardState, journal: bool
) -> None:
    position = Position(7, "theirs", deployment="111111111111")
    question = "before_rebuild 111111111111"
    found, done = await beside(state, position, question, journal=journal)
    assert found is None
    assert done[-1] == question
    _, done = await beside(state, position, journal=journal)
    assert done.index(question) == done.index(("rebuild", "token", position)) - 1


async def test_the_usual_take_over_asks_nobody() -> None:
    found, done = await beside(at_hand("same", 3, 9), Position(7, "same"))
    assert done == ["open", "position", "compared", "backlog", "note", "sweep"]
    assert found == Position(7, "same", deployment="004000000000", format=WRITES)


@pytest.mark.parametrize("known", ["fenced", "in_conflict"])
async def test_a_rival_is_looked_for_before_it_is_fenced(known: str) -> None:
    """Also by the next owner, which was not fenced itself."""
    state, position = at_hand("same", 3, 9), Position(7, "same")
    is_known: dict[str, Any] = {known: True}
    _, done = await beside(state, position, **is_known)
    assert done[:2] == ["after_fencing", "open"]
    found, done = await beside(state, position, "after_fencing", **is_known)
    assert (found, done) == (None, ["after_fencing"])


async def test_a_new_deployment_numbers_its_runs_in_a_range_of_its_own() -> None:
    found, _ = await beside(at_hand("", 0, 0), None)
    assert found
    assert found.instance == 4 << 20
