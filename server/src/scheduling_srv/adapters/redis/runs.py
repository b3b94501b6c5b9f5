"""Runs in Redis: the typed side of the scripts that read, trim and retry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduling_srv.adapters.redis.caller_limits import within_argument
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.job_index import filter_arguments
from scheduling_srv.adapters.redis.replies import checked, owned
from scheduling_srv.adapters.redis.run_rows import run_in, values_of
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.run_ports import (
    DuePlace,
    DuePlaces,
    HistoryBounds,
    Judged,
    ListedRun,
    ListedRuns,
    RetryMode,
    RetryVerdict,
)
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.overview import Counts, Minute, ShardView
from scheduling_srv.domain.run import (
    FailureGroup,
    HeldBy,
    JobCounters,
    JobRuns,
    Run,
    RunFilter,
    RunId,
    RunState,
)
from scheduling_srv.formats.run_history import read_ran

PAGE_BYTES, MOST_READS, MOST_LOOKS = 1_000_000, 2_000, 5_000
"""Runs, shown or not, and members of an index that one page looks at."""
FAILURE_BYTES = 1_000_000
"""Of failures of all types."""
RECORD_BYTES = 4_000_000
"""Of jobs that are created anew in one step."""
OPEN_SHOWN = 10
"""Open runs of a job in its status."""
TRIMMED_AT_ONCE = 1_000
OLD_FORMAT = "The stored data has an earlier format, which has no history."
STATES = {
    RunState.HELD: "H",
    RunState.RUNNING: "R",
    RunState.RETRYING: "T",
    RunState.ENDED: "E",
}
"""As `lua/list_runs.lua` has them."""
SHOWN: Mapping[bytes, tuple[RunState, HeldBy]] = {
    b"P": (RunState.HELD, HeldBy.PARALLEL),
    b"O": (RunState.HELD, HeldBy.OVERLAP),
    b"J": (RunState.HELD, HeldBy.PAUSE),
    b"Y": (RunState.HELD, HeldBy.TYPE_PAUSE),
    b"R": (RunState.RUNNING, HeldBy.NOTHING),
    b"T": (RunState.RETRYING, HeldBy.NOTHING),
    b"E": (RunState.ENDED, HeldBy.NOTHING),
}
"""As `lua/lib/run_rows.lua` has them."""
ROW, FAILURE_ROW, PLACE_ROW, JOB_ROW = 4, 8, 5, 4
"""Values of one of them in a reply."""


class RedisRuns:
    """Implements `RunReading`, `RunRetrying`, `HistoryTrimming` and `ShardOverview`."""

    def __init__(
        self, client: RedisClient, namespace: str, shard: int, shards: int = 1, *, timeout: int
    ) -> None:
        """`timeout`: of runs whose job has none of its own, ms."""
        self.scripts = Scripts(client, namespace, shard, shards)
        self.timeout = timeout

    async def runs(self, wanted: RunFilter, cursor: str, limit: int) -> ListedRuns:
        """`list_runs.lua`."""
        named: dict[str, Value] = {
            "cursor": cursor,
            "limit": limit,
            "bytes": PAGE_BYTES,
            "reads": MOST_READS,
            "looks": MOST_LOOKS,
            "job": wanted.job_id,
            "states": "".join(STATES[state] for state in sorted(wanted.states)),
            "type": wanted.type,
            "outcomes": "".join(str(each.value) for each in sorted(wanted.outcomes)),
            "origins": "".join(str(each.stored) for each in sorted(wanted.origins)),
            "from": "" if wanted.nominal_from is None else wanted.nominal_from,
            "to": "" if wanted.nominal_until is None else wanted.nominal_until,
            "problem": wanted.error,
        }
        _, last, *rows = checked(await self.scripts.run("list_runs", **named))
        return ListedRuns(self._listed(rows), last.decode())

    def _listed(self, rows: Sequence[Any]) -> Sequence[ListedRun]:
        found = []
        for at in range(0, len(rows), ROW):
            place, letter, text, instant = rows[at : at + ROW]
            found.append(ListedRun(self._run(letter, text, instant), place.decode()))
        return found

    def _run(self, letter: bytes, text: bytes, instant: bytes) -> Run:
        state, held_by = SHOWN[letter]
        run = read_ran(text)._replace(state=state, held_by=held_by)
        if state is RunState.RETRYING:
            return run._replace(retry=int(instant))
        if state is RunState.RUNNING:
            return run._replace(deadline=int(instant) if instant else run.started + self.timeout)
        return run

    async def failures(self, job_type: str, since: int) -> Sequence[FailureGroup]:
        """`failures.lua`."""
        named: dict[str, Value] = {"type": job_type, "since": since, "bytes": FAILURE_BYTES}
        rows = checked(await self.scripts.run("failures", **named))
        return [_failure(rows[at : at + FAILURE_ROW]) for at in range(0, len(rows), FAILURE_ROW)]

    async def job_runs(self, ids: Sequence[str]) -> Mapping[str, JobRuns]:
        """`job_runs.lua`."""
        rows = checked(await self.scripts.run("job_runs", ids, most=OPEN_SHOWN))
        found = dict[str, JobRuns]()
        for at in range(0, len(rows), JOB_ROW):
            job_id, numbers, last, open_runs = rows[at : at + JOB_ROW]
            shown = [each.run for each in self._listed(open_runs)]
            ended = read_ran(last) if last else None
            found[job_id.decode()] = JobRuns(_counters(numbers), ended, shown)
        return found

    async def upcoming(self, wanted: JobFilter, now: int, until: int, limit: int) -> DuePlaces:
        """`upcoming.lua`."""
        named: dict[str, Value] = {
            "now": now,
            "until_ms": until,
            "limit": limit,
            "bytes": PAGE_BYTES,
            "reads": MOST_READS,
            "looks": MOST_LOOKS,
            **filter_arguments(wanted),
        }
        labels = [f"{key}={value}" for key, value in wanted.labels.items()]
        _, more, *rows = checked(await self.scripts.run("upcoming", labels, **named))
        places = [_place(rows[at : at + PLACE_ROW]) for at in range(0, len(rows), PLACE_ROW)]
        return DuePlaces(places, bool(more))

    async def retry(
        self, runs: Sequence[RunId], now: int, mode: RetryMode, within: Limits | None = None
    ) -> tuple[Receipt, Sequence[Judged]]:
        """`retry_runs.lua`."""
        rows: list[Value] = [value for run in runs for value in values_of(run)]
        named: dict[str, Value] = {"now": now, "mode": mode.value, "bytes": RECORD_BYTES}
        named["within"] = within_argument(within)
        reply = await self.scripts.run("retry_runs", rows, **named)
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        number, lineage, *judged = checked(reply)
        pairs = zip(judged[::2], judged[1::2], strict=True)
        return Receipt(lineage.decode(), number), [
            Judged(RetryVerdict(verdict.decode()), record) for verdict, record in pairs
        ]

    async def trim(self, token: str, now: int, bounds: HistoryBounds) -> bool:
        """`trim_history.lua`."""
        named: dict[str, Value] = {
            "token": token,
            "now": now,
            "most": bounds.runs,
            "most_bytes": bounds.record_bytes,
            "lasts": bounds.failures_ms,
            "limit": TRIMMED_AT_ONCE,
        }
        return bool(owned(await self.scripts.run("trim_history", **named))[1] == b"1")

    async def overview(self, now: int) -> ShardView:
        """`overview.lua`."""
        *counts, owner, oldest, due, minutes = checked(await self.scripts.run("overview", now=now))
        name = owner.decode().rpartition(":")[0]
        return ShardView(
            Counts(*counts),
            owner=name,
            oldest_due=int(oldest) if oldest else None,
            due=due,
            minutes=[Minute(*each) for each in minutes],
        )


def _failure(row: Sequence[Any]) -> FailureGroup:
    job_type, count, last, seq, job_id, nominal, origin, error = row
    run = run_in((job_id, seq, nominal, origin))
    return FailureGroup(_text(job_type), _text(error), int(count), int(last), run)


def _counters(numbers: Sequence[int]) -> JobCounters:
    done, failed, timed_out, cancelled, skipped, missed, refused, still_open, counted = numbers
    emitted = done + failed + timed_out + cancelled + refused + still_open
    return JobCounters(emitted, done, failed + refused, timed_out, missed, skipped, counted)


def _place(row: Sequence[Any]) -> DuePlace:
    job_id, record, due, nominal, counted = row
    instant = int(nominal) if nominal else None
    return DuePlace(StoredJob(job_id, record), int(due), instant, int(counted))


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
