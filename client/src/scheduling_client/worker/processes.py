"""Child processes for functions that compute: a time-out or a stop kills the child."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from scheduling_client.worker.errors import WorkerError


class TookTooLong(Exception):
    """The call did not end in time; its process was killed."""


_CONTEXT = multiprocessing.get_context("spawn")


class Child:
    """One process, used by one thread at a time; started when it is needed."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
    ) -> Any:  # noqa: ANN401
        """Call `function` in the process. Raises its exception, or `TookTooLong`."""
        pipe = self._started()
        try:
            pipe.send((function, arguments))
            if not pipe.poll(timeout):
                self.kill()
                raise TookTooLong
            done, result = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._process.exitcode if self._process else None
            self.kill()
            raise WorkerError(f"The process of the run has ended with {code}.") from None
        if not done:
            raise result
        return result

    def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _started(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self.kill()
        self._pipe, far = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()
        return self._pipe


class Children:
    """A child for each thread that calls."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._all: list[Child] = []

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
    ) -> Any:  # noqa: ANN401
        """Call `function` in the child of this thread. Raises its exception, or `TookTooLong`."""
        child: Child | None = getattr(self._mine, "child", None)
        if child is None:
            child = self._mine.child = Child()
            self._all.append(child)
        return child.call(function, arguments, timeout)

    def close(self) -> None:
        """Kill them all."""
        for child in self._all:
            child.kill()


def _serve(pipe: Connection) -> None:
    """The loop of a child. Its parent handles signals of the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = (True, function(*arguments))
        except BaseException as fault:  # noqa: BLE001 - it goes to the parent
            answer = (False, fault)
        try:
            pickle.dumps(answer)
        except Exception:  # noqa: BLE001 - a result is not used, and an exception has a text
            done, given = answer
            text = f"{type(given).__name__}: {given}"
            answer = (True, None) if done else (False, RuntimeError(text))
        pipe.send(answer)
