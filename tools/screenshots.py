"""`make screenshots`: pictures of the admin pages, of a service with jobs like real ones."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from PIL import Image
from playwright.sync_api import Browser, StorageState

from scheduling_client import (
    Backoff,
    Client,
    Overlap,
    Payload,
    RetryPolicy,
    at,
    cron,
    every,
)
from scheduling_client.api.jobs import RunFilter, RunState
from scheduling_client.worker import Worker
from tests.harness.chromium import browser
from tests.harness.ports import free_port

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
PAGES = {
    "overview": "/",
    "upcoming": "/upcoming",
    "jobs": "/jobs",
    "job": "/job?id=invoices-berlin",
    "why": "/job/why?id=invoices-berlin",
    "edit": "/job/edit?id=invoices-berlin",
    "runs": "/runs?show=failed",
    "events": "/events",
    "system": "/system",
    "letters": "/dead-letters",
}
KEPT = ("overview-light", "jobs-light", "job-dark", "upcoming-phone", "events-light")
"""Those that the pages of docs show."""
COLOURS = 128
"""Of a picture in docs: it is half as large."""
LOOKS = {
    "light": ((1280, 800), False),
    "dark": ((1280, 800), True),
    "phone": ((390, 844), False),
}
START_SECONDS = 60.0
EVENTS_MS = 2_500
FAILS_EACH = 4
RETRY = RetryPolicy(5, timedelta(seconds=30), Backoff.EXPONENTIAL, timedelta(hours=1))
SETTLE_MS = 400


class Serving(NamedTuple):
    """A service with servers of its own."""

    grpc: str
    kafka: str
    link: str
    """Signs in to its pages."""


@contextmanager
def service(directory: Path) -> Iterator[Serving]:
    """One that serves."""
    link, grpc, kafka = directory / "link", f"127.0.0.1:{free_port()}", free_port()
    environment = {
        **os.environ,
        "SCHEDULING_GRPC_ADDRESS": grpc,
        "SCHEDULING_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}",
        "SCHEDULING_EMBEDDED_KAFKA_PORT": str(kafka),
        "SCHEDULING_PAGES_LINK": str(link),
    }
    command = [sys.executable, "-m", "scheduling_srv", "serve", "--embedded"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while "serving" not in (directory / "log").read_text().replace("not serving", ""):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((directory / "log").read_text())
            time.sleep(0.1)
        yield Serving(grpc, f"127.0.0.1:{kafka}", link.read_text().strip())
    finally:
        process.terminate()
        process.wait()


def create_jobs(address: str) -> None:
    """Those of a small company."""
    with Client(address) as client:
        client.create(
            "invoice.send",
            cron("0 8 * * 1-5", timezone="Europe/Berlin"),
            id="invoices-berlin",
            creator="billing",
            labels={"team": "billing", "tier": "gold"},
            payload=Payload.of_json({"region": "DE", "channel": "mail", "dry_run": False}),
            retry=RETRY,
            overlap=Overlap.ONE,
        )
        client.create(
            "report.nightly",
            cron("30 2 * * *", timezone="Europe/Berlin"),
            id="nightly-report",
            creator="analytics",
            labels={"team": "data"},
        )
        client.create("cache.warm", every("2 minutes"), id="warm-cache", labels={"team": "web"})
        client.create("backup.run", cron("0 */6 * * *"), id="backup", labels={"team": "platform"})
        client.create("mail.digest", cron("0 7 * * 1", timezone="America/New_York"), id="digest")
        for number in range(14):
            client.create("tenant.sync", cron("0 * * * *"), id=f"sync-tenant-{number:02}")
        numbers = random.Random(1)  # noqa: S311 - for a picture
        for number in range(40):
            minutes = numbers.randint(20, 400)
            client.create("session.expire", at(f"in {minutes} minutes"), id=f"session-{number:04}")
        client.pause("backup", note="The disk is being replaced", by="anna")
        client.pause_type("mail.digest", note="New templates until Tuesday", by="kim")


def work(serving: Serving) -> None:
    """Runs of some days ago, done by a worker that fails now and then, and two dead letters."""
    worker, numbers = Worker("pictures", kafka=serving.kafka), itertools.count(1)

    @worker.job("invoice.send")
    async def send() -> None:
        if next(numbers) % FAILS_EACH == 0:
            raise ConnectionError("451 4.3.2 The mail server is not accepting messages")

    @worker.job("cache.warm")
    async def warm() -> None: ...

    working = threading.Thread(target=worker.run)
    working.start()
    try:
        with Client(serving.grpc) as client:
            client.update("invoices-berlin", retry=RetryPolicy())
            now = datetime.now(UTC)
            client.backfill("invoices-berlin", now - timedelta(days=15), now, max_in_flight=1)
            client.run_now("warm-cache")
            until = time.monotonic() + START_SECONDS
            while [*client.runs(RunFilter(states=[RunState.RUNNING, RunState.HELD]))]:
                if time.monotonic() > until:
                    raise SystemExit("The worker has not done its runs.")
                time.sleep(0.5)
            client.update("invoices-berlin", retry=RETRY)
    finally:
        worker.stop()
        working.join()
    producer = Producer({"bootstrap.servers": serving.kafka})
    for key, value in ((b"jobDone", b"no protobuf"), (b"createJobs", b"{}")):
        producer.produce("io.restorecommerce.jobs", value, key)
    producer.flush()


def take(chromium: Browser, link: str, happen: Callable[[], None], directory: Path) -> None:
    """All pages in all looks. `happen` makes the events that their page shows."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(link)
    state, base = context.storage_state(), link.partition("/sign-in")[0]
    page.goto(f"{base}/events")
    happen()
    page.wait_for_timeout(EVENTS_MS)
    for name, path in PAGES.items():
        for look in LOOKS:
            _take(chromium, state, base + path, directory / f"{name}-{look}.png")
    context.close()


def _take(chromium: Browser, state: StorageState, address: str, picture: Path) -> None:
    (width, height), dark = LOOKS[picture.stem.rpartition("-")[2]]
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        timezone_id="Europe/Berlin",
        locale="en-GB",
        storage_state=state,
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(SETTLE_MS)  # the preview of a form
    page.screenshot(path=picture)
    context.close()


def main() -> None:
    """Take all into build/screenshots; keep some in docs."""
    directory = ROOT / "build" / "screenshots"
    directory.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, service(Path(home)) as serving:
        create_jobs(serving.grpc)
        with browser() as chromium:
            take(chromium, serving.link, lambda: work(serving), directory)
    for name in KEPT:
        with Image.open(directory / f"{name}.png") as picture:
            picture.convert("RGB").quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)
    sys.stdout.write(f"{directory}, and {len(KEPT)} of them in {PICTURES}\n")


if __name__ == "__main__":
    main()
