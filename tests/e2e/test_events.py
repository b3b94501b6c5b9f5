"""EventService on real servers: events of a life, filters, cursors, and slow clients."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from scheduling_client import AsyncClient, Client, now
from scheduling_client.api import errors
from scheduling_client.api.events import WATCH, Event, EventFilter, EventKind
from scheduling_client.wire.v1.event_service_pb2 import WatchEventsResponse
from tests.client import contract
from tests.e2e.product import Product, fresh
from tests.harness.waiting import PATIENCE_SECONDS, eventually

COMMAND = Path(sys.executable).parent / "scheduling"


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


class Seen:
    """What a watcher in a thread of its own has seen."""

    def __init__(self, client: Client, where: EventFilter, cursor: str = "") -> None:
        self.events: list[Event] = []
        self._events = client.watch(where, cursor=cursor)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(ValueError, errors.SchedulingError):  # the test has closed the client
            for event in self._events:
                self.events.append(event)

    def kinds(self) -> list[str]:
        return [each.kind.name for each in self.events]


@contextmanager
def watching(product: Product, where: EventFilter, cursor: str = "") -> Iterator[Seen]:
    """A watcher with a client of its own."""
    with Client(product.service.address) as client:
        yield Seen(client, where, cursor)


def wait_for(seen: Seen, *kinds: str) -> None:
    eventually(
        lambda: [each for each in kinds if each not in seen.kinds()] == [],
        what=lambda: str(seen.kinds()),
    )


def begun(product: Product, client: Client, seen: Seen, kind: str) -> None:
    """Returns when the watcher sees events of this type."""

    def is_seen() -> bool:
        client.create(kind, now())
        return bool(seen.events)

    eventually(is_seen, what="the first event")
    seen.events.clear()


def test_the_events_of_a_life(client: Client, product: Product) -> None:
    kind, job = fresh("type"), fresh()
    with watching(product, EventFilter(type=kind)) as seen:
        begun(product, client, seen, kind)
        product.client.create(
            contract.job(id=job, type=kind, interval="1 hour", attempts=1, when="")
        )
        wait_for(seen, "CREATED")
        client.pause(job, note="why", by="me")
        client.resume(job)
        wait_for(seen, "PAUSED", "RESUMED")
        paused = next(each for each in seen.events if each.kind is EventKind.PAUSED)
        assert (paused.job_id, paused.reason, paused.by) == (job, "why", "me")
        client.pause_type(kind, note="all")
        client.resume_type(kind)
        eventually(lambda: seen.kinds().count("PAUSED") == 2, what=lambda: str(seen.kinds()))
        client.delete(job)
        wait_for(seen, "DELETED")
        (deleted,) = [each for each in seen.events if each.kind is EventKind.DELETED]
        assert deleted.reason == "deleted"


def test_the_events_of_a_run(client: Client, product: Product) -> None:
    kind = fresh("type")
    with watching(product, EventFilter(type=kind)) as seen:
        begun(product, client, seen, kind)
        product.create_in(100, made := contract.job(id=fresh(), type=kind))
        queued = next(
            each
            for each in _until(seen, made.id, "QUEUED")
            if each.kind is EventKind.QUEUED and each.job_id == made.id
        )
        run = product.run_of(made.id)
        assert queued.run
        assert queued.run.instance_id == run.instance
        product.failed(run, "boom")
        events = _until(seen, made.id, "FINALLY_FAILED")
        final = next(each for each in events if each.kind is EventKind.FINALLY_FAILED)
        assert (final.reason, final.run and final.run.attempts) == ("boom", 1)
        (failed,) = [each for each in _until(seen, made.id, "FAILED") if each.kind.name == "FAILED"]
        assert (failed.reason, failed.run and failed.run.run_id) == ("boom", queued.run.run_id)


def _until(seen: Seen, job: str, kind: str) -> list[Event]:
    def found() -> list[Event]:
        return [each for each in seen.events if each.job_id == job]

    eventually(lambda: kind in [each.kind.name for each in found()], what=lambda: str(seen.kinds()))
    return found()


def test_a_watcher_goes_on_from_its_cursor(client: Client, product: Product) -> None:
    kind = fresh("type")
    where = EventFilter(type=kind, kinds=[EventKind.CREATED])
    with watching(product, EventFilter(type=kind)) as seen:
        begun(product, client, seen, kind)
        first = client.create(kind, now())
        eventually(lambda: bool(seen.events), what="an event")
        cursor = seen.events[-1].cursor
    jobs = [fresh() for _ in range(3)]
    for job in jobs:
        product.client.create(contract.job(id=job, type=kind, interval="0 5 * * *"))
    with closing(client.watch(where, cursor=cursor)) as events:  # type: ignore[type-var]
        assert [next(events).job_id for _ in jobs] == jobs
    assert first.id not in jobs
    product.client.delete(*jobs)


async def test_the_asynchronous_client_watches(product: Product) -> None:
    kind = fresh("type")
    async with AsyncClient(product.service.address) as client:
        cursor = await _begin(client)
        made = await client.create(kind, now())
        async for event in client.watch(EventFilter(type=kind), cursor=cursor):
            assert (event.kind, event.job_id) == (EventKind.QUEUED, made.id)
            break
    product.finish(kind, product.runs(kind, 1))


async def _begin(client: AsyncClient) -> str:
    """The cursor of now."""
    method: Any = client._channel.unary_stream(
        WATCH,
        request_serializer=lambda request: request,
        response_deserializer=lambda raw: raw,
    )
    stream = method(b"")
    first = WatchEventsResponse.FromString(await stream.read())
    stream.cancel()
    return first.cursor


def test_a_cursor_that_is_wrong_is_refused(client: Client) -> None:
    with pytest.raises(errors.InvalidRequest, match="none of this service"):
        next(client.watch(cursor="x"))


def test_the_command_prints_a_line_for_each(client: Client, product: Product) -> None:
    kind = fresh("type")
    with subprocess.Popen(
        [COMMAND, "watch", "--type", kind, "-o", "json", "--server", product.service.address],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        lines: list[str] = []
        out = process.stdout
        reading = threading.Thread(target=lambda: lines.extend(out), daemon=True)
        reading.start()

        def is_shown() -> bool:
            client.create(kind, now())
            return bool(lines)

        eventually(is_shown, what="a line")
        process.terminate()
        reading.join(PATIENCE_SECONDS)  # the pipe is closed after this
    shown = json.loads(lines[0])
    assert (shown["kind"], shown["type"]) == ("QUEUED", kind)
