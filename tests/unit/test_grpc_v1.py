"""The entrance of scheduling.v1, called over a real channel by generated stubs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from scheduling_client.schedules.preview import Preview, PreviewTime
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_client.wire.v1 import run_pb2
from scheduling_client.wire.v1 import run_service_pb2 as run_service
from scheduling_client.wire.v1.event_service_pb2 import WatchEventsRequest
from scheduling_client.wire.v1.event_service_pb2_grpc import EventServiceStub
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from scheduling_client.wire.v1.run_service_pb2_grpc import RunServiceStub
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.progress import Findings
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import (
    AlreadyExists,
    FormatTooOld,
    InvalidRequest,
    LeaseLost,
    NotAnnounced,
    NotFound,
    Overloaded,
    RunNotFound,
    StaleRevision,
    StoreNotReady,
    TooLarge,
    Unsupported,
    Violation,
)
from scheduling_srv.domain.job import JobRequest
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.job_view import CreatedJob, JobPage, JobView
from scheduling_srv.domain.pause import Pause, Pauses
from scheduling_srv.domain.reasons import MEANINGS, Reason
from scheduling_srv.domain.run import RunBulkCall, RunFilter, RunId, RunOrigin, RunState
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    NewRun,
    RunCall,
    Started,
)
from scheduling_srv.entrances.grpc_server import GrpcServer
from scheduling_srv.formats.v1.requests import UpdateCall
from scheduling_srv.formats.v1.services import METHODS
from tests.unit.test_grpc_server import App as AppOf2018
from tests.unit.test_grpc_server import kept

LARGEST = 900_000
PAUSE = Pause(1500, "why", "me")


class App:
    """The use cases: they note how they were called, and may fail."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.error: Exception | None = None

    def note(self, *what: object) -> None:
        self.called.append(what)
        if self.error is not None:
            raise self.error

    async def create(
        self, asked: Sequence[Definition], request_id: str = ""
    ) -> Sequence[CreatedJob]:
        self.note(asked, request_id)
        return [CreatedJob(JobView(kept(each.request), "words", [1500])) for each in asked]

    async def get(self, ids: Sequence[str], next_times: int) -> Sequence[JobView]:
        self.note(ids, next_times)
        job = kept(JobRequest("a", "t", "UTC", "", b"", b""))
        return [JobView(job, "words", state=JobState.PAUSED, pauses=Pauses(PAUSE))]

    async def list(self, wanted: JobFilter, order: ListOrder, limit: int, token: str) -> JobPage:
        self.note(wanted, order, limit, token)
        return JobPage([], "more", 9)

    async def update(self, call: UpdateCall, trace: bytes = b"") -> tuple[JobView, bool]:
        self.note(call)
        return JobView(kept(JobRequest("a", "t", "UTC", "", b"", b"")), "words", revision=7), True

    async def delete(self, call: BulkCall) -> Progress:
        self.note(call)
        return Progress(3, 2, "more")

    async def pause(self, call: BulkCall, note: str, by: str) -> Progress:
        self.note(call, note, by)
        return Progress(3, 2, "more")

    async def resume(self, call: BulkCall) -> Progress:
        self.note(call)
        return Progress(4, 1, "")

    async def pause_type(self, job_type: str, note: str, by: str) -> Pause:
        self.note(job_type, note, by)
        return PAUSE

    async def resume_type(self, job_type: str) -> bool:
        self.note(job_type)
        return True

    async def paused_types(self) -> Sequence[tuple[str, Pause]]:
        self.note()
        return [("t", PAUSE), ("u", PAUSE)]

    async def extend(self, asked: Extension) -> int:
        self.note(asked)
        return 1500

    async def run(self, call: RunCall) -> Started:
        self.note(call)
        return Started(Progress(2, 1, "more"), [NewRun(RunId("a", 1, 1500, RunOrigin.MANUAL), "t")])

    async def backfill(self, call: BackfillCall) -> Backfilled:
        self.note(call)
        return Backfilled(
            3, RunId("a", 1, 1500, RunOrigin.BACKFILL), RunId("a", 1, 1700, RunOrigin.BACKFILL)
        )

    async def cancel(self, call: RunBulkCall) -> Progress:
        self.note(call)
        return Progress(2, 1, "more")

    async def preview(self, subject: Definition | str, count: int, after: int | None) -> Preview:
        self.note(subject, count, after)
        return Preview("words", "UTC", [PreviewTime(1500, "then")])

    async def probe(self) -> bool:
        return True

    async def observe(self) -> Findings:
        return Findings()


