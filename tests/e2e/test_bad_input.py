"""Every fault gets its code and its sentence, changes nothing, and stops nobody else."""

import random
from typing import Any

import grpc
import pytest
from confluent_kafka import Producer

from tests.client import contract
from tests.client.contract import Backoff, Data, DeleteRequest, Job, JobFilter, JobList, payload
from tests.client.grpc_client import COMMAND, JOBS, Refusal
from tests.client.raw_kafka import Headers, produce
from tests.client.topics import Record, make_topic
from tests.client.wire import length_delimited, varint
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS

INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
METHODS = ["Create", "Read", "Update", "Upsert", "Delete"]
EVENTS = ["createJobs", "modifyJobs", "deleteJobs", "jobDone", "jobFailed"]
LIST_EVENTS = EVENTS[:3]

TRUNCATED = b"\x0a\x7f\x01"
WRONG_TYPE = b"\x0d\x01\x02\x03\x04"
"""Field 1 as a fixed 32-bit number: no message has it so."""


USERS_FAULTS = {"OK", "INVALID_ARGUMENT", "ALREADY_EXISTS", "NOT_FOUND"}


def code_of(product: Product, method: str, raw: bytes) -> str:
    """The name of the status that these bytes get."""
    try:
        product.client.call(JOBS + method, raw)
    except Refusal as refusal:
        return refusal.code.name
    return "OK"


def told(record: Record) -> str:
    """All that a dead letter says about its reason."""
    return " ".join(record.headers.values())


# --- what a job must not be ---

FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no type": ({"type": "", "now": True}, "Job type not specified.", "type"),
    "no schedule": ({}, "No schedule specified for job. Set one of interval, when and now.", ""),
    "elapsed": (
        {"when": "2018-01-15T10:30:00Z"},
        "Cannot schedule a job for an elapsed time",
        "when",
    ),
    "when": ({"when": "sometime"}, "", "when"),
    "when is a number": ({"when": "1516012200000"}, "", "when"),
    "30 February": ({"when": "2030-02-30T10:00:00Z"}, "", "when"),
    "interval": ({"interval": "sometimes"}, "", "interval"),
    "zero": ({"interval": "0 seconds"}, "", "interval"),
    "negative": ({"interval": "-5 seconds"}, "", "interval"),
    "half understood": ({"interval": "5 minutes or so"}, "", "interval"),
    "too short": ({"interval": "99 milliseconds"}, "", "interval"),
    "minute 60": ({"interval": "60 * * * *"}, "", "interval"),
    "reversed": ({"interval": "10-5 * * * *"}, "", "interval"),
    "seven fields": ({"interval": "* * * * * * *"}, "", "interval"),
    "never": ({"interval": "0 0 30 2 *"}, "", "interval"),
    "zone": ({"data": Data(timezone="Mars/Base"), "now": True}, "", "data.timezone"),
    "priority": ({"priority": 3, "now": True}, "", "priority"),
    "backoff type": ({"backoff": Backoff(type=7), "now": True}, "", "backoff"),
    "negative delay": ({"backoff": Backoff(delay=-1), "now": True}, "", "backoff"),
    "no delay": ({"backoff": Backoff(delay=float("nan")), "now": True}, "", "backoff"),
    "endless delay": ({"backoff": Backoff(delay=float("inf")), "now": True}, "", "backoff"),
}
each_fault = pytest.mark.parametrize(
    ("fields", "sentence", "field"), FAULTS.values(), ids=FAULTS.keys()
)


@each_fault
def test_a_faulty_job_is_refused(
    product: Product, fields: dict[str, Any], sentence: str, field: str
) -> None:
    good, bad = fresh(), fresh()
    jobs = [contract.job(id=good, when=tomorrow()), contract.job(id=bad, **fields)]
    with pytest.raises(Refusal) as caught:
        product.client.create(*jobs)
    refusal = caught.value
    assert refusal.code is INVALID
    assert refusal.message.startswith(sentence)
    [(path, description)] = refusal.violations
    assert path.startswith(f"items[1].{field}")
    assert bad in description
    assert product.living(good, bad) == []


@each_fault
def test_a_faulty_event_is_a_dead_letter_with_the_same_status_and_sentence(
    product: Product, fields: dict[str, Any], sentence: str, field: str
) -> None:
    """What gRPC would answer as an error; nothing of a rejected list is applied."""
    good, bad = fresh(), fresh()
    jobs = JobList(
        items=[contract.job(id=good, when=tomorrow()), contract.job(id=bad, **fields)]
    ).SerializeToString()
    with pytest.raises(Refusal) as caught:
        product.client.call(JOBS + "Create", jobs)
    product.send("createJobs", jobs)
    letter = product.dead_letter(lambda record: record.value == jobs)
    assert letter.key == "createJobs"
    assert "INVALID_ARGUMENT" in told(letter)
    said, _, _ = caught.value.message.partition(", and now it is ")
    assert said in told(letter)
    assert product.living(good, bad) == []


