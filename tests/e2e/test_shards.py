"""Three shards: to clients they are one service (docs/decisions/0004)."""

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from scheduling_client import at, every, now
from scheduling_client.api import client as v1_client
from scheduling_client.api.jobs import Run, RunFilter, RunState
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as v1_service
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from tests.client import contract
from tests.client.contract import Data, DeleteRequest, Job, JobFilter, JobList
from tests.client.grpc_client import Client, Refusal
from tests.e2e.conftest import Deploy, deployed, watch
from tests.e2e.product import Product, fresh, tomorrow
from tests.e2e.recurring import hourly
from tests.harness.given import Kafka, Store
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually

SHARDS = 3
EXISTS, MISSING = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.NOT_FOUND

_numbers = count(1)


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"shards": str(SHARDS)}


@pytest.fixture
def stub(product: Product) -> Iterator[Any]:
    with grpc.insecure_channel(product.service.address) as channel:
        yield JobServiceStub(channel)


def type_in(shard: int) -> str:
    """A fresh type that lives in this shard."""
    while True:
        name = f"type-{next(_numbers)}"
        if zlib.crc32(name.encode()) % SHARDS == shard:
            return name


def types() -> list[str]:
    """A fresh one of each shard."""
    return [type_in(shard) for shard in range(SHARDS)]


def later(kind: str, job_id: str = "", **fields: object) -> Job:
    return contract.job(id=job_id, type=kind, when=tomorrow(), **fields)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.code


def outcome(call: Callable[[], object]) -> grpc.StatusCode | None:
    try:
        call()
    except Refusal as refusal:
        return refusal.code
    return None


# --- Runs of scheduling.v1 ------------------------------------------------------------------------


@pytest.fixture
def api(product: Product) -> Iterator[v1_client.Client]:
    with v1_client.Client(product.service.address) as client:
        yield client


def fail_all(product: Product, kinds: Sequence[str], error: str) -> None:
    for kind in kinds:
        product.failed(product.run(kind), error)


def ended(api: v1_client.Client, error: str, number: int) -> list[Run]:
    """The runs that have failed so, once there are so many."""
    where = RunFilter(error=error, states=[RunState.ENDED])
    eventually(lambda: len([*api.runs(where)]) == number, what="failed runs")
    return [*api.runs(where)]


def test_failed_runs_of_all_shards_are_tried_again(product: Product, api: v1_client.Client) -> None:
    """One-time jobs, which are gone and created anew, and recurring ones, which live."""
    once, error = types(), fresh("error")
    for kind in once:
        api.create(kind, at("in 1 second"), id=fresh())
    again = [hourly(api, partial(type_in, shard)) for shard in range(SHARDS)]
    fail_all(product, [*once, *again], error)
    failed = ended(api, error, 2 * SHARDS)
    ids, where = [run.run_id for run in failed], RunFilter(error=error)
    for selected in ({"where": where}, {"where": None}):
        names = () if selected["where"] else (*ids, "unknown/1/2")
        counted = api.retry_runs(*names, where=selected["where"], dry_run=True)
        assert counted == (2 * SHARDS, 2 * SHARDS, [])
    made = [api.retry_runs(ids[0]), api.retry_runs(where=where)]
    assert [(each.matched, each.changed) for each in made] == [(1, 1), (5, 5)]
    assert not any(each.refusals for each in made)
    assert api.retry_runs(*ids).matched == 0
    for kind in [*once, *again]:
        first, second = product.runs(kind, 2)
        assert second.job_id == first.job_id
        assert second.instance % SHARDS == first.instance % SHARDS
        product.done(second)
    product.settle()
    assert [*api.runs(where)] == []
    assert {job.id for job in api.get_many(again)} == {*again}
    api.delete(*again)


def test_a_run_whose_id_lives_in_another_shard_is_not_tried_again(
    product: Product, api: v1_client.Client
) -> None:
    kinds, job, error = types(), fresh(), fresh("error")
    api.create(kinds[0], now(), id=job)
    fail_all(product, kinds[:1], error)
    (failed,) = ended(api, error, 1)
    api.create(kinds[1], every(timedelta(hours=1)), id=job)
    for dry_run in (True, False):
        answer = api.retry_runs(failed.run_id, dry_run=dry_run)
        assert (answer.matched, answer.changed) == (1, 0)
        assert [each.reason for each in answer.refusals] == ["JOB_EXISTS"]
    api.delete(job)
    assert api.retry_runs(failed.run_id).changed == 1
    product.done(product.run(kinds[0], 2))


