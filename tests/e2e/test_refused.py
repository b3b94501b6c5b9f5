"""Records that Kafka refuses for good: they are set aside, and all others go on (decision 9).

Limits are lowered while the service runs: what it knows of them is old then.
"""

from typing import Any
from zlib import crc32

import grpc
import pytest
from confluent_kafka import Producer

from tests.client import contract
from tests.client.grpc_client import Refusal
from tests.client.topics import Record, TopicReader, alter_topic, delete_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms, rfc3339, tomorrow
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import eventually
from tests.harness.windows import in_time, with_enough_time

pytestmark = pytest.mark.slow

LIMIT = 300_000
LARGE = b"x" * 400_000
PERIOD = 200
MODES = ("exactly_once", "at_least_once")
NO = grpc.StatusCode.FAILED_PRECONDITION


def large(**fields: Any) -> Any:
    data = contract.Data(creator="large", payload=[contract.payload(LARGE)])
    return contract.job(data=data, **fields)


def limit(product: Product, *topics: str, to: int = LIMIT) -> None:
    for topic in topics:
        alter_topic(product.bootstrap, topic, max_message_bytes=to)


def journal(names: Names) -> str:
    return f"{names.namespace}.journal"


def beats(product: Product) -> str:
    """Create a recurring job of another client; returns its type."""
    kind = fresh("beat")
    product.client.create(contract.job(id=kind, type=kind, interval=f"{PERIOD} milliseconds"))
    product.run(kind)
    return kind


def assert_goes_on(product: Product, kind: str) -> None:
    """Further runs come, and none is missing."""
    there = len(product.runs_so_far(kind))
    runs = product.runs(kind, there + 5)
    nominals = sorted({run.nominal for run in runs})  # without a transaction some come again
    assert len(runs) == len(nominals) or "at_least_once" in product.service.settings.values()
    assert nominals == list(range(nominals[0], nominals[-1] + 1, PERIOD))


def letter_of(product: Product, job_id: str) -> Record:
    letter = product.dead_letter(lambda record: record.headers.get("job-id") == job_id)
    assert letter.value == b""
    assert letter.headers["status"] == "FAILED_PRECONDITION"
    assert "Message size too large" in letter.headers["reason"]
    return letter


def refused(product: Product, kind: str) -> int:
    """The metric."""
    _, text = product.service.get("/metrics")
    name = f'scheduling_records_refused_total{{kind="{kind}"}} '
    return sum(int(float(line[len(name) :])) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_run_ends_and_the_others_go_on(deploy: Deploy, mode: str) -> None:
    product = deploy(delivery=mode)
    beat = beats(product)
    limit(product, product.names.jobs)
    job_id = fresh("large")
    product.client.create(large(id=job_id, type=job_id, when="in 500 ms", attempts=3))
    deleted = product.deleted(job_id)
    assert deleted.headers["outcome"] == "refused"
    assert "too large" in deleted.headers["error"]
    letter = letter_of(product, job_id)
    assert letter.key == "queuedJob"
    assert letter.headers["refused-by"] == product.names.jobs
    assert letter.headers["occurrence-id"].startswith(f"{job_id}/")
    assert_goes_on(product, beat)
    assert product.living(job_id, beat) == [beat]
    assert product.runs_so_far(job_id) == []
    assert refused(product, "run") == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_recurring_job_goes_on_after_refused_runs(deploy: Deploy, mode: str) -> None:
    product = deploy(delivery=mode)
    beat = beats(product)
    limit(product, product.names.jobs)
    job_id = fresh("large")
    product.client.create(large(id=job_id, type=job_id, interval="1 second", parallel=1))
    eventually(lambda: refused(product, "run") >= 2, what="refused runs")
    assert_goes_on(product, beat)
    limit(product, product.names.jobs, to=2_000_000)
    product.done(product.run(job_id))
    product.client.delete(job_id)
    assert_goes_on(product, beat)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["resources", "journal"])