def test_an_interval_error_says_what_is_accepted(product: Product) -> None:
    with pytest.raises(Refusal, match=r"(?i)cron.*\d minutes"):
        product.client.create(contract.job(interval="sometimes"))


def test_a_cron_error_names_the_field(product: Product) -> None:
    with pytest.raises(Refusal, match="(?i)minute"):
        product.client.create(contract.job(interval="60 * * * *"))


def test_an_event_for_what_does_not_exist_is_a_dead_letter(product: Product) -> None:
    update = JobList(items=[contract.job(id=fresh("nobody"), when=tomorrow())]).SerializeToString()
    product.send("modifyJobs", update)
    assert "NOT_FOUND" in told(product.dead_letter(lambda record: record.value == update))


def test_an_event_for_what_exists_is_a_dead_letter(product: Product) -> None:
    job = contract.job(id=fresh(), when=tomorrow())
    product.client.create(job)
    create = JobList(items=[job]).SerializeToString()
    product.send("createJobs", create)
    assert "ALREADY_EXISTS" in told(product.dead_letter(lambda record: record.value == create))


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("createJobs", "Missing items in create request."),
        ("modifyJobs", "items"),
        ("deleteJobs", "No arguments provided for delete operation"),
    ],
)
def test_an_empty_value_is_a_dead_letter(product: Product, event: str, sentence: str) -> None:
    count = len(product.dead_letters())
    product.send(event, b"")
    letter = product.dead_letter(
        lambda record: record.offset >= count and (record.key, record.value) == (event, b"")
    )
    assert sentence in told(letter)
    assert "INVALID_ARGUMENT" in told(letter)


# --- what no protobuf is ---


@pytest.mark.parametrize("method", METHODS)
def test_truncated_protobuf_is_refused(product: Product, method: str) -> None:
    with pytest.raises(Refusal) as refusal:
        product.client.call(JOBS + method, TRUNCATED)
    assert refusal.value.code is INVALID
    assert refusal.value.message


def test_a_truncated_command_is_refused(product: Product) -> None:
    with pytest.raises(Refusal) as refusal:
        product.client.call(COMMAND, TRUNCATED)
    assert refusal.value.code is INVALID


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("kind", ["truncated", "wrong wire type"])
def test_an_event_that_cannot_be_read_is_a_dead_letter(
    product: Product, event: str, kind: str
) -> None:
    """It never stops the partition: the next record is handled."""
    value = TRUNCATED if kind == "truncated" else WRONG_TYPE
    value += length_delimited(15, fresh().encode()) if kind != "truncated" else b""
    offset = product.send(event, value)
    letter = product.dead_letter(lambda record: record.key == event and record.value == value)
    assert "INVALID_ARGUMENT" in told(letter)
    product.settle()
    assert offset < product.end_of(product.names.jobs)


def test_unreadable_commands_do_not_stop_the_partition(product: Product) -> None:
    for value in (TRUNCATED, b"", b"\x0d\x01\x02\x03\x04"):
        product.sender.send(product.names.commands, "versionCommand", value)
    count = product.end_of(product.names.commands)
    request = contract.CommandRequest(name="health_check", payload=payload("{}"))
    product.sender.send(product.names.commands, "healthCheckCommand", request)
    product.reader.wait_for(
        lambda record: record.key == "healthCheckResponse" and record.offset >= count
    )


def test_random_bytes_are_never_an_internal_error(product: Product) -> None:
    randomness = random.Random(20180115)
    for _ in range(300):
        raw = randomness.randbytes(randomness.randint(1, 60))
        method = randomness.choice(METHODS)
        assert code_of(product, method, raw) in USERS_FAULTS, (method, raw)
    product.service.wait_until_serving()


def test_mutated_jobs_are_never_an_internal_error(product: Product) -> None:
    """Golden requests with some bytes changed come close to being right."""
    randomness = random.Random(20180116)
    good = JobList(
        items=[
            contract.job(
                type="mutated",
                interval="1 day",
                priority=Job.HIGH,
                backoff=Backoff(delay=1000, type=1),
            )
        ]
    ).SerializeToString()
    for _ in range(300):
        raw = bytearray(good)
        for _ in range(randomness.randint(1, 3)):
            raw[randomness.randrange(len(raw))] = randomness.randrange(256)
        method = randomness.choice(["Create", "Upsert"])
        assert code_of(product, method, bytes(raw)) in USERS_FAULTS, (method, raw)
    product.client.command("reset")