def test_open_runs_of_all_shards_are_cancelled(product: Product, api: v1_client.Client) -> None:
    kinds, begin = types(), datetime.now(UTC)
    for kind in kinds:
        api.create(kind, now())
        product.run(kind)
    where = RunFilter(since=begin - timedelta(seconds=1), states=[RunState.RUNNING])
    mine = [run for run in api.runs(where) if run.type in kinds]
    assert len(mine) == SHARDS
    assert api.cancel(*(run.run_id for run in mine), dry_run=True) == (SHARDS, SHARDS)
    assert api.cancel(where=where, dry_run=True).changed >= SHARDS
    assert api.cancel(where=where).changed >= SHARDS
    assert [run for run in api.runs(where) if run.type in kinds] == []


# --- Lists ----------------------------------------------------------------------------------------


def test_runs_of_all_shards_are_queued_and_their_ids_name_the_shard(product: Product) -> None:
    kinds = types()
    product.client.create(*(contract.job(type=kind, now=True) for kind in kinds * 3))
    for shard, kind in enumerate(kinds):
        runs = product.runs(kind, 3)
        assert {run.instance % SHARDS for run in runs} == {shard}
        product.finish(kind, runs)
    product.settle()


def test_a_list_over_all_shards_is_created_as_a_whole(product: Product) -> None:
    ids = [fresh() for _ in range(6)]
    product.client.create(
        *(later(kind, job_id) for kind, job_id in zip(types() * 2, ids, strict=True))
    )
    assert product.ids(filter=JobFilter(jobs_ids=ids[::-1])) == ids
    for job_id in ids:
        product.created(job_id)
    product.client.delete(*ids)
    assert product.living(*ids) == []
    assert len(product.resource_events(*ids)) == 2 * len(ids)


@pytest.mark.parametrize("place", range(SHARDS))
def test_an_id_that_exists_in_another_shard_refuses_the_whole_list(
    product: Product, place: int
) -> None:
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    product.client.create(later(kinds[(place + 1) % SHARDS], ids[place]))
    jobs = [later(kind, job_id) for kind, job_id in zip(kinds, ids, strict=True)]
    with pytest.raises(Refusal) as caught:
        product.client.create(*jobs)
    assert caught.value.code is EXISTS
    assert caught.value.violations[0][0] == f"items[{place}].id"
    assert product.living(*ids) == [ids[place]]
    product.client.delete(ids[place])


def test_an_update_of_an_unknown_id_changes_nothing_in_any_shard(product: Product) -> None:
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    product.client.create(later(kinds[0], ids[0], interval="1 day"))
    jobs = [later(kind, job_id) for kind, job_id in zip(kinds, ids, strict=True)]
    assert code_of(lambda: product.client.update(*jobs)) is MISSING
    (stored,) = product.client.read(filter=JobFilter(jobs_ids=ids)).items
    assert stored.interval == "1 day"
    product.client.delete(ids[0])


# --- One id in one shard --------------------------------------------------------------------------


def test_of_creates_at_once_with_one_id_one_succeeds(product: Product) -> None:
    """Each with a type of another shard."""
    kinds = types()
    clients = [Client(product.service.address) for _ in kinds]
    for _ in range(15):
        job_id, gate = fresh(), threading.Barrier(SHARDS)

        def create(client: Client, kind: str, job_id: str, gate: threading.Barrier) -> str:
            gate.wait(PATIENCE_SECONDS)
            return kind if outcome(lambda: client.create(later(kind, job_id))) is None else ""

        with ThreadPoolExecutor(SHARDS) as pool:
            calls = zip(clients, kinds, strict=True)
            futures = [pool.submit(create, *call, job_id, gate) for call in calls]
            (kind,) = filter(None, (future.result() for future in futures))
        (stored,) = product.client.read(filter=JobFilter(jobs_ids=[job_id])).items
        assert stored.type == kind
        assert product.resource_events(job_id) == [("jobsCreated", job_id)]
        product.client.delete(job_id)
    for client in clients:
        client.__exit__()


