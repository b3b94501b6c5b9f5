"""Callers who are limited to types or creators read runs, events and what is upcoming."""

from collections.abc import Iterator, Sequence

import pytest

from scheduling_srv.app.access import call as calls
from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.limited_definitions import LimitedDefinitions
from scheduling_srv.app.access.limited_reading import (
    MOST_FILTERS,
    LimitedRunListing,
    LimitedUpcoming,
)
from scheduling_srv.app.narrowing import events_within, own_logs, own_runs
from scheduling_srv.domain.errors import Forbidden
from scheduling_srv.domain.event import Event, EventFilter, EventKind
from scheduling_srv.domain.intervals import EndedPause, Farewell, Gone, IntervalLogs
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.pause import Pause
from scheduling_srv.domain.run import (
    FailureGroup,
    Run,
    RunFilter,
    RunId,
    RunOrigin,
    RunPage,
    RunState,
    Upcoming,
    UpcomingRuns,
)
from scheduling_srv.formats import job_record
from tests.store.shard import NOW, every
from tests.unit.test_definitions import World, asked

MAIL = Limits(types=frozenset({"mail"}))
BOTH = Limits(types=frozenset({"mail", "report"}))
ANNA = Limits(creators=frozenset({"anna"}))
ID = RunId("a", 1, 1500)
TYPES = ("mail", "report", "other")


class Reads:
    """A run, a failure and a due job of each type, however little was asked for."""

    def __init__(self) -> None:
        self.asked: list[RunFilter | JobFilter | str] = []
        self.runs = [Run(ID, each, RunState.ENDED) for each in TYPES]

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        self.asked.append(wanted)
        return RunPage(self.runs, "next")

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        self.asked.append(job_type)
        return [FailureGroup(job_type, "why", len(job_type), 1500, ID)]

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        self.asked.append(wanted)
        return UpcomingRuns([Upcoming("a", wanted.type, len(wanted.type))], more=False)


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """Other tests have no caller."""
    yield
    calls.begin(None)


@pytest.fixture
def reads() -> Reads:
    return Reads()


def as_caller(within: Limits | None) -> None:
    calls.begin(Call(Caller("me", Role.READER, within), "peer", "method"))


async def types_seen(reads: Reads, wanted: RunFilter) -> list[str]:
    listing = LimitedRunListing(reads, LimitedDefinitions(World().api))
    return [run.type for run in (await listing.list(wanted, 10)).runs]


@pytest.mark.parametrize(
    ("within", "asked_type", "seen"),
    [
        (None, "", [*TYPES]),
        (MAIL, "", ["mail"]),
        (BOTH, "", ["mail", "report"]),
        (BOTH, "report", ["report"]),
        (MAIL, "report", []),
    ],
)
async def test_runs_are_those_of_the_types(
    reads: Reads, within: Limits | None, asked_type: str, seen: list[str]
) -> None:
    as_caller(within)
    assert await types_seen(reads, RunFilter(type=asked_type)) == seen


async def test_one_type_is_asked_for_alone(reads: Reads) -> None:
    as_caller(MAIL)
    await types_seen(reads, RunFilter())
    assert reads.asked == [RunFilter(type="mail")]


async def test_runs_of_a_creator_are_those_of_a_job_that_it_sees(reads: Reads) -> None:
    world = World()
    await world.api.create([asked("hers", creator="anna"), asked("his", creator="tim")])
    listing = LimitedRunListing(reads, LimitedDefinitions(world.api))
    as_caller(ANNA)
    reads.runs = [Run(RunId("hers", 1, NOW + 1), each, RunState.ENDED) for each in TYPES]
    assert len((await listing.list(RunFilter(job_id="hers"), 10)).runs) == len(TYPES)
    for wanted in (RunFilter(), RunFilter(job_id="his"), RunFilter(job_id="none")):
        with pytest.raises(Forbidden, match="do not tell who created"):
            await listing.list(wanted, 10)


