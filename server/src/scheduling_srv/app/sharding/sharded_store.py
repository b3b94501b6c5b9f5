"""All shards as one store: which shard decides about a change, and which have a part in it.

One shard decides about everything: nothing is routed, claimed or merged then. With several, a list
goes the same way if it names no ids and all its types belong to one of them. See
docs/decisions/0004 and 0022.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from scheduling_srv.app import deadline
from scheduling_srv.app.announcements import ANNOUNCE_TIMEOUT_SECONDS
from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.app.narrowing import allows
from scheduling_srv.app.ports import (
    Clock,
    Page,
    Receipt,
    Refusal,
    Source,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.sharding.changes import plan_delete, plan_write, shard_of_job
from scheduling_srv.app.sharding.claims import Claim, Claims
from scheduling_srv.app.sharding.courier import Courier
from scheduling_srv.app.sharding.merged_pages import ENDED, cursors_of, merged_page
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.shard_writer import ShardWriter
from scheduling_srv.domain.errors import NotAnnounced, StoreNotReady, Unavailable
from scheduling_srv.domain.job import NewJob, StoredJob, TriggerKind
from scheduling_srv.domain.limits import Limits
from scheduling_srv.formats import job_record
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.job_record import Note, has_note
from scheduling_srv.formats.more import read_more

LEAST_SHARE = 100
"""Jobs of a page that each shard is asked for, if the page may hold so many."""
NO_SHARD = -1
"""In place of the shard of a job that does not exist."""
COMMIT_SECONDS = 0.05
"""Kafka has a run so long after its time, unless it is slow."""
LOOK_AGAIN_SECONDS = 0.05
"""Between looks at a shard that is being recovered."""
NOT_DELIVERED = "The change is stored, and another shard will do its part later."
NOT_ANNOUNCED = "Kafka does not answer: the change is stored and will be announced."
NOT_CLEARED = "Kafka does not answer: jobs are on their way to other shards, send it again."
NOT_RESET = "Kafka does not answer: not all shards are reset, send it again."


class Stored(NamedTuple):
    """A change that is stored, in the shard where it begins."""

    shard: int
    receipt: Receipt
    floor: int
    """See `Announcements.wait`."""
    change: Change | None = None
    """If other shards have a part in it."""
    floors: Sequence[int] = ()
    """With `change`: the number that each shard had published before."""
    ends: bool = False
    """Whether it may end jobs, whose runs may be staged ahead of their time."""


class ShardedStore:
    """Changes and reads of callers, and changes of consumed records, over 1 to n shards."""

    def __init__(
        self,
        shards: Sequence[ShardPorts],
        clock: Clock,
        *,
        wait_for_announcement: bool = True,
        stage_ahead: int = 0,
    ) -> None:
        """Without `wait_for_announcement` a change in one shard is done once it is stored.

        `stage_ahead`: milliseconds by which its owner stages runs ahead of their time.
        """
        self.shards = shards
        self.count = len(shards)
        self.clock = clock
        self.wait_for_announcement = wait_for_announcement
        self.held_seconds = stage_ahead / 1000 + COMMIT_SECONDS if stage_ahead else 0.0
        """So long after a change a run may follow that was staged before it, and was not due."""
        self.courier = Courier(shards, clock)
        self.claims = Claims([each.transfers for each in shards], self.courier)
        self._writers = [ShardWriter(each, clock, gathers=wait_for_announcement) for each in shards]
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Calls --------------------------------------------------------------------------------

    async def write(self, group: WriteGroup) -> Stored | Refusal:
        """Write the list of a call. Raises `Unavailable`."""
        shard = self.owner_of(group)
        if shard is None:
            return await self._decide(group)
        floor = self.shards[shard].announcements.number
        receipt, refusal = await self._writers[shard].write(group)
        return refusal or Stored(shard, receipt, floor, ends=group.mode is not WriteMode.CREATE)

    async def admit(self, group: WriteGroup, settle: Callable[[], Awaitable[None]]) -> None:
        """Whether the list of a record may be written; `LimitedStore` may refuse it.

        `settle` returns when the lists that were admitted before are written.
        """

    async def delete(self, ids: Sequence[str], within: Limits | None = None) -> Sequence[Stored]:
        """Delete the jobs that exist `within` the limits, each shard by itself.

        `ids` has none twice.
        """
        if self.count == 1:
            floor = self.shards[0].announcements.number
            return [Stored(0, await self._writers[0].delete(ids, within), floor, ends=True)]
        last = dict[int, Stored]()
        if within:  # calls of others for their jobs do not wait for claims of this one
            ids = await self._without_foreign(ids, within)
        for start in range(0, len(ids), DELETED_IDS):
            for stored in await self._delete(ids[start : start + DELETED_IDS], within):
                last[stored.shard] = stored
        return list(last.values())

    async def clear(self) -> Sequence[Stored]:
        """Delete every resource. Jobs on their way to another shard arrive before."""
        if self.count == 1:
            return [await self._clear(0)]
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT_SECONDS)):
                return await self._voided(self._clear)
        except TimeoutError as fault:
            raise NotAnnounced(NOT_CLEARED) from fault

    async def reset(self, entries: Sequence[bytes], source: Source | None = None) -> Stored:
        """Make every job and run void without a word, and append `entries` in the first shard.

        Of a record (`source`), `Consume` has reset the other shards before.
        """
        first = self.shards[0]
        if source is None and self.count > 1:
            await self._reset_all()
            floor = first.announcements.number
            receipt = await first.inputs.append(entries, self.clock.now())
            return Stored(0, receipt, floor, ends=True)
        floor = first.announcements.number
        receipt = await first.store.clear(self.clock.now(), source, entries, announced=False)
        return Stored(0, receipt, floor, ends=True)

    async def end(self) -> Sequence[Stored]:
        """The ends of all outboxes as they are now: earlier changes lie before them."""
        return await asyncio.gather(*map(self._end_of, range(self.count)))

    async def announced(self, changes: Sequence[Stored]) -> None:
        """Return when all of it is on Kafka, in all shards. Raises `Unavailable`.

        It waits for the parts of other shards in any case: until then a Read would miss them.
        """
        if not self.wait_for_announcement:
            await self._outlive_runs([each for each in changes if each.ends])
            changes = [each for each in changes if each.change]
        if not changes:
            return
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT_SECONDS)):
                if len(changes) == 1:
                    await self._announced(changes[0])
                else:
                    await asyncio.gather(*map(self._announced, changes))
        except TimeoutError as fault:
            raise NotAnnounced(NOT_ANNOUNCED) from fault

    def check(self, stored: Stored, jobs: Sequence[NewJob]) -> None:
        """Raises `FailedPrecondition` if one of these jobs could not be announced."""
        ids = (job.id for job in jobs)
        if stored.change is None:
            known = self.shards[stored.shard].announcements
            known.check(stored.receipt, stored.floor, ids)
            return
        named = list(ids)
        for shard, floor in zip(self.shards, stored.floors, strict=True):
            known = shard.announcements
            known.check(Receipt(known.lineage, known.number), floor, named)

    # --- Records ------------------------------------------------------------------------------

    async def write_from(
        self, groups: Sequence[WriteGroup], source: Source, at: int = 0
    ) -> Written:
        """Write the lists of records, in the shard `at`, or decided there.

        Of long lists, and of lists that several shards have a part in, only the first is looked at.
        """
        if all(self.owner_of(group) == at for group in groups):
            return await self._writers[at].write_from(groups, source)
        group = groups[0]
        stored = await self._decide(group, at, group.own(source))
        if isinstance(stored, Refusal):
            return Written(Receipt("", 0), [stored])
        self._follow(stored)
        return Written(stored.receipt, [None])

    async def delete_from(self, ids: Sequence[str], source: Source, at: int = 0) -> Receipt:
        """Delete for a record: decided in one shard, so that it happens once.

        `ids` has none twice.
        """
        if self.count == 1:
            return await self._writers[0].delete_from(ids, source)
        while True:
            async with self.claims.held(ids) as claim:
                change = plan_delete(claim.shards(), at)
                stored = await self._commit(change, claim, source)
            if stored:
                self._follow(stored)
                return stored.receipt

    async def clear_from(self, source: Source, at: int = 0, *, announced: bool) -> Receipt:
        """Delete every resource of this shard for a record, or reset it: see `JobStore.clear`."""
        store = self.shards[at].store
        return await store.clear(self.clock.now(), source, announced=announced)

    # --- Reads --------------------------------------------------------------------------------

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """The jobs with the first of these ids, as many as all shards have come to."""
        if self.count == 1:
            return await self.shards[0].store.get(ids)
        answers = await asyncio.gather(*(shard.store.get(ids) for shard in self.shards))
        return [next((job for job in jobs if job), None) for jobs in zip(*answers, strict=False)]

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        """The pages of all shards, merged by creation number; see `JobStore.page`."""
        if self.count == 1:
            store = self.shards[0].store
            return await store.page(creator, descending=descending, cursor=cursor, limit=limit)
        cursors = cursors_of(cursor, self.count)
        share = min(limit, max(LEAST_SHARE, 2 * limit // self.count))  # more would be read in vain
        calls = (
            shard.store.page(creator, descending=descending, cursor=at, limit=share)
            for shard, at in zip(self.shards, cursors, strict=True)
            if at != ENDED
        )
        answers = iter(await asyncio.gather(*calls))
        pages = [None if at == ENDED else next(answers) for at in cursors]
        return merged_page(pages, cursors, limit, descending=descending)

    # --- Deciding -----------------------------------------------------------------------------

    def owner_of(self, group: WriteGroup) -> int | None:
        """The one shard that may write the group without asking the others."""
        if self.count == 1:
            return 0
        if group.named:
            return None
        shards = {shard_of_job(job, self.count) for job in group.jobs}
        return shards.pop() if len(shards) == 1 else None

    async def _decide(
        self, group: WriteGroup, at: int | None = None, source: Source | None = None
    ) -> Stored | Refusal:
        """Decide about a list, and store the decision in the shard `at`, or where it is best.

        Raises `Unavailable`, and with a source `StaleSource`.
        """
        floors = [shard.announcements.number for shard in self.shards]
        if not group.named:
            change = plan_write(group.jobs, {}, self.count, at)
            stored = await self._commit(change, None, source, group.request)
            assert stored  # noqa: S101 - it claims nothing
            return stored._replace(floors=floors, ends=False)
        while True:
            async with self.claims.held(group.named) as claim:
                refusal = _refusal(group, claim) or await self._elapsed(group, claim)
                if refusal := refusal or await self._stale(group, claim):
                    return refusal
                change = plan_write(group.jobs, claim.origins(), self.count, at)
                stored = await self._commit(change, claim, source, group.request)
            if stored:
                return stored._replace(floors=floors, ends=group.mode is not WriteMode.CREATE)

    async def _elapsed(self, group: WriteGroup, claim: Claim) -> Refusal | None:
        """The first one-time job in the past that is not one which was due then before."""
        places: dict[int, list[int]] = {}
        for place, job in enumerate(group.jobs):
            if has_note(job.record, Note.ELAPSED):
                home = claim.homes.get(job.id)
                places.setdefault(home.shard if home else NO_SHARD, []).append(place)
        refused = places.pop(NO_SHARD, [])
        for shard, asked in places.items():
            jobs = [group.jobs[place] for place in asked]
            found = await self.shards[shard].transfers.may_have_elapsed(jobs)
            refused += [place for place, may in zip(asked, found, strict=True) if not may]
        return Refusal("elapsed", min(refused)) if refused else None

    async def _stale(self, group: WriteGroup, claim: Claim) -> Refusal | None:
        """The first job of an Update that has read another revision than the present one."""
        if group.mode is not WriteMode.UPDATE:
            return None
        for place, job in enumerate(group.jobs):
            more = job_record.more_of(job.record)
            if more and (wanted := read_more(more).revision):
                home = self.shards[claim.homes[job.id].shard]
                (found,) = await home.store.get([job.id])
                if found and not _is_as_read(found, wanted, group.seq):
                    return Refusal("stale", place)
        return None

    async def _delete(self, ids: Sequence[str], within: Limits | None) -> Sequence[Stored]:
        while True:
            async with self.claims.held(ids) as claim:
                changes: dict[int, list[str]] = {}
                for job_id, home in claim.homes.items():
                    changes.setdefault(home.shard, []).append(job_id)
                if within:
                    changes = await self._own(changes, within)
                done = await asyncio.gather(
                    *(
                        self._commit(Change(shard, removed), claim, None)
                        for shard, removed in changes.items()
                    )
                )
            stored = [each for each in done if each]
            if len(stored) < len(done):
                continue
            # Another call may have deleted some, and not have announced it yet.
            others = sorted({*claim.leaving.values()} - changes.keys())
            ends = await asyncio.gather(*map(self._end_of, others))
            if all(each.receipt.lineage == claim.lineages[each.shard] for each in ends):
                return [*stored, *ends]

    async def _without_foreign(self, ids: Sequence[str], within: Limits) -> Sequence[str]:
        """Without the jobs of others. One that no shard has may be on its way: its id stays."""
        own, left = list[str](), ids
        while left:
            jobs = await self.get(left)
            looked = zip(left, jobs, strict=False)
            own += [job_id for job_id, job in looked if not job or allows(within, job)]
            left = left[len(jobs) :]
        return own

    async def _own(self, ids: Mapping[int, Sequence[str]], within: Limits) -> dict[int, list[str]]:
        """Shard -> those of its jobs that are within the limits. They are claimed: none changes."""
        own = {shard: await self._own_in(shard, some, within) for shard, some in ids.items()}
        return {shard: some for shard, some in own.items() if some}

    async def _own_in(self, shard: int, ids: Sequence[str], within: Limits) -> list[str]:
        found, left = list[str](), ids
        while left:
            jobs = await self.shards[shard].store.get(left)
            found += [job.id.decode() for job in jobs if job and allows(within, job)]
            left = left[len(jobs) :]
        return found

    async def _commit(
        self, change: Change, claim: Claim | None, source: Source | None, request: str = ""
    ) -> Stored | None:
        shard = self.shards[change.shard]
        floor = shard.announcements.number
        receipt = await shard.transfers.commit(
            change, self.clock.now(), claim.held() if claim else None, source, request=request
        )
        if not receipt:
            return None
        return Stored(change.shard, receipt, floor, change if change.then else None, ends=True)

    async def _clear(self, shard: int) -> Stored:
        ports = self.shards[shard]
        floor = ports.announcements.number
        receipt = await ports.store.clear(self.clock.now(), announced=True)
        return Stored(shard, receipt, floor, ends=True)

    async def _end_of(self, shard: int) -> Stored:
        """The end of a shard's outbox as it is now."""
        ports = self.shards[shard]
        floor = ports.announcements.number
        return Stored(shard, await ports.inputs.append([], self.clock.now()), floor, ends=True)

    async def _voided(self, void: Callable[[int], Awaitable[Stored]]) -> Sequence[Stored]:
        """Make all jobs of all shards void, and no half of a change.

        Changes that are stored by now arrive before. A later change is void in some shards only if
        its parcel is on its way, or arrives, while the shards are emptied: then they are emptied
        once more.
        """
        while True:
            await self.courier.settle_all()
            before = await self.courier.arrivals()
            done = await asyncio.gather(*map(void, range(self.count)))
            ends = [each.receipt.number for each in done]
            if not await self.courier.carries(ends) and await self.courier.arrivals() == before:
                return done

    async def _reset_all(self) -> None:
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT_SECONDS)):
                await self._voided(self._reset)
        except TimeoutError as fault:
            raise NotAnnounced(NOT_RESET) from fault

    async def _reset(self, shard: int) -> Stored:
        ports = self.shards[shard]
        floor = ports.announcements.number
        receipt = await ports.store.clear(self.clock.now(), announced=False)
        await ports.announcements.wait(receipt)
        return Stored(shard, receipt, floor)

    # --- Waiting for runs ---------------------------------------------------------------------

    async def _outlive_runs(self, changes: Sequence[Stored]) -> None:
        """Return when no run may follow that was staged ahead before the change (decision 28).

        These runs lie before the change in the outbox. Raises `OutcomeUnknown`.
        """
        if not changes or not self.held_seconds:
            return
        with suppress(TimeoutError):  # Kafka is slow: what still comes was due before the answer
            async with asyncio.timeout(self.held_seconds):
                await asyncio.gather(
                    *(
                        self.shards[each.shard].announcements.wait(each.receipt, each.floor)
                        for each in changes
                    )
                )

    # --- Parts of other shards ------------------------------------------------------------------

    async def _announced(self, stored: Stored) -> None:
        await self.shards[stored.shard].announcements.wait(stored.receipt, stored.floor)
        if stored.change:
            await self._delivered(stored.change)

    async def _delivered(self, change: Change) -> None:
        """Return when other shards have done their parts.

        The change is on Kafka and happens in any case: no fault may say that nothing was done.
        """
        while True:
            try:
                await self.courier.settle_change(change)
            except StoreNotReady:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            except Unavailable as fault:
                raise NotAnnounced(f"{fault} {NOT_DELIVERED}") from fault
            else:
                return

    def _follow(self, stored: Stored) -> None:
        """Deliver the parts of other shards; no caller waits for it."""
        if stored.change:
            task = asyncio.create_task(self._deliver(stored.change))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, change: Change) -> None:
        with suppress(Unavailable):  # the owner's courier does it later
            await self.courier.settle_change(change)


def _is_as_read(found: StoredJob, revision: int, seq: int) -> bool:
    is_same = seq in (0, job_record.seq(found.record))
    return is_same and job_record.properties_of(found.record).revision == revision


def _refusal(group: WriteGroup, claim: Claim) -> Refusal | None:
    """The refusal of a store that had all jobs (`lua/lib/writing.lua`)."""
    for place, job in enumerate(group.jobs):
        home = claim.homes.get(job.id)
        if group.mode is WriteMode.CREATE and home and home.kind != TriggerKind.ENDING:
            return Refusal("exists", place)
        if group.mode is WriteMode.UPDATE and (not home or not TriggerKind(home.kind).is_resource):
            return Refusal("missing", place)
    return None
