"""A service under test: its clock stands still until `advance`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduling_client import RetryPolicy, Run, Worker, at, cron, every
from scheduling_client.api.errors import Unavailable
from scheduling_client.testing import ClockedService
from scheduling_client.worker.settings import kafka_options
from tests.docs.snippets import ROOT, snippets
from tests.e2e.product import fresh

START = datetime(2030, 3, 30, 12, tzinfo=UTC)
"""The day before the clocks of Berlin change."""
COMMAND = Path(sys.executable).parent / "scheduling"


@pytest.fixture(scope="module")
def shared() -> Iterator[ClockedService]:
    with ClockedService(START) as service:
        yield service


@pytest.fixture
def service(shared: ClockedService) -> Iterator[ClockedService]:
    """With no jobs of another test."""
    yield shared
    for job in shared.client.list():
        shared.client.delete(job.id)
    shared.advance("2h")  # what is unanswered times out
    assert not shared.advance("1 day")


def nominal_times(runs: Sequence[Run]) -> list[datetime]:
    return [run.nominal_time or START for run in runs]


def test_the_clock_stands_still(service: ClockedService) -> None:
    before = service.now
    service.client.create(fresh(), every("1 second"))
    assert service.advance(timedelta()) == []
    assert service.now == before
    assert len(service.advance("1 minute")) == 60
    assert service.now == before + timedelta(minutes=1)


def test_all_that_is_due_comes_in_the_order_of_its_times(service: ClockedService) -> None:
    begun = service.now
    often, daily, once = fresh("often"), fresh("daily"), fresh("once")
    service.client.create(often, every("45 minutes"))
    service.client.create(daily, cron("30 2 * * *", timezone="Europe/Berlin"))
    service.client.create(once, at(begun + timedelta(hours=30, minutes=1)))
    runs = service.advance("2 days", answered=False)
    times = nominal_times(runs)
    assert times == sorted(times)
    assert nominal_times([run for run in runs if run.type == often]) == [
        begun + timedelta(minutes=45 * n) for n in range(1, 65)
    ]
    assert [run.type for run in runs].count(daily) == 2
    assert [run.type for run in runs].count(once) == 1


def test_a_change_of_the_clocks() -> None:
    kind = fresh()
    with ClockedService(START) as service:
        service.client.create(kind, cron("30 2 * * *", timezone="Europe/Berlin"))
        found = nominal_times(service.advance("3 days"))
    assert [each.isoformat() for each in found[:2]] == [
        "2030-03-31T01:00:00+00:00",  # the clock skips 02:30
        "2030-04-01T00:30:00+00:00",
    ]


def test_retries_come_at_their_instants(service: ClockedService) -> None:
    """And the run of another job that is due between them."""
    kind, other = fresh(), fresh("other")
    worker = Worker("clocked")
    seen: list[tuple[str, int, datetime]] = []

    @worker.job(kind)
    async def fail(run: Run) -> None:
        seen.append((kind, run.attempt, service.now))
        if run.attempt < 3:
            raise ValueError

    worker.job(other)(lambda run: seen.append((other, run.attempt, service.now)))
    policy = RetryPolicy(attempts=3, delay=timedelta(minutes=10))
    service.client.create(kind, at(service.now + timedelta(minutes=5)), retry=policy)
    service.client.create(other, at(service.now + timedelta(minutes=12)))
    with service.working(worker):
        runs = service.advance("1 hour")
    assert [(run.type, run.attempt) for run in runs[:3]] == [(kind, 1), (other, 1), (kind, 2)]
    assert [(name, attempt) for name, attempt, _ in seen] == [
        (kind, 1),
        (other, 1),
        (kind, 2),
        (kind, 3),
    ]


def test_runs_without_an_answer_time_out(service: ClockedService) -> None:
    kind = fresh()
    policy = RetryPolicy(attempts=3)
    service.client.create(kind, at(service.now + timedelta(minutes=1)), retry=policy)
    runs = service.advance("1 day")
    assert [run.attempt for run in runs] == [1, 2, 3]


def test_a_type_without_a_worker_is_told(service: ClockedService) -> None:
    service.client.create(fresh(), at(service.now + timedelta(minutes=1)))
    with pytest.raises(Unavailable, match="1 runs have no answer after 0.2 s"):
        service.advance("1 hour", answered=True, patience=timedelta(milliseconds=200))
    assert service.advance("1 hour")


def test_the_command(service: ClockedService) -> None:
    before = service.now
    done = subprocess.run(
        [COMMAND, "advance", "1 hour", "--server", service.server, "-o", "json"],
        capture_output=True,
        check=True,
        text=True,
    )
    found = datetime.fromisoformat(json.loads(done.stdout)["now"])
    assert found - before >= timedelta(hours=1)
    service.advance(timedelta())
    assert service.now == found


def test_workers_inside_look_for_records_often(service: ClockedService) -> None:
    assert kafka_options()["fetch.wait.max.ms"] == 5
    assert service.kafka


def test_the_example_of_the_page(tmp_path: Path) -> None:
    (example,) = (
        each for each in snippets(ROOT / "docs" / "worker.md") if "ClockedService" in each.text
    )
    (tmp_path / "test_mine.py").write_text(example.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert "1 passed" in ended.stdout, ended.stdout