@pytest.fixture(scope="module", autouse=True)
async def one_event_loop() -> AsyncIterator[None]:
    """gRPC has one poller for the process, which does not survive its event loop."""
    yield
    gc.collect()
    await asyncio.sleep(0.1)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def channel(app: App) -> AsyncIterator[grpc.aio.Channel]:
    health = Health(redis=app.probe, kafka=app.probe, observe=app.observe, fresh_seconds=0)
    server = GrpcServer(
        "127.0.0.1:0",
        jobs=(of_2018 := AppOf2018()),
        definitions=app,
        pauses=app,
        run_control=app,
        commands=of_2018,
        health=health,
        max_items=3,
        max_job_bytes=LARGEST,
        call_memory=2**28,
    )
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return JobServiceStub(channel)


def spec(job_id: str = "a", **more: Any) -> v1.JobSpec:
    return v1.JobSpec(id=job_id, type="t", schedule=v1.Schedule(interval="@daily"), **more)


def create(*specs: v1.JobSpec, request_id: str = "") -> service.CreateJobsRequest:
    return service.CreateJobsRequest(jobs=specs, request_id=request_id)


class Failure:
    """A status with its details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.details: dict[str, Any] = {}
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        for each in status.details if status else ():
            kinds: tuple[type[Message], ...] = (BadRequest, ErrorInfo, RetryInfo)
            for kind in kinds:
                content = kind()
                if each.Unpack(content):
                    self.details[kind.__name__] = content

    @property
    def reason(self) -> str:
        info = self.details["ErrorInfo"]
        assert info.domain == "scheduling.v1"
        return str(info.reason)

    @property
    def fields(self) -> list[str]:
        return [each.field for each in self.details["BadRequest"].field_violations]


async def failure(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return Failure(raised.value)


# --- Calls --------------------------------------------------------------------------------------


async def test_jobs_are_created(app: App, stub: Any) -> None:
    answer = await stub.CreateJobs(create(spec("a"), spec("b"), request_id="r"))
    ((asked, request_id),) = app.called
    assert ([each.request.id for each in asked], request_id) == (["a", "b"], "r")
    assert [each.job.spec.id for each in answer.jobs] == ["a", "b"]
    status = answer.jobs[0].job.status
    assert (status.words, status.next_times[0].ToMilliseconds()) == ("words", 1500)


async def test_the_other_methods(app: App, stub: Any) -> None:
    await stub.GetJobs(service.GetJobsRequest(ids=["a"], next_times=3))
    change = service.UpdateJobRequest(job=v1.JobSpec(id="a", parallel=3), revision=6)
    updated = await stub.UpdateJob(change)
    assert (updated.job.status.revision, updated.changed) == (7, True)
    ids = v1.JobIds(ids=["a", "b", "a"])
    deletion = service.DeleteJobsRequest(selection=v1.JobSelection(ids=ids), page_token="p")
    progress = (await stub.DeleteJobs(deletion)).progress
    assert (progress.matched, progress.changed, progress.next_page_token) == (3, 2, "more")
    preview = (await stub.PreviewSchedule(service.PreviewScheduleRequest(job_id="a"))).preview
    assert (preview.words, preview.times[0].local_time) == ("words", "then")
    deleted = BulkCall(["a", "b"], dry_run=False, token="p")
    got, (call,), *others = app.called
    assert (call.paths, call.revision, call.allow_missing) == (["parallel"], 6, False)
    assert [got, *others] == [(["a"], 3), (deleted,), ("a", 10, None)]


async def test_pauses(app: App, stub: Any) -> None:
    where = v1.JobSelection(ids=v1.JobIds(ids=["a", "b"]))
    asked = service.PauseJobsRequest(
        selection=where, note="why", by="me", dry_run=True, page_token="p"
    )
    progress = (await stub.PauseJobs(asked)).progress
    assert (progress.matched, progress.changed, progress.next_page_token) == (3, 2, "more")
    progress = (await stub.ResumeJobs(service.ResumeJobsRequest(selection=where))).progress
    assert (progress.matched, progress.changed, progress.next_page_token) == (4, 1, "")
    of_type = service.PauseTypeRequest(type="t", note="why", by="me")
    answered = (await stub.PauseType(of_type)).pause
    assert (await stub.ResumeType(service.ResumeTypeRequest(type="t"))).changed
    types = (await stub.ListPausedTypes(service.ListPausedTypesRequest())).types
    assert [each.type for each in types] == ["t", "u"]
    (job,) = (await stub.GetJobs(service.GetJobsRequest(ids=["a"]))).jobs
    for each in (answered, types[0].pause, job.status.pause):
        assert (each.since.ToMilliseconds(), each.note, each.by) == (1500, "why", "me")
    assert not job.status.HasField("type_pause")
    ids = ["a", "b"]
    assert app.called == [
        (BulkCall(ids, dry_run=True, token="p"), "why", "me"),
        (BulkCall(ids, dry_run=False, token=""),),
        ("t", "why", "me"),
        ("t",),
        (),
        (["a"], 1),
    ]


async def test_a_run_is_extended(app: App, channel: grpc.aio.Channel) -> None:
    runs: Any = RunServiceStub(channel)
    asked = run_service.ExtendRunRequest(instance_id=7, occurrence_id="a/1/2/3")
    assert (await runs.ExtendRun(asked)).deadline.ToMilliseconds() == 1500
    asked.extension.FromMilliseconds(90)
    await runs.ExtendRun(asked)
    assert app.called == [(Extension(7, "a/1/2/3"),), (Extension(7, "a/1/2/3", 90),)]
    app.error = RunNotFound("No.")
    failed = await failure(runs.ExtendRun(asked))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_jobs_are_run_now(app: App, stub: Any) -> None:
    where = v1.JobSelection(ids=v1.JobIds(ids=["a", "b"]))
    asked = service.RunJobsRequest(selection=where, request_id="r", dry_run=True, page_token="p")
    answer = await stub.RunJobs(asked)
    assert (answer.progress.matched, answer.progress.next_page_token) == (2, "more")
    (run,) = answer.runs
    assert (run.run_id, run.job_id, run.type) == ("a/1/1500m", "a", "t")
    assert (run.origin, run.nominal_time.ToMilliseconds()) == (2, 1500)
    assert app.called == [(RunCall(BulkCall(["a", "b"], dry_run=True, token="p"), "r"),)]
    asked.request_id = "r" * 256
    assert (await failure(stub.RunJobs(asked))).fields == ["request_id"]


def backfill(since: int = 1, until: int = 2, **more: Any) -> service.BackfillJobRequest:
    request = service.BackfillJobRequest(until=Timestamp(seconds=until), **more)
    getattr(request, "from").CopyFrom(Timestamp(seconds=since))
    return request


async def test_a_job_is_backfilled(app: App, stub: Any) -> None:
    answer = await stub.BackfillJob(backfill(job_id="a", request_id="r", dry_run=True))
    assert (answer.runs, answer.first_run_id, answer.last_run_id) == (3, "a/1/1500b", "a/1/1700b")
    await stub.BackfillJob(backfill(job_id="a", max_in_flight=7))
    assert app.called == [
        (BackfillCall("a", 1000, 2000, 1, "r", True),),
        (BackfillCall("a", 1000, 2000, 7, "", False),),
    ]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (backfill(), "job_id"),
        (service.BackfillJobRequest(job_id="a"), "from"),
        (backfill(2, 2, job_id="a"), "until"),
        (backfill(job_id="a", request_id="r" * 256), "request_id"),
        (backfill(job_id="a", max_in_flight=10_001), "max_in_flight"),
    ],
)
async def test_a_backfill_is_bounded(app: App, stub: Any, request_: Message, field: str) -> None:
    assert (await failure(stub.BackfillJob(request_))).fields == [field]
    assert app.called == []


async def test_runs_are_cancelled(app: App, channel: grpc.aio.Channel) -> None:
    runs: Any = RunServiceStub(channel)
    where = run_service.RunSelection(ids=run_service.RunIds(run_ids=["a/1/2", "b/1/2", "a/1/2"]))
    asked = run_service.CancelRunsRequest(selection=where, dry_run=True, page_token="p")
    progress = (await runs.CancelRuns(asked)).progress
    assert (progress.matched, progress.changed, progress.next_page_token) == (2, 1, "more")
    assert app.called == [(RunBulkCall(["a/1/2", "b/1/2"], dry_run=True, token="p"),)]
    by_filter = run_service.RunSelection(
        filter=run_service.RunFilter(job_id="a", states=[run_pb2.RUN_STATE_RUNNING])
    )
    await runs.CancelRuns(run_service.CancelRunsRequest(selection=by_filter))
    wanted = RunFilter("a", states=frozenset({RunState.RUNNING}))
    assert app.called[1] == (RunBulkCall(wanted, dry_run=False, token=""),)
    nothing = run_service.CancelRunsRequest()
    assert (await failure(runs.CancelRuns(nothing))).fields == ["selection"]
    nothing.selection.ids.SetInParent()
    assert (await failure(runs.CancelRuns(nothing))).fields == ["selection.ids"]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (run_service.ExtendRunRequest(), ["instance_id"]),
        (run_service.ExtendRunRequest(instance_id=1, occurrence_id="o" * 4097), ["occurrence_id"]),
        (run_service.ExtendRunRequest(instance_id=1, extension=Duration()), ["extension"]),
    ],
)
async def test_an_extension_is_bounded(
    app: App, channel: grpc.aio.Channel, request_: Message, fields: list[str]
) -> None:
    runs: Any = RunServiceStub(channel)
    assert (await failure(runs.ExtendRun(request_))).fields == fields
    assert app.called == []


BUILT = {"CreateJobs", "GetJobs", "ListJobs", "UpdateJob", "DeleteJobs", "PreviewSchedule"}
BUILT |= {"PauseJobs", "ResumeJobs", "PauseType", "ResumeType", "ListPausedTypes"}
BUILT |= {"ExtendRun", "CancelRuns", "RunJobs", "BackfillJob"}


async def test_what_is_not_there_yet_says_so(channel: grpc.aio.Channel) -> None:
    for name, methods in METHODS.items():
        for method in methods:
            if method not in BUILT:
                call: Any = channel.unary_unary(f"/{name}/{method}")
                failed = await failure(call(b""))
                assert (failed.code, failed.reason) == (
                    grpc.StatusCode.UNIMPLEMENTED,
                    "NOT_SUPPORTED",
                )


async def test_a_stream_is_refused_as_well(channel: grpc.aio.Channel) -> None:
    watch: Any = EventServiceStub(channel).WatchEvents(WatchEventsRequest())
    assert (await failure(watch.read())).reason == "NOT_SUPPORTED"


# --- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidRequest("No."), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (AlreadyExists("No."), grpc.StatusCode.ALREADY_EXISTS, "JOB_EXISTS"),
        (NotFound("No."), grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        (TooLarge("No."), grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
        (FormatTooOld("No."), grpc.StatusCode.FAILED_PRECONDITION, "FORMAT_TOO_OLD"),
        (StaleRevision("No."), grpc.StatusCode.ABORTED, "STALE_REVISION"),
        (Unsupported("No."), grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED"),
        (StoreNotReady("No."), grpc.StatusCode.UNAVAILABLE, "RECOVERING"),
        (NotAnnounced("No."), grpc.StatusCode.UNAVAILABLE, "NOT_ANNOUNCED"),
        (Overloaded("No."), grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
        (LeaseLost("No."), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (ZeroDivisionError(), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
    ids=map(str, count()),
)
async def test_errors_have_a_code_a_reason_and_a_time_to_retry(
    app: App, stub: Any, error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    app.error = error
    failed = await failure(stub.CreateJobs(create(spec())))
    assert (failed.code, failed.reason) == (code, reason)
    waits = failed.details.get("RetryInfo")
    assert (waits is not None) == (code is grpc.StatusCode.UNAVAILABLE)
    assert waits is None or waits.retry_delay.seconds == 1


async def test_violations_come_as_well(app: App, stub: Any) -> None:
    app.error = InvalidRequest("No.", [Violation("jobs[0].type", "Why.")])
    assert (await failure(stub.CreateJobs(create(spec())))).fields == ["jobs[0].type"]


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)
    assert all(sentence.endswith(".") for sentence in MEANINGS.values())


# --- Bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("CreateJobs", create(*[spec()] * 4), ["jobs"]),
        ("CreateJobs", create(spec(), spec("b" * (LARGEST + 5_000))), ["jobs[1]"]),
        ("CreateJobs", create(spec(), request_id="r" * 256), ["request_id"]),
        ("CreateJobs", create(spec(), spec(priority=77)), ["jobs[1].priority"]),
        ("GetJobs", service.GetJobsRequest(), ["ids"]),
        ("GetJobs", service.GetJobsRequest(ids=["a"] * 251), ["ids"]),
        ("GetJobs", service.GetJobsRequest(ids=["a"], next_times=101), ["next_times"]),
        ("ListJobs", service.ListJobsRequest(page_size=1_001), ["page_size"]),
        ("ListJobs", service.ListJobsRequest(order=9), ["order"]),  # type: ignore[arg-type]
        (
            "ListJobs",
            service.ListJobsRequest(filter=v1.JobFilter(labels={"a b": "c"})),
            ["filter.labels"],
        ),
        (
            "ListJobs",
            service.ListJobsRequest(filter=v1.JobFilter(states=[9])),  # type: ignore[list-item]
            ["filter.states"],
        ),
        (
            "ListJobs",
            service.ListJobsRequest(filter=v1.JobFilter(due_from=Timestamp(nanos=-1))),
            ["filter.due_from"],
        ),
        ("DeleteJobs", service.DeleteJobsRequest(), ["selection"]),
        (
            "DeleteJobs",
            service.DeleteJobsRequest(selection=v1.JobSelection(ids=v1.JobIds())),
            ["selection.ids"],
        ),
        ("PauseJobs", service.PauseJobsRequest(), ["selection"]),
        ("PauseJobs", service.PauseJobsRequest(note="é" * 513), ["note"]),
        ("PauseJobs", service.PauseJobsRequest(by="b" * 256), ["by"]),
        ("ResumeJobs", service.ResumeJobsRequest(), ["selection"]),
        ("PauseType", service.PauseTypeRequest(), ["type"]),
        ("PauseType", service.PauseTypeRequest(type="t" * 4097), ["type"]),
        ("PauseType", service.PauseTypeRequest(type="t", note="n" * 1025), ["note"]),
        ("PauseType", service.PauseTypeRequest(type="t", by="b" * 256), ["by"]),
        ("ResumeType", service.ResumeTypeRequest(), ["type"]),
        ("PreviewSchedule", service.PreviewScheduleRequest(), ["spec"]),
        ("PreviewSchedule", service.PreviewScheduleRequest(job_id="a", count=1_001), ["count"]),
    ],
    ids=map(str, count()),
)
async def test_requests_are_bounded(
    app: App, stub: Any, method: str, request_: Message, fields: list[str]
) -> None:
    failed = await failure(getattr(stub, method)(request_))
    assert failed.fields == fields
    assert failed.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert app.called == []


async def test_lists_are_filtered(app: App, stub: Any) -> None:
    wanted = v1.JobFilter(
        type="t",
        creator="c",
        labels={"a": "b"},
        id_prefix="p",
        states=[v1.JOB_STATE_PAUSED],
        due_from=Timestamp(seconds=1),
    )
    order = service.ListJobsRequest.ORDER_NEXT_DUE
    answer = await stub.ListJobs(
        service.ListJobsRequest(filter=wanted, order=order, page_size=7, page_token="x")
    )
    assert (answer.total_size, answer.next_page_token) == (9, "more")
    meant = JobFilter("t", "c", {"a": "b"}, "p", frozenset({JobState.PAUSED}), 1000)
    assert app.called == [(meant, ListOrder.NEXT_DUE, 7, "x")]
    selection = v1.JobSelection(filter=wanted)
    await stub.DeleteJobs(service.DeleteJobsRequest(selection=selection))
    assert app.called[-1] == (BulkCall(meant, dry_run=False, token=""),)
    assert not (await stub.ListJobs(service.ListJobsRequest())).jobs
    assert app.called[-1] == (JobFilter(), ListOrder.CREATED, 100, "")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"\x0a\x05abc",
        b"\x08\x01",  # `jobs` as a number
        b"\x0a\x02\x08\x01",  # the id of a job as a number
        b"\x0a\x04\x42\x02\x18\x01",  # `when` of its schedule as a number
    ],
)
async def test_bytes_that_are_no_request_are_the_callers_fault(
    app: App, channel: grpc.aio.Channel, raw: bytes
) -> None:
    call: Any = channel.unary_unary("/scheduling.v1.JobService/CreateJobs")
    failed = await failure(call(raw))
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.reason == "INVALID_REQUEST"
    assert app.called == []


def test_no_request_looks_like_a_compressed_one() -> None:
    """Field 15 would: entrances/decompression.py."""
    requests = [
        method.input_type
        for name in METHODS
        for method in service.DESCRIPTOR.pool.FindServiceByName(name).methods
    ]
    assert len(requests) == sum(map(len, METHODS.values()))
    assert not [each.full_name for each in requests if 15 in each.fields_by_number]
