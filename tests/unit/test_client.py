"""The clients of scheduling.v1: what they send, when they send it again, and their errors."""

import ast
import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

import scheduling_client
from scheduling_client import (
    Access,
    AsyncClient,
    Backoff,
    Client,
    Filter,
    JobSpec,
    JobState,
    Missed,
    MissedRuns,
    Overlap,
    Payload,
    Priority,
    RetryPolicy,
    Schedule,
    SchedulingError,
    at,
    cron,
    every,
    now,
)
from scheduling_client.api import errors, messages, retrying
from scheduling_client.api.explanations import Explanation, Verdict
from scheduling_client.api.jobs import Pause, RunFilter, RunState
from scheduling_client.api.request_ids import derived_id
from scheduling_client.api.retrying import Attempts
from scheduling_client.api.statuses import error_of
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_client.wire.v1 import run_pb2
from scheduling_client.wire.v1 import run_service_pb2 as run_service

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def status(code: grpc.StatusCode, *, reason: str = "", retry: int | None = None) -> Any:
    """The error of a call."""
    details = Status(code=code.value[0], message="No.")
    contents: list[Any] = [BadRequest(), ErrorInfo(reason=reason, domain="scheduling.v1")]
    contents[0].field_violations.add(field="jobs[0].type", description="Why.")
    if retry is not None:
        contents.append(RetryInfo(retry_delay=Duration(seconds=retry)))
    for content in contents:
        packed = AnyMessage()
        packed.Pack(content)
        details.details.append(packed)
    trailers = (("grpc-status-details-bin", details.SerializeToString()),)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), "No.")


UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, reason="REDIS_UNAVAILABLE", retry=0)


@dataclass
class Channel:
    """Answers calls from a list: messages, and errors to raise."""

    answers: list[Any]
    asked: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: Any = ()

    def unary_unary(self, path: str, **_serializers: Any) -> Callable[..., Any]:
        def call(request: Any, timeout: float, metadata: Any = ()) -> Any:
            assert 0 < timeout <= 20
            self.headers = metadata
            self.asked.append(request)
            self.paths.append(path.rpartition("/")[2])
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class AsyncChannel(Channel):
    def unary_unary(self, path: str, **_serializers: Any) -> Callable[..., Any]:
        call = super().unary_unary(path)

        async def awaited(request: Any, timeout: float, metadata: Any) -> Any:  # noqa: ASYNC109 - that of gRPC
            return call(request, timeout, metadata)

        return awaited


