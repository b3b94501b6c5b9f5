"""The readers of `make bench ONLY=v1-reads`, and the jobs that they read."""

import asyncio
from contextlib import nullcontext
from itertools import cycle
from typing import Any

import pytest

from bench.reads import (
    PAGE,
    RATES,
    Pages,
    Reads,
    Wrong,
    get,
    get_overview,
    list_upcoming,
    matches,
)
from bench.targets import FLOORS, READS
from bench.varied import CREATORS, KINDS, TYPES, records, spec
from bench.workloads.reading import KINDS as MEASURED
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import system_service_pb2 as system

NEWEST, DUE = jobs.ListJobsRequest.ORDER_NEWEST, jobs.ListJobsRequest.ORDER_NEXT_DUE


COUNT = 20_000
FULL = [v1.Job()] * PAGE


class Answers:
    """Answers each page with so many jobs, and a token."""

    def __init__(self, size: int, token: str) -> None:
        self.asked: list[jobs.ListJobsRequest] = []
        self.size, self.token = size, token

    async def ListJobs(self, request: Any, timeout: float) -> jobs.ListJobsResponse:  # noqa: ASYNC109, N802
        self.asked.append(request)
        return jobs.ListJobsResponse(jobs=FULL[: self.size], next_page_token=self.token)


def test_each_list_is_walked_for_two_pages() -> None:
    stub = Answers(PAGE, "token")
    pages = Pages(stub, COUNT)

    async def walk() -> None:
        for _ in range(40):
            await pages.next()

    asyncio.run(walk())
    first, second = stub.asked[::2], stub.asked[1::2]
    assert {each.page_token for each in first} == {""}
    assert {each.page_token for each in second} == {"token"}
    assert [each.filter for each in first] == [each.filter for each in second]
    assert {each.page_size for each in stub.asked} == {PAGE}
    assert len({each.filter.SerializeToString() for each in first}) == 6


@pytest.mark.parametrize(
    ("size", "token", "order", "wanted", "fails"),
    [
        (PAGE - 1, "token", NEWEST, v1.JobFilter(type="type-1"), True),
        (PAGE - 1, "token", NEWEST, v1.JobFilter(creator="creator-1"), True),
        (PAGE - 1, "token", NEWEST, v1.JobFilter(labels={"tenant": "t1"}), True),
        (PAGE - 1, "token", DUE, v1.JobFilter(), True),
        (PAGE - 1, "token", DUE, v1.JobFilter(type="type-1"), False),  # a walk goes on
        (PAGE - 1, "", DUE, v1.JobFilter(type="type-1"), True),
        (PAGE - 1, "", NEWEST, v1.JobFilter(id_prefix="0000000000001"), True),
        (0, "", NEWEST, v1.JobFilter(states=[v1.JOB_STATE_PAUSED]), False),
    ],
    ids=str,
)
async def test_a_page_without_the_jobs_that_match_is_no_answer(
    size: int, token: str, order: Any, wanted: v1.JobFilter, fails: bool
) -> None:
    pages = Pages(Answers(size, token), COUNT)
    request = jobs.ListJobsRequest(filter=wanted, order=order, page_size=PAGE)
    pages._requests = cycle([request])
    reads = Reads()
    await reads._once("list", pages.next, 0.0)
    assert ("jobs, not 100" in reads.failure) is fails
    assert bool(reads.took["list"]) is not fails


def test_as_many_jobs_match_as_the_loader_has_made() -> None:
    kinds = [v1.JobSpec(), *map(spec, range(KINDS))]
    made = [kinds[number % len(kinds)] for number in range(COUNT)]
    for wanted, found in (
        (v1.JobFilter(type="type-3"), [each.type == "type-3" for each in made]),
        (v1.JobFilter(creator="creator-7"), [each.creator == "creator-7" for each in made]),
        (v1.JobFilter(labels={"tenant": "t1"}), ["t1" in each.labels.values() for each in made]),
    ):
        assert PAGE * 2 < matches(wanted, COUNT) <= sum(found)
    names = [f"{number:016x}" for number in range(1, COUNT + 1)]
    for prefix in ("0000000000000", "0000000000004", "0000000000009"):
        found = [each.startswith(prefix) for each in names]
        assert matches(v1.JobFilter(id_prefix=prefix), COUNT) == sum(found)


@pytest.mark.parametrize("missing", [0, 1])
async def test_reads_by_id_upcoming_runs_and_counts_are_looked_at(missing: int) -> None:
    class Stub:
        async def GetJobs(self, request: Any, **_: float) -> Any:  # noqa: N802
            found = [v1.Job(spec=v1.JobSpec(id=each)) for each in request.ids]
            return jobs.GetJobsResponse(jobs=found[missing:])

        async def ListUpcoming(self, *_: object, **__: float) -> Any:  # noqa: N802
            return jobs.ListUpcomingResponse(upcoming=[jobs.Upcoming()] * (PAGE - missing))

        async def GetOverview(self, *_: object, **__: float) -> Any:  # noqa: N802
            return system.GetOverviewResponse(counts=system.Counts(jobs=COUNT - missing))

    for call in (get, list_upcoming, get_overview):
        with pytest.raises(Wrong) if missing else nullcontext():
            await call(Stub(), COUNT)


def test_a_failed_read_fails_the_measurement() -> None:
    reads = Reads()
    reads.failure = "list: UNAVAILABLE"
    with pytest.raises(RuntimeError, match="UNAVAILABLE"):
        reads.stop()


def test_all_reads_are_measured_and_have_a_floor() -> None:
    assert {*RATES} == {*READS} == {*MEASURED}
    assert {name for workload, name in FLOORS if workload == "v1-reads"} == {
        f"{kind}-p99" for kind in READS
    }


def test_the_jobs_differ() -> None:
    specs = [spec(number) for number in range(KINDS)]
    assert len({each.type for each in specs}) == TYPES
    assert len({each.creator for each in specs}) == CREATORS
    assert 0 < sum(bool(each.labels) for each in specs) < KINDS
    assert {each.schedule.WhichOneof("trigger") for each in specs} == {"when", "interval"}
    assert len([*records()]) == KINDS
