"""Two services on one Kafka: replicas of one deployment, or strangers (docs/decisions/0019).

Each test has a Redis of its own for the second service, or takes the first one's away.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from scheduling_srv.app.deployments.deployment import Tag, tag_of
from scheduling_srv.app.deployments.neighbours import (
    LEAST_PATIENCE_SECONDS,
    STARTING_SECONDS,
    TOPIC_IS_SHARED,
    WAITS_FOR_CONFLICT,
    WAITS_FOR_TOPIC,
)
from tests.client import contract
from tests.client.topics import group_members
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh
from tests.e2e.recurring import PERIOD, assert_goes_on, recurring
from tests.harness.fixtures import StartService
from tests.harness.given import GivenStore, Kafka, Store
from tests.harness.names import Names
from tests.harness.older import FIRST, source_of
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import in_time, with_enough_time

LONG_LEASE = "1m"
"""An owner does not lose it because the machine is busy."""
IS_OURS = "the jobs topic is ours again"
SOON = """
from scheduling_srv.app.deployments import neighbours
from scheduling_srv.cli.main import main
neighbours.QUIET_SECONDS, neighbours.LOOK_SECONDS = {}, 0.5
raise SystemExit(main())
"""


def forgets_after(seconds: float) -> tuple[str, ...]:
    """The command of a service for which a stranger is gone after so long, not after a minute."""
    return sys.executable, "-c", SOON.format(seconds), "serve"


@pytest.fixture(scope="module")
def other_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """The Redis of a second service."""
    server = ValkeyServer(tmp_path_factory.mktemp("other-valkey"))
    server.start()
    yield server
    server.stop()


def log_of(replica: Service) -> str:
    return replica.log.read_text()


def says(replica: Service, words: str, timeout: float = PATIENCE_SECONDS) -> None:
    eventually(lambda: words in log_of(replica), timeout=timeout, what=words)


def readyz(replica: Service) -> str:
    return replica.get("/readyz?verbose")[1]


def said_at(replica: Service, words: str) -> int:
    """The instant of the log line, in epoch ms, rounded down as those of Kafka are."""
    line = next(line for line in log_of(replica).splitlines() if words in line)
    return int(datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() * 1000)


def assert_undisturbed(product: Product, replica: Service) -> None:
    """It was never fenced: a producer that is would have to recover."""
    text = log_of(replica)
    assert '"not emitting"' not in text
    shards = int(replica.settings["SCHEDULING_SHARDS"])
    assert text.count('"lease taken"') == text.count('"emitting"') == shards
    deployments = {record.headers.get("deployment") for record in product.reader.of("queuedJob")}
    assert len(deployments) == 1


def assert_met_nobody(replica: Service) -> None:
    for line in (WAITS_FOR_CONFLICT, WAITS_FOR_TOPIC, TOPIC_IS_SHARED):
        assert line not in log_of(replica)


def assert_refused(replica: Service, *words: str, who: str = "service") -> None:
    assert replica.exit_code() == 2
    text = log_of(replica)
    assert "Traceback" not in text
    sentence = text.splitlines()[-1]
    assert sentence.startswith(f"scheduling-srv: A {who} on 127.0.0.1")
    for word in words:
        assert word in sentence


def tags(kafka: Kafka, group: str) -> list[Tag | None]:
    return [tag_of(member) for member in group_members(kafka.bootstrap).get(group, ())]


def both_tags(kafka: Kafka, group: str) -> tuple[Tag, Tag] | None:
    """Those of the two members; None: there are not two."""
    match tags(kafka, group):
        case [Tag() as one, Tag() as other]:
            return one, other
    return None


# --- one deployment ---


def test_replicas_are_one_deployment(deploy: Deploy, kafka: Kafka, names: Names) -> None:
    product = deploy(2)
    kind = recurring(product)
    first, second = eventually(lambda: both_tags(kafka, names.group_id), what="two members")
    assert first[:2] == second[:2]
    assert first.name != second.name
    assert product.run(kind).record.headers["deployment"] == first.deployment
    for replica in product.replicas:
        assert_met_nobody(replica)
    product.client.delete(kind)
    product.finish(kind)


def test_a_restart_is_the_same_deployment_and_waits_for_nobody(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    """Also after a crash, whose consumer is a member of the group until its session ends."""
    product = deploy()
    kind = recurring(product)
    product.service.kill()
    product.service.start()
    assert_goes_on(product, kind)
    assert_met_nobody(product.service)
    assert len({run.record.headers["deployment"] for run in product.runs_so_far(kind)}) == 1
    product.client.delete(kind)
    product.finish(kind)


def test_a_new_replica_may_start_while_redis_is_emptied(
    deploy: Deploy, service: StartService, own: ValkeyServer
) -> None:
    product = deploy(valkey=own)
    kind = recurring(product)
    second = service(start=False, valkey=own)
    own.flush()
    second.launch()
    second.wait_until_serving()
    product.service.wait_until_serving()
    assert_goes_on(product, kind)
    assert len({run.record.headers["deployment"] for run in product.runs_so_far(kind)}) == 1
    product.client.delete(kind)
    product.finish(kind)
    product.settle()


def test_redis_may_come_back_empty_under_two_replicas(
    deploy: Deploy, service: StartService, own: ValkeyServer
) -> None:
    product = deploy(2, valkey=own)
    kind = recurring(product)
    own.kill()
    shutil.rmtree(own.directory / "appendonlydir")
    own.start()
    assert_goes_on(product, kind)
    third = service(start=False, valkey=own)
    third.launch()
    third.wait_until_serving()
    assert_goes_on(product, kind)
    for replica in product.replicas:
        assert replica.process.alive
        replica.wait_until_serving()
    product.client.delete(kind)
    product.finish(kind)
    product.settle()


# --- the same namespace, another Redis ---


def test_another_redis_beside_a_living_service_is_refused(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer
) -> None:
    """Before, both fenced each other, and the second emitted the jobs of the first."""
    product = deploy(lease=LONG_LEASE)
    kind = recurring(product)
    second = service(start=False, valkey=other_valkey)
    second.launch()
    words = "another Redis", product.names.group_id, "SCHEDULING_NAMESPACE"
    assert_refused(second, *words)
    assert WAITS_FOR_CONFLICT in log_of(second)
    assert_goes_on(product, kind)
    assert_undisturbed(product, product.service)
    product.client.delete(kind)
    product.finish(kind)


@pytest.mark.slow
def test_another_database_of_the_same_server_is_another_redis(
    deploy: Deploy, service: StartService, own: ValkeyServer
) -> None:
    product = deploy(valkey=own, lease=LONG_LEASE)
    kind = recurring(product)
    second = service(start=False, valkey=GivenStore(own.url.rpartition("/")[0] + "/1"))
    second.launch()
    words = "another Redis", product.names.group_id, "SCHEDULING_NAMESPACE"
    assert_refused(second, *words)
    assert_goes_on(product, kind)
    assert_undisturbed(product, product.service)
    product.client.delete(kind)
    product.finish(kind)


def test_another_redis_after_a_dead_service_is_filled_from_kafka(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer, valkey: Store
) -> None:
    product = deploy()
    kind = recurring(product)
    product.service.kill()
    second = service(start=False, valkey=other_valkey)
    second.launch()
    second.wait_until_serving()
    says(second, "the schedule is rebuilt")
    assert_goes_on(product, kind)
    assert len({run.record.headers["deployment"] for run in product.runs_so_far(kind)}) == 1
    with Product(product.bootstrap, product.names, second) as moved:
        moved.client.delete(kind)
        product.finish(kind)
        product.settle()
    with valkey.client() as client:  # what the dead one has left
        client.delete(*client.scan_iter(f"{product.names.namespace}:*"))


@pytest.mark.slow
def test_of_two_that_start_at_once_one_ends(
    service: StartService, other_valkey: ValkeyServer, own: ValkeyServer
) -> None:
    pair = [service(start=False, valkey=store) for store in (own, other_valkey)]
    for each in pair:
        each.launch()
    eventually(
        lambda: sum(not each.process.alive for each in pair) == 1,
        what="one of them to end",
    )
    (ended,) = [each for each in pair if not each.process.alive]
    (left,) = [each for each in pair if each.process.alive]
    assert ended.exit_code() == 2
    left.wait_until_serving()


HELD = """
import asyncio, pathlib
from scheduling_srv.adapters.kafka.consumer import KafkaGroupConsumer
from scheduling_srv.app.deployments import neighbours
from scheduling_srv.cli.main import main
neighbours.STARTING_SECONDS = {}
join = KafkaGroupConsumer.join
async def held(self, *callbacks):
    while not pathlib.Path({!r}).exists():
        await asyncio.sleep(0.05)
    await join(self, *callbacks)
