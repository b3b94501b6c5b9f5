"""scheduling.v1 on the real service."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from scheduling_client.schedules.spread import jitter_ms
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from tests.client import contract
from tests.e2e.product import Product, fresh, now_ms, tomorrow, until
from tests.harness.waiting import eventually

BERLIN = ZoneInfo("Europe/Berlin")
DAILY = v1.Schedule(interval="0 5 * * *")
PERIOD = 200
"""Of a job that runs often, in ms."""


@pytest.fixture
def stub(product: Product) -> Iterator[Any]:
    with grpc.insecure_channel(product.service.address) as channel:
        yield JobServiceStub(channel)


def now() -> v1.Schedule:
    schedule = v1.Schedule()
    schedule.now.SetInParent()
    return schedule


def create(stub: Any, *specs: v1.JobSpec, request_id: str = "") -> list[v1.Job]:
    answer = stub.CreateJobs(service.CreateJobsRequest(jobs=specs, request_id=request_id))
    return [each.job for each in answer.jobs]


def get(stub: Any, *ids: str, next_times: int = 0) -> list[v1.Job]:
    return list(stub.GetJobs(service.GetJobsRequest(ids=ids, next_times=next_times)).jobs)


def delete(stub: Any, *ids: str) -> v1.BulkProgress:
    selection = v1.JobSelection(ids=v1.JobIds(ids=ids))
    progress = stub.DeleteJobs(service.DeleteJobsRequest(selection=selection)).progress
    assert isinstance(progress, v1.BulkProgress)
    return progress


def refused(call: Any, request: Any) -> tuple[str, str, list[str]]:
    """Code, reason and fields."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    error: Any = raised.value
    info, bad = ErrorInfo(), BadRequest()
    status = rpc_status.from_call(error)
    assert status
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [each.field for each in bad.field_violations]
    return error.code().name, info.reason, fields