def test_upserts_deletes_and_updates_at_once_leave_one_job_or_none(product: Product) -> None:
    kinds, ids = types(), [fresh() for _ in range(3)]

    def trouble(number: int) -> None:
        with Client(product.service.address) as client:
            for turn in range(12):
                job_id = ids[(number + turn) % 3]
                job = later(kinds[turn % 3], job_id)
                calls = (
                    lambda job_id=job_id: client.delete(job_id),
                    lambda job=job: client.update(job),
                    lambda job=job: client.upsert(job),
                    lambda job=job: client.upsert(job),
                )
                assert outcome(calls[(number + turn) % 4]) in {None, MISSING}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trouble, range(4)))
    read = product.client.read(filter=JobFilter(jobs_ids=ids))
    assert len({job.id for job in read.items}) == read.total_count
    everything = [job.id for job in product.client.read().items if job.id in ids]
    assert sorted(everything) == sorted(job.id for job in read.items)
    for job_id in ids:
        events = [event for event, _ in product.resource_events(job_id)]
        assert events == (["jobsCreated", "jobsDeleted"] * len(events))[: len(events)]
        assert (job_id in everything) == (events[-1] == "jobsCreated")
    product.client.delete(*ids)


def test_a_deleted_id_is_created_in_another_shard_after_its_deletion(product: Product) -> None:
    """Records of one job stay in order, although two shards announce them."""
    ids = [fresh() for _ in range(200)]
    homes = [zlib.crc32(job_id.encode()) % SHARDS for job_id in ids]  # which decides a deleteJobs
    old, new = types(), types()
    product.client.create(
        *(later(old[home], job_id) for job_id, home in zip(ids, homes, strict=True))
    )
    for job_id, home in zip(ids, homes, strict=True):
        product.send("deleteJobs", DeleteRequest(ids=[job_id]))
        moved = later(new[(home + 1) % SHARDS], job_id)
        product.send("createJobs", JobList(items=[moved]))
    for job_id in ids:
        product.created(job_id, 2)
    wrong = {
        job_id: events
        for job_id in ids
        if (events := [event for event, _ in product.resource_events(job_id)])
        != ["jobsCreated", "jobsDeleted", "jobsCreated"]
    }
    assert wrong == {}
    product.client.delete(*ids)
    assert product.living(*ids) == []


def test_a_type_that_changes_takes_the_job_to_another_shard(product: Product) -> None:
    (old, new, _), job_id = types(), fresh()
    product.client.create(contract.job(id=job_id, type=old, interval="300 ms"))
    product.done(product.run(old))
    product.client.update(contract.job(id=job_id, type=new, interval="300 ms"))
    count_of_old = len(product.runs_so_far(old))
    product.finish(new, product.runs(new, 2))
    assert len(product.runs_so_far(old)) == count_of_old
    assert product.resource_events(job_id) == [
        ("jobsCreated", job_id),
        ("jobsDeleted", job_id),
        ("jobsCreated", job_id),
    ]
    (stored,) = product.client.read(filter=JobFilter(jobs_ids=[job_id])).items
    assert stored.type == new
    product.client.delete(job_id)
    product.finish(old)
    product.finish(new)


def test_an_update_of_v1_moves_a_job_and_knows_its_revision(product: Product, stub: Any) -> None:
    """What it does not name stays, and so do its count of revisions and its pause."""
    before, after, *_ = types()
    job, daily = fresh(), v1.Schedule(interval="0 5 * * *")
    spec = v1.JobSpec(
        id=job, type=before, schedule=daily, labels={"a": "b"}, jitter=Duration(seconds=9)
    )
    stub.CreateJobs(v1_service.CreateJobsRequest(jobs=[spec]))
    selection = v1.JobSelection(ids=v1.JobIds(ids=[job]))
    stub.PauseJobs(v1_service.PauseJobsRequest(selection=selection, note="why"))
    move = v1_service.UpdateJobRequest(job=v1.JobSpec(id=job, type=after), revision=1)
    updated = stub.UpdateJob(move)
    assert (updated.job.status.revision, updated.changed) == (2, True)
    with pytest.raises(grpc.RpcError) as stale:
        stub.UpdateJob(move)
    error: Any = stale.value
    assert error.code() is grpc.StatusCode.ABORTED
    request = v1_service.GetJobsRequest(ids=[job])

    def found() -> v1.Job | None:
        jobs = stub.GetJobs(request).jobs
        return jobs[0] if jobs and jobs[0].status.HasField("pause") else None

    eventually(lambda: found() is not None, what="the job and its pause in the other shard")
    moved = found()
    assert moved
    assert (moved.spec.type, moved.spec.labels["a"], moved.spec.jitter.seconds) == (after, "b", 9)
    assert (moved.status.revision, moved.status.pause.note) == (2, "why")
    stub.DeleteJobs(v1_service.DeleteJobsRequest(selection=selection))


