"""The schedule is back after an absence of the service, with every kind of job on board.

Redis lost everything meanwhile, or a newer version was installed, or both. Each test looks at one
kind of job.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from scheduling_srv.formats.versions import FRESH, WRITES
from tests.client import contract
from tests.client.contract import Backoff, Data, Job, JobFilter
from tests.client.topics import Record
from tests.e2e.conftest import deployed, watch
from tests.e2e.product import Product, fresh, now_ms, tomorrow
from tests.harness.given import Kafka
from tests.harness.older import FIRST, source_of
from tests.harness.valkey import ValkeyServer
from tests.harness.windows import with_enough_time

PERIOD = 700
RETRY_DELAY = 8000
"""Longer than it takes to lose everything and to come back."""

FULL = Job(
    id="full",
    type="full",
    data=Data(creator="me", timezone="Europe/Berlin"),
    priority=Job.HIGH,
    attempts=3,
    backoff=Backoff(delay=1000, type=Backoff.EXPONENTIAL),
    interval="0 5 * * *",
)


class Absence(NamedTuple):
    """How the service was away."""

    end: str
    """What happened to the replica: stop or kill."""
    loses: bool = True
    """Whether Redis lost everything."""
    before: str = ""
    """The commit that ran before; empty: this one."""


ABSENCES = {"stop": Absence("stop"), "kill": Absence("kill")}
UPGRADES = {
    "upgrade": Absence("stop", loses=False, before=FIRST),
    "upgrade-kill": Absence("kill", loses=False, before=FIRST),
    "upgrade-loss": Absence("stop", before=FIRST),
}


class Overdue(NamedTuple):
    """A job that fell due when there was no service to run it."""

    kind: str = ""
    """Its type and its id."""
    due: int = 0


@dataclass
class Story:
    """A deployment that was away, and what was before."""

    product: Product
    valkey: ValkeyServer
    stored: list[Any]
    """What Read showed of the jobs for tomorrow."""
    announced: list[tuple[str, str]]
    """What was on jobs.resource."""
    runs: list[Record]
    """What had been queued."""
    overdue: Overdue

    def come_back(self, *, loses: bool = True) -> None:
        if loses:
            self.valkey.flush()
        self.product.service.start()

    def runs_of(self, kind: str) -> list[tuple[int, int]]:
        """(nominal time, attempt) of all runs of this type."""
        return [(run.nominal, run.attempt) for run in self.product.runs_so_far(kind)]

    def count_before(self, kind: str) -> int:
        """How many runs of this type there were before the loss."""
        return sum(record.parse(contract.ScheduledJob).type == kind for record in self.runs)


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param(absence, id=name) for name, absence in ABSENCES.items()),
        *(pytest.param(each, id=name, marks=pytest.mark.slow) for name, each in UPGRADES.items()),
    ],
)
def lost(
    request: pytest.FixtureRequest,
    kafka: Kafka,
    own_valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    directory, absence = tmp_path_factory.mktemp("e2e"), request.param
    older = {"PYTHONPATH": source_of(absence.before, directory)} if absence.before else {}
    with deployed(directory, kafka, own_valkey, {"lease": "1s"}, more=older) as product:
        told = prepare(product, own_valkey)
        told.overdue = end_before_a_job(product, absence.end)
        # Nobody hears of this one before the loss.
        product.done(product.run("answered-meanwhile"))
        told.runs = [record for record in product.reader.drain() if record.key == "queuedJob"]
        assert all(("deployment" in run.headers) != bool(absence.before) for run in told.runs)
        product.service.settings.pop("PYTHONPATH", None)
        told.come_back(loses=absence.loses)
        yield told


def end_before_a_job(product: Product, end: str) -> Overdue:
    """End the service before a job is due that it has."""

    def attempt(window: int) -> Overdue:
        kind, due = fresh("overdue"), now_ms() + window  # an older version shows no instant
        product.create_at(due, contract.job(id=kind, type=kind))
        product.end_before(due, kind, end=end)
        return Overdue(kind, due)

    return with_enough_time(attempt, 1000)


@pytest.fixture
def story(request: pytest.FixtureRequest, lost: Story) -> Story:
    watch(request, lost.product)
    return lost


def prepare(product: Product, valkey: ValkeyServer) -> Story:
    """Every kind of job, in every state."""
    client = product.client
    # What a reset has made void.
    client.create(
        contract.job(id="void", when=tomorrow()), contract.job(type="void", interval="300 ms")
    )
    product.run("void")
    client.command("reset")
    # What waits.
    client.create(FULL, *(contract.job(id=f"w{n}", when=tomorrow()) for n in range(50)))
    client.create(contract.job(id="gone", when=tomorrow()))
    client.delete("gone")
    client.create(contract.job(id="updated", type="old", when=tomorrow()))
    client.update(contract.job(id="updated", type="new", when=tomorrow()))
    stored = list(client.read(sort=1).items)
    # What runs, has run, and runs again and again.
    client.create(
        contract.job(id="recurring", type="recurring", interval=f"{PERIOD} ms"),
        contract.job(id="running", type="running", when="in 50 ms"),
        contract.job(id="done", type="done", when="in 50 ms"),
        contract.job(id="deleted", type="deleted", when="in 50 ms"),
        contract.job(id="answered-meanwhile", type="answered-meanwhile", when="in 50 ms"),
        contract.job(type="running-now", now=True),
        *(contract.job(type="limited", now=True, parallel=1) for _ in range(3)),
    )
    for kind in ("running", "recurring", "running-now", "limited", "answered-meanwhile"):
        product.run(kind)
    product.done(product.run("done"))
    product.run("deleted")
    client.delete("deleted")
    # What has failed.
    backoff = Backoff(delay=RETRY_DELAY)
    client.create(
        contract.job(type="retry-now", now=True, attempts=3, backoff=backoff),
        contract.job(type="retry-when", when="in 50 ms", attempts=3, backoff=backoff),
        contract.job(id="retrying", type="retrying", when="in 50 ms", attempts=2),
    )
    for kind in ("retry-now", "retry-when", "retrying"):
        product.failed(product.run(kind))
    product.run("retrying", 2)
    product.settle()
    announced = product.resource_events("running", "done", "deleted", "updated", "w0")
    return Story(product, valkey, stored, announced, [], Overdue())


def test_the_schedule_is_back_with_the_same_ids(story: Story) -> None:
    ids = [job.id for job in story.stored]
    found = story.product.client.read(sort=1, filter=JobFilter(jobs_ids=[*ids, "gone"]))
    assert list(found.items) == story.stored
    assert len(ids) == 52


def test_the_format_of_what_is_stored_is_noted(
    story: Story, request: pytest.FixtureRequest
) -> None:
    """The newest one in a new deployment; after an upgrade one that the version before reads."""
    upgraded = any(name in request.node.name for name in UPGRADES)
    with story.valkey.client() as client:
        found = client.hget(f"{story.product.names.namespace}:{{0}}:meta", "format")
    assert found == str(WRITES if upgraded else FRESH)


def test_the_index_of_creators_is_back(story: Story) -> None:
    found = story.product.client.read(filter=JobFilter(creator="me"))
    assert list(found.items) == [FULL]


def test_nothing_is_announced_again(story: Story) -> None:
    story.product.settle()
    again = story.product.resource_events("running", "done", "deleted", "updated", "w0")
    assert again == story.announced


@pytest.mark.parametrize(
    "kind", ["running", "running-now", "done", "deleted", "limited", "answered-meanwhile", "void"]
)
def test_nothing_is_emitted_again(story: Story, kind: str) -> None:
    story.product.settle()
    assert len(story.product.runs_so_far(kind)) == story.count_before(kind)


def test_an_answer_given_meanwhile_counts(story: Story) -> None:
    story.product.deleted("answered-meanwhile")
    assert story.product.living("answered-meanwhile") == []


def test_unanswered_runs_can_still_be_answered(story: Story) -> None:
    product = story.product
    assert product.living("running") == ["running"]
    product.done(product.run("running"))
    product.done(product.run("running-now"))
    product.deleted("running")
    assert product.living("running") == []


def test_a_recurring_job_keeps_its_phase(story: Story) -> None:
    product = story.product
    product.run("recurring", story.count_before("recurring") + 3)
    found = story.runs_of("recurring")
    first = found[0][0]
    assert found == [(first + PERIOD * number, 1) for number in range(len(found))]


@pytest.mark.parametrize("kind", ["retry-now", "retry-when"])
def test_a_waiting_retry_keeps_its_attempt(story: Story, kind: str) -> None:
    product = story.product
    first, second = product.runs(kind, 2)
    assert second.record.timestamp >= first.record.timestamp + RETRY_DELAY
    assert (second.nominal, second.attempt) == (first.nominal, 2)
    assert second.instance != first.instance
    product.done(second)
    product.settle()
    assert len(product.runs_so_far(kind)) == 2


def test_a_running_retry_keeps_its_attempt(story: Story) -> None:
    """The second of two attempts fails: there is no third."""
    product = story.product
    product.failed(product.run("retrying", 2))
    product.deleted("retrying")
    product.settle()
    assert [attempt for _, attempt in story.runs_of("retrying")] == [1, 2]


def test_parallel_counts_the_runs_of_before(story: Story) -> None:
    product = story.product
    product.settle()
    assert len(product.runs_so_far("limited")) == 1
    for number in (1, 2, 3):
        product.done(product.run("limited", number))
    product.settle()
    assert len(product.runs_so_far("limited")) == 3


def test_what_fell_due_meanwhile_runs_once(story: Story) -> None:
    product, (kind, due) = story.product, story.overdue
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(kind)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def test_a_reset_is_not_undone(story: Story) -> None:
    assert story.product.living("void") == []


def test_instance_ids_are_not_used_again(story: Story) -> None:
    product, kind = story.product, fresh("type")
    product.client.create(*(contract.job(type=kind, now=True) for _ in range(20)))
    product.finish(kind, product.runs(kind, 20))
    instances = [
        record.parse(contract.ScheduledJob).id for record in product.reader.of("queuedJob")
    ]
    assert len({*instances}) == len(instances)


def test_everything_can_be_lost_again(story: Story) -> None:
    product = story.product
    for end in ("kill", "stop"):
        getattr(product.service, end)()
        story.come_back()
        product.run("recurring", len(product.runs_so_far("recurring")) + 1)
    product.client.delete("recurring")
    found = story.runs_of("recurring")
    assert found == [(found[0][0] + PERIOD * number, 1) for number in range(len(found))]
    ids = [job.id for job in story.stored]
    read = product.client.read(sort=1, filter=JobFilter(jobs_ids=ids))
    assert list(read.items) == story.stored
