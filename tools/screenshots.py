"""`make screenshots`: pictures of the admin pages, of a service with jobs like real ones."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

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
from tests.harness.chromium import browser
from tests.harness.ports import free_port

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
PAGES = {
    "overview": "/",
    "upcoming": "/upcoming",
    "jobs": "/jobs",
    "job": "/job?id=invoices-berlin",
    "edit": "/job/edit?id=invoices-berlin",
}
KEPT = ("overview-light", "jobs-light", "job-dark", "upcoming-phone")
"""Those that the pages of docs show."""
COLOURS = 64
"""Of a picture in docs: it is a third as large."""
LOOKS = {
    "light": ((1280, 800), False),
    "dark": ((1280, 800), True),
    "phone": ((390, 844), False),
}
START_SECONDS = 60.0
SETTLE_MS = 400


@contextmanager
def service(directory: Path) -> Iterator[tuple[str, str]]:
    """One with servers of its own: its gRPC address, and a link to its pages."""
    link, grpc = directory / "link", f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "SCHEDULING_GRPC_ADDRESS": grpc,
        "SCHEDULING_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}",
        "SCHEDULING_EMBEDDED_KAFKA_PORT": "0",
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
        yield grpc, link.read_text().strip()
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
            retry=RetryPolicy(5, timedelta(seconds=30), Backoff.EXPONENTIAL, timedelta(hours=1)),
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


def take(chromium: Browser, link: str, directory: Path) -> None:
    """All pages in all looks."""
    context = chromium.new_context()
    context.new_page().goto(link)
    state, base = context.storage_state(), link.partition("/sign-in")[0]
    context.close()
    for name, path in PAGES.items():
        for look in LOOKS:
            _take(chromium, state, base + path, directory / f"{name}-{look}.png")


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
    with tempfile.TemporaryDirectory() as home, service(Path(home)) as (address, link):
        create_jobs(address)
        with browser() as chromium:
            take(chromium, link, directory)
    for name in KEPT:
        with Image.open(directory / f"{name}.png") as picture:
            picture.convert("RGB").quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)
    sys.stdout.write(f"{directory}, and {len(KEPT)} of them in {PICTURES}\n")


if __name__ == "__main__":
    main()