def test_of_updates_of_one_revision_one_succeeds(product: Product, stub: Any) -> None:
    job, kinds = fresh(), types()
    spec = v1.JobSpec(id=job, type=kinds[0], schedule=v1.Schedule(interval="0 5 * * *"))
    stub.CreateJobs(v1_service.CreateJobsRequest(jobs=[spec]))

    def update(number: int) -> grpc.StatusCode | None:
        changed = v1.JobSpec(id=job, type=kinds[number % SHARDS], parallel=number + 1)
        try:
            stub.UpdateJob(v1_service.UpdateJobRequest(job=changed, revision=1))
        except grpc.RpcError as error:
            failed: Any = error
            return failed.code()  # type: ignore[no-any-return]
        return None

    with ThreadPoolExecutor(6) as pool:
        outcomes = [*pool.map(update, range(6))]
    assert outcomes.count(None) == 1
    assert outcomes.count(grpc.StatusCode.ABORTED) == 5
    product.client.delete(job)


def test_types_are_paused_in_every_shard(product: Product, stub: Any) -> None:
    kinds = sorted(types())
    for kind in kinds:
        stub.PauseType(v1_service.PauseTypeRequest(type=kind, note=kind))
    found = stub.ListPausedTypes(v1_service.ListPausedTypesRequest()).types
    assert [(each.type, each.pause.note) for each in found] == [(kind, kind) for kind in kinds]
    product.client.create(*(contract.job(type=kind, now=True) for kind in kinds))
    product.settle()
    assert not any(product.runs_so_far(kind) for kind in kinds)
    for kind in kinds:
        assert stub.ResumeType(v1_service.ResumeTypeRequest(type=kind)).changed
    for kind in kinds:
        product.finish(kind, product.runs(kind))


def test_jobs_of_all_shards_are_paused_by_a_filter(product: Product, stub: Any) -> None:
    ids, creator = [fresh() for _ in range(SHARDS)], fresh("creator")
    daily = v1.Schedule(interval="0 5 * * *")
    jobs = [
        v1.JobSpec(id=job, type=kind, creator=creator, schedule=daily)
        for job, kind in zip(ids, types(), strict=True)
    ]
    stub.CreateJobs(v1_service.CreateJobsRequest(jobs=jobs))
    where = v1.JobSelection(filter=v1.JobFilter(creator=creator))
    for changed in (SHARDS, 0):
        progress = stub.PauseJobs(v1_service.PauseJobsRequest(selection=where)).progress
        assert (progress.matched, progress.changed) == (SHARDS, changed)
    found = stub.GetJobs(v1_service.GetJobsRequest(ids=ids)).jobs
    assert [each.status.HasField("pause") for each in found] == [True] * SHARDS
    assert stub.ResumeJobs(v1_service.ResumeJobsRequest(selection=where)).progress.changed == SHARDS
    product.client.delete(*ids)


def test_jobs_change_places_in_one_list(product: Product) -> None:
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    turned = [*kinds[1:], kinds[0]]
    product.client.create(*(later(k, i) for k, i in zip(kinds, ids, strict=True)))
    product.client.upsert(*(later(k, i) for k, i in zip(turned, ids, strict=True)))
    read = product.client.read(filter=JobFilter(jobs_ids=ids))
    assert {job.id: job.type for job in read.items} == dict(zip(ids, turned, strict=True))
    product.client.delete(*ids)
    assert product.living(*ids) == []


# --- Reading --------------------------------------------------------------------------------------


def test_reads_are_in_order_of_creation_over_all_shards(product: Product) -> None:
    creator = fresh("creator")
    ids = []
    for number in range(12):
        (job,) = product.client.create(
            later(type_in(number * 2 % SHARDS), data=Data(creator=creator))
        ).items
        ids.append(job.id)
    mine = JobFilter(creator=creator)
    assert product.ids(filter=mine) == ids
    assert product.ids(filter=mine, sort=2) == ids[::-1]
    assert product.ids(filter=mine, limit=5) == ids[:5]
    assert product.ids(filter=mine, sort=2, limit=5) == ids[:-6:-1]
    assert product.client.read(filter=mine, limit=5).total_count == len(ids)
    some = [ids[7], ids[2], "unknown", ids[4]]
    assert product.ids(filter=JobFilter(jobs_ids=some)) == [ids[2], ids[4], ids[7]]
    product.client.delete(*ids)


