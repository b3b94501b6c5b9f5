"""Draws commands as a terminal shows them into docs/images: `make recordings`.

The lines are those of a real service, whose jobs a real worker does.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from examples.demo.service import Service
from scheduling_client import Client, Discard, Retry, RetryPolicy, Run, Worker, at, cron, every
from scheduling_client.testing.working import at_work
from tools.picture import ROOT, svg

PICTURES = ROOT / "docs" / "images"
LINES, COLUMNS = 40, 100
"""Of the terminal."""
AT_WORK_SECONDS = 20.0
"""Before the first picture."""
START_SECONDS, WATCH_SECONDS = 2.0, 7.0
MAIL_ATTEMPTS, INVOICE_ATTEMPTS = 2, 3


@dataclass(frozen=True, slots=True)
class Recording:
    """A command, shown to its end or for some `seconds`."""

    name: str
    shown: str
    """As a user types it after `scheduling`, perhaps in several lines."""
    hidden: str = ""
    """An option that a picture needs."""
    seconds: float | None = None
    job: str = ""
    """One that is run meanwhile."""


RECORDINGS = (
    Recording(
        "create",
        'create --id invoices --type invoice --cron "0 8 * * 1-5" \\\n'
        "    --timezone Europe/Berlin --label team=billing --attempts 3 --delay 30s",
    ),
    Recording("next", "next --within 1d"),
    Recording("watch", "watch", seconds=WATCH_SECONDS, job="invoices"),
    Recording("show", "show invoices"),
    Recording("top", "top", "--once"),
)


def create_jobs(address: str) -> None:
    """Those of a shop."""
    with Client(address) as client:
        client.create("report", cron("30 2 * * *", timezone="Europe/Berlin"), id="nightly-report")
        client.create("cache.warm", every("2 minutes"), id="warm-cache", creator="web")
        client.create("backup", cron("0 */6 * * *"), id="backup", creator="platform")
        client.create("mail", at("in 5 hours"), id="newsletter", creator="marketing")
        client.create("stock", every("2 seconds"), id="sync-stock", creator="shop")
        client.create(
            "mail",
            every("5 seconds"),
            id="send-mail",
            creator="shop",
            retry=RetryPolicy(MAIL_ATTEMPTS),
        )
        client.create("video", every("12 seconds"), id="encode-video", creator="media")
        client.create("image", every("7 seconds"), id="shrink-image", creator="media")


def a_worker(kafka: str) -> Worker:
    """Does them: one is slow, and one fails at first."""
    worker = Worker("shop", kafka=kafka)

    @worker.job("stock")
    async def sync() -> None: ...

    @worker.job("invoice")
    async def send_invoice(run: Run) -> None:
        if run.attempt < INVOICE_ATTEMPTS:
            raise Retry("The printer is out of paper.", after="1s")

    @worker.job("mail")
    async def send(run: Run) -> None:
        if run.attempt < MAIL_ATTEMPTS:
            raise Retry("The mail server is busy.", after="1s")

    @worker.job("image")
    async def shrink() -> None:
        raise Discard("The file is no image.")

    @worker.job("video")
    async def encode() -> None:
        await asyncio.sleep(9)

    return worker


def record(recording: Recording, address: str) -> list[str]:
    """The lines of the command at a terminal."""
    words = shlex.split(f"{recording.shown} {recording.hidden}".replace("\\\n", ""))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULING_")}
    environment |= {
        "SCHEDULING_CLIENT_SERVER": address,
        "TERM": "xterm-256color",
        "TZ": "UTC",
        "COLUMNS": str(COLUMNS),
    }
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = [str(Path(sys.executable).parent / "scheduling"), *words]
    process = subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    if recording.job:
        time.sleep(START_SECONDS)
        with Client(address) as client:
            client.run_now(recording.job)
    if recording.seconds is not None:
        time.sleep(recording.seconds)
        process.send_signal(signal.SIGINT)
    said = _read(ours)
    if process.wait() != 0 and recording.seconds is None:
        raise SystemExit(said)
    return said.replace("\r\n", "\n").replace(address, "127.0.0.1:50054").rstrip().splitlines()


def _read(terminal: int) -> str:
    """All that was written to it, once it is closed."""
    said = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            said += piece
    except OSError:  # so Linux tells that the other end is closed
        pass
    os.close(terminal)
    return said.decode()


def main() -> None:
    """Draw all of them."""
    addresses = {f"SCHEDULING_{name}_ADDRESS": "127.0.0.1:0" for name in ("GRPC", "ADMIN")}
    logging.getLogger("scheduling_client.worker").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as place:
        service = Service(Path(place) / "data", Path(place) / "log", addresses)
        try:
            service.wait_until_serving(lambda: False)
            create_jobs(service.addresses.grpc)
            with at_work(a_worker(service.addresses.kafka)):
                time.sleep(AT_WORK_SECONDS)
                for each in RECORDINGS:
                    said = record(each, service.addresses.grpc)
                    typed = f"$ scheduling {each.shown}\n".splitlines()
                    drawn = svg(
                        [*(f"\x1b[36m{line}" for line in typed), *said], f"scheduling {each.name}"
                    )
                    (PICTURES / f"{each.name}.svg").write_text(drawn)
        finally:
            service.stop()


if __name__ == "__main__":
    main()
