"""What an Update or Upsert keeps: the phase, and the runs that are due (docs/contract.md).

In one shard and in three, over both transports, and over the loss of Redis.
"""

import zlib
from itertools import count
from typing import Any

import grpc
import pytest

from tests.client import contract
from tests.client.contract import Data, Job, JobFilter, JobList
from tests.client.grpc_client import Refusal
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, in_ms, now_ms, rfc3339, tomorrow, until
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import in_time, with_enough_time

PERIOD = 1500
SHARDS = 3
OLD, NEW = Data(creator="old"), Data(creator="new")
_numbers = count(1)


@pytest.fixture(scope="module", params=[1, SHARDS])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"shards": str(request.param)}


def type_in(shard: int) -> str:
    """A fresh type of this one of three shards."""
    while True:
        name = f"updated-{next(_numbers)}"
        if zlib.crc32(name.encode()) % SHARDS == shard:
            return name


def every(job_id: str, kind: str, period: int = PERIOD, **fields: Any) -> Job:
    return contract.job(id=job_id, type=kind, interval=f"{period} ms", **fields)


def busy(product: Product, kind: str) -> Run:
    """A run that takes the only place of its type."""
    product.client.create(contract.job(type=kind, now=True, parallel=1))
    return product.run(kind)


def _is_there(product: Product, job: Job) -> bool:
    found = product.client.read(filter=JobFilter(jobs_ids=[job.id])).items
    return [(each.type, each.data.creator) for each in found] == [(job.type, job.data.creator)]


def write(product: Product, how: str, *jobs: Job) -> None:
    """By a call, or by an event that has been applied when this returns."""
    if how == "modifyJobs":
        product.send(how, JobList(items=jobs))
        product.settle()
        # With several shards a job moves on after its record was applied.
        eventually(lambda: all(_is_there(product, job) for job in jobs), what="it")
    else:
        getattr(product.client, how)(*jobs)


WAYS = pytest.mark.parametrize("how", ["update", "upsert", "modifyJobs"])


# --- Unchanged ---


def test_a_job_that_is_upserted_all_the_time_runs(product: Product) -> None:
    """An application that is deployed again and again must not put off its jobs for ever."""
    kind, job_id = fresh("type"), fresh()
    begun = now_ms()
    upserts = 0
    while len(product.runs_so_far(kind)) < 3:
        assert now_ms() < begun + 1000 * PATIENCE_SECONDS, f"no third run after {upserts} upserts"
        product.client.upsert(every(job_id, kind))
        upserts += 1
    first, second, third = product.runs(kind)[:3]
    assert third.nominal - second.nominal == second.nominal - first.nominal == PERIOD
    assert product.resource_events(job_id) == [("jobsCreated", job_id)]
    product.client.delete(job_id)
    product.finish(kind)


def test_an_identical_upsert_answers_and_says_nothing(product: Product) -> None:
    ids = [fresh() for _ in range(3)]
    jobs = [
        contract.job(id=ids[0], interval="2 minutes"),
        contract.job(id=ids[1], interval="0 9 * jan mon", attempts=1),
        contract.job(id=ids[2], when="2100-01-01T00:00:00Z", data=Data(timezone="UTC")),
    ]
    same = [
        contract.job(id=ids[0], interval="120 seconds"),
        contract.job(id=ids[1], interval="0 9 * 1 1"),
        contract.job(id=ids[2], when="Jan 1, 2100 00:00:00", data=Data()),
    ]
    product.client.create(*jobs)
    answer = product.client.upsert(*same)
    assert [job.id for job in answer.items] == ids
    product.settle()
    assert product.resource_events(*ids) == [("jobsCreated", job_id) for job_id in ids]
    product.client.update(*same)
    assert sorted(product.resource_events(*ids)) == sorted(
        [("jobsCreated", job_id) for job_id in ids] * 2
        + [("jobsDeleted", job_id) for job_id in ids]
    )
    product.client.delete(*ids)


