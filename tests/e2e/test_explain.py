"""ExplainJob on the real service: why a job ran, or did not, from logs, history and topic."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduling_client import AsyncClient, Client, Overlap, at, cron, every
from scheduling_client.api.errors import InvalidRequest
from scheduling_client.api.events import EventFilter, EventKind
from scheduling_client.api.explanations import Explanation, Verdict
from scheduling_client.api.triggers import Schedule
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh
from tests.harness.waiting import eventually

COMMAND = Path(sys.executable).parent / "scheduling"
OFTEN = every(timedelta(milliseconds=200))
DAY = timedelta(days=1)


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


def instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def soon() -> Schedule:
    """Not before the service has the job, however long the call takes."""
    return at("in 500 milliseconds")


def verdict_of(client: Client, job: str, when: datetime | None = None) -> Verdict:
    return client.explain(job, when).verdict


def text_of(found: Explanation) -> str:
    return " ".join(found.sentences)


# --- It ran, or waits -----------------------------------------------------------------------------


def test_a_run_that_was_emitted(client: Client, product: Product) -> None:
    """By whom, how late, and how it ended; also when the history has no more of it."""
    kind, job = fresh("type"), fresh()
    client.create(kind, soon(), id=job)
    run = product.run(kind)
    found = client.explain(job)
    assert (found.verdict, found.run and found.run.instance_id) == (
        Verdict.EMITTED,
        run.instance,
    )
    assert found.lateness is not None
    assert found.owner == client.overview().shards[0].owner
    product.done(run)
    eventually(lambda: client.explain(job).run is None, what="its end")
    assert verdict_of(client, job) is Verdict.UNKNOWN  # without the instant nothing knows it
    found = client.explain(job, instant(run.nominal))
    assert (found.verdict, found.run) == (Verdict.EMITTED, None)
    assert "was emitted" in found.sentences[0]


def test_a_run_that_is_held(client: Client, product: Product) -> None:
    kind = fresh("type")
    ids = [client.create(kind, soon(), parallel=1).id for _ in range(2)]
    first = product.run(kind)
    (held,) = {*ids} - {first.job_id}
    eventually(lambda: verdict_of(client, held) is Verdict.HELD, what="a held run")
    run = client.explain(held).run
    assert run
    assert "At most 1 runs" in text_of(client.explain(held, run.nominal_time))
    product.finish(kind, [first])
    product.finish(kind, product.runs(kind, 2)[1:])


def test_a_run_that_is_to_come(client: Client) -> None:
    job = fresh()
    client.create(fresh("type"), cron("30 2 * * *", timezone="Europe/Berlin"), id=job)
    found = client.explain(job)
    assert (found.verdict, found.before) == (Verdict.UPCOMING, None)
    assert "Europe/Berlin" in text_of(found)
    noon = (datetime.now(UTC) + 2 * DAY).replace(hour=12)
    wrong = client.explain(job, noon)
    assert wrong.verdict is Verdict.NOT_SCHEDULED
    assert wrong.before
    assert wrong.after
    assert wrong.before < wrong.after
    assert "The schedule is at 02:30 every day." in text_of(wrong)
    client.delete(job)


# --- It did not run -------------------------------------------------------------------------------


def test_a_pause(client: Client, product: Product) -> None:
    kind, job = fresh("type"), fresh()
    client.create(kind, OFTEN, id=job)
    product.run(kind)
    client.pause(job, note="a break", by="me")
    product.finish(kind)

    def is_paused() -> bool:
        found = client.explain(job)
        return found.verdict is Verdict.PAUSED and "by me: a break" in text_of(found)

    eventually(is_paused, what="an occurrence in the pause")
    passed = client.explain(job).after  # in a few ms
    eventually(lambda: verdict_of(client, job, passed) is Verdict.PAUSED, what="the next one")
    client.resume(job)
    product.runs(kind, len(product.runs_so_far(kind)) + 1)
    client.pause(job)
    eventually(lambda: client.get(job).counters.skipped > 0, what="a count")  # type: ignore[union-attr]
    found = client.explain(job, passed)
    assert found.verdict is Verdict.PAUSED
    assert "was paused from" in text_of(found)
    client.delete(job)
    product.finish(kind)


def test_an_earlier_run_that_is_open(client: Client, product: Product) -> None:
    """Watchers are told of what it skips."""
    kind, job = fresh("type"), fresh()
    client.create(kind, OFTEN, id=job, overlap=Overlap.SKIP)
    run = product.run(kind)
    skipped = verdict = None
    events = client.watch(EventFilter(job_id=job, kinds=[EventKind.SKIPPED]))
    skipped = next(events)
    assert (skipped.reason, skipped.type) == ("overlap", kind)
    assert skipped.count >= 1
    assert skipped.run
    verdict = client.explain(job, skipped.run.nominal_time)
    assert verdict.verdict is Verdict.SKIPPED_BY_OVERLAP
    assert "is still open" in text_of(verdict)
    client.delete(job)
    product.finish(kind, [run])


def test_jobs_that_have_ended(client: Client, product: Product) -> None:
    kind, counted, deleted, unknown = fresh("type"), fresh(), fresh(), fresh()
    client.create(kind, OFTEN, id=counted, max_runs=1)
    product.finish(kind, product.runs(kind, 1))
    client.create(kind, every(DAY), id=deleted)
    client.delete(deleted)
    assert "was deleted" in text_of(client.explain(deleted))
    assert verdict_of(client, deleted, datetime.now(UTC)) is Verdict.ENDED
    eventually(
        lambda: verdict_of(client, counted, datetime.now(UTC)) is Verdict.ENDED,
        what="the end after one run",
    )
    found = client.explain(counted, datetime.now(UTC))
    assert "`max_runs`" in text_of(found)
    assert client.explain(unknown).sentences == ["No job with this id is known."]
    assert verdict_of(client, unknown, datetime.now(UTC)) is Verdict.UNKNOWN


def test_an_outage(deploy: Deploy) -> None:
    """The service was stopped: older runs are missed, counted, and the logs say so."""
    product = deploy(catch_up_window="1s")
    kind, job = fresh("type"), fresh()
    with Client(product.service.address) as client:
        client.create(kind, every(timedelta(seconds=1)), id=job)
        by_cron = client.create(kind, cron("* * * * * *")).id
        product.runs(kind, 2)
        product.service.stop()
        stopped = datetime.now(UTC)
        time.sleep(6)  # what is shorter than 5 s is no outage
        product.service.start()
        missed = client.explain(job, stopped + timedelta(seconds=2)).after
        eventually(lambda: verdict_of(client, job, missed) is Verdict.MISSED, what="the miss")
        assert "The service emitted no runs" in text_of(client.explain(job, missed))
        for each in (job, by_cron):
            eventually(lambda: client.get(each).counters.missed >= 3, what="a count")  # type: ignore[union-attr] # noqa: B023
        client.delete(job, by_cron)
    product.finish(kind)


# --- The ways to ask ------------------------------------------------------------------------------


async def test_the_asynchronous_client(product: Product) -> None:
    kind = fresh("type")
    async with AsyncClient(product.service.address) as client:
        job = (await client.create(kind, at(datetime.now(UTC) + DAY))).id
        assert (await client.explain(job)).verdict is Verdict.UPCOMING
        await client.delete(job)


def test_the_command(client: Client, product: Product) -> None:
    job = client.create(fresh("type"), cron("0 5 * * *")).id
    line: list[Any] = [COMMAND, "explain", job, "--server", product.service.address]

    def shown(*more: str) -> str:
        return subprocess.run([*line, *more], capture_output=True, check=True, text=True).stdout

    assert shown("--at", "2030-01-01T12:00Z").startswith("The schedule is at 05:00 every day.")
    found = json.loads(shown("--at", "2030-01-01T12:00Z", "-o", "json"))
    assert (found["verdict"], found["before"]) == ("NOT_SCHEDULED", "2030-01-01T05:00:00Z")
    assert shown("-o", "name") == "UPCOMING\n"
    client.delete(job)


def test_faults_are_named(client: Client) -> None:
    with pytest.raises(InvalidRequest) as raised:
        client.explain("")
    assert [each.field for each in raised.value.violations] == ["job_id"]
