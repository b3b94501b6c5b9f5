"""The use cases of scheduling.v1 behind the doors: limits, and ids for the audit log."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from structlog.testing import capture_logs

from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_srv.app.access import call as calls
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.call import DRY_RUN, MOST_IDS, Call
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.limited_definitions import LimitedDefinitions
from scheduling_srv.app.access.limited_pauses import LimitedPauses
from scheduling_srv.app.narrowing import is_exact, jobs_within
from scheduling_srv.domain.bulk import BulkCall, Progress, Selection
from scheduling_srv.domain.errors import AlreadyExists, Forbidden, NotFound, UniqueKeyTaken
from scheduling_srv.domain.job_filter import JobFilter, ListOrder
from scheduling_srv.domain.limits import Limits
from scheduling_srv.entrances.grpc_v1 import built_methods
from scheduling_srv.entrances.memory_budget import Limits as RequestLimits
from scheduling_srv.formats.job_record import type_of
from scheduling_srv.formats.v1.requests import JOB_SERVICE, UpdateCall, decode_update
from scheduling_srv.formats.v1.specs import definition_of
from tests.unit.test_definitions import World, asked, cron

DELETE = "/scheduling.v1.JobService/DeleteJobs"


class Told:
    """The use cases, called by someone, and the line of the audit log."""

    def __init__(self, limits: Limits | None = None, name: str = "me") -> None:
        self.world = World()
        self.api = LimitedDefinitions(self.world.api)
        self.call = Call(Caller(name, Role.READER, limits), "ipv4:10.0.0.1:5000", DELETE)
        calls.begin(self.call)

    def noted(self) -> tuple[object, object]:
        lines: list[Mapping[str, object]] = []
        AuditLog(lines.append).note(self.call, "OK")
        (line,) = lines
        return line["ids"], line["count"]


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """Other tests have no caller."""
    yield
    calls.begin(None)


async def test_a_limited_caller_previews_specs_and_the_jobs_that_it_sees() -> None:
    told = Told(Limits(types=frozenset({"mail"})))
    await told.world.api.create([asked("a"), asked("b", type="mail")])
    for job_id in ("a", "unknown"):
        with pytest.raises(NotFound, match=f"no job with the id {job_id}"):
            await told.api.preview(job_id, 1, None)
    assert len((await told.api.preview("b", 3, None)).times) == 3
    assert len((await told.api.preview(asked("", cron()), 3, None)).times) == 3


MAIL = Limits(types=frozenset({"mail"}))
SEVERAL = Limits(types=frozenset({"mail", "other"}), creators=frozenset({"anna"}))


async def seen_by(within: Limits | None, wanted: JobFilter) -> tuple[list[str], int | None]:
    """The ids that a caller with these limits lists, and the total that it is told."""
    told = Told(within)
    await told.world.api.create(
        [
            asked("1", type="mail"),
            asked("2", type="mail", creator="anna"),
            asked("3", creator="anna"),
            asked("4", type="other", creator="anna"),
        ]
    )
    page = await told.api.list(wanted, ListOrder.CREATED, 100, "")
    ids = [view.job.id.decode() for view in page.jobs]
    shown = await told.api.get(["1", "2", "3", "4"], 0)
    assert set(ids) <= {view.job.id.decode() for view in shown}
    return ids, page.total


async def test_a_limited_caller_lists_and_gets_its_jobs_only() -> None:
    assert (await seen_by(MAIL, JobFilter()))[0] == ["1", "2"]
    ids, total = await seen_by(SEVERAL, JobFilter())
    assert (ids, total) == (["2", "4"], None), "a total would count jobs of others"
    assert await seen_by(MAIL, JobFilter(type="t")) == ([], 0)
    assert await seen_by(SEVERAL, JobFilter(creator="me")) == ([], 0)


async def test_one_type_is_narrowed_to_its_index() -> None:
    wanted = jobs_within(JobFilter(id_prefix="a"), MAIL)
    assert wanted == JobFilter(type="mail", id_prefix="a")
    assert is_exact(wanted, MAIL)
    several = jobs_within(JobFilter(), SEVERAL)
    assert several == JobFilter(creator="anna")
    assert not is_exact(several, SEVERAL)


async def test_a_caller_without_limits_previews_stored_jobs() -> None:
    told = Told()
    await told.world.api.create([asked("a")])
    assert len((await told.api.preview("a", 3, None)).times) == 3


async def test_a_limited_caller_creates_jobs_within_its_limits() -> None:
    told = Told(SEVERAL)
    created = await told.api.create([asked("1", type="mail", creator="anna")])
    assert [each.view.job.id for each in created] == [b"1"]
    with pytest.raises(Forbidden, match="limited to types mail, other and creators anna") as raised:
        await told.api.create(
            [asked("2", type="mail", creator="anna"), asked("3", creator="tim")], "r"
        )
    fields = [each.field for each in raised.value.violations]
    assert fields == ["jobs[1].type", "jobs[1].creator"]
    assert "Job 1: " in raised.value.violations[0].description
    assert [*told.world.held] == ["1"]


async def test_a_unique_key_of_others_is_taken_and_shows_no_job() -> None:
    told = Told(Limits(creators=frozenset({"anna"})))
    await told.world.api.create([asked("1", creator="tim", unique_key="k")])
    with pytest.raises(UniqueKeyTaken):
        await told.api.create([asked("2", creator="anna", unique_key="k")])
    own = await told.api.create([asked("3", creator="anna", unique_key="l")])
    again = await told.api.create([asked("4", creator="anna", unique_key="l")])
    assert [(each.view.job.id, each.existing) for each in (*own, *again)] == [
        (b"3", False),
        (b"3", True),
    ]


def update(job_id: str, *, allow_missing: bool = False, **changes: Any) -> UpdateCall:
    request = service.UpdateJobRequest(
        job=v1.JobSpec(id=job_id, **changes),
        update_mask=FieldMask(paths=[*changes]),
        allow_missing=allow_missing,
    )
    return decode_update(request.SerializeToString(), 100_000)


async def test_a_limited_caller_updates_its_jobs_only() -> None:
    told = Told(MAIL)
    await told.world.api.create([asked("own", type="mail"), asked("other")])
    view, changed = await told.api.update(update("own", parallel=3))
    assert (view.job.id, changed) == (b"own", True)
    with pytest.raises(NotFound, match="no job with the id other"):
        await told.api.update(update("other", parallel=3))
    with pytest.raises(AlreadyExists):
        await told.api.update(update("other", type="mail", schedule=cron(), allow_missing=True))
    for refused in (
        update("own", type="t"),
        update("new", type="t", schedule=cron(), allow_missing=True),
    ):
        with pytest.raises(Forbidden, match="the type 't' is not allowed") as raised:
            await told.api.update(refused)
        assert [each.field for each in raised.value.violations] == ["job.type"]
    await told.api.update(update("new", type="mail", schedule=cron(), allow_missing=True))
    assert [*told.world.held] == ["own", "other", "new"]


async def test_an_update_of_a_missing_job_shows_no_job_of_others_with_its_unique_key() -> None:
    told = Told(Limits(creators=frozenset({"anna"})))
    await told.world.api.create([asked("1", creator="tim", unique_key="k")])
    fields = {"type": "t", "schedule": cron(), "creator": "anna", "unique_key": "k"}
    with pytest.raises(UniqueKeyTaken) as taken:
        await told.api.update(update("2", allow_missing=True, **fields))
    assert [each.field for each in taken.value.violations] == ["job.unique_key"]
    assert [*told.world.held] == ["1"]


async def test_a_job_that_another_caller_replaces_is_not_shown() -> None:
    """It is another one by the time of the write, or of the answer."""
    told = Told(MAIL)
    await told.world.api.create([asked("a", type="mail"), asked("t")])

    def replace() -> None:
        told.world.held["a"] = told.world.held["t"]

    told.world.on_show = replace
    view, _ = await told.api.update(update("a", parallel=3))
    assert type_of(view.job.record) == b"mail"
    with pytest.raises(NotFound):
        await told.api.update(update("a", parallel=4))


@pytest.mark.parametrize("selection", [["1", "2", "3"], JobFilter(), JobFilter(type="t")])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_bulk_calls_of_a_limited_caller_count_its_jobs_only(
    selection: Selection, dry_run: bool
) -> None:
    told = Told(MAIL)
    pauses = LimitedPauses(told.world.pausing)
    await told.world.api.create([asked("1", type="mail"), asked("2")])
    call = BulkCall(selection, dry_run, "")
    own = Progress(0, 0, "") if selection == JobFilter(type="t") else Progress(1, 1, "")
    assert await pauses.pause(call, "", "me") == own
    await told.world.pausing.pause(BulkCall(["1", "2"], dry_run=False, token=""), "", "me")
    assert await pauses.resume(call) == own
    assert "2" in told.world.paused[False]
    assert await told.api.delete(call) == own
    assert "2" in told.world.held
    assert ("1" in told.world.held) == (dry_run or own.matched == 0)


async def test_a_bulk_call_of_several_types_looks_at_each_job() -> None:
    told = Told(SEVERAL)
    jobs = [asked(str(n), type="mail", creator="tim" if n % 2 else "anna") for n in range(300)]
    await told.world.api.create(jobs)
    first = await told.api.delete(BulkCall(JobFilter(), dry_run=True, token=""))
    rest = await told.api.delete(BulkCall(JobFilter(), dry_run=True, token=first.token))
    assert (first.matched + rest.matched, rest.token) == (150, "")


async def test_a_limited_caller_pauses_its_types() -> None:
    told = Told(MAIL)
    pauses = LimitedPauses(told.world.pausing)
    await pauses.pause_type("mail", "", "me")
    assert await pauses.resume_type("mail")
    for change in (pauses.pause_type("t", "", "me"), pauses.resume_type("t")):
        with pytest.raises(Forbidden, match="the type 't' is not allowed"):
            await change
    calls.begin(Call(Caller("me", Role.OPERATOR, SEVERAL), "peer", "method"))
    with pytest.raises(Forbidden, match="for all creators"):
        await pauses.pause_type("mail", "", "me")


async def test_created_jobs_are_noted_also_those_without_an_id() -> None:
    told = Told()
    created = await told.api.create([asked("a"), asked()])
    assert told.noted() == (["a", created[1].view.job.id.decode()], 2)


async def test_jobs_that_are_refused_are_noted() -> None:
    told = Told()
    await told.world.api.create([asked("a")])
    with pytest.raises(AlreadyExists):
        await told.api.create([asked("a"), asked()])
    assert told.noted() == (["a"], 2)


async def test_an_update_is_noted() -> None:
    told = Told()
    await told.world.api.create([asked("a")])
    wanted = v1.JobSpec(id="a", parallel=3)
    request = service.UpdateJobRequest(job=wanted, update_mask=FieldMask(paths=["parallel"]))
    await told.api.update(decode_update(request.SerializeToString(), 100_000))
    assert told.noted() == (["a"], 1)


@pytest.mark.parametrize("selection", [["1", "2", "none"], JobFilter(type="t")])
async def test_a_deletion_is_noted_with_its_ids(selection: Selection) -> None:
    told = Told()
    await told.world.api.create([asked("1"), asked("2")])
    await told.api.delete(BulkCall(selection, dry_run=False, token=""))
    ids = ["1", "2"] if isinstance(selection, JobFilter) else selection
    assert told.noted() == (ids, len(ids))
    assert told.call.detail == ""


class Context:
    """As far as DeleteJobs looks at one."""

    def time_remaining(self) -> float:
        return 10.0

    def peer(self) -> str:
        return "ipv4:10.0.0.1:5000"


async def test_the_log_of_deletions_names_the_caller() -> None:
    told = Told(name="deleter")
    context: Any = Context()
    no_memory: Any = None
    none: Any = None
    methods = built_methods(told.api, none, none, RequestLimits(10, 10_000))
    delete = methods[JOB_SERVICE]["DeleteJobs"]
    selection = v1.JobSelection(ids=v1.JobIds(ids=["1"]))
    request = service.DeleteJobsRequest(selection=selection)
    with capture_logs() as logs:
        await delete(request.SerializeToString(), context, no_memory)
    assert [line["caller"] for line in logs] == ["deleter"]


async def test_a_dry_run_is_noted_as_one() -> None:
    told = Told()
    await told.api.delete(BulkCall(["1"], dry_run=True, token=""))
    assert told.noted() == (["1"], 1)
    assert told.call.detail == DRY_RUN


async def test_a_few_ids_are_listed_and_all_are_counted() -> None:
    told = Told()
    await told.api.create([asked(str(number)) for number in range(MOST_IDS + 1)])
    assert told.noted() == ([str(number) for number in range(MOST_IDS)], MOST_IDS + 1)


async def test_nothing_is_noted_outside_of_a_call() -> None:
    told = Told()
    calls.begin(None)
    await told.api.create([definition_of(v1.JobSpec(id="a", type="t", schedule=cron()))])
    assert told.call.count == 0
