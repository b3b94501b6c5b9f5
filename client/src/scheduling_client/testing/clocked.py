"""A service of a test's own, whose clock stands still until the test advances it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from unittest import mock

from scheduling_client.schedules.interval import parse_interval
from scheduling_client.testing.process import ServiceProcess

if TYPE_CHECKING:
    from scheduling_client.api.client import Client
    from scheduling_client.testing.emitted import EmittedRuns
    from scheduling_client.worker import Run, Worker

QUICK = '{"fetch.wait.max.ms": 5}'
"""Kafka options: the embedded broker does not answer earlier when a record arrives."""
PATIENCE = timedelta(seconds=10)
MILLISECOND = timedelta(milliseconds=1)


class ClockedService:
    """`scheduling-srv serve --embedded --test-clock`, from entering the context to leaving it.

    Inside, `SCHEDULING_KAFKA_BOOTSTRAP_SERVERS` and `SCHEDULING_GRPC_ADDRESS` lead workers to it.

        with ClockedService() as service:
            service.client.create("report", cron("0 5 * * *"))
            assert [run.type for run in service.advance("1 day")] == ["report"]
    """

    client: Client
    """A client of the service."""

    def __init__(
        self, start: datetime | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """`start`: where its clock begins, in the future; None: now.

        `settings`: further ones, such as `{"SCHEDULING_COMPLETION_TIMEOUT": "1d"}`.
        """
        self._process = ServiceProcess(start, settings or {})
        self._stack = ExitStack()
        self._workers = 0

    def __enter__(self) -> Self:
        """Raises `RuntimeError` if the service does not start."""
        from scheduling_client.api.client import Client  # noqa: PLC0415 - gRPC takes a while
        from scheduling_client.testing.emitted import EmittedRuns  # noqa: PLC0415

        with ExitStack() as stack:
            process = stack.enter_context(self._process)
            here = {
                "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": process.kafka,
                "SCHEDULING_GRPC_ADDRESS": process.server,
                "SCHEDULING_KAFKA_OPTIONS": QUICK,
            }
            stack.enter_context(mock.patch.dict(os.environ, here))
            self.client = stack.enter_context(Client(process.server))
            self._emitted: EmittedRuns = stack.enter_context(EmittedRuns(process.kafka))
            self._now = self._advance(0, None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def server(self) -> str:
        """The address for clients, `host:port`."""
        return self._process.server

    @property
    def kafka(self) -> str:
        """The address of Kafka, `host:port`."""
        return self._process.kafka

    @property
    def now(self) -> datetime:
        """The service's time, in UTC."""
        return self._now

    def advance(
        self, by: str | timedelta, *, answered: bool | None = None, patience: timedelta = PATIENCE
    ) -> list[Run]:
        """Let time pass for the service; returns the runs that it has emitted, in their order.

        `by` is a timedelta or a text such as `1 day`. Those are all runs since the last call. With
        `answered`, which is the default while a worker is at work, the clock goes on from an
        instant when its runs are answered, and then the retries that are due: `patience` is how
        long they may take. Raises `SchedulingError` after that.
        """
        length = parse_interval(by) if isinstance(by, str) else by // MILLISECOND
        waits = self._workers > 0 if answered is None else answered
        self._now = self._advance(length, patience // MILLISECOND if waits else None)
        return self._emitted.take()

    @contextmanager
    def working(self, worker: Worker) -> Iterator[Worker]:
        """Have a worker work inside the context, with its schedules beside the code."""
        from scheduling_client.testing.working import at_work  # noqa: PLC0415

        with at_work(worker):
            self._workers += 1
            try:
                yield worker
            finally:
                self._workers -= 1

    def _advance(self, milliseconds: int, patience_ms: int | None) -> datetime:
        from scheduling_client.api.access import Access  # noqa: PLC0415
        from scheduling_client.api.channels import open_channel  # noqa: PLC0415
        from scheduling_client.api.test_clock import advance  # noqa: PLC0415

        with open_channel(self.server, Access()) as channel:
            instant = advance(
                channel, milliseconds, patience_ms=patience_ms, meanwhile=self._emitted.read
            )
        return datetime.fromtimestamp(instant / 1000, UTC)
