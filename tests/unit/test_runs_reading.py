"""What is made of runs without a store: ids, series, filters, minutes, the overview."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_pb2 as messages
from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.app.health.health import Details
from scheduling_srv.app.health.overview import Lag, OverviewCalls
from scheduling_srv.app.owner.historian import Historian
from scheduling_srv.app.requests.run_retries import failed_only
from scheduling_srv.app.requests.upcoming import Series
from scheduling_srv.app.run_ports import DuePlace, HistoryBounds
from scheduling_srv.domain.errors import InvalidRequest, LogUnavailable, StoreUnavailable, TooLarge
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.overview import (
    MINUTE_MS,
    Counts,
    Minute,
    ShardView,
    all_together,
    last_hour,
)
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import (
    LARGEST,
    RunFilter,
    RunId,
    RunOrigin,
    RunOutcome,
    RunState,
)
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.formats.v1 import run_requests
from tests.store.shard import HOUR, MINUTE, NOW, SECOND, cron, every, once

# --- Ids ----------------------------------------------------------------------------------------

NUMBERS = st.integers(0, LARGEST - 1)


@given(st.text(min_size=1), NUMBERS, NUMBERS, st.sampled_from(RunOrigin))
def test_an_id_says_which_run_it_is(job_id: str, seq: int, nominal: int, origin: RunOrigin) -> None:
    run = RunId(job_id, seq, nominal, origin)
    assert RunId.parse(str(run)) == run


NO_IDS = ["", "a", "a/1", "/1/2", "a/x/2", "a/1/", "a/1/2mb", "a/1/m", "a/²/1", "a/-1/2", "a/1/2z"]
NO_IDS += ["a/01/2", "a/1/02", "a/1/2\n", f"a/{LARGEST}/1", f"a/1/{LARGEST}", f"a/{'9' * 5_000}/1"]


@pytest.mark.parametrize("text", NO_IDS)
def test_other_texts_are_no_ids(text: str) -> None:
    assert RunId.parse(text) is None


# --- Series -------------------------------------------------------------------------------------


def place(job: Any, due: int, nominal: int | None, counted: int = 0) -> DuePlace:
    return DuePlace(StoredJob(job.id.encode(), job.record), due, nominal, counted)


@given(st.integers(1, 50), st.integers(0, 400), st.integers(0, 500), st.integers(0, 20))
def test_a_series_counts_what_comes_up_to_an_instant(
    period: int, end: int, until: int, most: int
) -> None:
    """A naive count, second by second."""
    asked = Properties(end=NOW + end * SECOND if end else None, max_runs=most)
    series = Series(NOW + until * SECOND)
    series.add(place(every("j", period * SECOND, NOW, properties=asked), NOW, NOW))
    (entry,) = series.in_order()
    last = min(until, end) if end else until
    expected = len([second for second in range(last + 1) if second % period == 0])
    assert entry.number == max(1, min(expected, most) if most else expected)
    assert (entry.time, entry.job_id) == (NOW, "j")


def test_jobs_with_one_schedule_are_counted_once() -> None:
    first = NOW - NOW % HOUR + HOUR
    series = Series(first + HOUR, most_steps=100)
    for number in range(500):
        series.add(place(cron(f"j{number}", "*/10 * * * *", first), first, first))
    assert {entry.number for entry in series.in_order()} == {7}
    other = Series(first + HOUR, most_steps=3)
    other.add(place(cron("j", "*/10 * * * *", first), first, first))
    assert other.in_order()[0].number == 3


def test_the_places_of_a_job_are_one_entry() -> None:
    series = Series(NOW + HOUR)
    job = every("j", 10 * MINUTE, NOW)
    series.add(place(job, NOW + SECOND, None))
    series.add(place(job, NOW + 10 * MINUTE, NOW + 10 * MINUTE))
    series.add(place(once("o", NOW), NOW, NOW))
    one_time, recurring = series.in_order()
    assert (one_time.job_id, one_time.number, one_time.words) == ("o", 1, "")
    assert (recurring.time, recurring.number) == (NOW + SECOND, 1 + 6)
    assert recurring.words == "every 10 minutes"


# --- Minutes ------------------------------------------------------------------------------------


def test_the_minutes_of_all_shards_are_added() -> None:
    now = NOW // MINUTE_MS
    one = [Minute(now, 4, 3, 2, 1, 40, 30), Minute(now - 59, 1), Minute(now - 60, 9)]
    minutes = last_hour([one, [Minute(now, 1, 1, 1, 1, 60, 50)]], NOW)
    assert [minute.number for minute in minutes] == [*range(now - 59, now + 1)]
    assert minutes[-1] == Minute(now, 5, 4, 3, 2, 100, 50)
    assert (minutes[-1].mean_lateness, minutes[-2].mean_lateness) == (20, 0)
    assert minutes[0].emitted == 1


def view(owner: str = "me", oldest: int | None = None) -> ShardView:
    return ShardView(Counts(jobs=2, held=1), owner, oldest, [1, 0], [])


def test_shards_are_added() -> None:
    found = all_together([view(), view("", NOW - 5)], NOW)
    assert (found.counts.jobs, found.counts.held, found.due) == (4, 2, [2, 0])
    assert [(each.name, each.late) for each in found.owners] == [("me", 0), ("", 5)]
    assert all_together([], NOW).owners == []


# --- The overview -------------------------------------------------------------------------------


class World:
    """A shard, its health, Kafka and the clock."""

    def __init__(self) -> None:
        self.asked = 0
        self.time = 0.0
        self.store_fails = self.kafka_fails = False

    def now(self) -> int:
        return NOW

    async def overview(self, now: int) -> ShardView:
        self.asked += 1
        if self.store_fails:
            raise StoreUnavailable("No.")
        return view()

    async def details(self) -> Details:
        return Details(not self.store_fails, "", ["Why."] * self.store_fails, ["Slow."], {}, {}, ())

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        return "", {"jobs:0": InputPosition(7), "jobs:1": InputPosition(9)}

    async def ends(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        if self.kafka_fails:
            raise LogUnavailable("No.")
        return dict.fromkeys(places, (0, 10))


def calls(world: Any) -> OverviewCalls:
    lag = Lag([world], world)
    return OverviewCalls([world], world, lag, world, monotonic=lambda: world.time)


async def test_an_overview_is_kept_for_a_second() -> None:
    world = World()
    of = calls(world)
    found = await of.overview()
    assert (found.serving, found.reasons, found.lag) == (True, ["Slow."], 2)
    assert await of.overview() == found
    world.time = 1.0
    await of.overview()
    assert world.asked == 2


@pytest.mark.parametrize("server", ["store", "kafka"])
async def test_an_overview_says_why_figures_are_missing(server: str) -> None:
    world = World()
    setattr(world, f"{server}_fails", True)
    found = await calls(world).overview()
    assert found.lag == 0
    assert found.reasons == (["Why.", "Slow."] if server == "store" else ["Slow."])
    assert found.counts.jobs == (0 if server == "store" else 2)


async def test_a_history_that_cannot_be_trimmed_waits() -> None:
    class Trimmed:
        async def trim(self, token: str, now: int, bounds: HistoryBounds) -> bool:
            if not token:
                raise StoreUnavailable("No.")
            return True

    historian = Historian(Trimmed(), World(), HistoryBounds(1, 1, 1))
    assert await historian.run_once("token")
    assert not await historian.run_once("")


# --- Requests -----------------------------------------------------------------------------------


def test_a_filter_is_read() -> None:
    given_ = service.RunFilter(
        job_id="j",
        type="t",
        states=[messages.RUN_STATE_RUNNING, messages.RUN_STATE_ENDED],
        outcomes=[messages.OUTCOME_TIMED_OUT],
        origins=[messages.RUN_ORIGIN_SCHEDULE],
        error="e",
    )
    getattr(given_, "from").CopyFrom(Timestamp(seconds=5))
    given_.until.CopyFrom(Timestamp(seconds=6))
    asked = service.ListRunsRequest(filter=given_, page_token="p")
    wanted, size, token = run_requests.decode_list_runs(asked.SerializeToString())
    assert wanted == RunFilter(
        "j",
        "t",
        frozenset({RunState.RUNNING, RunState.ENDED}),
        frozenset({RunOutcome.TIMED_OUT}),
        frozenset({RunOrigin.SCHEDULE}),
        5000,
        6000,
        "e",
    )
    assert (size, token) == (100, "p")


def filtered(**more: Any) -> service.ListRunsRequest:
    return service.ListRunsRequest(filter=service.RunFilter(**more))


@pytest.mark.parametrize(
    ("decode", "message", "field"),
    [
        (run_requests.decode_list_runs, service.ListRunsRequest(page_size=1_001), "page_size"),
        (run_requests.decode_list_runs, filtered(states=[9]), "filter.states"),
        (run_requests.decode_list_runs, filtered(outcomes=[0]), "filter.outcomes"),
        (run_requests.decode_list_runs, filtered(until=Timestamp(nanos=-1)), "filter.until"),
        (run_requests.decode_failures, service.ListFailuresRequest(limit=101), "limit"),
        (run_requests.decode_retry, service.RetryRunsRequest(), "selection"),
        (run_requests.decode_upcoming, jobs.ListUpcomingRequest(), "until"),
        (
            run_requests.decode_upcoming,
            jobs.ListUpcomingRequest(until=Timestamp(), limit=1_001),
            "limit",
        ),
        (
            run_requests.decode_retry,
            service.RetryRunsRequest(selection=service.RunSelection(ids=service.RunIds())),
            "selection.ids",
        ),
    ],
)
def test_faults_name_their_field(decode: Any, message: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode(message.SerializeToString())
    assert [each.field for each in raised.value.violations] == [field]


def test_too_many_ids() -> None:
    ids = service.RunIds(run_ids=[str(number) for number in range(10_001)])
    selection = service.RunSelection(ids=ids)
    with pytest.raises(TooLarge):
        run_requests.decode_retry(service.RetryRunsRequest(selection=selection).SerializeToString())


def test_a_filter_of_retries_is_one_of_failures() -> None:
    failed = failed_only(RunFilter(type="t"))
    assert failed
    assert failed.outcomes == {RunOutcome.FAILED, RunOutcome.TIMED_OUT}
    assert failed.states == {RunState.ENDED}
    one = failed_only(RunFilter(outcomes=frozenset({RunOutcome.FAILED, RunOutcome.DONE})))
    assert one
    assert one.outcomes == {RunOutcome.FAILED}
    assert failed_only(RunFilter(outcomes=frozenset({RunOutcome.DONE}))) is None
    assert failed_only(RunFilter(states=frozenset({RunState.RUNNING}))) is None
