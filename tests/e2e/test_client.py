"""The clients of scheduling.v1 on the real service."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import scheduling_client
from scheduling_client import (
    AsyncClient,
    Client,
    Filter,
    JobSpec,
    JobState,
    Payload,
    Priority,
    at,
    cron,
    every,
    now,
)
from scheduling_client.api import errors
from tests.docs.snippets import ROOT, snippets
from tests.e2e.product import Product, fresh

PAGE = ROOT / "docs" / "client.md"


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


def test_a_job_from_its_creation_to_its_deletion(client: Client) -> None:
    job_id = fresh()
    created = client.create(
        fresh("type"),
        cron("0 5 * * *", timezone="Europe/Berlin"),
        id=job_id,
        priority=Priority.HIGH,
        payload=Payload.of_json({"a": 1}),
    )
    found = client.get(job_id, next_times=2)
    assert found.spec == created.spec
    assert found.words == "at 05:00 every day"
    assert [each.hour for each in found.next_times] in ([3, 3], [4, 4], [3, 4], [4, 3])
    with pytest.raises(errors.AlreadyExists) as exists:
        client.create("t", every("1 hour"), id=job_id, creator="another")
    assert exists.value.violations[0].field == "jobs[0].id"
    assert client.delete(job_id, fresh(), dry_run=True) == (1, 1)
    assert client.delete(job_id, fresh()) == (1, 1)
    with pytest.raises(errors.NotFound):
        client.get(job_id)


def test_each_kind_of_schedule(client: Client, product: Product) -> None:
    kind = fresh("type")
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    ids = [client.create(kind, schedule).id for schedule in (every("2 minutes"), at(later))]
    words = [job.words for job in client.get_many(ids)]
    assert words[0] == "every 2 minutes"
    assert words[1].startswith("once, ")
    client.create(kind, now(), payload=Payload(b"hello"))
    run = product.run(kind)
    assert run.message.data.payload[0].value == b"hello"
    product.finish(kind, [run])
    client.delete(*ids)


def test_many_jobs_may_be_created_again(client: Client) -> None:
    request = fresh("request")
    specs = [JobSpec(type="t", schedule=every("1 day")) for _ in range(250)]
    first = [job.id for job in client.create_many(specs, request_id=request, batch=100)]
    again = [job.id for job in client.create_many(specs, request_id=request, batch=100)]
    assert first == again
    assert len(set(first)) == 250
    assert client.delete(*first).changed == 250


def test_jobs_and_types_are_paused(client: Client) -> None:
    job = client.create(fresh("type"), every("1 day"))
    assert client.pause(job.id, fresh(), note="why", by="me", dry_run=True) == (1, 1)
    assert client.pause(job.id, note="why", by="me") == (1, 1)
    pause = client.pause_type(job.type, note="all")
    assert client.paused_types() == {job.type: pause}
    found = client.get(job.id)
    assert found.pause
    assert (found.pause.note, found.pause.by, found.type_pause) == ("why", "me", pause)
    assert (found.state, found.next_times) == (JobState.PAUSED, [])
    assert client.resume_type(job.type)
    assert client.resume(where=Filter(type=job.type)) == (1, 1)
    resumed = client.get(job.id)
    assert (resumed.state, resumed.pause, len(resumed.next_times)) == (JobState.WAITING, None, 1)
    client.delete(job.id)


def test_a_preview_is_that_of_the_service(client: Client) -> None:
    spec = JobSpec(type="", schedule=cron("30 2 * * *", timezone="Europe/Berlin"))
    preview = client.preview(spec, count=366)
    assert len(preview.times) == 366
    assert any(each.remark for each in preview.times)
    with pytest.raises(errors.InvalidRequest) as refused:
        client.preview(JobSpec(type="", schedule=cron("never")))
    assert refused.value.violations[0].field == "spec.schedule.interval"


def test_a_service_that_is_not_there() -> None:
    with Client("127.0.0.1:1", timeout=0.5) as client, pytest.raises(errors.Unavailable):
        client.get("a")


async def test_without_a_thread(product: Product) -> None:
    async with AsyncClient(product.service.address) as client:
        job = await client.create(fresh("type"), every("1 hour"))
        assert (await client.get(job.id)).spec == job.spec
        specs = [JobSpec(type="t", schedule=every("1 day"))] * 3
        ids = [each.id async for each in client.create_many(specs, batch=2)]
        assert (await client.delete(job.id, *ids)).changed == 4
        with pytest.raises(errors.NotFound):
            await client.get(job.id)


def test_the_programs_of_the_page_run(client: Client, product: Product) -> None:
    """All but the last one, which needs TLS."""
    names: dict[str, Any] = {
        name: getattr(scheduling_client, name) for name in scheduling_client.__all__
    }
    names |= {"client": client, "names": ["me", "you"], "UTC": UTC, "datetime": datetime}
    client.create("report", every("1 day"), id="nightly")
    *programs, tls = [each.text for each in snippets(PAGE) if each.language == "python"]
    assert "secure_channel" in tls
    endless = [each for each in programs if "client.watch(" in each]
    assert len(endless) == 1
    for program in programs:
        if program in endless:
            continue
        text = program.replace("127.0.0.1:50054", product.service.address)
        exec(compile(text, str(PAGE), "exec"), {**names})  # noqa: S102 - our own page
    rows = re.findall(r"^\| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)
    schedules = [eval(row, {**names}) for row in rows]  # noqa: S307 - our own page
    assert len(schedules) == 5
    client.delete(where=Filter())
