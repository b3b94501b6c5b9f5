"""The gRPC entrance, called over a real channel by clients generated from the 2018 protos."""

import asyncio
import gc
import logging
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any as AnyHealth
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from prometheus_client import REGISTRY

from scheduling_client.wire import commandinterface_pb2 as commands
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources
from scheduling_client.wire.commandinterface_pb2_grpc import ServiceStub as CommandStub
from scheduling_client.wire.job_pb2_grpc import ServiceStub as JobStub
from scheduling_srv.app import deadline
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.progress import Findings
from scheduling_srv.app.requests.jobs import ReadResult
from scheduling_srv.domain.errors import (
    AlreadyExists,
    InvalidRequest,
    LeaseLost,
    NotAnnounced,
    NotFound,
    StartError,
    StoreUnavailable,
    TooLarge,
    TooMany,
    Violation,
)
from scheduling_srv.domain.job import JobRequest, ReadQuery, StoredJob, Trigger, TriggerKind
from scheduling_srv.entrances import grpc_bounds
from scheduling_srv.entrances.grpc_server import GrpcServer
from scheduling_srv.formats.job_record import pack
from scheduling_srv.formats.v1.services import METHODS
from tests.client.slow_sender import SlowSender
from tests.harness.waiting import PATIENCE_SECONDS

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RawCall = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
NAMES = {
    "io.restorecommerce.job.Service",
    "io.restorecommerce.commandinterface.Service",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    *METHODS,
}


NOT_CALLED: AnyHealth = None
"""The use cases of scheduling.v1: test_grpc_v1.py has them."""


