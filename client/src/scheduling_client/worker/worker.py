"""`Worker`: functions that do the runs of jobs."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Self, TypeVar

from scheduling_client.worker import logs
from scheduling_client.worker.answers import Ended
from scheduling_client.worker.durations import Duration, seconds
from scheduling_client.worker.errors import WorkerError
from scheduling_client.worker.executor import Executor
from scheduling_client.worker.figures import Figures
from scheduling_client.worker.health import Page, serve_pages
from scheduling_client.worker.identity import Identity
from scheduling_client.worker.jobs import Handler, Job, arguments_of, is_asynchronous
from scheduling_client.worker.keeper import Keeper
from scheduling_client.worker.runs import Run
from scheduling_client.worker.schedules import Declared, checked, ensure
from scheduling_client.worker.settings import Settings, from_environment, group_of, kafka_options
from scheduling_client.worker.stores import MemoryStore, Store

log = logging.getLogger(logs.ROOT)
CONCURRENCY = 16
GARBAGE_THRESHOLDS = (20_000, 50, 100)
Function = TypeVar("Function", bound=Callable[..., Any])


class Worker:
    """Does the runs of jobs by functions, and answers them.

    Workers of one `name` that serve the same types share the runs. Kafka is that of
    SCHEDULING_KAFKA_BOOTSTRAP_SERVERS unless given, and the service that of
    SCHEDULING_GRPC_ADDRESS: only schedules beside the code need it. `store` keeps the runs that
    have ended, so that a copy does no work. `http` is an address such as `127.0.0.1:9100` for
    `/livez`, `/readyz` and `/metrics`. `completion_timeout` is that of the service.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Store | None = None,
        kafka: str | None = None,
        service: str | None = None,
        topic: str | None = None,
        group: str | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        http: str | None = None,
        completion_timeout: Duration = "1h",
        stop_within: Duration = "25s",
    ) -> None:
        if not name:
            raise WorkerError("A worker needs a name: those of one name share their runs.")
        self.name = name
        self._store = store or MemoryStore()
        self._kafka, self._service, self._topic = kafka, service, topic
        self._group, self._options, self._http = group, kafka_options, http
        self._completion_seconds = seconds(completion_timeout, "completion_timeout")
        self._stop_seconds = seconds(stop_within, "stop_within")
        self._jobs: dict[str, Job] = {}
        self._declared: list[Declared] = []
        self._working: _Working | None = None

    # --- Jobs -------------------------------------------------------------------------------------

    def job(
        self,
        type: str,  # noqa: A002 - the name in the contract
        *,
        concurrency: int = CONCURRENCY,
        timeout: Duration | None = "1h",
        processes: bool = False,
    ) -> Callable[[Function], Function]:
        """The decorated function does the runs of this type; it stays as it is.

        It may be asynchronous, or plain: then it runs in a thread, or in a child process with
        `processes`. It takes the payload, the `Run`, both or none, by its annotations. A return is
        jobDone, an exception jobFailed. At most `concurrency` runs are at work at once, each for
        at most `timeout`. Raises `WorkerError`.
        """

        def register(function: Function) -> Function:
            self._add(type, function, concurrency, timeout, processes=processes)
            return function

        return register

    def every(
        self,
        interval: str,
        *,
        timezone: str = "UTC",
        attempts: int = 1,
        **bounds: Any,  # noqa: ANN401 - those of `job`
    ) -> Callable[[Function], Function]:
        """The decorated function runs at this interval, such as `2 minutes`.

        The job has the id and the type `NAME.FUNCTION`. The worker creates it at its start, or
        brings it up to date. `attempts`: runs until it has failed. `bounds` are those of `job`.
        Raises `WorkerError` at once for an interval that the service would refuse.
        """
        return self._scheduled(interval, timezone, attempts, bounds, cron=False)

    def cron(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        attempts: int = 1,
        **bounds: Any,  # noqa: ANN401 - those of `job`
    ) -> Callable[[Function], Function]:
        """The decorated function runs at the times of a cron expression; see `every`."""
        return self._scheduled(expression, timezone, attempts, bounds, cron=True)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """By type."""
        return dict(self._jobs)

    def _scheduled(
        self, interval: str, timezone: str, attempts: int, bounds: dict[str, Any], *, cron: bool
    ) -> Callable[[Function], Function]:
        checked(interval, timezone, cron=cron)

        def register(function: Function) -> Function:
            kind = f"{self.name}.{getattr(function, '__name__', 'function')}"
            declared = Declared(kind, kind, interval, timezone, self.name, attempts)
            self.job(kind, **bounds)(function)
            self._declared.append(declared)
            return function

        return register

    def _add(
        self,
        kind: str,
        function: Handler,
        concurrency: int,
        timeout: Duration | None,
        *,
        processes: bool,
    ) -> None:
        if kind in self._jobs:
            raise WorkerError(f"Two functions of {self.name} do jobs of the type {kind!r}.")
        if concurrency < 1:
            raise WorkerError(f"concurrency of {kind!r} is {concurrency}: it is at least 1.")
        is_async = is_asynchronous(function, repr(kind))
        if is_async and processes:
            raise WorkerError(f"{kind!r} is asynchronous: processes take plain functions.")
        limit = 0.0 if timeout is None else seconds(timeout, f"timeout of {kind!r}")
        arguments = arguments_of(function)
        self._jobs[kind] = Job(
            kind, function, arguments, concurrency, limit, is_async, in_process=processes
        )

    # --- At work ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until SIGTERM or SIGINT. Returns how many runs were cut short.

        Raises `WorkerError` if the worker cannot start or cannot go on.
        """
        logs.set_up()
        gc.freeze()  # modules live as long as the process: a tenth more short runs a second
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(self._run())

    async def serve(self) -> int:
        """Work in this event loop until `stop` is called or the task is cancelled."""
        working = self._begin()
        try:
            await working.start()
            await working.ended.wait()
        finally:
            left = await self._end()
        return left

    async def __aenter__(self) -> Self:
        """Work beside other code in this event loop, such as a web application."""
        working = self._begin()
        try:
            await working.start()
        except BaseException:
            with suppress(Exception):  # the first fault says why
                await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    def stop(self) -> None:
        """Begin no run, let those at work end, and return from `run`. From any thread."""
        working = self._working
        if working is not None:
            working.stop()

    @property
    def is_ready(self) -> bool:
        """Whether it takes runs."""
        return self._working is not None and self._working.is_ready

    @property
    def is_declared(self) -> bool:
        """Whether the service has its schedules beside the code."""
        return self._working is not None and self._working.is_declared

    def metrics(self) -> str:
        """The figures in the format of Prometheus."""
        return self._working.figures.text() if self._working is not None else ""

    async def run_one(self, run: Run) -> Ended:
        """Have a run done without Kafka, for tests: how it ended. See `scheduling_client.testing`.

        Raises `WorkerError` for a type that the worker does not know.
        """
        if run.type not in self._jobs:
            raise WorkerError(f"{self.name} does no jobs of the type {run.type!r}.")
        executor = Executor(lambda: None)
        try:
            return await executor.run_limited(self._jobs[run.type], run)
        finally:
            executor.close()

    async def _run(self) -> int:
        with _signals(self.stop):
            return await self.serve()

    def _begin(self) -> _Working:
        if self._working is not None:
            raise WorkerError(f"The worker {self.name} is at work already.")
        if not self._jobs:
            raise WorkerError(f"The worker {self.name} has no jobs: decorate functions with job().")
        self._working = _Working(
            self._settings(),
            self._jobs,
            self._store,
            declared=self._declared,
            service=self._address(),
            http=self._http,
        )
        return self._working

    async def _end(self) -> int:
        working, self._working = self._working, None
        return 0 if working is None else await working.end()

    def _address(self) -> str:
        return self._service or from_environment("GRPC_ADDRESS", "127.0.0.1:50054")

    def _settings(self) -> Settings:
        servers = self._kafka or from_environment("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
        return Settings(
            name=self.name,
            group=self._group or group_of(self.name, self._jobs),
            kafka=servers,
            topic=self._topic or from_environment("TOPIC_JOBS", "io.restorecommerce.jobs"),
            options=kafka_options() if self._options is None else self._options,
            instance="",
            completion_timeout_seconds=self._completion_seconds,
            stop_within_seconds=self._stop_seconds,
        )


class _Working:
    """A worker from its start to its end."""

    def __init__(
        self,
        settings: Settings,
        jobs: Mapping[str, Job],
        store: Store,
        *,
        declared: list[Declared],
        service: str,
        http: str | None,
    ) -> None:
        self.figures = Figures(tuple(jobs))
        self.ended = asyncio.Event()
        self._settings, self._jobs = settings, jobs
        self._declared, self._service, self._http = declared, service, http
        self._loop = asyncio.get_running_loop()
        self._keeper = Keeper(store)
        self._fault: BaseException | None = None
        self._pages: asyncio.Server | None = None
        self._declaring: asyncio.Task[None] | None = None
        self._engine: Any = None
        self._identity: Identity | None = None

    @property
    def is_ready(self) -> bool:
        return bool(self._fault is None and self._engine is not None and self._engine.is_ready)

    @property
    def is_declared(self) -> bool:
        return not self._declared or (self._declaring is not None and self._declaring.done())

    async def start(self) -> None:
        try:  # handlers can be imported and tested without Kafka
            from scheduling_client.worker.engine import Engine  # noqa: PLC0415
        except ModuleNotFoundError as fault:
            raise WorkerError(f"{fault}: pip install 'scheduling-client[worker]'") from None
        try:
            await self._keeper.open()
        except Exception as fault:
            raise WorkerError(f"The store cannot be opened: {fault}") from fault
        if self._http:
            self._pages = await serve_pages(self._http, self._all_pages())
        self._identity = Identity.claim(self._settings.group)
        self._engine = Engine(
            replace(self._settings, instance=self._identity.name),
            self._jobs,
            self._keeper,
            self.figures,
            self._failed,
        )
        self._engine.start()
        if self._declared:
            self._declaring = self._loop.create_task(ensure(self._service, self._declared))
            self._declaring.add_done_callback(self._has_declared)
        log.info(
            "worker started",
            extra={
                "worker": self._settings.name,
                "types": sorted(self._jobs),
                "group": self._settings.group,
                "kafka": self._settings.kafka,
                "pid": os.getpid(),
            },
        )

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.ended.set)

    async def end(self) -> int:
        """Raises the fault that has ended the work."""
        if self._declaring is not None:
            self._declaring.cancel()
        left = 0 if self._engine is None else await self._engine.stop()
        if self._pages is not None:
            self._pages.close()
        await self._keeper.close()
        if self._identity is not None:
            self._identity.release()
        if self._fault is not None:
            raise self._fault
        log.info("worker stopped", extra={"worker": self._settings.name, "cut_short": left})
        return left

    def _all_pages(self) -> dict[str, Page]:
        return {
            "/livez": lambda: (200, "ok\n") if self._fault is None else (503, "failed\n"),
            "/readyz": lambda: (200, "ready\n") if self.is_ready else (503, "not ready\n"),
            "/metrics": lambda: (200, self.figures.text()),
        }

    def _has_declared(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._failed(fault)

    def _failed(self, fault: BaseException) -> None:
        if self._fault is None:
            self._fault = fault
            log.error(
                "worker failed",
                exc_info=None if isinstance(fault, WorkerError) else fault,
                extra={"worker": self._settings.name, "reason": str(fault)},
            )
            if self._engine is not None:  # beside other code, `end` may be far away
                self._engine.rest()
        self.ended.set()


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop the worker; the second SIGINT interrupts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    loop.add_signal_handler(signal.SIGINT, once)
    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Of uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
