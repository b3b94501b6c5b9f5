"""What the topics and Redis are set to is asked, used, and said."""

import json
import re
from typing import Any

import grpc
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined]

from tests.client import contract
from tests.client.contract import Data, JobList
from tests.client.grpc_client import Refusal
from tests.client.topics import make_topic, unmake_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually

KB = 1_000


class Topics:
    """An operator's hand."""

    def __init__(self, kafka: Kafka) -> None:
        self.bootstrap = kafka.bootstrap
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def alter(self, topic: str, **config: Any) -> None:
        """`max_message_bytes` becomes max.message.bytes."""
        entries = [
            ConfigEntry(
                name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET
            )
            for name, value in config.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(PATIENCE_SECONDS)

    def delete(self, *topics: str) -> None:
        for topic in topics:
            unmake_topic(self.bootstrap, topic)

    def existing(self) -> set[str]:
        return {*self.admin.list_topics(timeout=PATIENCE_SECONDS).topics}


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka)


def details(product: Product) -> Any:
    """What `/readyz?verbose` says."""
    return json.loads(product.service.get("/readyz?verbose")[1])


def ready_details(product: Product) -> Any:
    """The same while the replica is ready: a busy machine may keep it from that for a moment."""

    def ready() -> Any:
        found = details(product)
        return found if found["ready"] else None

    return eventually(ready, what="a ready replica")


def says_degraded(product: Product, topic: str) -> bool:
    return topic in " ".join(details(product)["degraded"])


def at_risk(product: Product) -> set[str]:
    """The reasons, as the metric has them."""
    _, page = product.service.get("/metrics")
    found = re.findall(
        r'^scheduling_guarantee_at_risk\{reason="(\w+)"\} (\S+)$', page, re.MULTILINE
    )
    assert len(found) > 5
    return {reason for reason, value in found if float(value) > 0}


def look_again(valkey: ValkeyServer) -> None:
    """A reconnect makes the service look at all settings."""
    with valkey.client() as client:
        client.client_kill_filter(_type="pubsub", skipme=True)


def large(size: int, **fields: Any) -> Any:
    data = Data(creator="c", payload=[contract.payload(b"x" * size)])
    return contract.job(data=data, **{"when": tomorrow(), **fields})


def runs(product: Product) -> None:
    """A job runs, and is announced."""
    kind = fresh("type")
    product.client.create(contract.job(type=kind, when="in 10 ms"))
    product.done(product.run(kind))


# --- What a topic takes ---------------------------------------------------------------------------


