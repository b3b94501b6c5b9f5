"""Child processes for functions that compute: a time-out or a stop kills the child."""

from __future__ import annotations

import atexit
import inspect
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from scheduling_client.worker.errors import WorkerError
from scheduling_client.worker.jobs import check_result


class TookTooLong(Exception):
    """The call did not end in time; its process was killed."""


class ProcessEnded(WorkerError):
    """The process has ended in the midst of the call."""


_CONTEXT = multiprocessing.get_context("spawn")
_living: set[multiprocessing.process.BaseProcess] = set()


class Child:
    """One process, used by one thread at a time; started when it is needed."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
    ) -> Any:  # noqa: ANN401
        """Call `function` in the process.

        Raises its exception, `TookTooLong`, or `ProcessEnded`.
        """
        pipe = self._started()
        try:
            pipe.send((function, arguments))
            if not pipe.poll(timeout):
                self.kill()
                raise TookTooLong
            done, result = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._exit_code()
            self.kill()
            raise ProcessEnded(f"The process of the run has ended with {code}.") from None
        if not done:
            raise result
        return result

    def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
            _living.discard(process)
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _exit_code(self) -> int | None:
        if self._process is None:
            return None
        self._process.join(1)  # its pipe closes a moment before its end can be seen
        return self._process.exitcode

    def _started(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self.kill()
        self._pipe, far = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(far,), daemon=True)
        with _without_sigterm():
            self._process.start()
        _living.add(self._process)
        far.close()
        return self._pipe


class Children:
    """A child for each thread that calls."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._all: list[Child] = []
        self._is_closed = False

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
    ) -> Any:  # noqa: ANN401
        """Call `function` in the child of this thread. Raises as `Child.call` does."""
        if self._is_closed:
            raise ProcessEnded("The worker has stopped.")
        child: Child | None = getattr(self._mine, "child", None)
        if child is None:
            child = self._mine.child = Child()
            self._all.append(child)
        return child.call(function, arguments, timeout)

    def close(self) -> None:
        """Kill them all. None starts afterwards."""
        self._is_closed = True
        for child in self._all:
            child.kill()


def _worked(result: object) -> object:
    check_result(result)
    if inspect.iscoroutine(result):
        result.close()
    if inspect.isawaitable(result):
        raise WorkerError("The function is asynchronous: processes take plain functions.")
    return result


@atexit.register
def _kill_all() -> None:
    """Before multiprocessing waits for them: a child outlasts its SIGTERM."""
    for process in [*_living]:
        process.kill()


@contextmanager
def _without_sigterm() -> Iterator[None]:
    """A process that starts here meets no SIGTERM before `_serve` is ready for it."""
    resource_tracker.ensure_running()  # else `start` does, and ends the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """The loop of a child. Its parent handles signals of the terminal and of the process group.

    SIGTERM gets a handler, as a program that the function starts would inherit an ignored signal.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = (True, _worked(function(*arguments)))
        except BaseException as fault:  # noqa: BLE001 - it goes to the parent
            answer = (False, fault)
        try:
            pickle.dumps(answer)
        except Exception:  # noqa: BLE001 - a result is not used, and an exception has a text
            done, given = answer
            text = f"{type(given).__name__}: {given}"
            answer = (True, None) if done else (False, RuntimeError(text))
        pipe.send(answer)
