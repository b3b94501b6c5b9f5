"""What the audit log tells of calls that change runs and dead letters."""

from collections.abc import Iterator
from typing import Any

import pytest

from scheduling_srv.app.access.call import Call, begin
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.limited_runs import LimitedRetries, LimitedRunControl
from scheduling_srv.app.access.noted_letters import NotedLetters
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.dead_letter import LetterCall, LetterFilter
from scheduling_srv.domain.run import RetryProgress, RunBulkCall, RunFilter, RunId, RunOrigin
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    NewRun,
    RunCall,
    Started,
)

RUN = RunId("job", 7, 1_000, RunOrigin.MANUAL)


class UseCases:
    """All of them; each call matches three and changes two."""

    async def extend(self, _asked: Extension) -> int:
        return 5

    async def cancel(self, _call: RunBulkCall) -> Progress:
        return Progress(3, 2, "")

    async def run(self, _call: RunCall) -> Started:
        return Started(Progress(1, 1, ""), [NewRun(RUN, "t")])

    async def backfill(self, _call: BackfillCall, _within: object) -> Backfilled:
        return Backfilled(2, RUN, RUN)

    async def retry(self, _call: RunBulkCall) -> RetryProgress:
        return RetryProgress(3, 2, "", ())

    async def replay(self, _call: LetterCall) -> Progress:
        return Progress(3, 2, "")

    hide = replay


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call(Caller("ann", Role.ADMIN), "ipv4:127.0.0.1:5", "method")
    begin(made)
    yield made
    begin(None)


USES: Any = UseCases()
BULK = BulkCall(["job"], dry_run=False, token="")


async def test_runs_are_named(call: Call) -> None:
    runs = LimitedRunControl(USES)
    assert await runs.extend(Extension(9, "job/7/1000/1")) == 5
    assert call.ids == ["job/7/1000/1"]
    await runs.cancel(RunBulkCall(["job/7/1000"], dry_run=True, token=""))
    assert (call.ids, call.detail) == (["job/7/1000"], "dry run")
    await runs.run(RunCall(BULK, ""))
    assert (call.ids, call.count) == (["job/7/1000m"], 1)
    await runs.backfill(BackfillCall("job", 0, 1, 1, "", dry_run=False))
    assert call.ids == ["job"]


async def test_what_a_filter_selects_is_counted(call: Call) -> None:
    runs, retries, letters = LimitedRunControl(USES), LimitedRetries(USES), NotedLetters(USES)
    await runs.cancel(RunBulkCall(RunFilter(), dry_run=False, token=""))
    assert (call.ids, call.count) == ([], 2)
    await retries.retry(RunBulkCall(["a/1/2"], dry_run=False, token=""))
    assert (call.ids, call.count) == (["a/1/2"], 2)
    await retries.retry(RunBulkCall(RunFilter(), dry_run=False, token=""))
    assert (call.ids, call.count) == ([], 2)
    for change in (letters.replay, letters.hide):
        await change(LetterCall(LetterFilter(), dry_run=False, token=""))
        assert (call.ids, call.count) == ([], 2)