def test_random_events_do_not_stop_the_partition(product: Product) -> None:
    randomness = random.Random(20180117)
    for _ in range(300):
        raw = randomness.randbytes(randomness.randint(0, 60))
        product.sender.post(product.names.jobs, randomness.choice(EVENTS), raw)
    product.settle()
    product.client.command("reset")


def test_text_that_is_no_unicode_is_refused(product: Product) -> None:
    raw = length_delimited(1, length_delimited(11, b"\xff\xfe") + length_delimited(12, b""))
    with pytest.raises(Refusal) as refusal:
        product.client.call(JOBS + "Create", raw)
    assert refusal.value.code is INVALID


def test_unknown_fields_are_no_fault(product: Product) -> None:
    job_id = fresh()
    job = contract.job(id=job_id, when=tomorrow()).SerializeToString()
    job += length_delimited(999, b"new") + varint(1000 << 3) + b"\x01"
    product.client.call(JOBS + "Create", length_delimited(1, job))
    assert product.living(job_id) == [job_id]


# --- keys ---


@pytest.mark.parametrize(
    "key", ["unknown", "", None, "queuedJob", "jobsCreated", "CREATEJOBS", "\0"]
)
def test_an_unknown_key_is_skipped_silently(product: Product, key: str | None) -> None:
    letters = len(product.dead_letters())
    job_id = fresh()
    product.send(key, JobList(items=[contract.job(id=job_id, when=tomorrow())]))
    product.settle()
    assert product.living(job_id) == []
    assert len(product.dead_letters()) == letters


# --- headers ---


@pytest.mark.parametrize(
    "headers",
    [
        [(b"\xff\xfe", b"x")],
        [(b"traceparent", b"\xff"), (b"traceparent", None), (b"", b"")],
        [(b"occurrence-id", b"a/1/" + b"9" * 5000 + b"/1"), (b"\xc0\x80", None)],
    ],
    ids=["no UTF-8", "repeated, empty and null", "all of it"],
)
@pytest.mark.parametrize("event", ["createJobs", "queuedJob"])
def test_no_header_stops_the_partition(
    product: Product, kafka: Kafka, event: str, headers: Headers
) -> None:
    """Kafka takes any bytes for a header's name, and no restart would pass such a record."""
    kind = fresh("type")
    value = JobList(items=[contract.job(type=kind, now=True)]).SerializeToString()
    produce(kafka.bootstrap, product.names.jobs, event.encode(), value, headers)
    if event == "createJobs":
        product.done(product.run(kind))
    product.service.wait_until_serving()


# --- sizes ---


def test_a_list_of_ten_thousand_works(product: Product) -> None:
    kind = fresh("type")
    when = tomorrow()
    answer = product.client.create(*(contract.job(type=kind, when=when) for _ in range(10_000)))
    assert len({job.id for job in answer.items}) == answer.total_count == 10_000
    ids = [job.id for job in answer.items]
    assert product.client.read(limit=1, filter=JobFilter(jobs_ids=ids)).total_count == 10_000
    product.client.delete(*ids)
    assert product.client.read(limit=1, filter=JobFilter(jobs_ids=ids)).total_count == 0


@pytest.mark.parametrize("method", ["create", "update", "upsert"])
def test_a_list_over_the_limit_is_refused(product: Product, method: str) -> None:
    jobs = [contract.job(id=f"over-{number}", when=tomorrow()) for number in range(10_001)]
    with pytest.raises(Refusal) as refusal:
        getattr(product.client, method)(*jobs)
    assert refusal.value.code is EXHAUSTED
    assert "10000" in refusal.value.message.replace(",", "")
    assert product.living("over-0") == []


def test_a_list_of_events_over_the_limit_is_a_dead_letter(product: Product) -> None:
    jobs = JobList(items=[contract.job(now=True)] * 10_001).SerializeToString()
    product.send("createJobs", jobs)
    letter = product.dead_letter(lambda record: "RESOURCE_EXHAUSTED" in told(record))
    assert letter.key == "createJobs"
    product.settle()


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_a_value_too_large_for_kafka_is_refused(product: Product, size: int) -> None:
    """A job that no queuedJob could carry: a user's fault, told at once."""
    job_id = fresh()
    big = contract.job(id=job_id, when=tomorrow(), data=Data(payload=[payload(b"x" * size)]))
    with pytest.raises(Refusal) as refusal:
        product.client.create(big)
    assert refusal.value.code in {INVALID, EXHAUSTED}
    assert product.living(job_id) == []
    product.settle()


