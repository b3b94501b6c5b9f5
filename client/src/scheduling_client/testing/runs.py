"""Tests of handlers without Kafka and without a service.

`a_run` makes a run; `Worker.run_one` has it done.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduling_client.worker import Data, Ended, Item, Run, Worker

_numbers = itertools.count(1)


def a_run(
    type: str,  # noqa: A002 - the name in the contract
    payload: object = None,
    *,
    attempt: int = 1,
    attempts: int = 1,
    nominal_time: datetime | None = None,
    job_id: str = "job",
    labels: Mapping[str, str] | None = None,
) -> Run:
    """A run as the service emits it.

    `payload`: bytes as they are, a protobuf message, None for no payload, else an object that
    becomes JSON. Each run has an occurrence id of its own.
    """
    number = next(_numbers)
    due = nominal_time or datetime.now(UTC)
    due_text = due.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers = {
        "job-id": job_id,
        "occurrence-id": f"{job_id}/{number}/{round(due.timestamp() * 1000)}/{attempt}",
        "run-id": f"{job_id}/{number}/{round(due.timestamp() * 1000)}",
        "nominal-time": due_text,
        "attempt": str(attempt),
        "attempts": str(attempts),
        "deadline": (due.astimezone(UTC) + timedelta(hours=1)).isoformat(),
        "labels": json.dumps(dict(labels or {})),
    }
    items = () if payload is None else (Item("payload", _bytes(payload)),)
    encoded = {name: value.encode() for name, value in headers.items()}
    return Run(number, type, "ONCE", encoded, Data(items, creator="test", timezone="UTC"))


def run_one(worker: Worker, type: str, payload: object = None, **given: Any) -> Ended:  # noqa: A002, ANN401
    """How a run of this type ends, for tests that are not asynchronous. `given`: as in `a_run`."""
    return asyncio.run(worker.run_one(a_run(type, payload, **given)))


def _bytes(payload: Any) -> bytes:  # noqa: ANN401 - any object
    if isinstance(payload, bytes):
        return payload
    if hasattr(payload, "SerializeToString"):
        serialized: bytes = payload.SerializeToString()
        return serialized
    return json.dumps(payload).encode()
