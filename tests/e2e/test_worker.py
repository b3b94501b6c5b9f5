"""The worker kit on a real Kafka, with the real service."""

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from scheduling_client import Discard, Retry, Run
from scheduling_client.worker import Worker
from tests.client import contract
from tests.client.topics import Record
from tests.client.worker_kit import AtWork, worker_of
from tests.e2e.product import Product, fresh
from tests.harness.waiting import eventually


@dataclass
class Mail:
    to: str
    copies: int = 1


def create(product: Product, kind: str, payload: object = None, count: int = 1, **job: Any) -> None:
    """Jobs that run at once."""
    data = json.dumps(payload).encode()
    product.client.create(
        *(
            contract.job(
                type=kind,
                now=True,
                data=contract.Data(creator="tester", payload=[contract.payload(data)]),
                **job,
            )
            for _ in range(count)
        )
    )


def answers(product: Product, kind: str, count: int) -> list[Record]:
    """The answers to the runs of this type, in order, once there are so many."""
    runs = {run.instance for run in product.runs(kind)}

    def fits(record: Record) -> bool:
        if record.key not in ("jobDone", "jobFailed"):
            return False
        return record.parse(contract.JobDone).id in {r.instance for r in product.runs(kind, 0)}

    assert runs
    return product.reader.wait_for_all(fits, count)


def test_functions_do_the_runs(product: Product) -> None:
    """Asynchronous and plain ones; the payload and the run come as they are asked for."""
    mail, plain = fresh("mail"), fresh("plain")
    worker = worker_of(product, fresh("worker"))
    seen: list[Any] = []

    @worker.job(mail)
    async def send(payload: Mail, run: Run) -> None:
        await asyncio.sleep(0)
        seen.append((payload, run.type, run.attempt, run.job_id != ""))

    @worker.job(plain)
    def compute() -> None:
        seen.append(threading.current_thread().name)

    with AtWork(worker):
        create(product, mail, {"to": "ann"})
        assert answers(product, mail, 1)[0].key == "jobDone"
        create(product, plain)
        assert answers(product, plain, 1)[0].key == "jobDone"
    assert seen == [(Mail("ann"), mail, 1, True), f"run-{plain}-1"]
