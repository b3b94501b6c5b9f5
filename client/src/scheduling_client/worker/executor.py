"""Calls the function of a job for a run, and tells how the run ended."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable

from scheduling_client.schedules.durations import duration_text
from scheduling_client.worker.answers import DONE, Ended, failed, shortened
from scheduling_client.worker.errors import AlreadyDone, Discard, PayloadError, Retry
from scheduling_client.worker.jobs import Job, check_result
from scheduling_client.worker.processes import Children, ProcessEnded, TookTooLong
from scheduling_client.worker.runs import Run
from scheduling_client.worker.threads import Threads

log = logging.getLogger("scheduling_client.worker")
SPARE_SECONDS = 5.0
"""Seconds that a thread has to kill a child process that is late."""


class Executor:
    """Calls functions: asynchronous ones in the event loop, plain ones in threads or processes."""

    def __init__(self, freed: Callable[[], None]) -> None:
        """`freed` is called when a thread is free again whose run had timed out."""
        self._freed = freed
        self._threads: dict[str, Threads] = {}
        self._children = Children()
        self.is_stopping = False
        """The worker stops: a child process that ends has not failed by itself."""

    async def run(self, job: Job, run: Run) -> Ended:
        """Do a run, and return how it ended. Raises `CancelledError` if the task is cancelled.

        The time-out of asynchronous functions and of threads is up to the caller.
        """
        try:
            arguments = job.arguments(run)
        except KeyboardInterrupt:
            raise
        except BaseException as fault:  # noqa: BLE001 - of the user's classes: each copy raises it
            return _unfit(fault)
        try:
            if job.is_async:
                await job.function(*arguments)
            else:
                await self._call(job, arguments)
        except asyncio.CancelledError as fault:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return failed(fault)  # the handler has cancelled itself
        except ProcessEnded as fault:
            if self.is_stopping:
                raise asyncio.CancelledError from fault  # the run comes again
            return failed(fault)
        except (KeyboardInterrupt, GeneratorExit):  # of a signal, and of a loop that is closed
            raise
        except BaseException as fault:  # noqa: BLE001 - with any exception the run has ended
            return _end_of(job, run, fault)
        return DONE

    async def run_limited(self, job: Job, run: Run) -> Ended:
        """As `run`, within the time of the job."""
        try:
            async with asyncio.timeout(limit_of(job) or None):
                return await self.run(job, run)
        except TimeoutError:
            return too_long(job)

    async def _call(self, job: Job, arguments: tuple[object, ...]) -> None:
        if job.in_process:
            within = job.timeout_seconds or None
            await self._pool(job).run(lambda: self._children.call(job.function, arguments, within))
        else:
            result = await self._pool(job).run(lambda: job.function(*arguments))
            if result is not None:
                check_result(result)
                if inspect.isawaitable(result):  # of a plain wrapper around a coroutine function
                    await result

    def abandoned(self, job: Job) -> int:
        """Calls of this job that timed out and go on. Each keeps its thread."""
        pool = self._threads.get(job.type)
        return 0 if pool is None else pool.abandoned

    def close(self) -> None:
        """Kill child processes. Threads end after their call, or with the process."""
        self._children.close()
        for threads in self._threads.values():
            threads.close()

    def _pool(self, job: Job) -> Threads:
        found = self._threads.get(job.type)
        if found is None:
            found = self._threads[job.type] = Threads(
                job.concurrency, f"run-{job.type}", self._freed
            )
        return found


def limit_of(job: Job) -> float:
    """Seconds after which the task of a run is cancelled; 0: never.

    A child process that is late is killed by its thread, sooner than that.
    """
    return job.timeout_seconds + (SPARE_SECONDS if job.in_process and job.timeout_seconds else 0)


def too_long(job: Job) -> Ended:
    """The end of a run that was cancelled because of its time."""
    return Ended(f"The run took longer than {duration_text(round(job.timeout_seconds * 1000))}.")


def _unfit(fault: BaseException) -> Ended:
    if isinstance(fault, PayloadError):
        return Ended(shortened(str(fault)), final=True)
    return Ended(f"The payload cannot be read ({type(fault).__name__}).", final=True)


def _end_of(job: Job, run: Run, fault: BaseException) -> Ended:
    try:
        return _told(job, run, fault)
    except Exception:  # noqa: BLE001 - the exception of a user may fail to tell its text
        return Ended(type(fault).__name__)


def _told(job: Job, run: Run, fault: BaseException) -> Ended:
    if isinstance(fault, AlreadyDone):
        log.info("run was done before", extra={"type": job.type, "run": run.occurrence_id})
        return DONE
    if isinstance(fault, Retry):
        return Ended(shortened(str(fault)), retry_after_ms=fault.after_ms)
    if isinstance(fault, Discard):
        return Ended(shortened(str(fault)), final=True)
    if isinstance(fault, TookTooLong):
        return too_long(job)
    log.debug("handler raised", exc_info=fault, extra={"type": job.type})
    return failed(fault)