def test_pages_of_all_shards_are_read_to_their_ends(product: Product) -> None:
    creator = fresh("creator")
    kinds = types()
    jobs = [later(kinds[number % 3], data=Data(creator=creator)) for number in range(2400)]
    created = product.client.create(*jobs, *jobs[:1])
    read = product.client.read(filter=JobFilter(creator=creator))
    assert read.total_count == len(read.items) == len(jobs) + 1
    assert {job.id for job in read.items} == {job.id for job in created.items}
    product.client.delete(collection=True)


# --- Events, answers, commands --------------------------------------------------------------------


def test_events_over_all_shards_count_once(product: Product) -> None:
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    pairs = list(zip(kinds, ids, strict=True))
    product.send("createJobs", JobList(items=[later(k, i) for k, i in pairs]))
    product.send("createJobs", JobList(items=[later(type_in(1), ids[2]), later(type_in(2))]))
    turned = zip([*kinds[1:], kinds[0]], ids, strict=True)
    product.send("modifyJobs", JobList(items=[later(k, i) for k, i in turned]))
    product.send("deleteJobs", DeleteRequest(ids=ids[:2]))
    product.settle()
    product.dead_letter(lambda record: record.headers["status"] == "ALREADY_EXISTS")
    eventually(lambda: product.living(*ids) == ids[2:], what="the deletes")
    (stored,) = product.client.read(filter=JobFilter(jobs_ids=ids)).items
    assert stored.type == kinds[0]
    for job_id, expected in zip(ids, (4, 4, 3), strict=True):
        eventually(
            lambda job_id=job_id, expected=expected: (  # type: ignore[misc]
                len(product.resource_events(job_id)) == expected
            ),
            what="the events",
        )
    product.client.delete(ids[2])


def test_limits_retries_and_priority_hold_within_a_type(product: Product) -> None:
    kinds = types()
    for kind in kinds:
        first = contract.job(type=kind, now=True, parallel=1, attempts=2)
        product.client.create(first)
        product.run(kind)
        low = contract.job(type=kind, now=True, parallel=1, priority=Job.LOW, id=f"low-{kind}")
        high = contract.job(type=kind, now=True, parallel=1, priority=Job.HIGH, id=f"high-{kind}")
        product.client.create(low, high)
    for kind in kinds:
        product.failed(product.run(kind))
        assert product.run(kind, 2).job_id in {f"high-{kind}", product.run(kind).job_id}
        for number in (2, 3, 4):
            product.done(product.run(kind, number))
        jobs = [run.job_id for run in product.runs(kind, 4)]
        assert jobs.index(f"high-{kind}") < jobs.index(f"low-{kind}")
    product.settle()


def test_everything_is_deleted_restored_and_reset(product: Product) -> None:
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    product.client.create(*(later(k, i) for k, i in zip(kinds, ids, strict=True)))
    for job_id in ids:
        product.created(job_id)
    first = min(
        record.offset
        for record in product.resources()
        if record.key == "jobsCreated" and record.parse(contract.Job).id in ids
    )
    product.client.delete(collection=True)
    assert product.ids() == []
    events = product.resource_events(*ids)
    assert sorted(event for event, _ in events) == ["jobsCreated"] * 3 + ["jobsDeleted"] * 3
    ends = [r.offset for r in product.resources() if r.key == "jobsDeleted"]
    product.client.command("restore", {"jobs": {"offset": first, "ignore_offset": ends}})
    eventually(lambda: product.living(*ids) == sorted(ids), what="a restore")
    product.reader.wait_for(lambda record: record.key == "restoreResponse")
    product.client.command("reset")
    assert product.ids() == []
    product.reader.drain()
    answers = [record for record in product.reader.records if record.key == "restoreResponse"]
    assert len(answers) == 1
    assert len(product.resource_events(*ids)) == len(events)


def test_the_offset_that_is_shown_is_that_of_all_shards(product: Product, valkey: Store) -> None:
    product.settle()
    end = product.end_of(product.names.jobs)
    key = f"{product.names.client_id}:{product.names.jobs}"
    with valkey.client() as client:
        eventually(lambda: int(client.get(key) or 0) >= end, what="the offset")


# --- Loss -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def losing(
    kafka: Kafka, own_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    directory = tmp_path_factory.mktemp("losing")
    with deployed(directory, kafka, own_valkey, {"shards": "3", "lease": "1s"}) as product:
        yield product