KafkaGroupConsumer.join = held
raise SystemExit(main())
"""


def joins_when(released: Path, starting_seconds: float = STARTING_SECONDS) -> tuple[str, ...]:
    """The command of a service that emits, and joins its group once this file exists."""
    return sys.executable, "-c", HELD.format(starting_seconds, str(released)), "serve"


def emit_alone(product: Product) -> str:
    """A recurring job of a service that is no member of its group. Returns its type."""
    kind = fresh("type")
    product.client.create(contract.job(id=kind, type=kind, interval=f"{PERIOD} ms"))
    product.run(kind)
    return kind


def end_job(kafka: Kafka, names: Names, living: Service, kind: str) -> None:
    """Delete the job of `emit_alone` at the service that goes on."""
    with Product(kafka.bootstrap, names, living) as product:
        product.client.delete(kind)
        product.finish(kind)


def test_a_service_that_was_fenced_before_it_was_a_member_does_not_fence_in_turn(
    service: StartService, other_valkey: ValkeyServer, kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """Before, each recovered, fenced the other, and so on for ever."""
    command = joins_when(tmp_path / "never", starting_seconds=0)
    first = service(start=False, command=command, lease=LONG_LEASE)
    first.launch()
    says(first, '"emitting"')
    with Product(kafka.bootstrap, names, first) as product:
        kind = emit_alone(product)
        second = service(start=False, valkey=other_valkey, lease=LONG_LEASE)
        second.launch()
        says(first, WAITS_FOR_CONFLICT)
        second.wait_until_serving()
        disturbed = log_of(second).count('"not emitting"')
        assert_goes_on(product, kind, more=round(2.5 * LEAST_PATIENCE_SECONDS * 1000 / PERIOD))
        assert log_of(second).count('"not emitting"') == disturbed
        eventually(lambda: "another Redis" in readyz(first), what="the reason")
    first.stop()
    end_job(kafka, names, second, kind)


@pytest.mark.slow
def test_a_service_that_has_just_started_gives_way_to_one_that_has_fenced_it(
    service: StartService, other_valkey: ValkeyServer, kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    first = service(start=False, command=joins_when(tmp_path / "never"))
    first.launch()
    says(first, '"emitting"')
    with Product(kafka.bootstrap, names, first) as product:
        kind = emit_alone(product)
        second = service(start=False, valkey=other_valkey)
        second.launch()
        assert_refused(first, "another Redis", names.group_id, "SCHEDULING_NAMESPACE")
        second.wait_until_serving()
        assert_goes_on(product, kind)
    end_job(kafka, names, second, kind)


@pytest.mark.slow
def test_of_two_members_that_have_fenced_each_other_one_ends(
    service: StartService, other_valkey: ValkeyServer, kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    released = tmp_path / "released"
    first = service(start=False, command=joins_when(released))
    first.launch()
    says(first, '"emitting"')
    with Product(kafka.bootstrap, names, first) as product:
        kind = emit_alone(product)
        second = service(start=False, valkey=other_valkey)
        second.launch()
        says(second, '"emitting"')
        released.touch()
        pair = first, second
        eventually(lambda: not all(each.process.alive for each in pair), what="one to end")
        ended, left = sorted(pair, key=lambda each: each.process.alive)
        assert_refused(ended, "another Redis", names.group_id, "SCHEDULING_NAMESPACE")
        left.wait_until_serving()
        assert_goes_on(product, kind)
    with Product(kafka.bootstrap, names, left) as product:
        product.client.delete(kind)
        product.finish(kind)


# --- the same topics, another namespace ---


def on_topics_of(names: Names, **changes: str) -> Names:
    """Another service, but for what is the same by mistake."""
    mine = Names.unique()
    topics = {
        "jobs": names.jobs,
        "resources": names.resources,
        "commands": names.commands,
        "dead_letter": names.dead_letter,
    }
    return replace(mine, **{**topics, **changes})


def event(product: Product) -> str:
    kind = fresh("type")
    product.send("createJobs", contract.JobList(items=[contract.job(type=kind, now=True)]))
    return kind


def test_a_service_on_the_topics_of_another_waits_until_it_is_gone(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer
) -> None:
    """Before, the second one took the partitions of the first, and answers were lost."""
    product = deploy(lease=LONG_LEASE)
    kind = recurring(product)
    names = on_topics_of(product.names)
    second = service(
        start=False, command=forgets_after(PATIENCE_SECONDS), valkey=other_valkey, names=names
    )
    second.launch()
    says(second, WAITS_FOR_TOPIC)
    for word in ("127.0.0.1", product.names.group_id, "SCHEDULING_SHARED_TOPIC"):
        eventually(lambda word=word: word in readyz(second), what=word)  # type: ignore[misc]
    assert not second.is_serving()
    once = event(product)
    product.done(product.run(once))
    product.settle()
    assert len(product.runs_so_far(once)) == 1
    assert_goes_on(product, kind)
    assert_undisturbed(product, product.service)
    product.service.wait_until_serving()
    product.client.delete(kind)
    product.finish(kind)
    product.settle()
    product.service.stop()
    product.service.start()
    assert not second.is_serving()
    second.stop()
    third = service(start=False, command=forgets_after(3.0), valkey=other_valkey, names=names)
    third.launch()
    says(third, WAITS_FOR_TOPIC)
    assert not third.is_serving()
    product.service.stop()
    third.wait_until_serving()
    says(third, "the jobs topic is free")


def test_topics_may_be_shared_on_purpose(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer
) -> None:
    product = deploy(shared_topic="true")
    names = on_topics_of(product.names)
    second = service(valkey=other_valkey, names=names, shared_topic="true")
    with Product(product.bootstrap, names, second) as other:
        kind = event(product)
        runs = product.runs(kind, 2)
        product.finish(kind, runs)
        product.settle()
        assert len({run.record.headers["deployment"] for run in runs}) == 2
        assert len({run.instance for run in runs}) == 2
        product.service.wait_until_serving()
        second.wait_until_serving()
        other.client.command("reset")


@pytest.mark.parametrize("shared", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_a_consumer_group_of_another_deployment_is_refused(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer, shared: str
) -> None:
    """Each would take the partitions of the other."""
    product = deploy(shared_topic=shared, lease=LONG_LEASE)
    kind = recurring(product)
    names = on_topics_of(product.names, group_id=product.names.group_id)
    second = service(start=False, valkey=other_valkey, names=names, shared_topic=shared)
    second.launch()
    assert_refused(second, product.names.group_id, product.names.jobs, "SCHEDULING_KAFKA_GROUP_ID")
    assert_goes_on(product, kind)
    assert_undisturbed(product, product.service)
    product.client.delete(kind)
    product.finish(kind)


def test_a_group_may_be_shared_by_services_with_topics_of_their_own(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer
) -> None:
    product = deploy()
    kind = recurring(product)
    names = replace(Names.unique(), group_id=product.names.group_id)
    second = service(valkey=other_valkey, names=names)
    assert_goes_on(product, kind)
    product.done(product.run(event(product)))
    product.service.wait_until_serving()
    second.wait_until_serving()
    product.client.delete(kind)
    product.finish(kind)
    product.settle()


def test_services_with_topics_of_their_own_do_not_meet(
    deploy: Deploy, service: StartService, other_valkey: ValkeyServer
) -> None:
    product = deploy()
    second = service(valkey=other_valkey, names=Names.unique())
    assert_met_nobody(second)
    assert_met_nobody(product.service)


@pytest.mark.slow
def test_a_living_older_version_keeps_its_schedule(
    service: StartService, kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """It reads every record that is stored as one of its own version."""
    older = service(start=False)
    older.settings["PYTHONPATH"] = source_of(FIRST, tmp_path)
    older.start()
    with Product(kafka.bootstrap, names, older) as product:
        kind = recurring(product)
        newer = service(start=False)
        newer.launch()
        assert_refused(newer, "older version", "Stop all replicas", who="replica")
        assert_goes_on(product, kind)
        newer.launch()
        says(newer, WAITS_FOR_CONFLICT)
        older.stop()
        newer.wait_until_serving()
        assert_goes_on(product, kind)
    with Product(kafka.bootstrap, names, newer) as product:
        product.client.delete(kind)
        product.finish(kind)


# --- while it runs ---


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_run_of_another_deployment_stops_all_consuming(
    service: StartService, kafka: Kafka, valkey: Store, delivery: str
) -> None:
    """Both would create each job, and believe each other's answers."""

    def attempt(window: int) -> None:
        names = Names.unique()
        replica = service(names=names, command=forgets_after(window / 1000), delivery=delivery)
        with Product(kafka.bootstrap, names, replica) as product:
            assert_stops_consuming_for_a_while(product, valkey)

    with_enough_time(attempt, 3_000)


def assert_stops_consuming_for_a_while(product: Product, valkey: Store) -> None:
    kind, replica, names = recurring(product), product.service, product.names
    foreigner = "0123456789ab"
    headers = {"deployment": foreigner}
    run = contract.ScheduledJob(id=1, type="x")
    foreign = product.send("queuedJob", run, headers=headers)
    says(replica, TOPIC_IS_SHARED)
    eventually(lambda: foreigner in readyz(replica) or is_over(replica), what="not serving")
    waiting = event(product)
    assert_goes_on(product, kind)
    with valkey.client() as client:  # it is stored a moment after it was reached
        shown = eventually(lambda: client.get(f"{names.client_id}:{names.jobs}"), what="a position")
    in_time(not is_over(replica), "the other one was not forgotten yet")
    assert int(str(shown)) <= foreign
    product.done(product.run(waiting))  # once the other one was gone for long
    says(replica, IS_OURS)
    replica.wait_until_serving()
    assert product.run(waiting).record.timestamp >= said_at(replica, IS_OURS)
    assert_goes_on(product, kind)
    product.client.delete(kind)
    product.finish(kind)
    product.settle()


def is_over(replica: Service) -> bool:
    return IS_OURS in log_of(replica)
