"""TLS, credentials, roles and limits, on the real service."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

import scheduling_srv.entrances.grpc_server  # noqa: F401 - the messages of all services
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service_pb2
from scheduling_client.wire.v1 import run_service_pb2 as run_pb2
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from scheduling_client.wire.v1.run_service_pb2_grpc import RunServiceStub
from scheduling_srv.adapters.credentials.caller_file import hash_of
from scheduling_srv.app.access.rules import RULES
from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import Sender, TopicReader
from tests.e2e.product import fresh, tomorrow
from tests.harness.certificates import Authority, Pair
from tests.harness.fixtures import StartService
from tests.harness.given import Kafka
from tests.harness.service import Service
from tests.harness.tokens import AUDIENCE, ISSUER, Issuer, write_callers
from tests.harness.waiting import PATIENCE_SECONDS, eventually

COMMAND = Path(sys.executable).parent / "scheduling"
MISSING = grpc.StatusCode.NOT_FOUND
DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
CALLERS: tuple[dict[str, Any], ...] = (
    {"name": "reader", "role": "reader", "tokens": [hash_of("r")]},
    {"name": "operator", "role": "operator", "tokens": [hash_of("o")]},
    {"name": "admin", "role": "admin", "tokens": [hash_of("a")]},
    {"name": "mail", "role": "admin", "tokens": [hash_of("m")], "types": ["mail"]},
)


class House:
    """A replica with TLS and credentials, and the keys to it."""

    def __init__(self, directory: Path, service: StartService, bootstrap: str) -> None:
        self.directory = directory
        self.bootstrap = bootstrap
        self.authority = Authority(directory / "authority")
        self.own = self.authority.sign("scheduling.test", file="own")
        self.issuer = Issuer()
        self.callers = directory / "callers.toml"
        write_callers(self.callers, *CALLERS)
        self.keys = directory / "keys.json"
        self.keys.write_text(self.issuer.jwks)
        self.audit = directory / "audit.log"
        self.replica = service(start=False)
        self.replica.settings |= {
            "SCHEDULING_LOG_FORMAT": "json",
            "SCHEDULING_TLS_CERTIFICATE": str(self.own.certificate),
            "SCHEDULING_TLS_KEY": str(self.own.key),
            "SCHEDULING_CALLERS": str(self.callers),
            "SCHEDULING_JWT_KEYS": str(self.keys),
            "SCHEDULING_JWT_ISSUER": ISSUER,
            "SCHEDULING_JWT_AUDIENCE": AUDIENCE,
            "SCHEDULING_AUDIT_LOG": str(self.audit),
        }
        self._clients: list[Client] = []

    def start(self, **settings: str) -> Service:
        self.replica.settings |= {f"SCHEDULING_{key.upper()}": settings[key] for key in settings}
        self.replica.launch()
        return self.replica

    def serve(self, **settings: str) -> None:
        """Start, and wait until it serves."""
        self.start(**settings)
        probe = self.client("a")
        self.replica.process.until_ready(lambda: probe.health() == "SERVING")

    def client(
        self, token: str | None = None, pair: Pair | None = None, authority: Authority | None = None
    ) -> Client:
        made = Client(
            self.replica.address,
            token=token,
            credentials=grpc.ssl_channel_credentials(
                (authority or self.authority).ca.read_bytes(),
                pair.key.read_bytes() if pair else None,
                pair.certificate.read_bytes() if pair else None,
            ),
        )
        self._clients.append(made)
        return made

    def get(self, page: str, token: str | None = None) -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        connection = HTTPSConnection(
            "127.0.0.1", self.replica.admin_port, timeout=PATIENCE_SECONDS, context=context
        )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with closing(connection):
            connection.request("GET", page, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event, once there are any."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.replica.lines() if line["event"] == event]

        return eventually(found, what=event)

    def close(self) -> None:
        for each in self._clients:
            each.channel.close()


@pytest.fixture
def house(tmp_path: Path, service: StartService, kafka: Kafka) -> Iterator[House]:
    made = House(tmp_path, service, kafka.bootstrap)
    yield made
    made.close()


def refusal(call: Any, *arguments: Any, **named: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    return caught.value


def test_each_role_may_do_what_is_its_own(house: House) -> None:
    house.serve()
    job = contract.job(id=fresh(), type="mail", when=tomorrow())
    reader, operator, admin = (house.client(token) for token in "roa")
    assert refusal(reader.create, job).code is DENIED
    operator.create(job)
    assert [each.id for each in reader.read().items] == [job.id]
    for caller in (reader, operator):
        assert caller.command("version")["version"]
        assert "needs the role admin" in refusal(caller.command, "reset").message
    admin.command("reset")
    assert reader.read().total_count == 0
    signed = house.client(house.issuer.token("jane", "operator"))
    signed.create(job)
    signed.delete(job.id)
    pool = descriptor_pool.Default()
    for service in reader.services():  # all that are registered
        methods = pool.FindServiceByName(service).methods
        assert {f"/{service}/{method.name}" for method in methods} <= RULES.keys()
    lines = [(each["caller"], each["method"].rpartition("/")[2], each["outcome"], each["ids"])
             for each in house.audited()]  # fmt: skip
    assert lines == [
        ("reader", "Create", "PERMISSION_DENIED", []),
        ("operator", "Create", "OK", [job.id]),
        ("reader", "Command", "PERMISSION_DENIED", []),
        ("operator", "Command", "PERMISSION_DENIED", []),
        ("admin", "Command", "OK", []),
        ("jane", "Create", "OK", [job.id]),
        ("jane", "Delete", "OK", [job.id]),
    ]
    reset = house.audited()[4]
    assert (reset["detail"], reset["role"]) == ("reset", "admin")
    assert reset["peer"].startswith("ipv4:127.0.0.1:")
    deleted = house.logged("a reset deleted all jobs")
    assert deleted[0]["caller"].startswith("admin@ipv4:127.0.0.1:")


@pytest.mark.parametrize("token", [None, "", "unknown", "x" * 7000, "a.b.c"])
def test_without_valid_credentials_only_health_answers(house: House, token: str | None) -> None:
    house.serve()
    stranger = house.client(token)
    for call in (
        stranger.read,
        stranger.services,
        lambda: stranger.command("version"),
        lambda: stranger.create(contract.job(type="mail", now=True)),
        lambda: stranger.delete(collection=True),
    ):
        assert refusal(call).code is UNKNOWN
    eventually(lambda: stranger.health() == "SERVING", what="SERVING")
    eventually(lambda: house.get("/readyz") == (200, "ok\n"), what="a ready replica")
    for page in ("/", "/metrics", "/readyz?verbose"):
        status, text = house.get(page, token)
        assert (status, "token" in text.lower()) == (401, True)
    assert house.get("/metrics", "r")[0] == 200
    shown = house.get("/metrics", "r")[1]
    assert 'scheduling_calls_refused_total{reason="unauthenticated"} 8.0' in shown
    assert {line["outcome"] for line in house.audited()} == {"UNAUTHENTICATED"}


def test_health_may_be_closed_and_reflection_switched_off(house: House) -> None:
    house.start(open_health="false", reflection="false")
    known, stranger = house.client("r"), house.client()
    house.replica.process.until_ready(lambda: known.health() == "SERVING")
    assert refusal(stranger.health).code is UNKNOWN
    assert refusal(known.services).code is grpc.StatusCode.UNIMPLEMENTED
    assert house.get("/livez")[0] == 401
    assert house.get("/livez", "r")[0] == 200


def test_a_limited_caller_sees_and_changes_its_own_jobs_only(house: House) -> None:
    house.serve()
    own, other = fresh(), fresh()
    admin, mail = house.client("a"), house.client("m")
    admin.create(
        contract.job(id=own, type="mail", when=tomorrow()),
        contract.job(id=other, type="report", when=tomorrow()),
    )
    read = mail.read()
    assert ([each.id for each in read.items], read.total_count) == ([own], 1)
    assert mail.read(filter=contract.JobFilter(jobs_ids=[other])).total_count == 0
    calls = (
        lambda: mail.create(contract.job(type="report", now=True)),
        lambda: mail.update(contract.job(id=other, type="mail", when=tomorrow())),
        lambda: mail.upsert(contract.job(id=other, type="mail", when=tomorrow())),
        lambda: mail.upsert(contract.job(id=own, type="report", when=tomorrow())),
        lambda: mail.delete(own, other),
        lambda: mail.delete(collection=True),
        lambda: mail.command("reset"),
    )
    for call in calls:
        found = refusal(call)
        assert found.code is DENIED
        assert "limit" in found.message
    assert {each.id for each in admin.read().items} == {own, other}
    mail.upsert(contract.job(id=own, type="mail", when=tomorrow()))
    mail.delete(own, fresh())
    assert [each.id for each in admin.read().items] == [other]


def test_a_limited_caller_reads_its_own_jobs_with_scheduling_v1(house: House) -> None:
    house.serve()
    own, other = fresh(), fresh()
    when = v1.Schedule(interval="0 5 * * *")
    specs = [v1.JobSpec(id=own, type="mail", schedule=when)]
    specs.append(v1.JobSpec(id=other, type="report", schedule=when))
    _v1(house, "o", "CreateJobs", service_pb2.CreateJobsRequest(jobs=specs))
    listed = _v1(house, "m", "ListJobs", service_pb2.ListJobsRequest())
    assert ([each.spec.id for each in listed.jobs], listed.total_size) == ([own], 1)
    got = _v1(house, "m", "GetJobs", service_pb2.GetJobsRequest(ids=[own, other]))
    assert [each.spec.id for each in got.jobs] == [own]
    assert _v1(house, "m", "PreviewSchedule", service_pb2.PreviewScheduleRequest(job_id=own))
    preview = service_pb2.PreviewScheduleRequest(job_id=other)
    assert _refused(house, "m", "PreviewSchedule", preview)[0] is MISSING
    for page in ("/", "/jobs", "/upcoming", "/runs"):
        status, text = house.get(page, "m")
        assert (status, other in text) == (200, False)
    assert own in house.get("/jobs", "m")[1]
    assert house.get("/system", "m")[0] == 403


def _v1(house: House, token: str, method: str, request: Message) -> Any:
    client = house.client(token)
    stubs = [JobServiceStub(client.channel), RunServiceStub(client.channel)]
    call: Any = next(found for stub in stubs if (found := getattr(stub, method, None)))
    return call(request, metadata=client.metadata, timeout=PATIENCE_SECONDS)


def _refused(
    house: House, token: str, method: str, request: Message
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        _v1(house, token, method, request)
    fault: Any = caught.value
    return fault.code(), fault.details()


def _own_and_other(house: House) -> tuple[str, str]:
    """A job of the limited caller, and one of others."""
    own, other = fresh(), fresh()
    when = v1.Schedule(interval="0 5 * * *")
    for token, job_id, kind in (("m", own, "mail"), ("o", other, "report")):
        spec = v1.JobSpec(id=job_id, type=kind, schedule=when)
        _v1(house, token, "CreateJobs", service_pb2.CreateJobsRequest(jobs=[spec]))
    return own, other


def test_a_limited_operator_defines_its_own_jobs_with_scheduling_v1(house: House) -> None:
    house.serve()
    own, other = _own_and_other(house)
    spec = v1.JobSpec(type="report", schedule=v1.Schedule(interval="0 5 * * *"))
    wrong = service_pb2.CreateJobsRequest(jobs=[spec])
    code, sentence = _refused(house, "m", "CreateJobs", wrong)
    assert (code, "the type 'report' is not allowed" in sentence) == (DENIED, True)

    def update(job_id: str, path: str, **values: Any) -> Message:
        spec = v1.JobSpec(id=job_id, **values)
        return service_pb2.UpdateJobRequest(job=spec, update_mask=FieldMask(paths=[path]))

    assert _v1(house, "m", "UpdateJob", update(own, "parallel", parallel=2)).changed
    foreign = update(other, "parallel", parallel=2)
    assert _refused(house, "m", "UpdateJob", foreign)[0] is MISSING
    move = update(own, "type", type="report")
    assert _refused(house, "m", "UpdateJob", move)[0] is DENIED
    for job_id, answer in ((own, None), (other, MISSING)):
        explain = run_pb2.ExplainJobRequest(job_id=job_id)
        backfill = service_pb2.BackfillJobRequest(job_id=job_id, max_in_flight=1, dry_run=True)
        getattr(backfill, "from").FromSeconds(1_700_000_000)
        backfill.until.FromSeconds(1_700_100_000)
        for method, request in (("ExplainJob", explain), ("BackfillJob", backfill)):
            if answer:
                assert _refused(house, "m", method, request)[0] is answer
            else:
                _v1(house, "m", method, request)


def test_bulk_calls_of_a_limited_operator_concern_its_own_jobs(house: House) -> None:
    house.serve()
    own, other = _own_and_other(house)
    everything = v1.JobSelection(filter=v1.JobFilter())
    both = v1.JobSelection(ids=v1.JobIds(ids=[own, other]))
    for selection in (everything, both):
        for method in ("PauseJobs", "ResumeJobs"):
            request = getattr(service_pb2, f"{method}Request")(selection=selection)
            progress = _v1(house, "m", method, request).progress
            assert (progress.matched, progress.changed) == (1, 1)
    for method in ("PauseType", "ResumeType"):
        request_of = getattr(service_pb2, f"{method}Request")
        _v1(house, "m", method, request_of(type="mail"))
        assert _refused(house, "m", method, request_of(type="report"))[0] is DENIED
    deleted = _v1(house, "m", "DeleteJobs", service_pb2.DeleteJobsRequest(selection=everything))
    assert deleted.progress.matched == 1
    left = _v1(house, "o", "GetJobs", service_pb2.GetJobsRequest(ids=[own, other]))
    assert [job.spec.id for job in left.jobs] == [other]


def test_a_limited_operator_controls_its_own_runs(house: House) -> None:
    house.serve()
    called = partial(_v1, house)
    own, _ = _own_and_other(house)
    run_all = service_pb2.RunJobsRequest(selection=v1.JobSelection(filter=v1.JobFilter()))
    called("o", "RunJobs", run_all)  # one of each job
    assert [run.job_id for run in called("m", "RunJobs", run_all).runs] == [own]
    listed = run_pb2.ListRunsRequest()

    def emitted() -> dict[str, list[int]]:
        runs = [run for run in called("o", "ListRuns", listed).runs if run.instance_id]
        kinds = ("mail", "report")
        return {kind: [run.instance_id for run in runs if run.type == kind] for kind in kinds}

    eventually(lambda: sum(map(len, emitted().values())) == 3, what="all runs are emitted")
    (mine, _), (foreign,) = emitted().values()
    extend = run_pb2.ExtendRunRequest(instance_id=foreign)
    assert _refused(house, "m", "ExtendRun", extend)[0] is MISSING
    assert called("m", "ExtendRun", run_pb2.ExtendRunRequest(instance_id=mine)).deadline
    with Sender(house.bootstrap) as sender:
        for instance in (mine, foreign):
            failure = contract.JobFailed(id=instance, error="broken")
            sender.send(house.replica.names.jobs, "jobFailed", failure)
    failed = run_pb2.RunSelection(filter=run_pb2.RunFilter(error="broken"))
    count = run_pb2.RetryRunsRequest(selection=failed, dry_run=True)
    eventually(lambda: called("o", "RetryRuns", count).progress.matched == 2, what="both failed")
    retried = called("m", "RetryRuns", run_pb2.RetryRunsRequest(selection=failed)).progress
    assert (retried.matched, retried.changed) == (1, 1)
    every_run = run_pb2.RunSelection(filter=run_pb2.RunFilter())
    cancel = run_pb2.CancelRunsRequest(selection=every_run)
    assert called("m", "CancelRuns", cancel).progress.changed == 2
    assert called("o", "RetryRuns", count).progress.matched == 1, "that of the others"


def test_scheduling_v1_stands_behind_the_doors(house: House) -> None:
    house.serve()
    own, other = fresh(), fresh()

    called = partial(_v1, house)
    spec = v1.JobSpec(type="mail", schedule=v1.Schedule(interval="0 5 * * *"))
    specs = [v1.JobSpec(id=each, type=spec.type, schedule=spec.schedule) for each in (own, other)]
    called("o", "CreateJobs", service_pb2.CreateJobsRequest(jobs=specs))
    times = called("m", "PreviewSchedule", service_pb2.PreviewScheduleRequest(spec=spec))
    assert times.preview.times
    selection = v1.JobSelection(filter=v1.JobFilter(type="mail"))
    called("o", "PauseJobs", service_pb2.PauseJobsRequest(selection=selection))
    called("o", "ResumeJobs", service_pb2.ResumeJobsRequest(selection=selection))
    called("o", "PauseType", service_pb2.PauseTypeRequest(type="mail"))
    called("o", "ResumeType", service_pb2.ResumeTypeRequest(type="mail"))
    called("a", "DeleteJobs", service_pb2.DeleteJobsRequest(selection=selection))
    changes = [each for each in house.audited() if each["outcome"] == "OK"]
    found = [(each["method"].rpartition("/")[2], each["caller"], each["count"], {*each["ids"]})
             for each in changes]  # fmt: skip
    both = 2, {own, other}
    assert found == [
        ("CreateJobs", "operator", *both),
        ("PauseJobs", "operator", *both),
        ("ResumeJobs", "operator", *both),
        ("PauseType", "operator", 0, set()),
        ("ResumeType", "operator", 0, set()),
        ("DeleteJobs", "admin", *both),
    ]
    assert [each.get("detail") for each in changes[3:5]] == ["type mail"] * 2
    deleted = house.logged("jobs were deleted by id")
    assert [line["caller"] for line in deleted] == ["admin"]


def test_credentials_are_read_again_when_they_change(house: House) -> None:
    house.serve()
    client, signed = house.client("o"), house.client(house.issuer.token("jane", "reader"))
    client.read()
    signed.read()
    write_callers(house.callers, *CALLERS[:1])
    eventually(lambda: _is_refused(client), what="the token is revoked")
    house.issuer.rotate(forget=True)
    house.keys.write_text(house.issuer.jwks)
    eventually(lambda: _is_refused(signed), what="the key is gone")
    house.client(house.issuer.token("jane", "reader")).read()
    house.callers.write_text("broken")
    house.logged("the file of callers cannot be used")
    house.client("r").read()


def _is_refused(client: Client) -> bool:
    try:
        client.read()
    except Refusal as fault:
        return fault.code is UNKNOWN
    return False


def test_certificates_are_read_again_when_they_change(house: House) -> None:
    house.serve()
    house.client("r").read()
    assert house.get("/livez")[0] == 200
    other = Authority(house.directory / "other")
    renewed = other.sign("scheduling.test", file="own")
    house.own.certificate.write_bytes(renewed.certificate.read_bytes())
    house.own.key.write_bytes(renewed.key.read_bytes())
    house.logged("certificates were read again")
    house.client("r", authority=other).read()
    house.authority = other
    eventually(lambda: _is_alive(house), what="the new certificate of the HTTP port")


def _is_alive(house: House) -> bool:
    """The HTTP port listens anew for its new certificate, a moment after the log tells of it."""
    try:
        return house.get("/livez")[0] == 200
    except OSError:
        return False


def test_clients_with_certificates(house: House) -> None:
    billing = house.authority.sign("billing.test")
    write_callers(house.callers, {"name": "b", "role": "reader", "certificates": ["billing.test"]})
    house.start(tls_client_ca=str(house.authority.ca))
    known = house.client(pair=billing)
    house.replica.process.until_ready(lambda: known.health() == "SERVING")
    known.read()
    unlisted = house.client(pair=house.authority.sign("other.test"))
    assert "certificate of other.test belongs to no caller" in refusal(unlisted.read).message
    foreign = Authority(house.directory / "foreign").sign("billing.test")
    expired = house.authority.sign("billing.test", lasts=-timedelta(days=1), file="expired")
    for pair in (None, foreign, expired):
        client = house.client(pair=pair)
        client.timeout = 1
        assert refusal(client.read).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert house.get("/livez")[0] == 200
    assert house.get("/metrics")[0] == 401


def test_the_command_shows_its_credentials(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house.serve()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SCHEDULING_CLIENT_SERVER", house.replica.address)

    def line(*arguments: str) -> tuple[int, str]:
        ended = subprocess.run([COMMAND, *arguments], capture_output=True, check=False, text=True)
        return ended.returncode, ended.stdout + ended.stderr

    secret = tmp_path / "token"
    secret.write_text("o\n")
    assert line("list", "--tls", "--timeout", "2s")[0] == 5
    monkeypatch.setenv("SCHEDULING_CLIENT_CA", str(house.authority.ca))
    code, text = line("list")
    assert (code, "has no credentials" in text) == (1, True)
    assert line("list", "--token", "o")[0] == 0
    job = ("create", "--type", "mail", "--at", tomorrow())
    assert line(*job, "--token-file", str(secret))[0] == 0
    monkeypatch.setenv("SCHEDULING_CLIENT_TOKEN", "r")
    code, text = line(*job)
    assert (code, "needs the role operator" in text) == (1, True)
    monkeypatch.delenv("SCHEDULING_CLIENT_CA")
    code, text = line("list", "--server", "scheduling.test:50054")
    assert (code, "say --tls" in text) == (2, True)


# --- a start that must fail ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls_key": ""}, "needs both SCHEDULING_TLS_CERTIFICATE and SCHEDULING_TLS_KEY"),
        ({"tls_key": "{foreign}"}, "does not belong to"),
        ({"tls_key": "/none"}, "Cannot read /none (SCHEDULING_TLS_KEY)"),
        ({"tls_client_ca": "{key}"}, "holds no certificate in PEM"),
        ({"callers": "/none"}, "Cannot read /none (SCHEDULING_CALLERS)"),
        ({"jwt_keys": "/none"}, "Cannot use /none (SCHEDULING_JWT_KEYS)"),
        ({"jwt_keys": "http://login.test/keys"}, "has to be https"),
        ({"jwt_audience": ""}, "needs SCHEDULING_JWT_ISSUER and SCHEDULING_JWT_AUDIENCE"),
        ({"audit_log": "/none/audit.log"}, "Cannot write /none/audit.log (SCHEDULING_AUDIT_LOG)"),
        (
            {"grpc_address": "0.0.0.0:0", "tls_certificate": "", "tls_key": ""},
            "without TLS. Listen on 127.0.0.1, or allow it with SCHEDULING_INSECURE=true.",
        ),
        (
            {"admin_address": "0.0.0.0:0", "callers": "", "jwt_keys": "", "jwt_issuer": "",
             "jwt_audience": ""},
            "(SCHEDULING_ADMIN_ADDRESS) without credentials.",
        ),
    ],
)  # fmt: skip
def test_a_door_that_cannot_close_ends_the_start(
    house: House, settings: dict[str, str], sentence: str
) -> None:
    foreign = house.authority.sign("foreign.test")
    paths = {"foreign": foreign.key, "key": house.own.key}
    replica = house.start(**{name: text.format(**paths) for name, text in settings.items()})
    assert replica.exit_code() == 2
    assert sentence in replica.log.read_text()


def test_ports_that_are_open_are_told_at_each_start(house: House) -> None:
    replica = house.start(
        grpc_address=f"0.0.0.0:{house.replica.grpc_port}",
        insecure="true",
        callers="",
        jwt_keys="",
        jwt_issuer="",
        jwt_audience="",
    )
    client = house.client()
    replica.process.until_ready(lambda: client.health() == "SERVING")
    client.read()
    (line,) = house.logged("a port is open to other hosts")
    assert line["level"] == "warning"
    assert line["reason"].endswith("(SCHEDULING_GRPC_ADDRESS) without credentials.")


# --- quotas ---


def test_one_caller_s_flood_is_refused_and_another_s_calls_are_not(house: House) -> None:
    house.serve(quota_calls="1")  # two calls within a second, however slow the machine is
    greedy, modest = house.client("r"), house.client("o")
    refused = [fault for _ in range(100) if (fault := _fault(greedy))]
    assert refused
    first = refused[0]
    assert first.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert first.quota == ("caller:reader",)
    assert "reader has used up its quota of 1 calls a second" in first.message
    assert first.retry_seconds
    assert 0 < first.retry_seconds <= 2  # a caller may be one call above its share
    modest.read()
    eventually(lambda: _fault(greedy) is None, what="the quota is filled again")


def test_bytes_count_as_well(house: House) -> None:
    house.serve(quota_bytes="10000")
    client = house.client("o")
    jobs = [contract.job(type="x" * 1_000, when=tomorrow()) for _ in range(60)]

    def refused() -> Refusal | None:
        """None: the machine is so slow that the quota was filled again."""
        try:
            client.create(*jobs)
        except Refusal as fault:
            return fault
        return _fault(client)

    fault = eventually(refused, what="a refusal")
    assert "quota of 10000 bytes a second" in fault.message
    eventually(lambda: _fault(client) is None, what="the quota is filled again")


def _fault(client: Client) -> Refusal | None:
    try:
        client.read(limit=1)
    except Refusal as fault:
        return fault
    return None


def test_a_creator_has_a_number_of_living_jobs(house: House) -> None:
    house.serve(quota_jobs="3")
    client = house.client("a")

    def job(creator: str = "me", **more: Any) -> Any:
        return contract.job(id=fresh(), data=contract.Data(creator=creator), **more)

    kept = [job(when=tomorrow()) for _ in range(3)]
    client.create(*kept)
    over = refusal(client.create, job(when=tomorrow()))
    assert over.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "me has 3 jobs, and may have 3 (SCHEDULING_QUOTA_JOBS)" in over.message
    assert over.quota == ("creator:me",)
    assert over.retry_seconds
    client.create(job("you", when=tomorrow()), contract.job(type="t", now=True))
    client.upsert(kept[0])  # it replaces one
    assert refusal(client.upsert, kept[0], job(interval="1 day")).code is over.code
    nameless = refusal(client.create, job("", when=tomorrow()))
    assert nameless.code is grpc.StatusCode.INVALID_ARGUMENT
    spec = v1.JobSpec(type="t", creator="me", schedule=v1.Schedule(interval="0 5 * * *"))
    create: Any = JobServiceStub(client.channel).CreateJobs
    with pytest.raises(grpc.RpcError) as caught:
        create(service_pb2.CreateJobsRequest(jobs=[spec]), metadata=client.metadata)
    code: Any = caught.value
    assert code.code() is over.code
    client.delete(kept[0].id)
    client.create(job(when=tomorrow()))  # the store is asked before a call is refused
    with TopicReader(house.bootstrap, house.replica.names.dead_letter) as letters:
        with Sender(house.bootstrap) as sender:
            wanted = contract.JobList(items=[job(when=tomorrow())])
            sender.send(house.replica.names.jobs, "createJobs", wanted)
        letter = letters.wait_for(lambda record: record.key == "createJobs")
    assert letter.headers["status"] == "RESOURCE_EXHAUSTED"
    assert letter.headers["reason"].startswith("me has 3 jobs")
