"""SCHEDULING_DELIVERY=at_least_once: what comes again, and what does not (docs/decisions/0005)."""

import pytest

from tests.client import contract
from tests.client.grpc_client import Client, Refusal
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, tomorrow, until
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually
from tests.harness.windows import with_enough_time

pytestmark = pytest.mark.slow

PERIOD = 100
"""Milliseconds of a recurring job's interval."""


def same(first: Run, again: Run) -> bool:
    """The very same record, but for its place and time."""
    one, other = first.record, again.record
    return (one.key, one.value, one.headers) == (other.key, other.value, other.headers)


def die_before_a_job(product: Product, window: int) -> tuple[str, int]:
    """The replica is dead before a job is due: its type, and when that is."""
    kind = fresh("crash")
    due = product.create_in(window, contract.job(id=kind, type=kind))
    product.end_before(due, kind)
    return kind, due


def dies_at(product: Product, point: str) -> None:
    """The next start of the replica is its last one."""
    product.service.settings["SCHEDULING_FAILPOINTS"] = f"{point}=kill"
    product.service.launch()
    product.service.process.wait()
    del product.service.settings["SCHEDULING_FAILPOINTS"]


@pytest.mark.parametrize(
    ("point", "records"),
    [
        ("send.taken", 1),
        ("send.delivered", 1),
        ("publish.produced", 1),
        ("publish.committed", 1),
        ("send.settled", 1),
    ],
)
def test_a_crash_sends_no_run_again_that_kafka_has(
    deploy: Deploy, point: str, records: int
) -> None:
    """Whether or not a position is behind it; what was answered holds all the time."""
    product = deploy(delivery="at_least_once", lease="500ms")
    kept = fresh("kept")
    product.client.create(contract.job(id=kept, type=kept, when=tomorrow()))
    kind, due = with_enough_time(lambda window: die_before_a_job(product, window), 1_000)
    until(due)
    dies_at(product, point)
    product.service.start()
    product.settle()
    runs = product.runs_so_far(kind)
    assert len(runs) == records
    assert all(same(runs[0], run) for run in runs)
    runs[0].assert_not_early(due)
    product.done(runs[-1])
    product.deleted(runs[0].job_id)
    assert [job.id for job in product.client.read().items] == [kept]


def test_a_planned_hand_over_sends_nothing_again(deploy: Deploy) -> None:
    # With a lease of a minute, no replica loses it on a busy machine. That would repeat runs.
    product = deploy(2, delivery="at_least_once", lease="1m")
    kind = fresh("hand-over")
    product.client.create(contract.job(type=kind, interval=f"{PERIOD} milliseconds"))
    product.runs(kind, 5)
    for replica in product.replicas:
        replica.stop()
        seen = len(product.runs_so_far(kind))
        product.runs(kind, seen + 5)
        replica.start()
    assert_each_once_in_rhythm(product.runs_so_far(kind))


def test_the_delivery_may_be_changed_at_a_restart(deploy: Deploy) -> None:
    """Either way, and back; what was noted under one is believed under the other."""
    product = deploy()
    kind = fresh("change")
    product.client.create(contract.job(type=kind, interval=f"{PERIOD} milliseconds"))
    for delivery in ("at_least_once", "exactly_once", "at_least_once"):
        seen = len(product.runs_so_far(kind))
        product.runs(kind, seen + 5)
        product.service.stop()
        product.service.settings["SCHEDULING_DELIVERY"] = delivery
        product.service.start()
    product.runs(kind, len(product.runs_so_far(kind)) + 5)
    assert_each_once_in_rhythm(product.runs_so_far(kind))


def assert_each_once_in_rhythm(runs: list[Run]) -> None:
    nominals = [run.nominal for run in runs]
    assert nominals == list(range(nominals[0], nominals[0] + PERIOD * len(nominals), PERIOD))


def test_a_run_is_visible_without_a_transaction(deploy: Deploy) -> None:
    """A transaction that hangs holds up no run."""
    product = deploy(start=False, delivery="at_least_once")
    product.service.settings["SCHEDULING_FAILPOINTS"] = "publish.produced=pause:10m@4"
    product.service.start()
    kind = fresh("visible")
    product.client.create(contract.job(type=kind, interval=f"{PERIOD} milliseconds"))
    product.runs(kind, 30)
    runs = product.runs_so_far(kind)
    log = product.service.log
    eventually(lambda: '"publish.produced"' in log.read_text(), what="the transaction that hangs")
    assert max(run.record.timestamp - run.nominal for run in runs) < 60_000
    product.service.kill()  # it would not end before its transaction


def test_a_list_of_which_a_now_job_is_a_part_is_seen_as_a_whole(
    deploy: Deploy, breakable_valkey: ValkeyServer
) -> None:
    """Redis forgets a list before Kafka has it: then no run has shown a part of it."""
    product = deploy(start=False, valkey=breakable_valkey, delivery="at_least_once")
    product.service.settings["SCHEDULING_FAILPOINTS"] = "publish.produced=pause:10m@4"
    product.service.start()
    kind, rest = fresh("part"), fresh("rest")
    beat = fresh("beat")
    product.client.create(contract.job(type=beat, interval=f"{PERIOD} milliseconds"))
    log = product.service.log
    eventually(lambda: '"publish.produced"' in log.read_text(), what="the transaction that hangs")
    jobs = [contract.job(type=kind, now=True), contract.job(id=rest, type=rest, when=tomorrow())]
    with Client(product.service.address, timeout=3.0) as client, pytest.raises(Refusal):
        client.create(*jobs)  # the answer waits for the transaction; a run would come at once
    product.service.kill()
    breakable_valkey.flush()
    del product.service.settings["SCHEDULING_FAILPOINTS"]
    product.service.start()
    product.runs(beat, len(product.runs_so_far(beat)) + 5)
    assert product.living(rest) == []
    assert product.runs_so_far(kind) == []