class App:
    """The use cases: they note how they were called, and may fail or wait."""

    def __init__(self) -> None:
        self.called: list[tuple[object, ...]] = []
        self.requests: Sequence[JobRequest] = ()
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.cancelled = 0
        self.left: float | None = None
        self.stored: Sequence[StoredJob] = ()
        self.serving = True

    async def note(self, *what: object) -> None:
        self.called.append(what)
        self.left = deadline.remaining()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.error is not None:
            raise self.error

    async def write(self, how: str, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        await self.note(how)
        self.requests = requests
        return [kept(request) for request in requests]

    async def create(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        return await self.write("create", requests)

    async def update(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        return await self.write("update", requests)

    async def upsert(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        return await self.write("upsert", requests)

    async def delete(self, ids: Sequence[str]) -> None:
        await self.note("delete", ids)

    async def delete_all(self) -> None:
        await self.note("delete_all")

    async def read(self, query: ReadQuery) -> ReadResult:
        await self.note("read", query)
        return ReadResult(77, self.pages())

    async def pages(self) -> AsyncGenerator[Sequence[StoredJob]]:
        for start in range(0, len(self.stored), 1000):
            yield self.stored[start : start + 1000]

    async def run(self, name: str, payload: bytes | None) -> bytes:
        await self.note("run", name, payload)
        return b'{"status":"SERVING"}'

    async def probe(self) -> bool:
        return self.serving

    async def observe(self) -> Findings:
        return Findings()


def kept(request: JobRequest) -> StoredJob:
    job_id = (request.id or "generated").encode()
    return StoredJob(job_id, pack(request, Trigger(TriggerKind.ONCE, 0)))


def made(number: int) -> StoredJob:
    return kept(JobRequest(str(number), "t", "UTC", "", b"\x0a\x03UTC", b""))


def server_of(app: App, address: str = "127.0.0.1:0") -> GrpcServer:
    health = Health(redis=app.probe, kafka=app.probe, observe=app.observe, fresh_seconds=0)
    return GrpcServer(
        address,
        jobs=app,
        definitions=NOT_CALLED,
        pauses=NOT_CALLED,
        run_control=NOT_CALLED,
        commands=app,
        health=health,
        services=["logical"],
        max_items=3,
        max_job_bytes=900_000,
        call_memory=2**28,
    )


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[int]:
    """Its port. One that is not stopped fails a later test, when it is collected."""
    server = server_of(app)
    try:
        yield await server.start()
    finally:
        await server.stop(0)


@asynccontextmanager
async def serving(app: App, *more: tuple[str, int]) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", -1), *more]
    async with listening(app) as port:
        address = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield channel


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
    async with serving(app) as channel:
        yield channel


def a_list(*ids: str) -> jobs.JobList:
    data = jobs.Data(creator="c", payload=[Any(type_url="u", value=b"\xff")])
    return jobs.JobList(items=[jobs.Job(id=each, type="t", data=data, now=True) for each in ids])


def health_of(channel: grpc.aio.Channel) -> AnyHealth:
    return HealthStub(channel)


# --- Calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Create", "Update", "Upsert"])
async def test_lists_of_jobs_are_written(app: App, channel: grpc.aio.Channel, method: str) -> None:
    call = getattr(JobStub(channel), method)
    answer = await call(a_list("a", ""), metadata=[("traceparent", PARENT), ("tracestate", "k=v")])
    assert app.called == [(method.lower(),)]
    assert [request.id for request in app.requests] == ["a", ""]
    assert {request.trace for request in app.requests} == {f"{PARENT}\nk=v".encode()}
    expected = a_list("a", "generated")
    for job in expected.items:
        job.data.timezone = "UTC"
    assert answer == jobs.JobList(items=expected.items, total_count=2)


@pytest.mark.parametrize("method", ["Create", "Update", "Upsert"])
async def test_the_caller_is_told_which_trigger_is_ignored(
    app: App, channel: grpc.aio.Channel, method: str
) -> None:
    """Before, a job with `interval` and `when` was accepted without a word."""
    given = jobs.JobList(
        items=[
            jobs.Job(id="a", type="t", data=jobs.Data(), now=True),
            jobs.Job(id="b", type="t", data=jobs.Data(), when="tomorrow", now=True),
        ]
    )
    call = getattr(JobStub(channel), method)(given)
    await call
    assert dict(await call.trailing_metadata()) == {
        "scheduling-warning": "items[1]: now is ignored, as when is set."
    }
    silent = getattr(JobStub(channel), method)(a_list("a"))
    await silent
    assert "scheduling-warning" not in dict(await silent.trailing_metadata())


async def test_a_refused_list_has_no_warning(app: App, channel: grpc.aio.Channel) -> None:
    app.error = InvalidRequest("No.")
    given = a_list("a")
    given.items[0].when = "tomorrow"
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await JobStub(channel).Create(given)
    assert "scheduling-warning" not in dict(refusal.value.trailing_metadata())


async def test_jobs_are_read(app: App, channel: grpc.aio.Channel) -> None:
    app.stored = [made(number) for number in range(2500)]
    request = jobs.JobReadRequest(
        limit=5,
        sort=jobs.JobReadRequest.DESCENDING,
        filter=jobs.JobFilter(creator="c", jobs_ids=["a"]),
    )
    answer = await JobStub(channel).Read(request)
    assert app.called == [("read", ReadQuery("c", ["a"], descending=True, limit=5))]
    assert answer.total_count == 77
    assert [job.id for job in answer.items] == [str(number) for number in range(2500)]


async def test_an_answer_that_is_too_large_is_refused(app: App, channel: grpc.aio.Channel) -> None:
    """And what was made of it is let go."""
    data = jobs.Data(creator="c" * 900_000).SerializeToString()
    app.stored = [kept(JobRequest("a", "t", "UTC", "", data, b""))] * (2**27 // len(data) + 1)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await JobStub(channel).Read(jobs.JobReadRequest())
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "set a limit" in (refusal.value.details() or "")
    field = [resources.FieldFilter(name="id", include=True)]
    answer = await JobStub(channel).Read(jobs.JobReadRequest(field=field))
    assert len(answer.items) == len(app.stored)


async def test_calls_share_a_memory_budget(app: App, channel: grpc.aio.Channel) -> None:
    """What finds none is told so at once, and finds some when others have ended."""
    app.gate = asyncio.Event()
    large = resources.DeleteRequest(ids=["x" * 30_000_000])
    waiting = asyncio.ensure_future(JobStub(channel).Delete(large))
    while not app.called:  # noqa: ASYNC110 - the test's time-out bounds it
        await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await JobStub(channel).Delete(large)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "later" in (refusal.value.details() or "")
    app.gate.set()
    await waiting
    await JobStub(channel).Delete(large)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_understood(
    app: App, channel: grpc.aio.Channel, compression: grpc.Compression
) -> None:
    """By health as well, and small requests, which clients do not compress."""
    many = resources.DeleteRequest(ids=["x" * 1_000])
    for request in (many, resources.DeleteRequest(ids=["a"])):
        await JobStub(channel).Delete(request, compression=compression)
        assert app.called[-1] == ("delete", list(request.ids))
    failed = await failure(
        health_of(channel).Check(HealthCheckRequest(service="n" * 1_000), compression=compression)
    )
    assert failed.code() is grpc.StatusCode.NOT_FOUND


async def test_a_request_that_decompresses_to_too_much_is_refused(
    app: App, channel: grpc.aio.Channel
) -> None:
    large = resources.DeleteRequest(ids=["x" * (33 * 2**20)])
    failed = await failure(JobStub(channel).Delete(large, compression=grpc.Compression.Gzip))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert app.called == []
    await JobStub(channel).Delete(resources.DeleteRequest(ids=["a"]))


async def test_a_slow_sender_does_not_stop_small_calls(app: App) -> None:
    """While other calls wait, the calls of a slow sender are refused, the oldest first."""
    async with listening(app) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with SlowSender(port) as slow:
            for _ in range(20):
                slow.begin(2**20)
            while not slow.ended():
                await JobStub(channel).Delete(
                    resources.DeleteRequest(ids=["a"]), timeout=PATIENCE_SECONDS
                )


async def test_fields_are_selected(app: App, channel: grpc.aio.Channel) -> None:
    app.stored = [made(1)]
    field = [resources.FieldFilter(name="id", include=True)]
    answer = await JobStub(channel).Read(jobs.JobReadRequest(field=field))
    assert answer == jobs.JobList(items=[jobs.Job(id="1")], total_count=77)


async def test_nothing_is_found(app: App, channel: grpc.aio.Channel) -> None:
    assert not (await JobStub(channel).Read(jobs.JobReadRequest())).items
    assert app.called == [("read", ReadQuery(ids=[]))]


async def test_jobs_are_deleted(app: App, channel: grpc.aio.Channel) -> None:
    await JobStub(channel).Delete(resources.DeleteRequest(ids=["a", "b"]))
    await JobStub(channel).Delete(resources.DeleteRequest(collection=True))
    assert app.called == [("delete", ["a", "b"]), ("delete_all",)]


async def test_commands_are_run(app: App, channel: grpc.aio.Channel) -> None:
    request = commands.CommandRequest(name="version", payload=Any(value=b"{}"))
    answer = await CommandStub(channel).Command(request)
    assert (answer.type_url, answer.value) == ("payload", b'{"status":"SERVING"}')
    assert app.called == [("run", "version", b"{}")]


# --- Errors -------------------------------------------------------------------------------------


async def failure(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call  # type: ignore[misc]
    return failed.value


def violations(error: grpc.aio.AioRpcError) -> list[tuple[str, str]]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None:
        return []
    detail = BadRequest()
    assert status.message == error.details()
    assert all(each.Unpack(detail) for each in status.details)
    return [(each.field, each.description) for each in detail.field_violations]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("Why."), grpc.StatusCode.INVALID_ARGUMENT),
        (AlreadyExists("Why."), grpc.StatusCode.ALREADY_EXISTS),
        (NotFound("Why."), grpc.StatusCode.NOT_FOUND),
        (TooLarge("Why."), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (TooMany("Why."), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (StoreUnavailable("Why."), grpc.StatusCode.UNAVAILABLE),
        (NotAnnounced("Why."), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_each_error_has_its_code(
    app: App, channel: grpc.aio.Channel, error: Exception, code: grpc.StatusCode
) -> None:
    app.error = error
    failed = await failure(JobStub(channel).Create(a_list("a")))
    assert (failed.code(), failed.details(), violations(failed)) == (code, "Why.", [])


async def test_violations_are_details(app: App, channel: grpc.aio.Channel) -> None:
    app.error = NotFound("Wo? Ü \U0001f600\n%", [Violation("items[0].id", "Item 0: ü")])
    failed = await failure(JobStub(channel).Update(a_list("a")))
    assert failed.details() == "Wo? Ü \U0001f600\n%"
    assert violations(failed) == [("items[0].id", "Item 0: ü")]


async def test_ten_thousand_violations_fit_into_the_headers(
    app: App, channel: grpc.aio.Channel
) -> None:
    faults = [Violation(f"items[{at}].id", f"Item {at}: " + "ü" * 4000) for at in range(10_000)]
    app.error = InvalidRequest("\ud800" + "ü" * 10_000, faults)
    failed = await failure(JobStub(channel).Create(a_list("a")))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    first, *_, last = violations(failed)
    assert first[0] == "items[0].id"
    assert last[1].startswith("There are 99")


def header_bytes(failed: grpc.aio.AioRpcError) -> int:
    """As a client counts them: names, values and 32 bytes for each; details travel as base64."""
    sentence = quote(str(failed.details()), safe=PRINTABLE)
    pairs = [("grpc-status", "5"), ("grpc-message", sentence)]
    for name, value in failed.trailing_metadata():
        text = b64encode(value).decode() if isinstance(value, bytes) else value
        pairs.append((name, text))
    return sum(len(name) + len(value) + 32 for name, value in pairs)


PRINTABLE = "".join(map(chr, range(32, 127))).replace("%", "")
LARGEST_ID = "\U0001f600" * 450


@pytest.mark.parametrize("text", [LARGEST_ID, "%" * 900, "a" * 900, "\ud800" * 900])
async def test_a_status_of_long_ids_fits_into_the_headers(
    app: App, channel: grpc.aio.Channel, text: str
) -> None:
    """Or the client would make RESOURCE_EXHAUSTED of it."""
    sentence = f"A job with the id {text} already exists."
    faults = [Violation(f"items[{at}].id", f"Item {at}: {sentence}") for at in range(100)]
    app.error = AlreadyExists(sentence, faults)
    failed = await failure(JobStub(channel).Create(a_list("a")))
    assert failed.code() is grpc.StatusCode.ALREADY_EXISTS
    assert str(failed.details()).startswith("A job with the id ")
    assert violations(failed)[0][0] == "items[0].id"
    assert header_bytes(failed) < 8_192


async def test_a_short_sentence_is_not_cut(app: App, channel: grpc.aio.Channel) -> None:
    sentence = "There is no job with the id " + "ä" * 190
    app.error = NotFound(sentence)
    assert (await failure(JobStub(channel).Update(a_list("a")))).details() == sentence


@pytest.mark.slow
async def test_a_watcher_that_pings_every_six_seconds_is_not_disconnected(app: App) -> None:
    """Three pings that come too soon end a connection; there are six within these seconds."""
    pings = ("grpc.keepalive_time_ms", 6_000), ("grpc.http2.max_pings_without_data", 0)
    async with serving(app, *pings) as channel:
        stub: AnyHealth = HealthStub(channel)
        watch = stub.Watch(HealthCheckRequest())
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        second = asyncio.ensure_future(watch.read())
        done, _ = await asyncio.wait([second], timeout=36)
        assert not done, second
        watch.cancel()
        await asyncio.gather(second, return_exceptions=True)


@pytest.mark.parametrize("error", [KeyError("secret"), LeaseLost("secret"), ValueError()])
async def test_a_fault_of_ours_tells_nothing_but_where_to_look(
    app: App, channel: grpc.aio.Channel, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    app.error = error
    failed = await failure(JobStub(channel).Create(a_list("a")))
    assert failed.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(failed.details())
    reference = str(failed.details()).split()[3]
    out = capsys.readouterr().out
    assert reference in out
    assert type(error).__name__ in out


async def test_calls_are_counted_by_their_outcome(app: App, channel: grpc.aio.Channel) -> None:
    def count(code: str) -> float:
        labels = {"method": "Update", "code": code}
        return REGISTRY.get_sample_value("scheduling_grpc_calls_total", labels) or 0

    before = count("OK"), count("NOT_FOUND")
    await JobStub(channel).Update(a_list("a"))
    app.error = NotFound("Why.")
    await failure(JobStub(channel).Update(a_list("a")))
    assert (count("OK"), count("NOT_FOUND")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("job.Service/Create", b"\x0a\x05"),
        ("job.Service/Create", b"\x08\x01"),
        ("job.Service/Read", b"\x10\x07"),
        ("job.Service/Delete", b"\xff"),
        ("commandinterface.Service/Command", b"\x0a\x01\xff"),
    ],
)
async def test_bytes_that_are_no_request_are_the_callers_fault(
    app: App, channel: grpc.aio.Channel, method: str, raw: bytes
) -> None:
    call: RawCall = channel.unary_unary(f"/io.restorecommerce.{method}")
    failed = await failure(call(raw))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert app.called == []


async def test_a_list_that_is_too_long(app: App, channel: grpc.aio.Channel) -> None:
    failed = await failure(JobStub(channel).Create(a_list("a", "b", "c", "d")))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert app.called == []


async def test_a_request_that_is_too_large(app: App, channel: grpc.aio.Channel) -> None:
    large = jobs.Data(payload=[Any(value=bytes(33 * 2**20))])
    request = jobs.JobList(items=[jobs.Job(data=large)])
    failed = await failure(JobStub(channel).Create(request))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert app.called == []


async def test_an_unknown_method(channel: grpc.aio.Channel) -> None:
    call: RawCall = channel.unary_unary("/io.restorecommerce.job.Service/Nope")
    failed = await failure(call(b""))
    assert failed.code() is grpc.StatusCode.UNIMPLEMENTED


# --- Deadlines ----------------------------------------------------------------------------------


async def test_the_use_case_knows_how_long_its_caller_waits(
    app: App, channel: grpc.aio.Channel
) -> None:
    await JobStub(channel).Create(a_list("a"))
    first = app.left
    await JobStub(channel).Create(a_list("a"), timeout=30)
    assert first is None
    assert 0 < (app.left or 0) < 29.9


async def test_a_call_whose_client_left_is_cancelled(
    app: App, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    app.gate, seconds = asyncio.Event(), 0.1
    while not app.called:  # a call that comes too late is none
        failed = await failure(JobStub(channel).Create(a_list("a"), timeout=seconds))
        assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        seconds *= 2
    while app.cancelled == 0:  # noqa: ASYNC110 - the test's time-out bounds it
        await asyncio.sleep(0.01)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


# --- Health and reflection ----------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", "logical", *sorted(NAMES)])
async def test_health_of_what_there_is(app: App, channel: grpc.aio.Channel, service: str) -> None:
    check = health_of(channel).Check
    assert (await check(HealthCheckRequest(service=service))).status == HealthCheckResponse.SERVING
    app.serving = False
    answer = await check(HealthCheckRequest(service=service))
    assert answer.status == HealthCheckResponse.NOT_SERVING


async def test_health_of_what_there_is_not(channel: grpc.aio.Channel) -> None:
    failed = await failure(health_of(channel).Check(HealthCheckRequest(service="nope")))
    assert failed.code() is grpc.StatusCode.NOT_FOUND


async def test_health_of_everything(channel: grpc.aio.Channel) -> None:
    request = health_pb2.HealthListRequest()  # type: ignore[attr-defined]
    answer = await health_of(channel).List(request)
    assert set(answer.statuses) == {"", "logical", *NAMES}


async def test_health_is_watched(app: App, channel: grpc.aio.Channel) -> None:
    call = health_of(channel).Watch(HealthCheckRequest())
    seen = []
    async for answer in call:
        seen.append(answer.status)
        app.serving = not app.serving
        if len(seen) == 3:
            break
    call.cancel()
    word = HealthCheckResponse
    assert seen == [word.SERVING, word.NOT_SERVING, word.SERVING]


async def test_an_unknown_service_may_be_watched(channel: grpc.aio.Channel) -> None:
    call = health_of(channel).Watch(HealthCheckRequest(service="nope"))
    async for answer in call:
        assert answer.status == HealthCheckResponse.SERVICE_UNKNOWN
        break
    call.cancel()


def reflected(address: str) -> Iterator[str]:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        yield from database.get_services()
        pool = DescriptorPool(database)
        for name in ("job", "commandinterface"):
            service = pool.FindServiceByName(f"io.restorecommerce.{name}.Service")
            yield from sorted(
                f"{method.name} {method.input_type.name}" for method in service.methods
            )


async def test_a_generic_client_finds_everything(app: App) -> None:
    async with listening(app) as port:
        found = await asyncio.to_thread(lambda: list(reflected(f"127.0.0.1:{port}")))
    assert set(found[: len(NAMES)]) == NAMES
    assert found[len(NAMES) :] == [
        "Create JobList",
        "Delete DeleteRequest",
        "Read JobReadRequest",
        "Update JobList",
        "Upsert JobList",
        "Command CommandRequest",
    ]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("unary_unary", "/grpc.health.v1.Health/Check"),
        ("unary_unary", "/grpc.health.v1.Health/List"),
        ("unary_stream", "/grpc.health.v1.Health/Watch"),
        ("stream_stream", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    ],
)
async def test_what_cannot_be_read_is_the_clients_fault_there_too(
    channel: grpc.aio.Channel, kind: str, path: str
) -> None:
    truncated = b"\x0a\x7f\x01"
    method = getattr(channel, kind)(path)
    call = method(iter([truncated]) if kind == "stream_stream" else truncated)
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
async def test_requests_of_health_are_bounded(
    channel: grpc.aio.Channel, compression: grpc.Compression | None
) -> None:
    request = HealthCheckRequest(service="n" * 2**16)
    failed = await failure(health_of(channel).Check(request, compression=compression))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_streams_of_health_are_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_bounds, "MAX_WATCHES", 2)
    async with serving(app) as channel:
        watches = [health_of(channel).Watch(HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        more = health_of(channel).Watch(HealthCheckRequest())
        assert await more.code() is grpc.StatusCode.UNAVAILABLE
        watches[0].cancel()
        while True:
            another = health_of(channel).Watch(HealthCheckRequest())
            if await another.read() is not grpc.aio.EOF:
                break
        another.cancel()
        watches[1].cancel()


async def test_idle_streams_of_reflection_hold_up_no_other_call(channel: grpc.aio.Channel) -> None:
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    method: AnyHealth = channel.stream_stream(path)
    idle = [method() for _ in range(10)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await health_of(channel).Check(HealthCheckRequest())
    for call in idle:
        call.cancel()


# --- Start and stop -----------------------------------------------------------------------------


async def test_a_port_that_is_taken(app: App) -> None:
    async with listening(app) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(StartError) as refused:
            await server_of(app, address).start()
    assert str(refused.value) == (
        f"Cannot listen on {address} (SCHEDULING_GRPC_ADDRESS): Address already in use."
    )


async def test_what_was_begun_is_finished(app: App) -> None:
    app.gate = asyncio.Event()
    server = server_of(app)
    address = f"127.0.0.1:{await server.start()}"
    async with grpc.aio.insecure_channel(address) as channel:
        call = asyncio.ensure_future(JobStub(channel).Create(a_list("a")))
        watch = health_of(channel).Watch(HealthCheckRequest())
        await watch.read()
        while not app.called:  # noqa: ASYNC110 - the test's time-out bounds it
            await asyncio.sleep(0.01)
        stopped = asyncio.create_task(server.stop(60))
        await asyncio.sleep(0.05)
        app.gate.set()
        assert (await call).total_count == 1
        await stopped
