"""The readers of `make bench ONLY=v1-reads`, and the jobs that they read."""

import asyncio
from typing import Any

import pytest

from bench.reads import PAGE, RATES, Pages, Reads
from bench.targets import FLOORS, READS
from bench.varied import CREATORS, KINDS, TYPES, records, spec
from bench.workloads.reading import KINDS as MEASURED
from scheduling_client.wire.v1 import job_service_pb2 as jobs


class Answers:
    """Answers each first page with a token."""

    def __init__(self) -> None:
        self.asked: list[jobs.ListJobsRequest] = []

    async def ListJobs(self, request: Any, timeout: float) -> jobs.ListJobsResponse:  # noqa: ASYNC109, N802
        self.asked.append(request)
        return jobs.ListJobsResponse(next_page_token="token")


def test_each_list_is_walked_for_two_pages() -> None:
    stub = Answers()
    pages = Pages(stub, 1_000)

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
