"""The use cases of scheduling.v1: create, read, update and delete jobs, and preview schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from scheduling_client.schedules import preview as schedules
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.when import elapsed
from scheduling_client.schedules.zone import UTC, zone
from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.budget import is_long
from scheduling_srv.app.destructive import note_deleted
from scheduling_srv.app.narrowing import allows, refused_fields
from scheduling_srv.app.ports import Clock, ListedJob, Refusal, WriteGroup, WriteMode
from scheduling_srv.app.requests.definition_check import (
    check_definition,
    check_definitions,
    check_limits,
)
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.job_views import AT_ONCE, listed_view, recurring_of, view_of
from scheduling_srv.app.requests.passing import with_passing
from scheduling_srv.app.requests.pause_notes import PauseNotes
from scheduling_srv.app.requests.request_names import name_of
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.selecting import select
from scheduling_srv.app.requests.unique_keys import UniqueKeys, keys_of
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import (
    KEY_TAKEN,
    AlreadyExists,
    Contended,
    Forbidden,
    InvalidRequest,
    NotFound,
    RepeatedRequest,
    RequestError,
    StaleRevision,
    UniqueKeyTaken,
    Violation,
)
from scheduling_srv.domain.job import NewJob, StoredJob, TriggerKind
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.job_view import CreatedJob, JobPage, JobView
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.pause import NOT_PAUSED
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note, properties_of, says_the_same
from scheduling_srv.formats.v1.requests import UpdateCall, merged, new_definition
from scheduling_srv.formats.v1.schedules import schedule_in
from scheduling_srv.runtime.time_slice import SharedSlice

NO_JOBS = "No jobs are given."
NOT_NAMED = "With a request_id every job needs an id of its own."
NOT_REMEMBERED = (
    "With a request_id a list with jobs that run at once is too long to be remembered: send fewer"
    " jobs."
)
KNOWN = "known"
"""The refusal of a request that was answered before."""
MOST_CREATIONS = 5
"""Attempts to create a job beside others with its unique key."""
KEY_CONTENDED = "Other calls create and end jobs with this unique key all the time: send it again."
MOST_UPDATES = 5
"""Attempts of an update beside other updates of the job."""
NO_PHASE = "The job is between two runs: ask again."


class Definitions:
    """What the entrance of scheduling.v1 calls. A change is on Kafka when its call returns."""

    def __init__(
        self,
        store: ShardedStore,
        listing: JobListing,
        pauses: PauseNotes,
        clock: Clock,
        rules: Rules,
        *,
        keys: UniqueKeys,
        runs: RunListing,
    ) -> None:
        self.store = store
        self.listing = listing
        self.pauses = pauses
        self.clock = clock
        self.rules = rules
        self.keys = keys
        self.runs = runs

    async def create(
        self, asked: Sequence[Definition], request_id: str = "", within: Limits | None = None
    ) -> Sequence[CreatedJob]:
        """Create all or none. Raises `RequestError` and `Unavailable`.

        With a `request_id` jobs that exist with the same definitions count as created. Those that
        run at once may be gone by then: only the answer, which is kept for 15 minutes, tells of
        them.
        """
        if not asked:
            raise _invalid("jobs", NO_JOBS)
        if within:
            check_limits(asked, within)
        if request_id:
            _check_repeatable(asked)
        jobs = await check_definitions(asked, self.clock.now(), self.rules)
        if request_id:
            _check_remembered(asked, jobs)
        if any(each.properties.unique_key for each in asked):
            self.keys.check(asked, jobs)
            return await self._create_keyed(asked, jobs, request_id, within)
        return await self._create(asked, jobs, request_id)

    async def _create_keyed(
        self,
        asked: Sequence[Definition],
        jobs: Sequence[NewJob],
        request_id: str,
        within: Limits | None,
    ) -> Sequence[CreatedJob]:
        """Create those whose key no living job has, all or none; return the others as they are."""
        for _ in range(MOST_CREATIONS):
            holders = await self.keys.holders(keys_of(asked))
            if request_id:  # a repetition finds the jobs of the first call, and they are no others
                own = [each.request.id for each in asked]
                holders = [a if a != b else "" for a, b in zip(holders, own, strict=True)]
            found = await self._existing([each for each in holders if each])
            rest = [place for place, holder in enumerate(holders) if not holder]
            if any(holder and holder not in found for holder in holders):
                continue  # it has ended meanwhile
            if within:
                _check_holders(holders, found, within)
            try:
                created = iter(await self._create_rest(asked, jobs, rest, request_id))
            except UniqueKeyTaken:
                continue
            return [found[each] if each else next(created) for each in holders]
        raise Contended(KEY_CONTENDED)

    async def _create_rest(
        self,
        asked: Sequence[Definition],
        jobs: Sequence[NewJob],
        places: Sequence[int],
        request_id: str,
    ) -> Sequence[CreatedJob]:
        if not places:
            await self.store.announced(await self.store.end())
            return []
        return await self._create(
            [asked[at] for at in places], [jobs[at] for at in places], request_id
        )

    async def _existing(self, ids: Sequence[str]) -> dict[str, CreatedJob]:
        shown = {view.job.id.decode(): view for view in await self.get(ids, 1)} if ids else {}
        others = await self._stored([each for each in ids if each not in shown])
        found = shown | {job_id: view_of(job, 1, None) for job_id, job in others.items()}
        return {job_id: CreatedJob(view, existing=True) for job_id, view in found.items()}

    async def _create(
        self, asked: Sequence[Definition], jobs: Sequence[NewJob], request_id: str
    ) -> Sequence[CreatedJob]:
        """All or none. A repetition finds the answer of the first call, or its jobs."""
        has_keys = any(each.properties.unique_key for each in asked)
        named = [each.request.id for each in asked if each.request.id]
        name = name_of("CreateJobs", request_id, *map(_content, asked)) if request_id else ""
        group = WriteGroup(WriteMode.CREATE, jobs, named=named, has_keys=has_keys, request=name)
        try:
            stored = await self.store.write(group)
        except RepeatedRequest:
            stored = Refusal(KNOWN, 0)
        if isinstance(stored, Refusal):
            is_repeated = stored.reason == KNOWN
            if not is_repeated and (not request_id or not await self._are_there(asked, jobs)):
                raise _refused(jobs, stored)
            await self.store.announced(await self.store.end())
            return await _created(jobs)
        count_accepted(jobs)
        await self.store.announced([stored])
        self.store.check(stored, jobs)
        return await _created(jobs)

    async def _are_there(self, asked: Sequence[Definition], jobs: Sequence[NewJob]) -> bool:
        """Whether all of them exist as they are defined here."""
        found = await self._stored([job.id for job in jobs])
        return all(
            job.id in found and says_the_same(found[job.id].record, job.record, each.request)
            for each, job in zip(asked, jobs, strict=True)
        )

    async def get(self, ids: Sequence[str], next_times: int) -> Sequence[JobView]:
        """The jobs that exist, in the order of their ids, each once. `now` jobs are none.

        A job that ends before its runs have been read does not exist any more.
        """
        listed = await self.listing.show(ids)
        views = await self._views(listed, next_times)
        runs = await self.runs.of_jobs([view.job.id.decode() for view in views]) if views else {}
        now, time_slice, found = self.clock.now(), SharedSlice(), list[JobView]()
        for each, view in zip(listed, views, strict=True):
            if own := runs.get(view.job.id.decode()):
                found.append(view._replace(runs=with_passing(own, each, now)))
            await time_slice.yield_if_used()
        return found

    async def _shown(self, ids: Sequence[str], within: Limits | None) -> Sequence[JobView]:
        listed = await self.listing.show(ids)
        own = [each for each in listed if allows(within, each.job)] if within else listed
        return await self._views(own, 1)

    async def list(self, wanted: JobFilter, order: ListOrder, limit: int, token: str) -> JobPage:
        """A page of the jobs that match; see `JobListing.page`."""
        jobs, following, total = await self.listing.page(wanted, order, limit, token)
        return JobPage(await self._views(jobs, 1), following, total)

    async def _views(self, jobs: Sequence[ListedJob], next_times: int) -> Sequence[JobView]:
        views, time_slice = list[JobView](), SharedSlice()
        paused = [each for each in jobs if each.state is JobState.PAUSED]
        pauses = await self.pauses.of_jobs(paused) if paused else {}
        for each in jobs:
            view = listed_view(each, next_times)
            views.append(view._replace(pauses=pauses.get(each.job.id, NOT_PAUSED)))
            await time_slice.yield_if_used()
        return views

    async def _stored(self, ids: Sequence[str]) -> dict[str, StoredJob]:
        found, left = dict[str, StoredJob](), ids
        while left:
            jobs = await self.store.get(left)
            found |= {job.id.decode(): job for job in jobs if job}
            left = left[len(jobs) :]
        return found

    async def update(
        self, call: UpdateCall, trace: bytes = b"", within: Limits | None = None
    ) -> tuple[JobView, bool]:
        """Change some properties of a job; tells whether any of them was another one.

        Raises `StaleRevision` for a revision that is not the present one, and `NotFound`; also for
        a job that is not `within` the limits.
        """
        for _ in range(MOST_UPDATES):
            stored = (await self._stored([call.job.id])).get(call.job.id)
            if stored and within and not allows(within, stored):
                raise _of_others(call)
            if stored is None or not _is_shown(stored):
                if not call.allow_missing:
                    raise not_found(call.job.id)
                asked = new_definition(call, trace)
                _check_update(asked, within)
                if created := await self._create_missing(asked, within):
                    return created, True
            elif (view := await self._updated(stored, call, trace, within)) is not None:
                return view
        raise Contended(f"The job {call.job.id} is changed all the time: send it again.")

    async def _create_missing(self, asked: Definition, within: Limits | None) -> JobView | None:
        """None: another call has created a job with this id meanwhile.

        Raises `UniqueKeyTaken` if another job has the unique key: an Update returns no other job.
        """
        try:
            (created,) = await self.create([asked], within=within)
        except UniqueKeyTaken:
            raise _key_taken() from None
        except AlreadyExists:
            return None
        if not created.existing:
            return created.view
        if created.view.job.id.decode() == asked.request.id:
            return None
        raise _key_taken()

    async def _updated(
        self, stored: StoredJob, call: UpdateCall, trace: bytes, within: Limits | None
    ) -> tuple[JobView, bool] | None:
        """None: it was changed or deleted meanwhile."""
        revision, now = properties_of(stored.record).revision, self.clock.now()
        if call.revision and call.revision != revision:
            raise _stale(stored.id.decode(), revision)
        changed = merged(stored, call, trace)
        _check_update(changed.definition, within)
        if not changed.differs:
            shown = await self._shown([call.job.id], within)
            return (shown[0], False) if shown else None
        asked = replace(
            changed.definition, request=replace(changed.definition.request, revision=revision)
        )
        note = Note.UPDATED | Note.NEW_PHASE if changed.new_phase else Note.UPDATED
        try:
            job = check_definition(asked, now, self.rules, note)
        except RequestError as fault:
            raise type(fault)(str(fault), [_in_job(each) for each in fault.violations]) from None
        seq = job_record.seq(stored.record)
        group = WriteGroup(WriteMode.UPDATE, [job], named=[job.id], seq=seq)
        written = await self.store.write(group)
        if isinstance(written, Refusal):
            if written.reason == "elapsed":
                sentence = str(elapsed(job.due, now, UTC))
                raise _invalid(f"job.schedule.{asked.trigger}", sentence)
            if written.reason == "unique":
                raise _key_taken()
            return None
        count_accepted([job])
        await self.store.announced([written])
        self.store.check(written, [job])
        return await self._view(job, within), True

    async def _view(self, job: NewJob, within: Limits | None) -> JobView:
        """The job as it is stored: with its creation time and its new revision."""
        found = await self._shown([job.id], within)
        return found[0] if found else view_of(StoredJob(job.id.encode(), job.record), 1, job.due)

    async def delete(
        self, call: BulkCall, selected: Callable[[Sequence[str]], None] = lambda _ids: None
    ) -> Progress:
        """Delete jobs, one step. Unknown ids are no error.

        `selected` is called with the ids of the step before they are deleted.
        """
        chosen = await select(self.listing, call)
        selected(chosen.ids)
        if chosen.ids and not call.dry_run:
            note_deleted(len(chosen.ids))  # first: it may be done although the answer is an error
            deleted = await self.store.delete(chosen.ids, call.within)
            await self.store.announced(deleted)
        return Progress(len(chosen.jobs), len(chosen.jobs), chosen.token)

    async def preview(
        self,
        subject: Definition | str,
        count: int,
        after: int | None,
        within: Limits | None = None,
    ) -> schedules.Preview:
        """The next times of a definition, or of the job with this id. Raises `NotFound`."""
        now = self.clock.now()
        if isinstance(subject, str):
            found = await self.listing.show([subject])
            if not found or (within and not allows(within, found[0].job)):
                raise not_found(subject)
            return await self._preview_stored(found[0], count, now if after is None else after)
        try:
            return await _preview(subject, count, now, after)
        except ScheduleError as fault:
            raise _invalid(f"spec.schedule.{subject.trigger}", str(fault)) from fault

    async def _preview_stored(self, found: ListedJob, count: int, after: int) -> schedules.Preview:
        schedule, nominal = schedule_in(found.job.record), found.nominal
        limits = schedules.Bounds(end=properties_of(found.job.record).properties.end)
        try:
            if schedule.kind is TriggerKind.ONCE:
                return schedules.preview_once(schedule.text, schedule.timezone, 0)
            if schedule.kind is TriggerKind.INTERVAL and nominal is None:
                raise _invalid("job_id", NO_PHASE)
            recurring = recurring_of(schedule, nominal)
            begin = after if nominal is None else max(after, nominal - 1)
            times = schedules.next_times(recurring, begin, limits)
            return await _collected(recurring, times, count)
        except ScheduleError as fault:
            raise _invalid("job_id", str(fault)) from fault


async def _created(jobs: Sequence[NewJob]) -> Sequence[CreatedJob]:
    created, time_slice = list[CreatedJob](), SharedSlice()
    for job in jobs:
        created.append(CreatedJob(view_of(StoredJob(job.id.encode(), job.record), 1, job.due)))
        await time_slice.yield_if_used()
    return created


async def _preview(asked: Definition, count: int, now: int, after: int | None) -> schedules.Preview:
    request, limits = asked.request, asked.properties
    if request.interval:
        bounds = schedules.Bounds(limits.start, limits.end, limits.max_runs)
        found = schedules.read_recurring(request.interval, request.timezone, now, bounds)
        times = schedules.next_times(found, now if after is None else after, bounds)
        return await _collected(found, times, count)
    if request.when:
        return schedules.preview_once(request.when, request.timezone, now)
    place = zone(request.timezone)
    if request.now:
        local = schedules.local_text(now, place)
        return schedules.Preview(AT_ONCE, place.key, [schedules.PreviewTime(now, local)])
    raise _invalid("spec.schedule", "The spec has no schedule.")


async def _collected(
    found: schedules.Recurring, times: Iterator[schedules.PreviewTime], count: int
) -> schedules.Preview:
    collected, time_slice = list[schedules.PreviewTime](), SharedSlice()
    for time in times:
        collected.append(time)
        if len(collected) == count:
            break
        await time_slice.yield_if_used()
    return schedules.Preview(found.words, found.zone.key, collected)


def _in_job(violation: Violation) -> Violation:
    return violation._replace(field=f"job.{violation.field}".rstrip("."))


def _stale(job_id: str, revision: int) -> StaleRevision:
    sentence = f"The job {job_id} has revision {revision} by now: read it again."
    return StaleRevision(sentence, [Violation("revision", sentence)])


def not_found(job_id: str) -> NotFound:
    """The error for an id that no job has."""
    sentence = f"There is no job with the id {job_id}."
    return NotFound(sentence, [Violation("job_id", sentence)])


def _exists(job_id: str, field: str) -> AlreadyExists:
    sentence = f"A job with the id {job_id} already exists."
    return AlreadyExists(sentence, [Violation(field, sentence)])


def _of_others(call: UpdateCall) -> RequestError:
    """The error of an Update whose job is not within the limits."""
    if call.allow_missing:
        return _exists(call.job.id, "job.id")
    return not_found(call.job.id)


def _key_taken() -> UniqueKeyTaken:
    """The error of an Update that would take the unique key of another job."""
    return UniqueKeyTaken(KEY_TAKEN, [Violation("job.unique_key", KEY_TAKEN)])


def _check_holders(holders: Sequence[str], found: Mapping[str, CreatedJob], within: Limits) -> None:
    """Raise `UniqueKeyTaken` if a job that has one of the keys is not within the limits."""
    for place, holder in enumerate(holders):
        if holder and not allows(within, found[holder].view.job):
            raise UniqueKeyTaken(KEY_TAKEN, [Violation(f"jobs[{place}].unique_key", KEY_TAKEN)])


def _check_update(asked: Definition, within: Limits | None) -> None:
    """Raise `Forbidden` if the job would not be within the limits any more."""
    if within and (found := refused_fields(within, asked)):
        raise Forbidden(found[0].description, [_in_job(each) for each in found])


def _check_repeatable(asked: Sequence[Definition]) -> None:
    for index, each in enumerate(asked):
        if not each.request.id:
            raise _invalid(f"jobs[{index}].id", NOT_NAMED)


def _check_remembered(asked: Sequence[Definition], jobs: Sequence[NewJob]) -> None:
    """Raise `InvalidRequest` if a repetition would run jobs again.

    Only the answer tells of jobs that run at once, and that of a long list is not kept.
    """
    if any(each.request.now for each in asked) and is_long(WriteGroup(WriteMode.CREATE, jobs)):
        raise _invalid("jobs", NOT_REMEMBERED)


def _refused(jobs: Sequence[NewJob], refusal: Refusal) -> RequestError:
    job_id, field = jobs[refusal.place].id, f"jobs[{refusal.place}].id"
    if refusal.reason == "unique":
        path = f"jobs[{refusal.place}].unique_key"
        return UniqueKeyTaken(KEY_TAKEN, [Violation(path, KEY_TAKEN)])
    if refusal.reason == "exists":
        return _exists(job_id, field)
    raise AssertionError(refusal)


def _is_shown(job: StoredJob) -> bool:
    return TriggerKind(job_record.kind(job.record)).is_resource


def _invalid(field: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(field, sentence)])


def _content(asked: Definition) -> object:
    """What a definition says, the same in every process."""
    request, properties = asked.request, asked.properties
    labels = dict(sorted(properties.labels.items()))
    said = (request.id, request.type, request.data, request.rest, asked.spec)
    return said, replace(properties, labels=labels)
