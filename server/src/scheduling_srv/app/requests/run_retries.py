"""The use case that tries failed runs again (docs/decisions/0031).

A run whose job lives is due again, with its next attempt. A job that is gone is created anew, from
the record that the history has kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from scheduling_srv.app.ports import Clock, Refusal, WriteGroup, WriteMode
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.run_selecting import select_runs
from scheduling_srv.app.requests.unique_keys import UniqueKeys
from scheduling_srv.app.run_ports import Judged, RetryMode, RetryVerdict, RunRetrying
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.errors import (
    KEY_TAKEN,
    AlreadyExists,
    PayloadGone,
    RequestError,
    RunNotFailed,
    UniqueKeyTaken,
)
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import (
    FAILURES,
    RetryProgress,
    RunBulkCall,
    RunFilter,
    RunId,
    RunRefusal,
    RunState,
)
from scheduling_srv.formats.job_record import as_new, properties_of, type_of

REFUSED: Mapping[RetryVerdict, RequestError] = {
    RetryVerdict.OTHER: RunNotFailed("The run has not failed."),
    RetryVerdict.LIVES: AlreadyExists(
        "The job was created anew, or has another definition by now."
    ),
    RetryVerdict.TAKEN: UniqueKeyTaken(KEY_TAKEN),
    RetryVerdict.LOST: PayloadGone("The job is gone, and the service has not kept its payload."),
}
"""As a call for one such run would be refused."""
UniqueKey: TypeAlias = tuple[str, str]
"""Type and unique key of a job."""
NO_KEY: UniqueKey = ("", "")
"""The unique key of a job that has none."""
UNKNOWN = RetryVerdict.UNKNOWN
CHANGED = frozenset({RetryVerdict.AGAIN, RetryVerdict.GONE})
"""Of runs that are tried again."""


class RunRetries:
    """Of one replica, over all shards."""

    def __init__(
        self,
        store: ShardedStore,
        listing: RunListing,
        keys: UniqueKeys,
        shards: Sequence[RunRetrying],
        clock: Clock,
    ) -> None:
        """`shards`: in their order."""
        self.store = store
        self.listing = listing
        self.keys = keys
        self.shards = shards
        self.clock = clock

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """Try failed runs again, one step; unknown runs do not match.

        A run that is tried again has left the history, so a repeated step does not match it. Raises
        `InvalidRequest`, `FormatTooOld` and `Unavailable`.
        """
        runs, _, token = await select_runs(self.listing, call, failed_only)
        step = self._foresee if call.dry_run else self._retry_all
        verdicts = await step(runs, call.within)
        changed = sum(verdict in CHANGED for verdict in verdicts.values())
        refusals = [
            RunRefusal(str(run), REFUSED[verdict].reason, str(REFUSED[verdict]))
            for run, verdict in verdicts.items()
            if verdict in REFUSED
        ]
        return RetryProgress(len(verdicts), changed, token, refusals)

    async def _retry_all(
        self, runs: Sequence[RunId], within: Limits | None
    ) -> dict[RunId, RetryVerdict]:
        verdicts = dict[RunId, RetryVerdict]()
        for shard in range(len(self.shards)):
            verdicts |= await self._retry_in(shard, runs, within)
        return verdicts

    async def _retry_in(
        self, shard: int, runs: Sequence[RunId], within: Limits | None
    ) -> dict[RunId, RetryVerdict]:
        """The verdicts about the runs that the shard knows."""
        found, left = dict[RunId, RetryVerdict](), list(runs)
        ports, floor = self.shards[shard], self.store.shards[shard].announcements.number
        receipt = None
        while left:
            receipt, judged = await ports.retry(left, self.clock.now(), RetryMode.RETRY, within)
            pairs = [*zip(left, judged, strict=False)]
            known = ((run, each.verdict) for run, each in pairs)
            found |= {run: verdict for run, verdict in known if verdict is not UNKNOWN}
            gone = {run: each for run, each in pairs if each.verdict is RetryVerdict.GONE}
            found |= await self._create_all(ports, gone)
            left = left[len(judged) :]
        if receipt and RetryVerdict.AGAIN in found.values():
            await self.store.announced([Stored(shard, receipt, floor)])
        return found

    async def _foresee(
        self, runs: Sequence[RunId], within: Limits | None
    ) -> dict[RunId, RetryVerdict]:
        """The verdicts of a step that would try the runs again."""
        verdicts, keys = dict[RunId, RetryVerdict](), dict[RunId, UniqueKey]()
        for ports in self.shards:
            left = list(runs)
            while left:
                _, judged = await ports.retry(left, self.clock.now(), RetryMode.LOOK, within)
                for run, each in zip(left, judged, strict=False):
                    if each.verdict is not UNKNOWN:
                        verdicts[run] = each.verdict
                    if each.verdict is RetryVerdict.GONE:
                        keys[run] = _key_of(each.record)
                left = left[len(judged) :]
        return verdicts | await self._would_create(keys)

    async def _would_create(self, keys: Mapping[RunId, UniqueKey]) -> dict[RunId, RetryVerdict]:
        """As `_create_all` would answer. An id may live in another shard, and a key be taken.

        `keys`: those of jobs that are gone, by their runs.
        """
        living = await self._living({run.job_id for run in keys})
        holders = await self.keys.holders([*keys.values()])
        taken = {key for key, holder in zip(keys.values(), holders, strict=True) if holder}
        verdicts = dict[RunId, RetryVerdict]()
        for run in (run for runs in _rounds(keys) for run in runs):
            if run.job_id in living:
                verdicts[run] = RetryVerdict.LIVES
            elif keys[run] in taken:
                verdicts[run] = RetryVerdict.TAKEN
            else:
                verdicts[run] = RetryVerdict.GONE
                living.add(run.job_id)
                taken |= {keys[run]} - {NO_KEY}
        return verdicts

    async def _living(self, wanted: Iterable[str]) -> set[str]:
        ids, living = [*wanted], set[str]()
        while ids:
            found = await self.store.get(ids)
            living |= {job.id.decode() for job in found if job}
            ids = ids[len(found) :]
        return living

    async def _create_all(
        self, shard: RunRetrying, gone: Mapping[RunId, Judged]
    ) -> dict[RunId, RetryVerdict]:
        """All of a round at once: each waits for Kafka."""
        verdicts = dict[RunId, RetryVerdict]()
        for runs in _rounds(gone):
            made = await asyncio.gather(*(self._create(shard, run, gone[run]) for run in runs))
            verdicts |= zip(runs, made, strict=True)
        return verdicts

    async def _create(self, shard: RunRetrying, run: RunId, judged: Judged) -> RetryVerdict:
        """Create the job anew under its id. It is due now, and announced as any other one."""
        now = self.clock.now()
        job = NewJob(run.job_id, now, as_new(judged.record))
        has_keys = _key_of(judged.record) != NO_KEY
        group = WriteGroup(WriteMode.CREATE, [job], named=[job.id], has_keys=has_keys)
        try:
            stored = await self.store.write(group)
        except UniqueKeyTaken:  # so a store of several shards says it
            return RetryVerdict.TAKEN
        if isinstance(stored, Refusal):
            return RetryVerdict.TAKEN if stored.reason == "unique" else RetryVerdict.LIVES
        await self.store.announced([stored])
        self.store.check(stored, [job])
        await shard.retry([run], now, RetryMode.FORGET)
        return RetryVerdict.GONE


def _rounds(runs: Iterable[RunId]) -> Iterator[Sequence[RunId]]:
    """Each id once in a round: of several runs of an id the first one comes first."""
    left = [*runs]
    while left:
        firsts = dict[str, RunId]()
        for run in left:
            firsts.setdefault(run.job_id, run)
        yield [*firsts.values()]
        left = [run for run in left if firsts[run.job_id] != run]


def _key_of(record: bytes) -> UniqueKey:
    key = properties_of(record).properties.unique_key
    return (type_of(record).decode(), key) if key else NO_KEY


def failed_only(wanted: RunFilter) -> RunFilter | None:
    """The same filter, of runs that have failed; None: it excludes them."""
    outcomes = wanted.outcomes & FAILURES if wanted.outcomes else FAILURES
    if not outcomes or (wanted.states and RunState.ENDED not in wanted.states):
        return None
    return replace(wanted, outcomes=outcomes, states=frozenset({RunState.ENDED}))