async def test_runs_of_an_earlier_job_with_the_id_are_not_those_of_the_creator() -> None:
    record = every("a", 60_000).record
    seq, backfill = job_record.seq(record), RunOrigin.BACKFILL
    old = Run(RunId("a", 7, NOW - 1), "t", RunState.ENDED, started=NOW - 1, ended=NOW + 1)
    others = [
        old,
        old._replace(state=RunState.RUNNING, ended=0),
        old._replace(id=RunId("a", 7, NOW + 5), ended=NOW - 1),
        old._replace(id=RunId("a", 7, NOW - 9, backfill)),
    ]
    own = [
        old._replace(id=RunId("a", seq, NOW - 1)),
        old._replace(id=RunId("a", 7, NOW + 1), started=NOW + 1),  # before an Update
        old._replace(id=RunId("a", 7, NOW - 9, backfill), started=NOW + 1),
    ]
    assert own_runs(ANNA, record, [*others, *own]) == own
    assert len(own_runs(Limits(types=frozenset({"t"})), record, others)) == len(others)
    unknown = every("a", 60_000, created=None).record
    assert own_runs(ANNA, unknown, [*others, *own]) == own[:1]


def test_pauses_and_ends_of_an_earlier_job_with_the_id_are_dropped() -> None:
    own = EndedPause(Pause(NOW - 5), NOW + 1, of_type=True)
    theirs = EndedPause(Pause(NOW - 5, "why", "tim"), NOW - 1, of_type=False)
    logs = IntervalLogs(pauses=[theirs, own], gone=[Gone(NOW - 1, 7, Farewell.DELETED)])
    seen = own_logs(every("a", 60_000).record, logs)
    assert (list(seen.pauses), list(seen.gone)) == ([own], [])
    assert not own_logs(every("a", 60_000, created=None).record, logs).pauses


async def test_failures_are_those_of_the_types(reads: Reads) -> None:
    listing = LimitedRunListing(reads, LimitedDefinitions(World().api))
    as_caller(BOTH)
    assert [each.type for each in await listing.failures("", 10)] == ["report", "mail"]
    assert [each.type for each in await listing.failures("mail", 10)] == ["mail"]
    assert await listing.failures("other", 10) == []
    as_caller(ANNA)
    with pytest.raises(Forbidden):
        await listing.failures("", 10)


async def test_upcoming_runs_are_those_of_types_and_creators(reads: Reads) -> None:
    upcoming = LimitedUpcoming(reads)
    as_caller(Limits(BOTH.types, ANNA.creators))
    found = await upcoming.upcoming(JobFilter(id_prefix="a"), 9_000, 10)
    assert [each.type for each in found.entries] == ["mail", "report"]
    assert reads.asked == [
        JobFilter(type="mail", creator="anna", id_prefix="a"),
        JobFilter(type="report", creator="anna", id_prefix="a"),
    ]
    assert (await upcoming.upcoming(JobFilter(), 9_000, 1)).more
    assert (await upcoming.upcoming(JobFilter(type="other"), 9_000, 1)).entries == []
    as_caller(Limits(types=frozenset(map(str, range(MOST_FILTERS + 1)))))
    with pytest.raises(Forbidden, match="name a type"):
        await upcoming.upcoming(JobFilter(), 9_000, 1)
    assert (await upcoming.upcoming(JobFilter(type="3"), 9_000, 1)).entries


def test_events_are_those_of_the_types() -> None:
    wanted = events_within(EventFilter(job_id="a"), MAIL)
    matching = [each for each in (*TYPES, "") if wanted.matches(_event(each))]
    assert matching == ["mail"], "an event whose type is not known could be of another one"
    assert events_within(wanted, None) is wanted
    with pytest.raises(Forbidden):
        events_within(wanted, ANNA)


def _event(type_: str) -> Event:
    return Event("e", EventKind.DONE, 1500, "a", type_)