def test_a_store_that_is_emptied_is_rebuilt_in_all_shards(
    losing: Product, breakable_valkey: ValkeyServer, request: pytest.FixtureRequest
) -> None:
    watch(request, losing)
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    losing.client.create(*(later(k, i) for k, i in zip(kinds, ids, strict=True)))
    recurring = type_in(2)
    losing.client.create(contract.job(type=recurring, interval="500 ms", id="recurring"))
    losing.run(recurring, 2)
    losing.service.kill()
    breakable_valkey.flush()
    losing.service.start()
    assert losing.living(*ids) == sorted(ids)
    before = len(losing.runs_so_far(recurring))
    runs = losing.runs(recurring, before + 2)
    assert len({run.occurrence for run in runs}) == len(runs)
    with breakable_valkey.client() as client:
        assert client.get(f"{losing.names.namespace}:shards") == "3"
    losing.client.delete("recurring", *ids)
    losing.finish(recurring)


def test_one_shard_that_is_lost_comes_back_alone(
    losing: Product, breakable_valkey: ValkeyServer, request: pytest.FixtureRequest
) -> None:
    """Also what was on its way between shards is where it belongs."""
    watch(request, losing)
    kinds, ids = types(), [fresh() for _ in range(SHARDS)]
    losing.client.create(*(later(k, i) for k, i in zip(kinds, ids, strict=True)))
    losing.client.update(later(kinds[0], ids[1]))
    losing.service.kill()
    base = f"{losing.names.namespace}:{{1}}:"
    with breakable_valkey.client() as client:
        lost = list(client.scan_iter(match=f"{base}*"))
        assert lost
        client.delete(*lost)
    losing.service.start()
    assert losing.service.log.read_text().count("the schedule is rebuilt") >= 1
    read = losing.client.read(filter=JobFilter(jobs_ids=ids))
    assert {job.id: job.type for job in read.items} == {
        ids[0]: kinds[0],
        ids[1]: kinds[0],
        ids[2]: kinds[2],
    }
    for shard, kind in enumerate(kinds):
        losing.client.create(contract.job(type=kind, now=True))
        run = losing.run(kind)
        assert run.instance % SHARDS == shard
        losing.done(run)
    losing.client.delete(*ids)


def test_the_number_is_remembered_by_kafka_when_redis_has_lost_it(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    product = deploy(valkey=breakable_valkey, shards="2")
    product.service.stop()
    breakable_valkey.flush()
    product.service.settings["SCHEDULING_SHARDS"] = "3"
    product.service.launch()
    assert product.service.exit_code() == 2
    said = product.service.log.read_text()
    assert "has 2 partitions, one for each shard since the first start" in said
    product.service.settings["SCHEDULING_SHARDS"] = "2"
    product.service.start()


# --- Replicas -------------------------------------------------------------------------------------


def owners(store: Store, product: Product) -> list[str]:
    """Who owns each shard; empty: nobody."""
    keys = [f"{product.names.namespace}:{{{shard}}}:lease" for shard in range(SHARDS)]
    with store.client() as client:
        return [str(holder or "").rpartition(":")[0] for holder in client.mget(keys)]


def test_replicas_share_the_shards_and_take_over_what_a_dead_one_had(
    deploy: Deploy, valkey: Store
) -> None:
    """The dead one's leases, which last longer, are not waited for."""
    product = deploy(2, shards="3", lease="5m")
    eventually(
        lambda: (
            sorted(owners(valkey, product).count(name) for name in {*owners(valkey, product)})
            == [1, 2]
        ),
        what=lambda: f"shared shards, but {owners(valkey, product)}",
    )
    kinds = [type_in(shard) for shard in range(SHARDS)]
    ids = [fresh() for _ in kinds]
    with Client(product.replicas[1].address) as client:
        client.create(
            *(
                contract.job(id=i, type=k, interval="200 ms")
                for k, i in zip(kinds, ids, strict=True)
            )
        )
        for kind in kinds:
            product.run(kind)
        product.replicas[0].kill()
        died = time.time() * 1000

        def runs_after(kind: str, instant: float) -> bool:
            """What was under way when it died has been sent by then."""
            runs = product.runs_so_far(kind)
            return any(run.record.timestamp > instant + 500 for run in runs)

        for kind in kinds:
            eventually(lambda kind=kind: runs_after(kind, died), what="a take-over")  # type: ignore[misc]
        for kind in kinds:
            times = sorted(run.record.timestamp for run in product.runs_so_far(kind))
            gaps = [later - earlier for earlier, later in pairwise(times) if later > died]
            assert max(gaps) < 60_000
        assert len({*owners(valkey, product)}) == 1
        product.replicas[0].start()
        client.delete(*ids)
        for kind in kinds:
            product.finish(kind)
        client.command("reset")