def test_a_job_that_a_topic_does_not_take_is_refused_when_it_comes(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    make_topic(kafka.bootstrap, names.resources, **{"max.message.bytes": 300 * KB})
    product = deploy()
    eventually(lambda: "job_limit" in details(product)["notes"], what="a note")
    assert "SCHEDULING_MAX_JOB_BYTES" in product.service.log.read_text()
    with pytest.raises(Refusal) as caught:
        product.client.create(contract.job(when=tomorrow()), large(400 * KB, id="large"))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert names.resources in caught.value.message
    assert "SCHEDULING_MAX_JOB_BYTES" in caught.value.message
    [(field, description)] = caught.value.violations
    assert (field, "large" in description) == ("items[1].data", True)
    product.send("createJobs", JobList(items=[large(400 * KB, id="sent")]))
    letter = product.dead_letter(lambda record: record.key == "createJobs")
    assert letter.headers["status"] == "FAILED_PRECONDITION"
    product.client.create(large(290 * KB, id="fits"))
    product.created("fits")
    assert product.ids() == ["fits"]
    runs(product)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_many_small_jobs_fit_where_a_large_one_does_not(
    deploy: Deploy, kafka: Kafka, names: Names, delivery: str
) -> None:
    """librdkafka does not split a batch that a topic refuses."""
    for topic in (names.jobs, names.resources):
        make_topic(kafka.bootstrap, topic, **{"max.message.bytes": 50 * KB})
    product = deploy(delivery=delivery)
    kind = fresh("type")
    jobs = [large(1 * KB, type=kind, when="in 1 second") for _ in range(300)]
    product.client.create(*jobs)
    product.runs(kind, 300)
    eventually(
        lambda: len({run.occurrence for run in product.runs_so_far(kind)}) == 300,
        what="a run of each job",
    )
    if delivery == "exactly_once":  # the other one sends a refused batch again
        assert len(product.runs_so_far(kind)) == 300
    product.finish(kind)


def test_garbage_larger_than_the_dead_letter_topic_takes_stops_nothing(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    make_topic(kafka.bootstrap, names.dead_letter, **{"max.message.bytes": 300 * KB})
    product = deploy()
    product.sender.send(names.jobs, "createJobs", b"\xff" * (400 * KB))
    letter = product.dead_letter(lambda record: record.key == "createJobs")
    assert letter.headers["truncated-from"] == str(400 * KB)
    assert 299 * KB < len(letter.value) < 300 * KB
    huge_id = "i" * (250 * KB)
    product.send("createJobs", JobList(items=[contract.job(id=huge_id, when=tomorrow())]))
    product.dead_letter(lambda record: record.headers["offset"] == "1" or len(record.value) > 0)
    runs(product)


def test_limits_may_change(
    deploy: Deploy, topics: Topics, names: Names, breakable_valkey: ValkeyServer
) -> None:
    product = deploy(valkey=breakable_valkey)
    product.client.create(large(400 * KB, id="before"))
    topics.alter(f"{names.namespace}.journal", max_message_bytes=300 * KB)
    look_again(breakable_valkey)
    eventually(lambda: "job_limit" in details(product)["notes"], what="a note")
    with pytest.raises(Refusal) as caught:
        product.client.create(large(400 * KB))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    topics.alter(f"{names.namespace}.journal", max_message_bytes=1000 * KB)
    look_again(breakable_valkey)
    eventually(lambda: "job_limit" not in details(product)["notes"], what="none")
    product.client.create(large(400 * KB, id="after"))
    assert sorted(product.ids()) == ["after", "before"]
    product.client.command("reset")


# --- Missing topics -------------------------------------------------------------------------------


def test_a_missing_dead_letter_topic_does_not_stop_the_runs(
    deploy: Deploy, topics: Topics, names: Names
) -> None:
    product = deploy(create_topics="false", start=False)
    for topic in (*names.topics[:3], f"{names.namespace}.journal", f"{names.namespace}.position"):
        make_topic(product.bootstrap, topic)
    product.service.start()
    ready_details(product)
    eventually(lambda: says_degraded(product, names.dead_letter), what="it is said")
    product.send("createJobs", JobList(items=[contract.job(interval="sometimes")]))
    runs(product)
    product.settle()
    eventually(lambda: "topic_missing" in at_risk(product), what="it is said")
    assert names.dead_letter not in topics.existing()
    make_topic(product.bootstrap, names.dead_letter)
    eventually(lambda: "topic_missing" not in at_risk(product), what="it is well")
    product.send("createJobs", JobList(items=[contract.job(id="x", interval="sometimes")]))
    product.dead_letter(lambda record: record.key == "createJobs")


def test_a_dead_letter_topic_that_disappears_is_made_again(
    deploy: Deploy, topics: Topics, names: Names
) -> None:
    """What is to be put aside until then is dropped: runs do not wait for it (decision 9)."""
    product = deploy()
    topics.delete(names.dead_letter)
    product.send("createJobs", JobList(items=[contract.job(interval="sometimes")]))
    runs(product)
    eventually(lambda: names.dead_letter in topics.existing(), what="it is made")
    eventually(lambda: not says_degraded(product, names.dead_letter), what="the service sees it")
    product.send("createJobs", JobList(items=[contract.job(interval="seldom")]))
    product.dead_letter(lambda record: record.key == "createJobs")


def test_a_missing_commands_topic_does_not_stop_the_runs(
    deploy: Deploy, topics: Topics, names: Names
) -> None:
    """A command is answered over gRPC; its response has no topic to go to."""
    product = deploy(create_topics="false", start=False)
    own = [f"{names.namespace}.{name}" for name in ("journal", "position")]
    for topic in (names.jobs, names.resources, names.dead_letter, *own):
        make_topic(product.bootstrap, topic)
    product.service.start()
    eventually(lambda: says_degraded(product, names.commands), what="it is said")
    product.client.command("version")
    product.client.command("reset")
    product.client.command("restore", {"jobs": {"offset": 0}})
    eventually(
        lambda: '"event": "restored"' in product.service.log.read_text(),
        what="a restore",
    )
    runs(product)
    assert names.commands not in topics.existing()
    make_topic(product.bootstrap, names.commands)  # the fixtures reset what is left


def test_a_start_waits_for_topics_that_it_may_not_create(
    deploy: Deploy, names: Names, topics: Topics
) -> None:
    product = deploy(create_topics="false", start=False)
    product.service.launch()
    said = f"The topic {names.jobs} does not exist. SCHEDULING_CREATE_TOPICS is false"
    eventually(lambda: said in " ".join(details_or_nothing(product)), what="it is said")
    for topic in (*names.topics, f"{names.namespace}.journal", f"{names.namespace}.position"):
        make_topic(product.bootstrap, topic)
    product.service.wait_until_serving()
    runs(product)
    assert names.jobs in topics.existing()


def details_or_nothing(product: Product) -> list[str]:
    try:
        return list(details(product)["reasons"])
    except OSError:
        return []


# --- The journal is lost while Redis lives ------------------------------------------------


@pytest.mark.parametrize("lost", [("journal", "position"), ("journal",), ("position",)])
def test_a_lost_journal_is_filled_again_from_redis(
    deploy: Deploy,
    topics: Topics,
    names: Names,
    breakable_valkey: ValkeyServer,
    lost: tuple[str, ...],
) -> None:
    """And so a loss of Redis after it forgets nothing."""
    product = deploy(valkey=breakable_valkey, lease="1s")
    client = product.client
    client.create(*(contract.job(id=f"w{n}", when=tomorrow()) for n in range(300)))
    client.create(contract.job(id="cron", interval="0 5 * * *"))
    client.create(contract.job(id="beat", type="beat", interval="700 ms"))
    backoff = contract.Backoff(delay=120_000)
    client.create(contract.job(type="retry", now=True, attempts=3, backoff=backoff))
    client.create(contract.job(id="running", type="running", when="in 50 ms"))
    product.failed(product.run("retry"))
    product.run("running")
    product.settle()
    stored = sorted(client.read(sort=1).items, key=lambda job: job.id)
    topics.delete(*(f"{names.namespace}.{name}" for name in lost))
    client_goes_on(product)
    if "journal" in lost:
        shards = int(product.service.settings["SCHEDULING_SHARDS"])
        eventually(
            lambda: product.service.log.read_text().count("journal is filled again") >= shards,
            what="a refill",
        )
    client.delete("w0", "extra")
    product.service.kill()
    breakable_valkey.flush()
    product.service.start()
    found = sorted(client.read(sort=1).items, key=lambda job: job.id)
    assert found == [job for job in stored if job.id != "w0"]
    before = len(product.runs_so_far("beat"))
    beats = [run.nominal for run in product.runs("beat", before + 2)]
    assert sorted({*beats}) == sorted(beats)
    assert {(beat - beats[0]) % 700 for beat in beats} == {0}
    product.done(product.run("running"))
    product.deleted("running")
    assert len(product.runs_so_far("running")) == 1
    with breakable_valkey.client() as store:
        retries = store.scan_iter(f"{names.namespace}:{{*}}:retries")
        assert sum(store.zcard(key) for key in retries) == 1
    client.command("reset")


def client_goes_on(product: Product) -> None:
    def created() -> bool:
        try:
            product.client.create(contract.job(id="extra", when=tomorrow()))
        except Refusal as refused:
            return refused.code is grpc.StatusCode.ALREADY_EXISTS
        return True

    eventually(created, what="jobs are taken in")


# --- Guarantees -----------------------------------------------------------------------------------


def test_a_journal_that_kafka_deletes_from_is_said_once(
    deploy: Deploy, topics: Topics, names: Names, breakable_valkey: ValkeyServer
) -> None:
    journal = f"{names.namespace}.journal"
    product = deploy(valkey=breakable_valkey)
    assert at_risk(product) == set()
    assert details(product)["at_risk"] == {}
    topics.alter(journal, cleanup_policy="compact,delete", retention_ms=3_600_000)
    look_again(breakable_valkey)
    eventually(lambda: at_risk(product) == {"journal_not_kept"}, what="a risk")
    look_again(breakable_valkey)
    told = ready_details(product)
    assert told["reasons"] == []
    assert journal in told["at_risk"]["journal_not_kept"]
    assert "single_broker" in told["notes"]
    runs(product)
    warnings = product.service.log.read_text().count("Kafka deletes records that a rebuild")
    assert warnings == 1
    topics.alter(journal, cleanup_policy="compact")
    look_again(breakable_valkey)
    eventually(lambda: at_risk(product) == set(), what="all is well")


def test_a_risk_may_be_forbidden(
    deploy: Deploy, topics: Topics, names: Names, breakable_valkey: ValkeyServer
) -> None:
    """Health says so, and runs are emitted all the same."""
    product = deploy(valkey=breakable_valkey, require_guarantees="true")
    with breakable_valkey.client() as store:
        store.config_set("maxmemory", 10**9)
        store.config_set("maxmemory-policy", "allkeys-lru")
        store.config_set("appendonly", "no")
    look_again(breakable_valkey)
    risks, sentence = {"redis_eviction", "redis_no_aof"}, "maxmemory-policy allkeys-lru"
    eventually(lambda: at_risk(product) == risks, what="both risks")
    eventually(lambda: sentence in " ".join(details(product)["reasons"]), what="the reason")
    told = details(product)
    assert (told["ready"], told["status"]) == (False, "NOT_SERVING")
    assert {*told["at_risk"]} == risks
    runs(product)
    with breakable_valkey.client() as store:
        store.config_set("maxmemory-policy", "noeviction")
        store.config_set("maxmemory", 0)
        store.config_set("appendonly", "yes")
    look_again(breakable_valkey)
    product.service.wait_until_serving()
    eventually(lambda: at_risk(product) == set(), what="no risk")


def test_what_it_may_not_ask_it_does_not_know(
    deploy: Deploy, breakable_valkey: ValkeyServer, names: Names
) -> None:
    with breakable_valkey.client() as store:
        store.acl_setuser(
            "blind",
            enabled=True,
            passwords=["+secret"],
            keys="*",
            channels="*",
            commands=["+@all", "-info", "-config"],
        )
    product = deploy(start=False, valkey=breakable_valkey)
    url = breakable_valkey.url.replace("redis://", "redis://blind:secret@")
    product.service.settings["SCHEDULING_REDIS_URL"] = url
    product.service.start()
    said = "How Redis is set up is not known"
    eventually(lambda: said in " ".join(details(product)["unknown"]), what=said)
    assert at_risk(product) == set()
    runs(product)
    assert product.service.log.read_text().count(said) == 1
