"""Runs are staged before they are due, and nothing shows it (docs/decisions/0028)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.client import contract
from tests.client.topics import make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms, tomorrow, until
from tests.harness.given import Kafka
from tests.harness.waiting import eventually
from tests.harness.windows import in_time, with_enough_time

DELIVERIES = ["exactly_once", "at_least_once"]
AHEAD_MS = 100
"""The largest setting: a test can act between a staging call and the instant of its runs."""
EARLY = "40ms"
APPEND_TIME: dict[str, Any] = {"message.timestamp.type": "LogAppendTime"}
"""Time stamps are those at which the broker had the record, not those that its sender chose."""


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_no_record_is_on_the_topic_before_its_time(
    deploy: Deploy, kafka: Kafka, delivery: str
) -> None:
    """To the millisecond: readers of uncommitted records see it as soon as it is there."""
    product = deploy(start=False, delivery=delivery, stage_ahead=f"{AHEAD_MS}ms")
    make_topic(kafka.bootstrap, product.names.jobs, **APPEND_TIME)
    product.service.start()
    kind = fresh("punctual")
    periods = (150, 151, 152)  # longer than the lead: each run is staged ahead
    jobs = [contract.job(type=kind, interval=f"{period} milliseconds") for period in periods]
    product.client.create(*jobs)
    runs = product.runs(kind, 60)
    assert [run for run in runs if run.record.timestamp < run.nominal] == []


class Arms:
    """The file that arms the failpoints of a service."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "arms"
        self.set("")

    @property
    def setting(self) -> str:
        return f"@{self._file}"

    def set(self, text: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.rename(self._file)


def crash_before_runs(
    product: Product, arms: Arms, point: str, window: int
) -> tuple[str, list[int]]:
    """The service dies at the point while 20 runs fall due, and emits them after that.

    Answers their type and their nominal times.
    """
    kind, due = fresh("crash"), now_ms() + window
    nominals = list(range(due, due + 4 * AHEAD_MS, AHEAD_MS // 5))
    product.create_each_at(nominals, type=kind)
    until(due - AHEAD_MS)
    arms.set(f"{point}=kill")
    armed_in_time = now_ms() < due + 2 * AHEAD_MS  # the last ones have not been staged yet
    if armed_in_time:
        product.service.process.wait()
    else:
        product.service.kill()
    arms.set("")
    product.service.start()
    in_time(armed_in_time, "the failpoint was armed before the last runs were staged")
    product.runs(kind, len(nominals))
    product.settle()
    return kind, nominals


@pytest.fixture
def hasty(deploy: Deploy, kafka: Kafka) -> Callable[..., Product]:
    """Deploys a service that produces runs early, where the broker stamps them."""

    def start(**settings: Any) -> Product:
        lead = f"{AHEAD_MS}ms"
        product = deploy(start=False, stage_ahead=lead, produce_ahead=EARLY, **settings)
        make_topic(kafka.bootstrap, product.names.jobs, **APPEND_TIME)
        product.service.start()
        return product

    return start


def test_runs_that_are_produced_early_are_committed_at_their_time(
    hasty: Callable[..., Product],
) -> None:
    """Readers of committed records never see one early."""
    product, kind = hasty(), fresh("hasty")
    periods = (150, 151, 152)
    jobs = [contract.job(type=kind, interval=f"{period} milliseconds") for period in periods]
    product.client.create(*jobs)
    product.runs(kind, 60)

    def produced_early() -> int:
        """On a busy machine few are: the service comes to it when they are due already."""
        return sum(run.record.timestamp < run.nominal for run in product.runs_so_far(kind))

    eventually(lambda: produced_early() >= 30, what=lambda: f"only {produced_early()} early")
    runs = product.runs_so_far(kind)
    assert [run for run in runs if run.record.read_at * 1000 < run.nominal] == []


def test_a_crash_before_the_commit_makes_no_run_early(
    hasty: Callable[..., Product], tmp_path: Path
) -> None:
    """Its transaction is aborted, and the next owner produces the runs again."""
    arms = Arms(tmp_path)
    product = hasty(lease="500ms", failpoints=arms.setting)
    crash = partial(crash_before_runs, product, arms, "publish.produced")
    kind, nominals = with_enough_time(crash, 2_000)
    runs = product.runs_so_far(kind)
    assert [run for run in runs if run.record.read_at * 1000 < run.nominal] == []
    assert sorted(run.nominal for run in runs) == nominals


def delete(product: Product, job_id: str) -> None:
    product.client.delete(job_id)


def delete_all(product: Product, _job_id: str) -> None:
    product.client.delete(collection=True)


def update(product: Product, job_id: str) -> None:
    product.client.update(contract.job(id=job_id, type=job_id, when=tomorrow()))


def upsert(product: Product, job_id: str) -> None:
    product.client.upsert(contract.job(id=job_id, type=job_id, when=tomorrow()))


def reset(product: Product, _job_id: str) -> None:
    product.client.command("reset")


Change = Callable[[Product, str], None]
CHANGES: list[Change] = [delete, delete_all, update, upsert, reset]


@pytest.mark.parametrize("acknowledge", ["announced", "stored"])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_no_run_follows_the_answer_to_a_change(
    deploy: Deploy, delivery: str, acknowledge: str
) -> None:
    """Although the run was staged before the change, and not due when the change was sent."""
    product = deploy(delivery=delivery, acknowledge=acknowledge, stage_ahead=f"{AHEAD_MS}ms")

    def attempt(change: Change, window: int) -> int:
        job_id = fresh("ended")
        due = product.create_in(window, contract.job(id=job_id, type=job_id))
        until(due - AHEAD_MS // 3)  # the owner has looked half of it ahead
        sent = now_ms()
        change(product, job_id)
        before = len(product.runs_so_far(job_id))
        in_time(sent < due, "the change was sent before the job was due")
        until(due + AHEAD_MS)
        product.settle()
        assert len(product.runs_so_far(job_id)) == before
        return before

    for change in CHANGES:

        def was_staged(change: Change = change) -> bool:
            return with_enough_time(partial(attempt, change), 3 * AHEAD_MS) > 0

        for _ in range(2):
            was_staged()
        eventually(was_staged, what="a run that was staged before the change")


@pytest.mark.parametrize(
    ("delivery", "point"),
    [
        ("exactly_once", "stage.done"),
        ("exactly_once", "publish.taken"),
        ("at_least_once", "stage.done"),
        ("at_least_once", "send.taken"),
    ],
)
def test_a_crash_after_staging_makes_no_run_early(
    deploy: Deploy, kafka: Kafka, tmp_path: Path, delivery: str, point: str
) -> None:
    """The next owner finds the runs in the outbox, and holds them again."""
    arms = Arms(tmp_path)
    product = deploy(
        start=False,
        delivery=delivery,
        stage_ahead=f"{AHEAD_MS}ms",
        lease="500ms",
        failpoints=arms.setting,
    )
    make_topic(kafka.bootstrap, product.names.jobs, **APPEND_TIME)
    product.service.start()
    kind, nominals = with_enough_time(partial(crash_before_runs, product, arms, point), 2_000)
    runs = product.runs_so_far(kind)
    assert [run for run in runs if run.record.timestamp < run.nominal] == []
    assert sorted({run.nominal for run in runs}) == nominals


def test_a_planned_stop_waits_for_what_was_staged(deploy: Deploy, kafka: Kafka) -> None:
    """An owner that leaves publishes what it has staged, at its time."""
    product = deploy(start=False, stage_ahead=f"{AHEAD_MS}ms")
    make_topic(kafka.bootstrap, product.names.jobs, **APPEND_TIME)
    product.service.start()

    def attempt(window: int) -> None:
        kind = fresh("leaving")
        due = product.create_in(window, contract.job(id=kind, type=kind))
        until(due - AHEAD_MS // 3)
        product.service.stop()
        stopped = now_ms()
        runs = product.runs_so_far(kind)
        product.service.start()
        in_time(bool(runs) and stopped < due + 5 * AHEAD_MS, "it was staged before the stop")
        assert [run.record.timestamp >= due for run in runs] == [True]

    with_enough_time(attempt, 3 * AHEAD_MS)