def test_a_refused_creation_undoes_its_list(deploy: Deploy, where: str, mode: str) -> None:
    """And no other one, though many may be stored and published together."""
    product = deploy(delivery=mode)
    beat = beats(product)
    limit(product, product.names.resources if where == "resources" else journal(product.names))
    small, big, run = fresh("small"), fresh("big"), fresh("run")
    with pytest.raises(Refusal, match="Message size too large") as refusal:
        product.client.create(
            contract.job(id=small, when=tomorrow()),
            large(id=big, when=tomorrow()),
            contract.job(id=run, type=run, now=True),
        )
    assert refusal.value.code is NO
    assert letter_of(product, big).key == "jobsCreated"
    assert_goes_on(product, beat)
    assert product.living(small, big) == []
    assert product.resource_events(small, big) == []
    if mode == "exactly_once":
        assert product.runs_so_far(run) == []
    product.client.create(contract.job(id=small, when=tomorrow()))
    assert product.living(small, big) == [small]
    product.client.delete(small)


def test_a_refused_list_from_a_record_is_a_dead_letter(deploy: Deploy) -> None:
    """The records before and after it are applied, though one call may store them all."""
    product = deploy()
    limit(product, product.names.resources)
    ids = [fresh() for _ in range(5)]
    jobs = [
        (large if place == 2 else contract.job)(id=job_id, when=tomorrow())
        for place, job_id in enumerate(ids)
    ]
    offsets = [product.send("createJobs", contract.JobList(items=[job])) for job in jobs]
    product.settle()
    letter = letter_of(product, ids[2])
    assert letter.headers["topic"] == product.names.jobs
    assert (letter.headers["partition"], letter.headers["offset"]) == ("0", str(offsets[2]))
    assert product.living(*ids) == sorted({*ids} - {ids[2]})


@pytest.mark.parametrize("call", ["update", "upsert"])
def test_a_refused_update_leaves_the_jobs_as_they_were(deploy: Deploy, call: str) -> None:
    product = deploy()
    beat, other = beats(product), fresh("other")
    product.client.create(contract.job(id=other, type="before", when=tomorrow()))
    before = product.client.read(filter=contract.JobFilter(jobs_ids=[beat, other])).items
    limit(product, product.names.resources)
    with pytest.raises(Refusal) as refusal:
        getattr(product.client, call)(
            contract.job(id=other, type="after", when=tomorrow()),
            large(id=beat, type=beat, interval="1 hour"),
        )
    assert refusal.value.code is NO
    assert_goes_on(product, beat)
    assert product.client.read(filter=contract.JobFilter(jobs_ids=[beat, other])).items == before
    assert product.resource_events(beat, other) == [("jobsCreated", beat), ("jobsCreated", other)]
    product.service.kill()
    product.service.start()
    assert_goes_on(product, beat)


def test_a_large_record_that_is_refused_gets_a_smaller_dead_letter(deploy: Deploy) -> None:
    """Any producer could stop the service with it."""
    product = deploy()
    beat = beats(product)
    limit(product, product.names.dead_letter)
    offset = product.send("createJobs", b"\xff" * 400_000)
    letter = product.dead_letter(lambda record: record.headers.get("offset") == str(offset))
    assert letter.value == b""
    assert letter.headers["truncated-from"] == "400000"
    assert_goes_on(product, beat)
    product.settle()


def test_small_records_that_are_too_large_together_are_published(deploy: Deploy) -> None:
    """Kafka bounds a batch of records by the limit of one."""
    product = deploy()
    limit(product, product.names.resources, product.names.jobs, to=60_000)
    kind = fresh("medium")
    data = contract.Data(payload=[contract.payload(b"x" * 40_000)])
    jobs = [contract.job(type=kind, when="in 1500 ms", data=data) for _ in range(30)]
    created = product.client.create(*jobs).items
    for job in created:
        product.created(job.id)
    assert len(product.runs(kind, 30)) == 30
    assert product.dead_letters() == []
    product.finish(kind)