def test_a_job_of_half_a_megabyte_works(product: Product) -> None:
    kind = fresh("type")
    data = Data(timezone="UTC", payload=[payload(random.Random(1).randbytes(500_000))])
    product.client.create(contract.job(type=kind, now=True, data=data))
    run = product.run(kind)
    assert run.message.data == data
    product.done(run)


def test_large_jobs_in_one_list_work(product: Product) -> None:
    """Together they are larger than one Kafka message may be; each of them is not."""
    kind = fresh("type")
    data = Data(timezone="UTC", payload=[payload(bytes(300_000))])
    product.client.create(*(contract.job(type=kind, now=True, data=data) for _ in range(10)))
    product.finish(kind, product.runs(kind, 10))


@pytest.mark.parametrize("field", ["id", "type", "creator"])
def test_a_text_of_a_megabyte_is_refused(product: Product, field: str) -> None:
    text = "x" * 1_000_000
    job = contract.job(when=tomorrow())
    if field == "creator":
        job.data.creator = text
    else:
        setattr(job, field, text)
    with pytest.raises(Refusal) as refusal:
        product.client.create(job)
    assert refusal.value.code in {INVALID, EXHAUSTED}
    assert len(refusal.value.message) < 1000


def test_a_huge_event_does_not_stop_the_partition(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    """10 MB, on a jobs topic that allows it, while the dead-letter topic does not."""
    make_topic(kafka.bootstrap, names.jobs, partitions=1, **{"max.message.bytes": "12000000"})
    product = deploy()
    job_id = fresh()
    big = contract.job(id=job_id, now=True, data=Data(payload=[payload(b"x" * 10_000_000)]))
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 12_000_000})
    producer.produce(
        names.jobs, JobList(items=[big]).SerializeToString(), "createJobs", partition=0
    )
    assert producer.flush(PATIENCE_SECONDS) == 0
    letter = product.dead_letter(lambda record: record.key == "createJobs")
    assert {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} & {*letter.headers.values()}
    product.settle()


# --- odd, and no fault ---


def test_odd_ids_work(product: Product) -> None:
    ids = ["a:b", "{x}", "a/b/1/2", "ünïcödé 🚀", "a b", "*", "%s", "'\"", "jobs", "x" * 255]
    product.client.create(*(contract.job(id=job_id, when=tomorrow()) for job_id in ids))
    assert product.living(*ids) == sorted(ids)
    product.client.delete(*ids)
    assert product.living(*ids) == []
    for job_id in ids:
        assert product.resource_events(job_id) == [
            ("jobsCreated", job_id),
            ("jobsDeleted", job_id),
        ]


def test_odd_types_and_creators_work(product: Product) -> None:
    texts = ["a:b", "{x}", "ünïcödé 🚀", "a b", "*", "[", "'\"", "waiting"]
    for text in texts:
        job = contract.job(type=text, data=Data(creator=text), now=True, parallel=1)
        product.client.create(job, contract.job(type=text, data=Data(creator=text), interval="1 d"))
        product.done(product.run(text))
        assert product.client.read(filter=JobFilter(creator=text)).total_count == 1
    product.client.delete(collection=True)


def test_a_far_future_works(product: Product) -> None:
    job_id = fresh()
    product.client.create(contract.job(id=job_id, when="9999-12-31T23:59:59.999Z"))
    assert product.living(job_id) == [job_id]
    product.client.delete(job_id)


def test_the_largest_numbers_work(product: Product) -> None:
    kind = fresh("type")
    big = 2**32 - 1
    product.client.create(contract.job(type=kind, now=True, attempts=big, parallel=big))
    run = product.run(kind)
    product.failed(run)
    product.done(product.run(kind, 2))


def test_an_empty_data_message_is_enough(product: Product) -> None:
    kind = fresh("type")
    product.client.create(Job(type=kind, data=Data(), when="in 50 ms"))
    product.done(product.run(kind))


def test_an_unknown_method_is_unimplemented(product: Product) -> None:
    with pytest.raises(Refusal) as refusal:
        product.client.call(JOBS + "Nope", b"")
    assert refusal.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_delete_over_the_limit_is_refused(product: Product) -> None:
    request = DeleteRequest(ids=[f"over-{number}" for number in range(10_001)])
    with pytest.raises(Refusal) as refusal:
        product.client.call(JOBS + "Delete", request.SerializeToString())
    assert refusal.value.code is EXHAUSTED
