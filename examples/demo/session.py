"""One start of service, worker and screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.demo.events import Event, Events
from examples.demo.jobs import CREATOR, HEARTBEAT, heartbeat, one_time_jobs
from examples.demo.scheduler import Scheduler
from examples.demo.service import DemoError, Service, Worker, free_addresses
from scheduling_client.wire import job_pb2 as wire

LINK_SETTING = "SCHEDULING_PAGES_LINK"


class Session:
    """Runs from `with` to its end. Raises `DemoError`, and `Stopped` if told to while starting."""

    def __init__(
        self,
        data: Path,
        environment: Mapping[str, str],
        is_told_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.data = data
        self.is_told_to_stop = is_told_to_stop
        self.environment = environment
        self.kept: Sequence[wire.Job] = ()
        """Jobs of an earlier start."""
        self.exit_codes: list[int] = []

    def __enter__(self) -> Self:
        _make(self.data)
        settings, self.notes = free_addresses(self.environment)
        self.link_file = Path(self.environment.get(LINK_SETTING) or self.data / "admin.link")
        settings[LINK_SETTING] = str(self.link_file)
        self.service = Service(self.data, self.data / "service.log", settings)
        try:
            self.service.wait_until_serving(self.is_told_to_stop)
        except BaseException:
            self.service.stop()
            raise
        self.addresses = self.service.addresses
        self.scheduler = Scheduler(self.addresses.grpc)
        self.kept = self.scheduler.read(creator=CREATOR)
        self.events = Events(self.addresses.kafka)
        self.events.know(self.kept)
        log = self.data / "worker.log"
        self.worker = Worker(self.addresses.kafka, self.data / "worker.sqlite", log)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End all, and follow the events meanwhile: a run may come until the service has ended."""
        self.scheduler.channel.close()
        with ThreadPoolExecutor(1) as thread:
            stopping = thread.submit(lambda: [self.worker.stop(), self.service.stop()])
            while not stopping.done():
                self.events.poll()
        self.events.close()
        self.exit_codes = stopping.result()

    @property
    def link(self) -> str:
        """The address of the admin pages, which signs in once; empty: there are none."""
        return self.link_file.read_text().strip() if self.addresses.pages != "off" else ""

    def create_jobs(self) -> Sequence[wire.Job]:
        """All of the demonstration; the recurring one only if it is not there yet."""
        jobs = one_time_jobs()
        if all(job.id != HEARTBEAT for job in self.kept):
            jobs.append(heartbeat())
        return self.scheduler.create(*jobs)

    def poll(self) -> list[Event]:
        """The events since the last call. Raises `DemoError` if a part has ended."""
        for part, name in ((self.service, "service"), (self.worker, "worker")):
            if not (part.alive or self.is_told_to_stop()):
                raise DemoError(f"The {name} has ended; {self.data / name}.log says why.")
        return self.events.poll()

    def watch(self, done: Callable[[], bool], seconds: float) -> None:
        """Look on until it is done, or the time is over."""
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            self.poll()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DemoError(f"{directory} cannot be used: {fault.strerror}.") from fault
