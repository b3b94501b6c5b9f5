"""The use case that backfills a recurring job (docs/decisions/0030)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.narrowing import allows
from scheduling_srv.app.ports import Clock, ListedJob
from scheduling_srv.app.requests.definitions import not_found
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.request_names import name_of
from scheduling_srv.app.run_control_ports import BackfillStore, BackfillVerdict, NewBackfill
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.errors import Contended, InvalidRequest, TooLarge, TooMany, Violation
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunId, RunOrigin
from scheduling_srv.domain.run_control import BackfillCall, Backfilled
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import type_of
from scheduling_srv.formats.occurrences import occurrences_within
from scheduling_srv.runtime.time_slice import SharedSlice

MOST_RUNS = 10_000
NOT_RECURRING = "Only a recurring job can be backfilled."
NOT_YET = "A backfill ends by now: later occurrences come by themselves."
NO_PHASE = "The job is between two runs: ask again."
CHANGED = "The job was changed meanwhile: send it again."
BUSY = "A backfill of the job is under way: let it end, or cancel its runs."
MANY = "1,000 backfills are under way: let some of them end."


class Backfills:
    """Begins backfills; the owner of the shard adds their runs."""

    def __init__(
        self,
        store: ShardedStore,
        listing: JobListing,
        shards: Sequence[BackfillStore],
        clock: Clock,
    ) -> None:
        """`shards`: in their order."""
        self.store = store
        self.listing = listing
        self.shards = shards
        self.clock = clock

    async def begin(self, call: BackfillCall, within: Limits | None = None) -> Backfilled:
        """Raises `InvalidRequest`, `NotFound`, `TooLarge`, `TooMany` and `Unavailable`."""
        last = call.until - 1  # the call rounds its instants up, and the clock rounds down
        if last > self.clock.now():
            raise _invalid("until", NOT_YET)
        found = await self.listing.show([call.job_id])
        if not found or (within and not allows(within, found[0].job)):
            raise not_found(call.job_id)
        plan = await _plan(found[0], call)
        if call.dry_run or not plan.runs:
            return plan
        return await self._begin(found[0], call, plan)

    async def _begin(self, job: ListedJob, call: BackfillCall, plan: Backfilled) -> Backfilled:
        record = job.job.record
        shard = shard_of(type_of(record).decode(), len(self.shards))
        floor = self.store.shards[shard].announcements.number
        seq = job_record.seq(record)
        asked = NewBackfill(call.job_id, seq, call.until, call.limit, plan)
        name = name_of("BackfillJob", call.request_id, call)
        verdict, receipt, begun = await self.shards[shard].begin(asked, name)
        if verdict is BackfillVerdict.GONE:
            raise Contended(CHANGED)
        if verdict is not BackfillVerdict.BEGUN:
            raise TooMany(BUSY if verdict is BackfillVerdict.BUSY else MANY)
        await self.store.announced([Stored(shard, receipt, floor)])
        return begun


async def _plan(job: ListedJob, call: BackfillCall) -> Backfilled:
    record = job.job.record
    kind = TriggerKind(job_record.kind(record))
    if not kind.recurring:
        raise _invalid("job_id", NOT_RECURRING)
    if kind is TriggerKind.INTERVAL and job.nominal is None:
        raise _invalid("job_id", NO_PHASE)
    runs, first, last, time_slice = 0, None, None, SharedSlice()
    for nominal in occurrences_within(record, job.nominal or call.since, call.since, call.until):
        runs, first, last = runs + 1, first or nominal, nominal
        if runs > MOST_RUNS:
            sentence = f"There are more than {MOST_RUNS} occurrences: choose a shorter time."
            raise TooLarge(sentence, [Violation("until", sentence)])
        await time_slice.yield_if_used()
    seq = job_record.seq(record)
    names = [at and RunId(call.job_id, seq, at, RunOrigin.BACKFILL) for at in (first, last)]
    return Backfilled(runs, names[0] or None, names[1] or None)


def _invalid(field: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(field, sentence)])
