"""Pages of runs over several shards."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.run_ports import ListedRun, ListedRuns
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.run import FailureGroup, Run, RunFilter, RunId, RunState

NOW = 1_700_000_000_000


class ShardOf:
    """Its runs by their places, in the order of the shard; a page is short now and then."""

    def __init__(self, name: str, places: Sequence[str]) -> None:
        self.name = name
        self.places = places
        self.groups: list[FailureGroup] = []

    def now(self) -> int:
        return NOW

    async def runs(self, wanted: RunFilter, cursor: str, limit: int) -> ListedRuns:
        start = self.places.index(cursor) + 1 if cursor else 0
        end = min(start + min(limit, 2), len(self.places))
        found = [
            ListedRun(Run(RunId(self.name, 1, number), place, RunState.ENDED), place)
            for number, place in enumerate(self.places[start:end], start)
        ]
        return ListedRuns(found, self.places[end - 1] if end < len(self.places) else "")

    async def failures(self, job_type: str, since: int) -> Sequence[FailureGroup]:
        return self.groups


def listing(*shards: Any) -> RunListing:
    return RunListing(shards, shards[0], failures_ms=1)


async def test_pages_are_merged_by_section_and_score() -> None:
    one = ShardOf("one", ["1 9 aa", "1 9 a9", "3 5 5", "5 7 7", "5 2 2"])
    two = ShardOf("two", ["1 8 bb", "3 6 6", "5 7 7", "5 3 3"])
    of, found, token = listing(one, two), list[str](), ""
    while not found or token:
        page = await of.list(RunFilter(), 3, token)
        assert len(page.runs) <= 3
        found += [f"{run.id.job_id} {run.type}" for run in page.runs]
        token = page.token
    expected = [
        "one 1 9 aa",
        "one 1 9 a9",
        "two 1 8 bb",
        "two 3 6 6",
        "one 3 5 5",
        "one 5 7 7",
        "two 5 7 7",
        "two 5 3 3",
        "one 5 2 2",
    ]
    assert found == expected


async def test_a_page_goes_on_after_a_call_that_ended_early() -> None:
    of = listing(ShardOf("one", [f"5 {9 - number} 1" for number in range(9)]))
    first = await of.list(RunFilter(), 7)
    second = await of.list(RunFilter(), 7, first.token)
    assert ([len(page.runs) for page in (first, second)], second.token) == ([7, 2], "")


async def test_a_token_is_that_of_its_filter() -> None:
    of = listing(ShardOf("one", ["5 2 2", "5 1 1"]))
    token = (await of.list(RunFilter(type="t"), 1)).token
    assert (await of.list(RunFilter(type="t"), 1, token)).token == ""
    with pytest.raises(InvalidRequest):
        await of.list(RunFilter(type="u"), 1, token)


async def test_the_most_frequent_errors_of_all_shards_come_first() -> None:
    one, two = ShardOf("one", []), ShardOf("two", [])
    one.groups = [FailureGroup("t", "rare", 1, 5, RunId("j", 1, 1))]
    two.groups = [
        FailureGroup("u", name, 3, last, RunId("j", 1, 1)) for name, last in (("a", 1), ("b", 2))
    ]
    found = await listing(one, two).failures("", 2)
    assert [group.error for group in found] == ["b", "a"]
