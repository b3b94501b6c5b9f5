"""Reads runs as soon as anyone can, committed or not, and notes those that are before their time.

The time stamp of a record proves nothing: whoever writes the record chooses it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from chaos.history import Recorder
from chaos.model import parse_instant
from tests.client.topics import TopicReader

POLL_SECONDS = 0.1


class RunWatch:
    """A thread with a consumer of the jobs topic that does not wait for commits."""

    def __init__(self, recorder: Recorder, bootstrap: str, topic: str) -> None:
        self.recorder = recorder
        self._reader = TopicReader(bootstrap, topic, isolation="read_uncommitted")
        self._ending = threading.Event()
        self._ended = Future[None]()
        self._thread = threading.Thread(target=self._run, name="run-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; raises what went wrong."""
        self._ending.set()
        self._ended.result(30)

    def _run(self) -> None:
        try:
            with self._reader:
                while not self._ending.is_set():
                    self._look()
        except BaseException as failure:  # noqa: BLE001 - raised again by stop()
            self._ended.set_exception(failure)
        else:
            self._ended.set_result(None)

    def _look(self) -> None:
        for record in self._reader.poll(POLL_SECONDS):
            nominal = record.headers.get("nominal-time")
            at = int(record.read_at * 1000)
            if record.key == "queuedJob" and nominal and at < parse_instant(nominal):
                self.recorder.write("readable", offset=record.offset, at=at)
        self._reader.records.clear()
