"""The use cases of scheduling.v1, on a store that notes what it is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.narrowing import allows
from scheduling_srv.app.ports import (
    Bulk,
    ListedJob,
    ListedPage,
    Receipt,
    Refusal,
    Source,
    Walk,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.requests.definition_check import check_definition
from scheduling_srv.app.requests.definitions import Definitions
from scheduling_srv.app.requests.id_steps import IDS_A_STEP
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.pause_notes import PauseNotes
from scheduling_srv.app.requests.pauses import PauseCalls
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.unique_keys import UniqueKeys
from scheduling_srv.domain.bulk import BulkCall, Progress, Selection
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import (
    AlreadyExists,
    Contended,
    FormatTooOld,
    InvalidRequest,
    NotFound,
    RequestError,
    StaleRevision,
    StoreNotReady,
    UniqueKeyTaken,
)
from scheduling_srv.domain.job import NewJob, StoredJob, TriggerKind
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.job_view import JobView
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.pause import Pause, Pauses
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import JobCounters, JobRuns
from scheduling_srv.domain.stored_format import StoredFormat
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.job_record import KIND_AT, Note, kind, more_of, properties_of, type_of
from scheduling_srv.formats.more import pack_more
from scheduling_srv.formats.v1.requests import decode_update
from scheduling_srv.formats.v1.specs import definition_of, spec_of
from tests.harness.virtual_time import VIRTUAL_TIME
from tests.store.shard import one_shard

NOW = 1_700_000_000_000
HOUR = 3_600_000
NO_NUMBER = bytes(6)
RUNS = JobRuns(JobCounters(done=3))


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class World:
    """The store and the clock. `get` answers two jobs a call."""

    def __init__(self, stored_format: int = 2) -> None:
        self.on_update: Callable[[], None] = lambda: None
        self.on_show: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] | None = None
        """Another job takes the unique key first."""
        self.refuses_keys = False
        self.takes_keys = False
        self.answered = set[str]()
        """Names of requests."""
        self.ended = set[str]()
        """Jobs that end before their runs are read."""
        self.held: dict[str, bytes] = {}
        self.dues: dict[str, int | None] = {}
        self.paused: dict[bool, dict[str, str]] = {False: {}, True: {}}
        """Of jobs, and of types."""
        self.notes: list[int] = []
        self.deleted: list[Sequence[str]] = []
        self.ends = 0
        announcements = Announcements()
        announcements.published("i", 5)
        world: Any = self
        store = one_shard(world, world, announcements, wait=True)
        rules = Rules(stored=StoredFormat(stored_format))
        listing, notes = JobListing([world]), PauseNotes([world])
        keys, runs = UniqueKeys([world]), RunListing([world], world, 0)
        self.api = Definitions(store, listing, notes, world, rules, keys=keys, runs=runs)
        self.pausing = PauseCalls(store, listing, notes, world)
        self.time = NOW

    def now(self) -> int:
        return self.time

    async def job_runs(self, ids: Sequence[str]) -> Mapping[str, JobRuns]:
        return {job_id: RUNS for job_id in ids if job_id not in self.ended}

    async def write(
        self, groups: Sequence[WriteGroup], now: int, source: Source | None = None
    ) -> Written:
        (group,) = groups
        receipt = Receipt("i", 5)
        if group.request in self.answered:
            return Written(receipt, [Refusal("known", 0)])
        self.answered |= {group.request} - {""}
        if group.has_keys and (self.refuses_keys or self.on_taken):
            (self.on_taken or (lambda: None))()
            self.on_taken = None
            return Written(receipt, [Refusal("unique", 0)])
        if group.mode is WriteMode.UPDATE:
            self.on_update()
            if self.takes_keys:
                return Written(receipt, [Refusal("unique", 0)])
            return Written(receipt, [self.replace(*group.jobs)])
        for place, job in enumerate(group.jobs):
            if job.id in self.held:
                return Written(receipt, [Refusal("exists", place)])
        self.held |= {job.id: NO_NUMBER + job.record[6:] for job in group.jobs}
        self.dues |= {job.id: job.due for job in group.jobs}
        return Written(receipt, [None])

    async def holders(self, keys: Sequence[tuple[str, str]]) -> Sequence[str]:
        held = {
            (type_of(record).decode(), properties_of(record).properties.unique_key): job_id
            for job_id, record in self.held.items()
        }
        return [held.get(key, "") for key in keys]

    def replace(self, job: NewJob) -> Refusal | None:
        """As `write.lua` does, for jobs with MORE."""
        old = properties_of(self.held[job.id]) if job.id in self.held else None
        wanted = properties_of(job.record)
        if old is None:
            return Refusal("missing", 0)
        if wanted.revision and wanted.revision != old.revision:
            return Refusal("stale", 0)
        self.notes.append(job.record[0])
        new = wanted._replace(revision=old.revision + 1, updated=self.time)
        more = more_of(job.record)
        self.held[job.id] = NO_NUMBER + job.record[6:].replace(more, pack_more(new))
        return None

    def listed(self, job_id: str) -> ListedJob | None:
        if job_id not in self.held or not TriggerKind(kind(self.held[job_id])).is_resource:
            return None
        job = StoredJob(job_id.encode(), self.held[job_id])
        due = self.dues[job_id]
        return ListedJob(job, self.state_of(job), due, due, job_id)

    async def show(self, ids: Sequence[str]) -> tuple[int, Sequence[ListedJob]]:
        """Two ids a call."""
        self.on_show()
        return len(ids[:2]), [job for each in ids[:2] if (job := self.listed(each))]

    async def page(
        self, walk: Walk, wanted: JobFilter, cursor: str, limit: int
    ) -> ListedPage | None:
        """Of the jobs of a type, in the order of their ids, which are numbers."""
        kinds = {each: type_of(record).decode() for each, record in self.held.items()}
        matching = sorted(each for each, own in kinds.items() if wanted.type in ("", own))
        rest = [each for each in matching if each > cursor]
        jobs = [job for each in rest[:limit] if (job := self.listed(each))]
        more = rest[limit - 1] if len(rest) > limit else ""
        return ListedPage(len(matching), more, jobs)

    async def delete(
        self,
        ids: Sequence[str],
        now: int,
        source: Source | None = None,
        within: Limits | None = None,
    ) -> tuple[Receipt, int]:
        self.deleted.append(ids)
        for job_id in self.seen(ids, within):
            del self.held[job_id]
        return Receipt("i", 5), len(ids)

    def seen(self, ids: Sequence[str], within: Limits | None) -> list[str]:
        """Those that exist within the limits of a caller."""
        jobs = [StoredJob(each.encode(), self.held[each]) for each in ids if each in self.held]
        return [job.id.decode() for job in jobs if within is None or allows(within, job)]

    def state_of(self, job: StoredJob) -> JobState:
        job_id, job_type = job.id.decode(), type_of(job.record).decode()
        is_paused = job_id in self.paused[False] or job_type in self.paused[True]
        return JobState.PAUSED if is_paused else JobState.WAITING

    async def pause(
        self, names: Sequence[str], note: str, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        known = names if types else self.seen(names, within)
        new = [each for each in known if each not in self.paused[types]]
        self.paused[types] |= dict.fromkeys(new, note)
        return Bulk(Receipt("i", 5), len(known), len(new))

    async def resume(
        self, names: Sequence[str], now: int, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        known = names if types else self.seen(names, within)
        ended = [each for each in known if self.paused[types].pop(each, None)]
        return Bulk(Receipt("i", 5), len(known), len(ended))

    async def pauses(
        self, ids: Sequence[str], types: Sequence[str]
    ) -> tuple[Sequence[bytes | None], Sequence[bytes | None]]:
        def notes(names: Sequence[str], found: dict[str, str]) -> list[bytes | None]:
            return [found[each].encode() if each in found else None for each in names]

        return notes(ids, self.paused[False]), notes(types, self.paused[True])

    async def paused_types(self) -> dict[str, bytes]:
        return {name: note.encode() for name, note in self.paused[True].items()}

    async def append(self, entries: Any, now: int, source: Any = None) -> Receipt:
        self.ends += 1
        return Receipt("i", 5)

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        return [
            StoredJob(each.encode(), self.held[each]) if each in self.held else None
            for each in ids[:2]
        ]


def every(minutes: int) -> v1.Schedule:
    return v1.Schedule(every=Duration(seconds=60 * minutes))


def now() -> v1.Schedule:
    schedule = v1.Schedule()
    schedule.now.SetInParent()
    return schedule


def cron(text: str = "0 5 * * *") -> v1.Schedule:
    return v1.Schedule(interval=text)


def asked(job_id: str = "", schedule: v1.Schedule | None = None, **more: Any) -> Definition:
    spec = v1.JobSpec(**{"id": job_id, "type": "t", "schedule": schedule or cron(), **more})
    return definition_of(spec)


async def refusal(world: World, *jobs: Definition, request_id: str = "") -> RequestError:
    with pytest.raises(RequestError) as raised:
        await world.api.create(jobs, request_id)
    return raised.value


# --- Create -------------------------------------------------------------------------------------


async def test_created_jobs_are_shown_with_their_words_and_next_time() -> None:
    world = World()
    at = v1.Schedule(at=Timestamp(seconds=NOW // 1000 + 60))
    made = await world.api.create([asked("a", every(2)), asked("", at), asked("c", now())])
    first, second, third = (each.view for each in made)
    assert first.words == "every 2 minutes"
    assert first.next_times == [NOW + 120_000]
    assert second.next_times == [NOW + 60_000]
    assert second.job.id
    assert (third.words, third.next_times) == ("once, at once", ())
    assert not any(each.existing for each in made)


async def test_all_faults_of_all_jobs_are_told_by_the_names_of_v1() -> None:
    world = World()
    jobs = [
        asked("a", cron("never")),
        asked("b", cron(), timezone="Mars"),
        asked("b", v1.Schedule(when="soon")),
        definition_of(v1.JobSpec(id="d", type="t")),
        definition_of(v1.JobSpec(id="e", schedule=cron())),
    ]
    fault = await refusal(world, *jobs)
    assert [each.field for each in fault.violations] == [
        "jobs[0].schedule.interval",
        "jobs[1].timezone",
        "jobs[2].id",
        "jobs[2].schedule.when",
        "jobs[3].schedule",
        "jobs[4].type",
    ]
    assert fault.violations[2].description == "Job 2: The id stands twice in the list."
    assert world.held == {}


async def test_no_jobs_are_a_fault() -> None:
    assert (await refusal(World())).violations[0].field == "jobs"


async def test_an_id_that_exists_is_refused() -> None:
    world = World()
    await world.api.create([asked("a")])
    fault = await refusal(world, asked("b"), asked("a"))
    assert isinstance(fault, AlreadyExists)
    assert fault.violations[0].field == "jobs[1].id"


@pytest.mark.parametrize(
    "schedule",
    [cron(), every(5), v1.Schedule(when="in 5 minutes"), v1.Schedule(when="2030-01-01")],
    ids=["cron", "every", "relative", "date"],
)
async def test_a_repeated_request_finds_its_jobs(schedule: v1.Schedule) -> None:
    world = World()
    first = await world.api.create([asked("a", schedule), asked("b")], "r")
    world.time += 1000
    again = await world.api.create([asked("a", schedule), asked("b")], "r")
    assert [each.view.job.id for each in again] == [each.view.job.id for each in first]
    assert world.ends == 1, "it waits until the jobs are on Kafka"


@pytest.mark.parametrize(
    "other",
    [
        asked("a", cron("0 6 * * *")),
        asked("a", creator="me"),
        asked("a", v1.Schedule(when="in 6 minutes")),
        asked("a", v1.Schedule(when="2030-01-01")),
    ],
    ids=["cron", "creator", "relative", "date"],
)
async def test_another_definition_under_the_same_id_is_refused(other: Definition) -> None:
    world = World()
    await world.api.create([other], "r")
    for schedule in (cron(), v1.Schedule(when="in 5 minutes")):
        assert isinstance(await refusal(world, asked("a", schedule), request_id="r"), AlreadyExists)


async def test_half_of_a_request_is_no_repetition() -> None:
    world = World()
    await world.api.create([asked("a")], "r")
    assert isinstance(await refusal(world, asked("a"), asked("b"), request_id="r"), AlreadyExists)


async def test_a_repeated_request_needs_ids() -> None:
    world = World()
    assert (await refusal(world, asked(""), request_id="r")).violations[0].field == "jobs[0].id"


async def test_a_job_that_runs_at_once_is_created_once_while_its_request_is_kept() -> None:
    world = World()
    for created in (["a"], []):
        world.held.clear()  # the run of before has ended
        (made,) = await world.api.create([asked("a", now())], "r")
        assert (made.view.job.id, made.view.words) == (b"a", "once, at once")
        assert [*world.held] == created


@pytest.mark.parametrize(("count", "size"), [(1_001, 0), (6, 800_000)], ids=["jobs", "bytes"])
async def test_a_long_list_with_a_job_that_runs_at_once_is_not_remembered(
    count: int, size: int
) -> None:
    world, note = World(), any_pb2.Any(value=bytes(size))
    jobs = [asked(f"j{number}", payload=[note]) for number in range(count)]
    jobs[-1] = asked("last", now(), payload=[note])
    fault = await refusal(world, *jobs, request_id="r")
    assert isinstance(fault, InvalidRequest)
    assert (fault.violations[0].field, world.held) == ("jobs", {})
    assert "too long to be remembered" in str(fault)


async def test_the_job_with_the_unique_key_is_returned() -> None:
    world = World()
    (first,) = await world.api.create([asked("a", unique_key="k")])
    assert not first.existing
    both = await world.api.create([asked("b", unique_key="k"), asked("c", unique_key="other")])
    assert [(each.view.job.id, each.existing) for each in both] == [(b"a", True), (b"c", False)]
    assert [*world.held] == ["a", "c"]
    (again,) = await world.api.create([asked("a", unique_key="k")], "r")
    assert not again.existing


async def test_a_job_that_takes_the_key_meanwhile_is_returned() -> None:
    world = World()
    await world.api.create([asked("a", unique_key="k")])
    held, world.held = world.held, {}

    def come_back() -> None:
        world.held = held

    world.on_taken = come_back
    (found,) = await world.api.create([asked("b", unique_key="k")])
    assert (found.view.job.id, found.existing) == (b"a", True)


async def test_a_key_that_comes_and_goes_all_the_time() -> None:
    world = World()
    world.refuses_keys = True
    with pytest.raises(Contended):
        await world.api.create([asked("b", unique_key="k")])


async def test_a_repeated_request_makes_no_job_that_has_ended() -> None:
    """The answer is that of the first call."""
    world = World()
    made = await world.api.create([asked("a")], "r")
    world.held.clear()
    assert await world.api.create([asked("a")], "r") == made
    assert world.held == {}
    assert len(await world.api.create([asked("a")], "other")) == 1
    assert [*world.held] == ["a"]
    world.held.clear()
    await world.api.create([asked("a", creator="me")], "r")
    assert [*world.held] == ["a"]


async def test_a_unique_key_stands_once_in_a_list() -> None:
    world = World()
    fault = await refusal(world, asked("a", unique_key="k"), asked("b", unique_key="k"))
    assert fault.violations[0].field == "jobs[1].unique_key"
    assert world.held == {}


async def test_format_1_holds_what_2018_can_say() -> None:
    world = World(stored_format=1)
    (made,) = await world.api.create([asked("a", every(2))])
    assert (made.view.created, made.view.revision) == (0, 1)
    assert spec_of(made.view.job).schedule.interval == "120 seconds"
    fault = await refusal(world, asked("b", labels={"a": "b"}))
    assert isinstance(fault, FormatTooOld)


async def test_format_2_holds_what_was_given() -> None:
    world = World()
    start = Timestamp(seconds=NOW // 1000 + 3600)
    (made,) = await world.api.create([asked("a", every(2), labels={"a": "b"}, start_time=start)])
    (view,) = await world.api.get(["a"], 1)
    spec = spec_of(view.job)
    assert spec.schedule == every(2)
    assert (dict(spec.labels), spec.start_time) == ({"a": "b"}, start)
    assert made.view.next_times == [NOW + HOUR]
    assert (view.created, view.updated, view.revision) == (NOW, NOW, 1)


async def test_a_plain_job_is_stored_as_one_of_2018() -> None:
    world = World()
    await world.api.create([asked("a"), asked("b", every(2))])
    assert more_of(world.held["a"]) == b""
    assert more_of(world.held["b"]) != b""


# --- Update -------------------------------------------------------------------------------------


async def updated(
    world: World, *paths: str, revision: int = 0, missing: bool = False, **job: Any
) -> tuple[JobView, bool]:
    spec = v1.JobSpec(**{"id": "a", **job})
    request = service.UpdateJobRequest(
        job=spec,
        update_mask=FieldMask(paths=paths),
        revision=revision,
        allow_missing=missing,
    )
    return await world.api.update(decode_update(request.SerializeToString(), 900_000))


async def test_an_update_changes_what_its_mask_names() -> None:
    world = World()
    await world.api.create([asked("a", every(2), creator="me", labels={"a": "b"})])
    world.time += 1000
    view, changed = await updated(world, "parallel", parallel=3, creator="you")
    spec = spec_of(view.job)
    assert changed
    assert (spec.parallel, spec.creator, dict(spec.labels)) == (3, "me", {"a": "b"})
    assert (view.revision, view.updated) == (2, NOW + 1000)
    assert spec.schedule == every(2)


async def test_an_update_without_a_change_writes_nothing() -> None:
    world = World()
    await world.api.create([asked("a", creator="me")])
    view, changed = await updated(world, creator="me")
    assert (changed, view.revision, world.notes) == (False, 1, [])


async def test_a_stale_revision_is_refused() -> None:
    world = World()
    await world.api.create([asked("a")])
    await updated(world, parallel=1, revision=1)
    with pytest.raises(StaleRevision, match="revision 2 by now"):
        await updated(world, parallel=2, revision=1)


async def test_an_update_begins_again_if_another_one_was_faster() -> None:
    world = World()
    await world.api.create([asked("a")])
    bumps = [1, 2]

    def bump() -> None:
        if bumps:
            record = world.held["a"]
            (job,) = [check(asked("a", creator=str(bumps.pop())), properties_of(record).revision)]
            world.replace(job)

    world.on_update = bump
    view, _ = await updated(world, parallel=7)
    spec = spec_of(view.job)
    assert (spec.parallel, spec.creator, view.revision) == (7, "1", 4)
    bumps[:] = range(100)
    with pytest.raises(Contended):
        await updated(world, parallel=8)
    bumps[:] = [1]
    with pytest.raises(StaleRevision):
        await updated(world, parallel=9, revision=properties_of(world.held["a"]).revision)


def check(definition: Definition, revision: int) -> NewJob:
    request = replace(definition.request, properties=Properties(), revision=revision)
    rules = Rules(stored=StoredFormat(2))
    return check_definition(replace(definition, request=request), NOW, rules, Note.UPDATED)


async def test_another_start_is_another_phase() -> None:
    world = World()
    await world.api.create([asked("a", every(2))])
    await updated(world, start_time=Timestamp(seconds=NOW // 1000 + 60))
    await updated(world, parallel=1)
    assert [Note.NEW_PHASE in Note(each) for each in world.notes] == [True, False]


async def test_an_update_of_what_is_not_there() -> None:
    world = World()
    with pytest.raises(NotFound):
        await updated(world, parallel=1)
    view, changed = await updated(world, type="t", schedule=cron(), missing=True)
    assert (view.job.id, changed) == (b"a", True)


async def test_an_update_of_a_missing_job_returns_no_other_with_its_unique_key() -> None:
    world = World()
    await world.api.create([asked("b", unique_key="k")])
    with pytest.raises(UniqueKeyTaken) as taken:
        await updated(world, type="t", schedule=cron(), unique_key="k", missing=True)
    assert taken.value.violations[0].field == "job.unique_key"
    assert [*world.held] == ["b"]


async def test_an_update_of_a_missing_job_that_another_call_creates_first() -> None:
    """It has the same unique key, and is updated then."""
    world = World()
    await world.api.create([asked("a", unique_key="k")])
    held, world.held = world.held, {}

    def come_back() -> None:
        world.held = held

    world.on_taken = come_back
    changes: dict[str, Any] = {"schedule": cron(), "unique_key": "k", "parallel": 3}
    view, changed = await updated(world, type="t", missing=True, **changes)
    assert (view.job.id, changed, spec_of(view.job).parallel) == (b"a", True, 3)


@pytest.mark.parametrize("creator", ["me", "you"], ids=["unchanged", "changed"])
async def test_an_update_of_a_job_that_has_finished(creator: str) -> None:
    """It stays for its last runs; nobody sees it."""
    world = World()
    await world.api.create([asked("a", every(2), creator="me")])
    record = world.held["a"]
    ending = bytes((record[KIND_AT] - TriggerKind.INTERVAL + TriggerKind.ENDING,))
    world.held["a"] = record[:KIND_AT] + ending + record[KIND_AT + 1 :]
    with pytest.raises(NotFound):
        await updated(world, creator=creator)


async def test_an_update_without_a_change_of_a_job_that_is_deleted_meanwhile() -> None:
    world = World()
    await world.api.create([asked("a", creator="me")])
    world.on_show = world.held.clear
    with pytest.raises(NotFound):
        await updated(world, creator="me")


async def test_faults_of_an_update_name_their_fields() -> None:
    world = World()
    await world.api.create([asked("a")])
    with pytest.raises(InvalidRequest) as raised:
        await updated(world, schedule=cron("never"))
    assert raised.value.violations[0].field == "job.schedule.interval"
    await world.api.create([asked("b", unique_key="k")])
    world.takes_keys = True
    with pytest.raises(UniqueKeyTaken) as taken:
        await updated(world, unique_key="k")
    assert taken.value.violations[0].field == "job.unique_key"


async def test_format_1_has_no_updates() -> None:
    world = World(stored_format=1)
    await world.api.create([asked("a")])
    with pytest.raises(FormatTooOld):
        await updated(world, parallel=1)


# --- Get ----------------------------------------------------------------------------------------


async def test_jobs_are_shown_in_the_order_of_the_request() -> None:
    world = World()
    await world.api.create([asked(each) for each in ("a", "b", "c")] + [asked("n", now())])
    views = await world.api.get(["c", "x", "a", "n", "b"], 2)
    assert [view.job.id for view in views] == [b"c", b"a", b"b"]
    five = NOW - NOW % 86_400_000 + 5 * HOUR
    assert views[0].state is JobState.WAITING
    assert views[0].next_times == [five + 86_400_000, five + 2 * 86_400_000]


async def test_a_job_that_ends_while_it_is_read_is_not_shown() -> None:
    """A caller would take its counters for lost: its runs are gone with it."""
    world = World()
    await world.api.create([asked("a"), asked("b")])
    world.ended = {"a"}
    (view,) = await world.api.get(["a", "b"], 1)
    assert (view.job.id, view.runs) == (b"b", RUNS)


async def test_a_list_is_shown_in_pages() -> None:
    world = World()
    await world.api.create([asked(str(each), every(2)) for each in range(5)])
    seen, token = list[JobView](), ""
    while True:
        page = await world.api.list(JobFilter(type="t"), ListOrder.CREATED, 2, token)
        seen += page.jobs
        if not page.token:
            break
        token = page.token
    assert [each.job.id.decode() for each in seen] == ["0", "1", "2", "3", "4"]
    assert {tuple(each.next_times) for each in seen} == {(NOW + 120_000,)}


# --- Delete -------------------------------------------------------------------------------------


async def steps(world: World, ids: Selection, *, dry_run: bool = False) -> list[Progress]:
    found, token = list[Progress](), ""
    while True:
        found.append(await world.api.delete(BulkCall(ids, dry_run, token)))
        token = found[-1].token
        if not token:
            return found


async def test_jobs_are_deleted_in_steps() -> None:
    world, ids = World(), [str(number) for number in range(IDS_A_STEP + 3)]
    await world.api.create([asked(each) for each in ids[1:]])
    told = await steps(world, ids, dry_run=True)
    assert world.deleted == []
    assert await steps(world, ids) == told
    assert [each.matched for each in told] == [IDS_A_STEP - 1, 3]
    assert world.held == {}
    assert [each.matched for each in await steps(world, ids)] == [0, 0]


async def test_jobs_are_deleted_by_a_filter() -> None:
    world = World()
    await world.api.create([asked(f"{number:03}") for number in range(IDS_A_STEP + 3)])
    await world.api.create([definition_of(v1.JobSpec(id="u", type="u", schedule=cron()))])
    told = await steps(world, JobFilter(type="t"), dry_run=True)
    assert [each.matched for each in told] == [IDS_A_STEP, 3]
    assert await steps(world, JobFilter(type="t")) == told
    assert [*world.held] == ["u"]
    assert [each.matched for each in await steps(world, JobFilter(type="t"))] == [0]


async def test_a_token_belongs_to_its_request() -> None:
    world, ids = World(), [str(number) for number in range(IDS_A_STEP + 3)]
    token = (await world.api.delete(BulkCall(ids, dry_run=True, token=""))).token
    for other, text in ((ids[1:], token), (ids, token[:-4]), (ids, "ä"), (ids, "====")):
        with pytest.raises(InvalidRequest, match="belongs to another request"):
            await world.api.delete(BulkCall(other, dry_run=True, token=text))


async def test_no_times_are_told_after_the_end() -> None:
    world, end = World(), Timestamp(seconds=NOW // 1000 + 300)
    await world.api.create([asked("a", every(2), end_time=end)])
    (view,) = await world.api.get(["a"], 9)
    preview = await world.api.preview("a", 9, None)
    for times in (view.next_times, [each.instant for each in preview.times]):
        assert times == [NOW + 120_000, NOW + 240_000]


# --- Pauses -------------------------------------------------------------------------------------


def all_of(selection: Selection, *, dry_run: bool = False) -> BulkCall:
    return BulkCall(selection, dry_run, "")


async def test_a_paused_job_has_a_note_and_no_next_times() -> None:
    world = World()
    await world.api.create([asked("1"), asked("2")])
    assert await world.pausing.pause(all_of(["1", "ghost"]), "why", "me") == (1, 1, "")
    paused, other = await world.api.get(["1", "2"], 3)
    assert (paused.state, paused.next_times) == (JobState.PAUSED, ())
    assert paused.pauses == Pauses(Pause(NOW, "why", "me"))
    assert (other.state, len(other.next_times), other.pauses) == (JobState.WAITING, 3, Pauses())
    pause = await world.pausing.pause_type("t", "all", "you")
    for job in (await world.api.list(JobFilter(type="t"), ListOrder.CREATED, 9, "")).jobs:
        assert job.pauses.of_type == pause == Pause(NOW, "all", "you")
        assert (job.pauses.own is not None) == (job.job.id == b"1")


async def test_a_dry_run_counts_what_a_pause_and_its_end_would_change() -> None:
    world, ids = World(), [f"{number:03}" for number in range(IDS_A_STEP + 3)]
    await world.api.create([asked(each) for each in ids])
    await world.pausing.pause(all_of(ids[:5]), "", "")
    await world.pausing.pause_type("t", "", "")
    for selection in (JobFilter(type="t"), ids):
        dry = all_of(selection, dry_run=True)
        told = await world.pausing.pause(dry, "", "")
        assert told[:2] == (IDS_A_STEP, IDS_A_STEP - 5)
        assert (await world.pausing.pause(dry._replace(token=told.token), "", ""))[:2] == (3, 3)
        assert (await world.pausing.resume(dry))[:2] == (IDS_A_STEP, 5)
    assert len(world.paused[False]) == 5
    wet = all_of(JobFilter(type="t"))
    told = await world.pausing.pause(wet, "", "")
    assert told[:2] == (IDS_A_STEP, IDS_A_STEP - 5)
    assert (await world.pausing.pause(wet, "", ""))[:2] == (IDS_A_STEP, 0)
    assert (await world.pausing.resume(wet))[:2] == (IDS_A_STEP, IDS_A_STEP)
    assert world.paused[False] == {}


async def test_a_type_keeps_its_first_pause() -> None:
    world = World()
    first = await world.pausing.pause_type("t", "first", "me")
    world.time += 1000
    assert await world.pausing.pause_type("t", "second", "you") == first
    second = await world.pausing.pause_type("s", "", "")
    assert await world.pausing.paused_types() == [("s", second), ("t", first)]
    assert await world.pausing.resume_type("t")
    assert not await world.pausing.resume_type("t")
    assert await world.pausing.paused_types() == [("s", second)]


# --- Preview ------------------------------------------------------------------------------------


async def test_a_schedule_is_previewed() -> None:
    preview = await World().api.preview(asked("", every(2)), 3, None)
    assert [each.instant for each in preview.times] == [NOW + 120_000 * n for n in (1, 2, 3)]
    assert preview.words == "every 2 minutes"


async def test_bounds_are_kept() -> None:
    start, end = NOW // 1000 + 30, NOW // 1000 + 300
    limits = {"start_time": Timestamp(seconds=start), "end_time": Timestamp(seconds=end)}
    preview = await World().api.preview(asked("", every(2), **limits), 9, None)
    assert [each.instant - NOW for each in preview.times] == [30_000, 150_000, 270_000]
    preview = await World().api.preview(asked("", every(2), max_runs=2), 9, None)
    assert len(preview.times) == 2


async def test_dates_and_runs_at_once_have_one_time() -> None:
    for schedule, due in ((v1.Schedule(when="in 1 hour"), NOW + HOUR), (now(), NOW)):
        preview = await World().api.preview(asked("", schedule), 9, None)
        assert [each.instant for each in preview.times] == [due]


async def test_a_schedule_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidRequest) as raised:
        await World().api.preview(asked("", cron("never")), 9, None)
    assert raised.value.violations[0].field == "spec.schedule.interval"


async def test_a_stored_job_is_previewed() -> None:
    world = World()
    at = v1.Schedule(at=Timestamp(seconds=NOW // 1000 + 60))
    await world.api.create([asked("a"), asked("b", at), asked("c", every(2))])
    assert len((await world.api.preview("a", 4, None)).times) == 4
    assert [each.instant for each in (await world.api.preview("b", 4, None)).times] == [
        NOW + 60_000
    ]
    times = (await world.api.preview("c", 2, None)).times
    assert [each.instant for each in times] == [NOW + 120_000, NOW + 240_000]
    world.dues["c"] = None
    with pytest.raises(InvalidRequest, match="between two runs"):
        await world.api.preview("c", 4, None)
    with pytest.raises(NotFound):
        await world.api.preview("x", 4, None)


def test_a_format_that_redis_has_lost_is_no_refusal() -> None:
    """A campaign found it: calls of scheduling.v1 were refused for good until the rebuild."""
    stored = StoredFormat()
    with pytest.raises(StoreNotReady):  # a replica that has just started has not looked yet
        stored.check_scheduling_v1()
    stored.note(0, 2)
    stored.note(1, 1, sure=False)
    with pytest.raises(StoreNotReady):
        stored.check_scheduling_v1()
    stored.note(1, 1)
    with pytest.raises(FormatTooOld):
        stored.check_scheduling_v1()
    stored.note(1, 2)
    stored.check_scheduling_v1()