class Both:
    """One of the clients, called without awaiting."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.slept: list[float] = []
        self.channel: Any = None

    def __call__(self, name: str, *answers: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if not self.is_async:
                self.channel = Channel(list(answers))
                client = Client(channel=self.channel, sleep=self.slept.append)
                result = getattr(client, name)(*arguments, **named)
                return [*result] if isinstance(result, Iterator) else result
            return asyncio.run(self._awaited(name, answers, arguments, named))

        return call

    async def _awaited(self, name: str, answers: Any, arguments: Any, named: Any) -> Any:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        self.channel = AsyncChannel(list(answers))
        client = AsyncClient(channel=self.channel, sleep=sleep)
        result = getattr(client, name)(*arguments, **named)
        if inspect.isasyncgen(result):
            return [each async for each in result]
        return await result


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Both:
    return Both(is_async=request.param == "async")


def created(*ids: str) -> service.CreateJobsResponse:
    jobs = [v1.Job(spec=v1.JobSpec(id=each, type="t")) for each in ids]
    return service.CreateJobsResponse(jobs=[service.CreatedJob(job=job) for job in jobs])


def found(*ids: str) -> service.GetJobsResponse:
    return service.GetJobsResponse(jobs=[v1.Job(spec=v1.JobSpec(id=each)) for each in ids])


# --- Schedules ----------------------------------------------------------------------------------


def test_schedules() -> None:
    assert every("2 minutes") == every(timedelta(minutes=2))
    assert messages.schedule_message(every("2 minutes")).every == Duration(seconds=120)
    assert messages.schedule_message(cron("0 5 * * *")).interval == "0 5 * * *"
    assert messages.schedule_message(at("tomorrow at noon")).when == "tomorrow at noon"
    assert messages.schedule_message(at(NOON)).at.ToDatetime(UTC) == NOON
    assert messages.schedule_message(now()).WhichOneof("trigger") == "now"
    assert (every("1 hour").recurring, now().recurring) == (True, False)


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        at(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="has no time zone"):
        messages.timestamp(NOON.replace(tzinfo=None))


def test_a_schedule_may_name_the_time_zone() -> None:
    berlin = cron("0 5 * * *", timezone="Europe/Berlin")
    assert messages.spec_message(JobSpec(type="t", schedule=berlin)).timezone == "Europe/Berlin"
    with pytest.raises(ValueError, match="different time zones"):
        messages.spec_message(JobSpec(type="t", schedule=berlin, timezone="Asia/Tokyo"))


# --- Specs --------------------------------------------------------------------------------------

FULL = JobSpec(
    id="a",
    type="t",
    schedule=every("2 minutes"),
    creator="c",
    payload=(Payload.of_json({"ä": 1}), Payload(b"\xff", "u")),
    priority=Priority.HIGH,
    parallel=2,
    timezone="Europe/Berlin",
    start_time=NOON,
    end_time=NOON + HOUR,
    max_runs=3,
    start_deadline=HOUR,
    jitter=timedelta(milliseconds=1),
    retry=RetryPolicy(3, HOUR, Backoff.EXPONENTIAL, 2 * HOUR, 0.5),
    overlap=Overlap.ONE,
    missed=Missed(HOUR, MissedRuns.SKIP),
    completion_timeout=HOUR,
    labels={"a": "b"},
    unique_key="k",
)


@pytest.mark.parametrize(
    "spec",
    [
        FULL,
        JobSpec(type="t", schedule=cron("@daily")),
        JobSpec(type="t", schedule=now()),
        JobSpec(type="t", schedule=at(NOON)),
        JobSpec(type="t", schedule=at("noon"), missed=Missed()),
    ],
    ids=map(str, count()),
)
def test_a_spec_comes_back(spec: JobSpec) -> None:
    assert messages.spec_in(messages.spec_message(spec)) == spec


def test_every_property_of_the_proto_is_there() -> None:
    names = set(v1.JobSpec.DESCRIPTOR.fields_by_name)
    assert set(JobSpec.__dataclass_fields__) == names
    raw = messages.spec_message(FULL)
    assert {each.name for each, _ in raw.ListFields()} == names
    status_fields = set(v1.JobStatus.DESCRIPTOR.fields_by_name)
    own = {"spec", "existing"}
    assert set(scheduling_client.Job.__dataclass_fields__) - own == status_fields


def test_enums_are_those_of_the_proto() -> None:
    from scheduling_client.api import jobs  # noqa: PLC0415

    for kind, prefix, names in (
        (jobs.Priority, "PRIORITY", v1.Priority),
        (jobs.Overlap, "OVERLAP", v1.Overlap),
        (jobs.Backoff, "BACKOFF", v1.Backoff),
        (jobs.MissedRuns, "MISSED_RUNS", v1.MissedRuns),
        (jobs.JobState, "JOB_STATE", v1.JobState),
    ):
        ours = {f"{prefix}_{each.name}": each.value for each in kind if each.value}
        theirs = {name: number for name, number in names.items() if number}
        assert ours == theirs


def test_verdicts_are_those_of_the_proto() -> None:
    theirs = {name: number for name, number in run_service.Explanation.Verdict.items() if number}
    assert {f"VERDICT_{each.name}": each.value for each in Verdict if each.value} == theirs


def test_a_later_version_is_understood_as_far_as_possible() -> None:
    job = messages.job_in(
        v1.Job(
            spec=v1.JobSpec(id="a", priority=99),  # type: ignore[arg-type]
            status=v1.JobStatus(state=99),  # type: ignore[arg-type]
        )
    )
    assert (job.spec.priority, job.state) == (Priority.NORMAL, JobState.UNKNOWN)
    assert job.spec.schedule is None


# --- Calls --------------------------------------------------------------------------------------


def test_a_job_is_created(client: Both) -> None:
    job = client("create", created("x"))("t", every("1 hour"), payload=Payload(b"p"), parallel=2)
    assert (job.id, job.type) == ("x", "t")
    (request,) = client.channel.asked
    (spec,) = request.jobs
    assert (spec.type, spec.parallel, spec.payload[0].value) == ("t", 2, b"p")
    assert spec.id == derived_id(request.request_id, 0)


def test_a_request_id_names_the_jobs(client: Both) -> None:
    specs = [JobSpec(type="t", schedule=cron("@daily")) for _ in range(3)]
    specs[1] = JobSpec(type="t", id="own", schedule=cron("@daily"))
    answers = created("a", "b"), created("c")
    jobs = client("create_many", *answers)(specs, request_id="r", batch=2)
    assert [job.id for job in jobs] == ["a", "b", "c"]
    sent = [spec.id for request in client.channel.asked for spec in request.jobs]
    assert sent == [derived_id("r", 0), "own", derived_id("r", 2)]


def test_a_run_at_once_is_sent_once(client: Both) -> None:
    with pytest.raises(errors.Unavailable):
        client("create", UNAVAILABLE)("t", now())
    (request,) = client.channel.asked
    assert (request.request_id, request.jobs[0].id) == ("", "")


def test_jobs_are_got(client: Both) -> None:
    assert client("get", found("a"))("a", next_times=5).id == "a"
    assert client.channel.asked == [service.GetJobsRequest(ids=["a"], next_times=5)]
    with pytest.raises(errors.NotFound, match="no job with the id b") as raised:
        client("get", found())("b")
    assert raised.value.reason == "JOB_NOT_FOUND"


def test_many_jobs_are_got_in_pieces(client: Both) -> None:
    ids = [str(number) for number in range(251)]
    client("get_many", found(), found())(ids)
    assert [len(each.ids) for each in client.channel.asked] == [250, 1]


def test_a_list_has_all_pages(client: Both) -> None:
    def page(job_id: str, token: str) -> service.ListJobsResponse:
        jobs = [v1.Job(spec=v1.JobSpec(id=job_id))]
        return service.ListJobsResponse(jobs=jobs, next_page_token=token)

    empty = service.ListJobsResponse(next_page_token="2")
    where = Filter(type="t", labels={"a": "b"}, states=[JobState.PAUSED], due_from=NOON)
    jobs = client("list", page("a", "1"), empty, page("b", ""))(where)
    assert [job.id for job in jobs] == ["a", "b"]
    assert [each.page_token for each in client.channel.asked] == ["", "1", "2"]
    sent = client.channel.asked[0].filter
    assert (sent.type, dict(sent.labels), sent.due_from.ToDatetime(UTC)) == ("t", {"a": "b"}, NOON)


def test_an_update_names_its_properties(client: Both) -> None:
    answer = service.UpdateJobResponse(job=v1.Job(spec=v1.JobSpec(id="a")))
    daily = cron("@daily", timezone="Asia/Tokyo")
    client("update", answer)("a", revision=3, parallel=0, schedule=daily)
    (request,) = client.channel.asked
    assert request.update_mask.paths == ["parallel", "schedule", "timezone"]
    assert (request.job.id, request.revision, request.job.timezone) == ("a", 3, "Asia/Tokyo")


def test_a_bulk_call_makes_all_steps(client: Both) -> None:
    def step(matched: int, token: str) -> service.DeleteJobsResponse:
        progress = v1.BulkProgress(matched=matched, changed=matched - 1, next_page_token=token)
        return service.DeleteJobsResponse(progress=progress)

    assert client("delete", step(3, "1"), step(2, ""))("a", "b", dry_run=True) == (5, 3)
    assert [each.page_token for each in client.channel.asked] == ["", "1"]
    assert all(each.dry_run for each in client.channel.asked)
    client("delete", step(1, ""))(where=Filter(type="t"))
    assert client.channel.asked[0].selection.filter.type == "t"
    client("delete", step(1, ""), step(1, ""))(*map(str, range(10_001)))
    assert [len(each.selection.ids.ids) for each in client.channel.asked] == [10_000, 1]
    for arguments in ({}, {"where": Filter()}):
        with pytest.raises(ValueError, match="Give ids or a filter"):
            client("delete")(*(["a"] if arguments else []), **arguments)


def test_pauses(client: Both) -> None:
    progress = v1.BulkProgress(matched=2, changed=1)
    paused = service.PauseJobsResponse(progress=progress)
    assert client("pause", paused)("a", "b", note="why", by="me") == (2, 1)
    (request,) = client.channel.asked
    assert (list(request.selection.ids.ids), request.note, request.by) == (["a", "b"], "why", "me")
    resumed = service.ResumeJobsResponse(progress=progress)
    assert client("resume", resumed)(where=Filter(type="t"), dry_run=True) == (2, 1)
    (request,) = client.channel.asked
    assert (request.selection.filter.type, request.dry_run) == ("t", True)


def test_pauses_of_types(client: Both) -> None:
    message = v1.Pause(note="why", by="me")
    message.since.FromDatetime(NOON)
    answer = service.PauseTypeResponse(pause=message)
    pause = client("pause_type", answer)("t", note="why", by="me")
    assert pause == Pause(NOON, "why", "me")
    (request,) = client.channel.asked
    assert (request.type, request.note, request.by) == ("t", "why", "me")
    assert client("resume_type", service.ResumeTypeResponse(changed=True))("t") is True
    types = service.ListPausedTypesResponse(types=[service.PausedType(type="t", pause=message)])
    assert client("paused_types", types)() == {"t": pause}
    assert client.channel.paths == ["ListPausedTypes"]


def test_runs_are_extended_and_cancelled(client: Both) -> None:
    extended = run_service.ExtendRunResponse()
    extended.deadline.FromDatetime(NOON)
    assert client("extend", extended)(7, HOUR, occurrence_id="o") == NOON
    (request,) = client.channel.asked
    assert (request.instance_id, request.occurrence_id) == (7, "o")
    assert request.extension.ToTimedelta() == HOUR

    def step(token: str) -> run_service.CancelRunsResponse:
        progress = run_service.RunProgress(matched=2, changed=1, next_page_token=token)
        return run_service.CancelRunsResponse(progress=progress)

    assert client("cancel", step("1"), step(""))("a/1/2", "b/1/2", dry_run=True) == (4, 2)
    assert all(
        list(each.selection.ids.run_ids) == ["a/1/2", "b/1/2"] for each in client.channel.asked
    )
    assert all(each.dry_run for each in client.channel.asked)
    where = RunFilter(job_id="a", states=[RunState.HELD])
    assert client("cancel", step("1"), step(""))(where=where) == (4, 2)
    first, _ = client.channel.asked
    assert (first.selection.filter.job_id, list(first.selection.filter.states)) == ("a", [1])


def test_why_a_job_ran(client: Both) -> None:
    explanation = run_service.Explanation(
        verdict=run_service.Explanation.VERDICT_EMITTED, sentences=["It ran."], owner="a"
    )
    explanation.run.run_id = "j/1/2"
    explanation.lateness.seconds = 2
    explanation.before.FromDatetime(NOON - HOUR)
    answer = run_service.ExplainJobResponse(explanation=explanation)
    assert client("explain", answer)("j", NOON) == Explanation(
        verdict=Verdict.EMITTED,
        sentences=["It ran."],
        run=messages.run_in(explanation.run),
        lateness=timedelta(seconds=2),
        owner="a",
        before=NOON - HOUR,
    )
    (request,) = client.channel.asked
    assert (request.job_id, request.at.ToDatetime(UTC)) == ("j", NOON)
    unknown = run_service.Explanation(verdict=99)  # type: ignore[arg-type]
    found = client("explain", run_service.ExplainJobResponse(explanation=unknown))("j")
    assert found == Explanation(verdict=Verdict.UNKNOWN, sentences=[])
    assert not client.channel.asked[0].HasField("at")


def test_jobs_are_run_now(client: Both) -> None:
    def step(token: str) -> service.RunJobsResponse:
        progress = v1.BulkProgress(matched=2, changed=1, next_page_token=token)
        runs = [run_pb2.Run(run_id=f"a/1/{token}m", job_id="a")]
        return service.RunJobsResponse(progress=progress, runs=runs)

    started = client("run_now", UNAVAILABLE, step("1"), step("2"), step(""))("a", "b")
    assert started[:2] == (6, 3)
    assert [run.run_id for run in started.runs] == ["a/1/1m", "a/1/2m", "a/1/m"]
    assert len({each.request_id for each in client.channel.asked} - {""}) == 1
    client("run_now", step(""))(where=Filter(type="t"), request_id="r", dry_run=True)
    (request,) = client.channel.asked
    assert (request.request_id, request.dry_run) == ("r", True)


def test_a_job_is_backfilled(client: Both) -> None:
    answer = service.BackfillJobResponse(runs=3, first_run_id="a", last_run_id="b")
    assert client("backfill", UNAVAILABLE, answer)("j", NOON, NOON + HOUR) == (3, "a", "b")
    first, second = client.channel.asked
    assert first == second
    assert (first.job_id, first.max_in_flight, first.until.ToDatetime(UTC)) == ("j", 1, NOON + HOUR)
    assert getattr(first, "from").ToDatetime(UTC) == NOON
    assert first.request_id


def test_a_preview(client: Both) -> None:
    answer = service.PreviewScheduleResponse()
    answer.preview.words = "w"
    assert client("preview", answer)("a").words == "w"
    assert client("preview", answer)(JobSpec(type="", schedule=now()), count=3).words == "w"
    assert client.channel.asked[0].count == 3


# --- Attempts -----------------------------------------------------------------------------------


def test_what_may_be_repeated_is_sent_again(client: Both) -> None:
    assert client("get", UNAVAILABLE, UNAVAILABLE, found("a"))("a").id == "a"
    assert len(client.slept) == 2
    first, second = client.slept
    assert 0 < first <= retrying.FIRST_PAUSE_SECONDS
    assert second <= 2 * retrying.FIRST_PAUSE_SECONDS


def test_a_created_job_has_the_same_id_in_each_attempt(client: Both) -> None:
    client("create", UNAVAILABLE, created("x"))("t", every("1 hour"))
    first, second = client.channel.asked
    assert first == second


def test_an_id_of_its_own_must_not_exist_before_the_first_attempt(client: Both) -> None:
    client("create", UNAVAILABLE, created("x"))("t", every("1 hour"), id="own")
    first, second = client.channel.asked
    assert first.request_id == ""
    assert second.request_id
    assert first.jobs == second.jobs
    client("create", created("x"))("t", every("1 hour"), id="own", request_id="r")
    assert client.channel.asked[0].request_id == "r"


def test_a_call_without_effect_may_always_be_repeated(client: Both) -> None:
    overloaded = status(grpc.StatusCode.UNAVAILABLE, reason="OVERLOADED")
    assert client("create", overloaded, created("x"))("t", now()).id == "x"


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED"])
def test_other_failures_are_final(client: Both, code: str) -> None:
    with pytest.raises(SchedulingError):
        client("get", status(grpc.StatusCode[code]))("a")
    assert client.slept == []


def test_there_is_a_last_attempt(client: Both) -> None:
    with pytest.raises(errors.Unavailable):
        client("get", *[UNAVAILABLE] * retrying.MOST_ATTEMPTS)("a")
    assert len(client.slept) == retrying.MOST_ATTEMPTS - 1


def test_the_deadline_counts_for_all_attempts() -> None:
    time = 100.0
    attempts = Attempts(2.0, repeatable=True, monotonic=lambda: time, share=lambda: 1.0)
    error = errors.Unavailable("No.", retry_seconds=1.5)
    assert attempts.pause_after(error) == 1.5
    time = 101.5
    assert attempts.seconds_left == 0.5
    with pytest.raises(errors.Unavailable):
        attempts.pause_after(error)
    time = 110.0
    assert attempts.seconds_left == 0


# --- Errors -------------------------------------------------------------------------------------


def test_an_error_tells_all() -> None:
    error = error_of(status(grpc.StatusCode.UNAVAILABLE, reason="OVERLOADED", retry=2))
    assert isinstance(error, errors.Unavailable)
    assert (str(error), error.code, error.reason) == ("No.", "UNAVAILABLE", "OVERLOADED")
    assert error.violations == (errors.Violation("jobs[0].type", "Why."),)
    assert error.retry_seconds == 2


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_code_is_an_error(code: grpc.StatusCode) -> None:
    error = error_of(status(code))
    assert type(error) is errors.KINDS.get(code.name, errors.ServiceFault)


def test_details_that_cannot_be_read_are_left_out() -> None:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff"))
    code = grpc.StatusCode.NOT_FOUND
    error = error_of(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, None))
    assert str(error) == "The answer was NOT_FOUND."


# --- Both clients, and their imports ------------------------------------------------------------


def public(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in vars(kind).items()
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods() -> None:
    ours, theirs = public(Client), public(AsyncClient)
    assert {name: [*each.parameters.values()] for name, each in ours.items()} == {
        name: [*each.parameters.values()] for name, each in theirs.items()
    }


def test_every_method_has_a_docstring() -> None:
    for kind in (Client, AsyncClient):
        assert all(inspect.getdoc(getattr(kind, name)) for name in public(kind))


def modules_of(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(sorted(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    return set(ast.literal_eval(ended.stdout.splitlines()[-1]))


def test_a_worker_does_not_import_the_client() -> None:
    modules = modules_of("from scheduling_client import Occurrences")
    assert modules.isdisjoint({"grpc", "google.protobuf", "scheduling_client.api.client"})


def test_the_client_imports_nothing_of_the_server() -> None:
    modules = modules_of("import scheduling_client as s\ns.Client, s.AsyncClient, s.every")
    assert not {name for name in modules if name.split(".")[0] in {"scheduling_srv", "cyclopts"}}
    assert "scheduling_client.schedules.cron" not in modules


def test_every_name_is_exported() -> None:
    for name in scheduling_client.__all__:
        assert getattr(scheduling_client, name)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = scheduling_client.nope


def test_the_name_of_a_schedule_is_its_type() -> None:
    assert isinstance(every("1 hour"), Schedule)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_needs_tls_beyond_this_machine(kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="could read the token"):
        kind("10.0.0.1:50054", access=Access(token="t"))


def test_each_call_has_the_token() -> None:
    channel: Any = Channel([service.GetJobsResponse()])
    Client(channel=channel, access=Access(token="t")).get_many(["a"])
    assert channel.headers == (("authorization", "Bearer t"),)
    assert "secret" not in repr(Access(token="secret", key=b"secret"))