def test_a_job_from_its_creation_to_its_deletion(stub: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    spec = v1.JobSpec(
        id=job,
        type=kind,
        creator="me",
        payload=[AnyMessage(type_url="u", value=b"\xff")],
        priority=v1.PRIORITY_HIGH,
        timezone="Europe/Berlin",
        schedule=DAILY,
        retry=v1.Retry(attempts=3, delay=Duration(seconds=2), backoff=v1.BACKOFF_EXPONENTIAL),
    )
    (created,) = create(stub, spec)
    (found,) = get(stub, job, fresh(), next_times=3)
    assert found.spec == created.spec == spec
    assert found.status.words == "at 05:00 every day"
    assert len(found.status.next_times) == 3
    (old,) = product.client.read(filter=contract.JobFilter(jobs_ids=[job])).items
    assert (old.interval, old.priority, old.attempts) == ("0 5 * * *", -10, 3)
    assert delete(stub, job, fresh()).matched == 1
    assert get(stub, job) == []
    assert delete(stub, job).matched == 0


def test_a_job_of_2018_is_seen(stub: Any, product: Product) -> None:
    job, when = fresh(), tomorrow()
    product.client.create(contract.job(id=job, when=when, priority=10))
    (found,) = get(stub, job)
    assert found.spec.priority == v1.PRIORITY_LOW
    assert found.spec.schedule.when == when
    delete(stub, job)


def test_a_run_at_once(stub: Any, product: Product) -> None:
    kind = fresh("type")
    payload = [AnyMessage(type_url="u", value=b"hello")]
    (made,) = create(stub, v1.JobSpec(type=kind, schedule=now(), payload=payload))
    assert get(stub, made.spec.id) == []
    run = product.run(kind)
    assert run.job_id == made.spec.id
    assert run.message.data.payload[0].value == b"hello"
    product.finish(kind, [run])


def test_an_update_is_that_of_a_revision(stub: Any, product: Product) -> None:
    job = fresh()
    create(stub, v1.JobSpec(id=job, type="t", schedule=DAILY, labels={"team": "a"}))
    request = service.UpdateJobRequest(job=v1.JobSpec(id=job, parallel=3), revision=1)
    answer = stub.UpdateJob(request)
    assert (answer.job.status.revision, answer.changed) == (2, True)
    assert refused(stub.UpdateJob, request) == ("ABORTED", "STALE_REVISION", ["revision"])
    (found,) = get(stub, job)
    assert (found.spec.parallel, dict(found.spec.labels)) == (3, {"team": "a"})
    assert found.status.create_time.seconds <= found.status.update_time.seconds
    product.client.update(contract.job(id=job, interval="5 minutes"))
    (found,) = get(stub, job)
    assert (found.spec.schedule.interval, dict(found.spec.labels)) == ("5 minutes", {"team": "a"})
    assert found.status.revision == 3
    delete(stub, job)


def test_a_schedule_comes_back_as_it_was_given(stub: Any, product: Product) -> None:
    job, every = fresh(), v1.Schedule(every=Duration(seconds=90))
    create(stub, v1.JobSpec(id=job, type="t", schedule=every))
    (found,) = get(stub, job)
    assert found.spec.schedule == every
    (old,) = product.client.read(filter=contract.JobFilter(jobs_ids=[job])).items
    assert old.interval == "90 seconds"
    product.client.update(contract.job(id=job, interval="5 minutes"))
    assert get(stub, job)[0].spec.schedule.interval == "5 minutes"
    delete(stub, job)


def test_lists_have_filters_and_pages(stub: Any) -> None:
    kind = fresh("type")
    specs = [
        v1.JobSpec(id=f"{kind}/{number}", type=kind, schedule=DAILY, labels={"n": str(number % 2)})
        for number in range(5)
    ]
    create(stub, *specs)
    everything = v1.JobFilter(type=kind)
    request = service.ListJobsRequest(filter=everything, page_size=3)
    page = stub.ListJobs(request)
    assert (page.total_size, len(page.jobs)) == (5, 3)
    request.page_token = page.next_page_token
    rest = stub.ListJobs(request)
    shown = [each.spec.id for each in (*page.jobs, *rest.jobs)]
    assert shown == [each.id for each in specs]
    assert page.jobs[0].status.state == v1.JOB_STATE_WAITING
    assert len(page.jobs[0].status.next_times) == 1
    odd = v1.JobFilter(labels={"n": "1"}, type=kind)
    assert len(stub.ListJobs(service.ListJobsRequest(filter=odd)).jobs) == 2
    request.filter.Clear()
    assert refused(stub.ListJobs, request)[2] == ["page_token"]
    selection = v1.JobSelection(filter=everything)
    deletion = service.DeleteJobsRequest(selection=selection)
    assert stub.DeleteJobs(deletion).progress.changed == 5
    assert stub.DeleteJobs(deletion).progress.changed == 0


def test_an_interval_shows_its_next_times(stub: Any) -> None:
    job = fresh()
    create(stub, v1.JobSpec(id=job, type="t", schedule=v1.Schedule(every=Duration(seconds=600))))
    (found,) = get(stub, job, next_times=3)
    seconds = [each.seconds for each in found.status.next_times]
    assert [later - seconds[0] for later in seconds] == [0, 600, 1200]
    preview = stub.PreviewSchedule(service.PreviewScheduleRequest(job_id=job, count=2)).preview
    assert [each.time.seconds for each in preview.times] == seconds[:2]
    delete(stub, job)


def test_a_job_ends_after_its_last_run(stub: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    every = v1.Schedule(every=Duration(nanos=200_000_000))
    create(stub, v1.JobSpec(id=job, type=kind, schedule=every, max_runs=2))
    runs = product.runs(kind, 2)
    assert [each.job_id for each in runs] == [job, job]
    product.finish(kind, runs)
    eventually(lambda: not get(stub, job), what="the end of the job")


# --- Pauses ---


def selected(*ids: str) -> v1.JobSelection:
    return v1.JobSelection(ids=v1.JobIds(ids=ids))


def often(job: str, kind: str) -> v1.JobSpec:
    schedule = v1.Schedule(every=Duration(nanos=PERIOD * 1_000_000))
    return v1.JobSpec(id=job, type=kind, schedule=schedule)


def assert_rests(product: Product, kind: str) -> int:
    """Nothing of this type is emitted for some periods; answers how many runs there are."""
    known = len(product.runs_so_far(kind))
    until(now_ms() + 5 * PERIOD)
    assert len(product.runs_so_far(kind)) == known
    return known


def test_a_paused_job_rests_until_it_is_resumed(stub: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    create(stub, often(job, kind))
    product.runs(kind, 2)
    asked = service.PauseJobsRequest(selection=selected(job, fresh()), note="why", by="me")
    progress = stub.PauseJobs(asked).progress
    assert (progress.matched, progress.changed, progress.next_page_token) == (1, 1, "")
    known = assert_rests(product, kind)
    assert stub.PauseJobs(asked).progress.changed == 0
    (found,) = get(stub, job, next_times=3)
    (listed,) = stub.ListJobs(service.ListJobsRequest(filter=v1.JobFilter(type=kind))).jobs
    for name in ("counters", "last_run", "open_runs"):  # these are not in lists
        found.status.ClearField(name)
    assert found.status == listed.status
    assert found.status.state == v1.JOB_STATE_PAUSED
    assert (found.status.pause.note, found.status.pause.by) == ("why", "me")
    assert abs(found.status.pause.since.ToMilliseconds() - now_ms()) < 3_600_000
    assert (found.status.revision, len(found.status.next_times)) == (1, 0)
    assert not found.status.HasField("type_pause")
    previewed = stub.PreviewSchedule(service.PreviewScheduleRequest(job_id=job, count=2)).preview
    first = product.runs(kind, known)[0].nominal
    assert [(each.time.ToMilliseconds() - first) % PERIOD for each in previewed.times] == [0, 0]
    end = service.ResumeJobsRequest(selection=v1.JobSelection(filter=v1.JobFilter(type=kind)))
    end.dry_run = True
    assert stub.ResumeJobs(end).progress.changed == 1
    end.dry_run = False
    assert stub.ResumeJobs(end).progress.changed == 1
    runs = product.runs(kind, known + 2)
    assert {(run.nominal - first) % PERIOD for run in runs} == {0}
    assert not get(stub, job)[0].status.HasField("pause")
    assert stub.ResumeJobs(end).progress.changed == 0
    delete(stub, job)
    product.finish(kind)


def test_a_paused_type_keeps_later_jobs_from_running(stub: Any, product: Product) -> None:
    job, later, kind = fresh(), fresh(), fresh("type")
    create(stub, often(job, kind))
    product.run(kind)
    pause = stub.PauseType(service.PauseTypeRequest(type=kind, note="why", by="me")).pause
    assert stub.PauseType(service.PauseTypeRequest(type=kind, note="again")).pause == pause
    create(stub, often(later, kind))
    known = assert_rests(product, kind)
    types = stub.ListPausedTypes(service.ListPausedTypesRequest()).types
    assert [(each.type, each.pause) for each in types] == [(kind, pause)]
    for found in get(stub, job, later):
        assert (found.status.type_pause, found.status.HasField("pause")) == (pause, False)
    assert stub.ResumeType(service.ResumeTypeRequest(type=kind)).changed
    assert not stub.ResumeType(service.ResumeTypeRequest(type=kind)).changed
    eventually(
        lambda: {run.job_id for run in product.runs_so_far(kind)[known:]} == {job, later},
        what="runs of both jobs",
    )
    assert not stub.ListPausedTypes(service.ListPausedTypesRequest()).types
    delete(stub, job, later)
    product.finish(kind)


# --- Rules of runs ---

RULES: dict[str, Any] = {
    "overlap": v1.OVERLAP_ONE,
    "jitter": Duration(seconds=30),
    "missed": v1.Missed(window=Duration(seconds=600), older=v1.MISSED_RUNS_SKIP),
    "retry": v1.Retry(attempts=3, max_delay=Duration(seconds=9), random_share=0.5),
}


def test_rules_come_back_as_they_were_given(stub: Any) -> None:
    job = fresh()
    create(stub, v1.JobSpec(id=job, type="t", schedule=DAILY, **RULES))
    (found,) = get(stub, job, next_times=2)
    for name, value in RULES.items():
        assert getattr(found.spec, name) == value
    nominal = [each.seconds % 86_400 for each in found.status.next_times]
    assert nominal == [5 * 3600] * 2
    unlimited = v1.Missed(older=v1.MISSED_RUNS_LATEST)
    unlimited.unlimited.SetInParent()
    stub.UpdateJob(service.UpdateJobRequest(job=v1.JobSpec(id=job, missed=unlimited)))
    assert get(stub, job)[0].spec.missed == unlimited
    delete(stub, job)


def test_a_run_is_delayed_and_keeps_its_nominal_time(stub: Any, product: Product) -> None:
    """The list and Get tell the nominal time."""
    job, kind, period, jitter = fresh(), fresh("type"), 1_000, 900
    every = v1.Schedule(every=Duration(seconds=1))
    delayed = Duration(nanos=jitter * 1_000_000)
    create(stub, v1.JobSpec(id=job, type=kind, schedule=every, jitter=delayed))
    (found,) = get(stub, job)
    (listed,) = stub.ListJobs(service.ListJobsRequest(filter=v1.JobFilter(type=kind))).jobs
    runs = product.runs(kind, 2)
    delete(stub, job)
    first = runs[0].nominal
    assert [run.nominal for run in runs] == [first + period * n for n in range(len(runs))]
    for told in (found, listed):
        assert (told.status.next_times[0].ToMilliseconds() - first) % period == 0
    for run in runs:
        assert run.record.timestamp >= run.nominal + jitter_ms(job, run.nominal, jitter)
    product.finish(kind)


def test_a_run_is_skipped_while_another_one_is_open(stub: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    spec = often(job, kind)
    spec.overlap = v1.OVERLAP_SKIP
    create(stub, spec)
    (first,) = product.runs(kind, 1)
    assert assert_rests(product, kind) == 1
    product.finish(kind, [first])
    second = product.runs(kind, 2)[1]
    assert second.nominal >= first.nominal + 5 * PERIOD
    delete(stub, job)
    product.finish(kind)


def test_a_retry_waits_no_longer_than_its_rule_says(stub: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    retry = v1.Retry(
        attempts=2, delay=Duration(seconds=3600), max_delay=Duration(seconds=1), random_share=0.5
    )
    create(stub, v1.JobSpec(id=job, type=kind, schedule=now(), retry=retry))
    (first,) = product.runs(kind, 1)
    product.failed(first)
    second = product.runs(kind, 2)[1]
    assert (second.nominal, second.job_id) == (first.nominal, job)
    product.finish(kind, [second])


def test_a_request_may_be_repeated(stub: Any) -> None:
    specs = [v1.JobSpec(id=fresh(), type="t", schedule=DAILY) for _ in range(3)]
    ids = [each.spec.id for each in create(stub, *specs, request_id="r")]
    assert [each.spec.id for each in create(stub, *specs, request_id="r")] == ids
    again = service.CreateJobsRequest(jobs=specs)
    assert refused(stub.CreateJobs, again) == ("ALREADY_EXISTS", "JOB_EXISTS", ["jobs[0].id"])
    assert delete(stub, *ids).changed == 3


def test_all_or_none(stub: Any) -> None:
    good, bad = fresh(), v1.JobSpec(id=fresh(), type="t", schedule=v1.Schedule(interval="never"))
    request = service.CreateJobsRequest(jobs=[v1.JobSpec(id=good, type="t", schedule=DAILY), bad])
    code, reason, fields = refused(stub.CreateJobs, request)
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert fields == ["jobs[1].schedule.interval"]
    assert get(stub, good) == []


def changes_clock(day: datetime) -> bool:
    """Whether summer time begins or ends on this day."""
    return day.replace(hour=0).utcoffset() != day.replace(hour=12).utcoffset()


def test_a_schedule_is_previewed(stub: Any) -> None:
    spec = v1.JobSpec(timezone="Europe/Berlin", schedule=v1.Schedule(interval="30 2 * * *"))
    request = service.PreviewScheduleRequest(spec=spec, count=400)
    preview = stub.PreviewSchedule(request).preview
    assert len(preview.times) == 400
    days = [datetime.fromtimestamp(each.time.seconds, BERLIN) for each in preview.times]
    assert [bool(each.remark) for each in preview.times] == [*map(changes_clock, days)]
    assert sum(map(changes_clock, days)) in (2, 3)  # 400 days are more than a year
    unknown = service.PreviewScheduleRequest(job_id=fresh())
    assert refused(stub.PreviewSchedule, unknown)[:2] == ("NOT_FOUND", "JOB_NOT_FOUND")


def test_reflection_finds_it(product: Product) -> None:
    assert "scheduling.v1.JobService" in product.client.services()
    assert product.client.file_containing("scheduling.v1.JobService.CreateJobs")
    eventually(
        lambda: product.client.health("scheduling.v1.JobService") == "SERVING", what="SERVING"
    )
