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
from scheduling_srv.app.access.callers import Caller, Limits, Role
from scheduling_srv.app.access.limited_definitions import LimitedDefinitions
from scheduling_srv.app.access.narrowing import is_exact, jobs_within
from scheduling_srv.domain.bulk import BulkCall, Selection
from scheduling_srv.domain.errors import AlreadyExists, NotFound
from scheduling_srv.domain.job_filter import JobFilter, ListOrder
from scheduling_srv.entrances.grpc_v1 import built_methods
from scheduling_srv.entrances.memory_budget import Limits as RequestLimits
from scheduling_srv.formats.v1.requests import JOB_SERVICE, decode_update
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
