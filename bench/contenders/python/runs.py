"""Common to the contenders in Python: jobs to submit, and a record for each run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Producer

from bench.actors import Reply

PAYLOAD = "x" * 130
"""Makes a job as large as those of the others: about 220 bytes."""


class Jobs:
    """Those that are submitted next, and those that were accepted."""

    def __init__(self) -> None:
        self.unsent: list[tuple[str, int]] = []
        """Ids, and epoch ms."""
        self.accepted: list[str] = []

    def prepare(self, first: float, step: float, count: int) -> Reply:
        """Choose ids and times."""
        self.unsent = [
            (uuid4().hex, int((first + step * number) * 1000)) for number in range(count)
        ]
        return {}

    def ids(self, path: str) -> Reply:
        """Write the ids of the accepted jobs to a file."""
        ids, self.accepted = self.accepted, []
        Path(path).write_text("\n".join(ids))
        return {"jobs": len(ids), "different": len(set(ids))}


class Runs:
    """One producer for all runs of a worker."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})
        threading.Thread(target=self._poll, daemon=True).start()

    def produce(self, job_id: str, at: int, payload: str, confirmed: Callable[[], object]) -> None:
        """Produce the run of a job that was due `at`, in epoch ms.

        `confirmed` is called by another thread. A record that Kafka refuses ends the process.
        """
        headers = {
            "job-id": job_id,
            "nominal-time": datetime.fromtimestamp(at / 1000, UTC).isoformat(),
            "seen": f"{time.time() * 1000:.3f}",
        }

        def done(fault: object, _message: object) -> None:
            if fault:
                raise RuntimeError(fault)
            confirmed()

        self._producer.produce(
            self._topic, payload.encode(), b"queuedJob", 0, done, headers=list(headers.items())
        )

    def _poll(self) -> None:
        while True:
            self._producer.poll(0.1)