@WAYS
def test_new_data_keeps_the_phase(product: Product, how: str) -> None:
    def attempt(period: int) -> None:
        kind, job_id = fresh("type"), fresh()
        product.client.create(every(job_id, kind, period, data=OLD))
        first = product.run(kind)
        until(first.nominal + period // 3)
        write(product, how, every(job_id, kind, period, data=NEW))
        written = now_ms()
        second = product.run(kind, 2)
        product.client.delete(job_id)
        product.finish(kind)
        in_time(written < first.nominal + period, "the job was written between two of its runs")
        assert second.nominal == first.nominal + period
        assert (first.message.data.creator, second.message.data.creator) == ("old", "new")
        assert first.occurrence != second.occurrence

    with_enough_time(attempt, PERIOD)


# --- Due or held ---


@WAYS
@pytest.mark.parametrize("other_shard", [False, True])
@pytest.mark.parametrize("changed", [False, True])
def test_a_held_run_carries_the_new_data(
    product: Product, how: str, other_shard: bool, changed: bool
) -> None:
    """With another schedule as well, and where its type is of another shard."""
    kind, job_id = type_in(0), fresh()
    place = busy(product, kind)
    product.client.create(every(job_id, kind, 200, parallel=1, data=OLD))
    until(now_ms() + 300)
    new_kind = type_in(1) if other_shard else kind
    taken = [busy(product, new_kind)] if other_shard else []
    period = 3_600_000 if changed else 200
    write(product, how, every(job_id, new_kind, period, parallel=1, data=NEW))
    number = len(product.runs_so_far(new_kind))
    assert number == 1
    for run in [place, *taken]:
        product.done(run)
    run = product.run(new_kind, 2)
    assert (run.job_id, run.message.data.creator) == (job_id, "new")
    product.client.delete(job_id)
    product.settle()
    assert {run.message.data.creator for run in product.runs_so_far(kind)} <= {"tester", "new"}
    if changed:
        assert len(product.runs_so_far(new_kind)) == 2
    product.finish(kind)
    product.finish(new_kind)


# --- `when` ---


@WAYS
def test_an_unchanged_when_in_the_past_keeps_its_held_run(product: Product, how: str) -> None:
    kind, job_id = fresh("type"), fresh()
    place = busy(product, kind)
    job = contract.job(id=job_id, type=kind, parallel=1, data=OLD)
    due = product.create_in(100, job)
    job.when = rfc3339(due)
    until(due + 1500)
    job.data.creator = "new"
    write(product, how, job)
    assert len(product.runs_so_far(kind)) == 1
    product.done(place)
    run = product.run(kind, 2)
    assert (run.nominal, run.message.data.creator) == (due, "new")
    if how == "upsert":
        product.client.upsert(job)
        assert len(product.resource_events(job_id)) == 3
    product.done(run)
    product.deleted(job_id, 2)
    product.settle()
    assert len(product.runs_so_far(kind)) == 2


@WAYS
def test_another_when_in_the_past_is_refused(product: Product, how: str) -> None:
    """With the sentence that Create has; nothing of the list is applied."""
    kind, ids = fresh("type"), [fresh(), fresh()]
    place = busy(product, kind)
    product.client.create(contract.job(id=ids[0], type=kind, when=tomorrow()))
    due = product.create_in(100, contract.job(id=ids[1], type=kind, parallel=1))
    until(due + 1500)
    jobs = [
        contract.job(id=ids[0], type=kind, when=tomorrow(), data=NEW),
        contract.job(id=ids[1], type=kind, when=in_ms(-5000)[1]),
    ]
    sentence = "Cannot schedule a job for an elapsed time"
    if how == "modifyJobs":
        offset = product.send(how, JobList(items=jobs))
        letter = product.dead_letter(lambda record: record.headers["offset"] == str(offset))
        assert letter.headers["status"] == "INVALID_ARGUMENT"
        assert letter.headers["reason"].startswith(sentence)
        assert letter.headers["field"] == "items[1].when"
    else:
        with pytest.raises(Refusal) as caught:
            write(product, how, *jobs)
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.message.startswith(sentence)
        [(field, description)] = caught.value.violations
        assert field == "items[1].when"
        assert ids[1] in description
    assert product.resource_events(*ids) == [("jobsCreated", job_id) for job_id in ids]
    product.client.delete(*ids)
    product.done(place)


# --- Away, and Redis lost ---


def accepts(product: Product, how: str, jobs: list[Job]) -> bool:
    try:
        getattr(product.client, how)(*jobs)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("how", ["update", "upsert"])
@pytest.mark.parametrize("shards", [1, SHARDS])
def test_a_missed_run_is_not_lost_to_who_comes_first(deploy: Deploy, how: str, shards: int) -> None:
    """An application that starts with the service writes its jobs before anything was caught up."""
    product = deploy(shards=str(shards), catch_up_window="1s", lease="1s")

    def attempt(period: int) -> None:
        kinds, ids = [type_in(shard) for shard in range(SHARDS)], [fresh() for _ in range(SHARDS)]
        jobs = [every(job_id, kind, period) for job_id, kind in zip(ids, kinds, strict=True)]
        before = now_ms()
        product.client.create(*jobs)
        product.service.kill()
        killed = now_ms()
        until(killed + period + 2000)
        lines = len(product.service.lines())
        product.service.launch()
        for job in jobs:
            job.data.creator = "new"
        eventually(lambda: accepts(product, how, jobs), what="a write that is accepted")
        written = now_ms()
        runs = [product.runs(kind, 2)[:2] for kind in kinds]
        product.client.delete(*ids)
        in_time(killed < before + period, "the service was dead before the first runs were due")
        said = {line["event"] for line in product.service.lines()[lines:]}
        in_time("lease lost" not in said, "the owner emitted before the next runs were due")
        for (first, second), job_id in zip(runs, ids, strict=True):
            assert (first.job_id, second.nominal - first.nominal) == (job_id, period)
            assert first.nominal < written

    with_enough_time(attempt, 3000)


@pytest.mark.parametrize("shards", [1, SHARDS])
def test_what_an_update_has_kept_outlives_redis(
    deploy: Deploy, breakable_valkey: ValkeyServer, shards: int
) -> None:
    """Due and held runs, of the schedule and of the one before, each once and with the new data."""
    product = deploy(valkey=breakable_valkey, shards=str(shards), lease="1s")
    kinds = {name: type_in(place) for place, name in enumerate(("same", "other", "moved"))}
    places = {name: busy(product, kind) for name, kind in kinds.items()}
    product.client.create(
        *(every(name, kind, 500, parallel=1, data=OLD) for name, kind in kinds.items())
    )
    until(now_ms() + 700)
    moved = type_in(0)
    places["moved-to"] = busy(product, moved)
    product.client.update(
        every("same", kinds["same"], 500, parallel=1, data=NEW),
        every("other", kinds["other"], 3_600_000, parallel=1, data=NEW),
        every("moved", moved, 500, parallel=1, data=NEW),
    )
    events = product.resource_events(*kinds)
    product.service.kill()
    breakable_valkey.flush()
    product.service.start()
    for run in places.values():
        product.done(run)
    firsts = [product.run(kinds["same"], 2), product.run(kinds["other"], 2), product.run(moved, 2)]
    for run, name in zip(firsts, kinds, strict=True):
        assert (run.job_id, run.message.data.creator) == (name, "new")
        product.done(run)
    for kind, first in ((kinds["same"], firsts[0]), (moved, firsts[2])):
        assert product.run(kind, 3).nominal == first.nominal + 500
    product.settle()
    assert len(product.runs_so_far(kinds["other"])) == 2
    assert product.resource_events(*kinds) == events
    product.client.delete(*kinds)


def test_the_shortest_interval_holds_for_cron(deploy: Deploy) -> None:
    """Over both transports; what was accepted before stays."""
    product = deploy()
    often = contract.job(id="often", type="often", interval="* * * * * *")
    product.client.create(often)
    product.run("often")
    product.service.stop()
    product.service.settings["SCHEDULING_MIN_INTERVAL"] = "5s"
    product.service.start()
    product.run("often", len(product.runs_so_far("often")) + 1)
    for call in (product.client.create, product.client.upsert):
        with pytest.raises(Refusal, match="SCHEDULING_MIN_INTERVAL") as caught:
            call(contract.job(id="new", interval="*/4 * * * * *"))
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.violations[0][0] == "items[0].interval"
    product.client.create(contract.job(id="new", interval="*/5 * * * * *"))
    offset = product.send("createJobs", JobList(items=[often]))
    letter = product.dead_letter(lambda record: record.headers["offset"] == str(offset))
    assert letter.headers["status"] == "INVALID_ARGUMENT"
    product.client.delete("often", "new")