@pytest.mark.parametrize("topic", ["dead_letter", "commands"])
def test_runs_go_on_without_a_topic_that_is_not_for_runs(deploy: Deploy, topic: str) -> None:
    """Whoever notices first: the publisher, or the watch that creates it again."""
    product = deploy()
    beat = beats(product)
    product.reader.__exit__()
    product.reader = TopicReader(product.bootstrap, product.names.jobs)
    delete_topic(product.bootstrap, getattr(product.names, topic))
    if topic == "dead_letter":
        product.send("createJobs", b"\xff\xff")
    else:
        product.client.command("version")
    assert_goes_on(product, beat)
    assert_goes_on(product, beat)
    product.client.delete(beat)


def test_delete_reset_and_a_restart_work_beside_what_is_refused(
    deploy: Deploy, kafka: Kafka
) -> None:
    """Jobs whose runs are refused each second."""
    product = deploy()
    limit(product, product.names.jobs)
    ids = [fresh("large") for _ in range(3)]
    product.client.create(*(large(id=job_id, interval="1 second") for job_id in ids))
    eventually(lambda: refused(product, "run") >= 3, what="refused runs")
    product.client.delete(ids[0])
    assert product.living(*ids) == sorted(ids[1:])
    product.service.stop()
    product.service.start()
    beat = beats(product)
    assert_goes_on(product, beat)
    product.client.command("reset")
    assert product.living(*ids, beat) == []
    assert_goes_on(product, beats(product))
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    assert producer.flush(1) == 0


def create_before_a_limit(product: Product, window: int) -> str:
    """A job that its topic takes no more when it is due."""
    job_id, due = fresh("large"), now_ms() + window
    record = large(id=job_id, type=job_id, when=rfc3339(due))
    product.send("createJobs", contract.JobList(items=[record]))
    product.settle()
    in_time(now_ms() < due, "the service had the job before it was due")
    limit(product, product.names.jobs)
    limited = now_ms()
    if limited >= due:
        limit(product, product.names.jobs, to=1_000_000)
    in_time(limited < due, "the limit was there before the job was due")
    return job_id


@pytest.mark.parametrize(
    ("point", "topic"),
    [
        ("refuse.found", "jobs"),
        ("refuse.set_aside", "jobs"),
        ("refuse.found", "resources"),
        ("refuse.set_aside", "resources"),
    ],
)
def test_a_crash_while_something_is_set_aside_harms_nothing(
    deploy: Deploy, point: str, topic: str
) -> None:
    product = deploy(failpoints=f"{point}=kill", lease="500ms")
    other = fresh("other")
    product.client.create(contract.job(id=other, type=other, when="in 3 seconds"))
    if topic == "jobs":
        job_id = with_enough_time(lambda window: create_before_a_limit(product, window), 3_000)
    else:
        job_id = fresh("large")
        limit(product, product.names.resources)
        record = large(id=job_id, type=job_id, when=tomorrow())
        product.send("createJobs", contract.JobList(items=[record]))
    product.service.process.wait()
    del product.service.settings["SCHEDULING_FAILPOINTS"]
    product.service.start()
    letter_of(product, job_id)
    product.done(product.run(other))
    product.settle()
    assert product.living(job_id) == []
    assert product.runs_so_far(job_id) == []
    assert len(product.runs_so_far(other)) == 1
    events = [event for event, _ in product.resource_events(job_id)]
    assert events == (["jobsCreated", "jobsDeleted"] if topic == "jobs" else [])
    letters = [each for each in product.dead_letters() if each.headers.get("job-id") == job_id]
    assert len(letters) == 1


def test_a_refused_list_of_several_shards_is_undone_in_all(deploy: Deploy) -> None:
    """Of the shard that decides about it: the others have not been told yet."""
    product = deploy(shards="3")
    limit(product, product.names.resources)
    ids = [fresh("many") for _ in range(8)]
    kinds = (fresh("first") for _ in range(99))
    kind = next(kind for kind in kinds if crc32(kind.encode()) % 3 == 0)
    jobs = [contract.job(id=job_id, type=job_id, when=tomorrow()) for job_id in ids]
    with pytest.raises(Refusal) as refusal:
        product.client.create(*jobs, large(id="big", type=kind, when=tomorrow()))
    assert refusal.value.code is NO
    assert product.living(*ids, "big") == []
    assert product.resource_events(*ids) == []
    product.client.create(*jobs)
    assert product.living(*ids) == sorted(ids)
