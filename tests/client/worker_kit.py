"""The worker kit beside a test: in a thread of its own, which is stopped at the end."""

from typing import Any

from scheduling_client.worker import Worker
from tests.e2e.product import Product
from tests.harness.background import Background


def worker_of(product: Product, name: str, **options: Any) -> Worker:
    """A worker of the test's own topic and service."""
    return Worker(
        name,
        kafka=product.bootstrap,
        topic=product.names.jobs,
        service=product.service.address,
        kafka_options={"fetch.wait.max.ms": 10, "reconnect.backoff.max.ms": 200},
        **options,
    )


class AtWork(Background):
    """`Worker.run` in a thread. Leaving stops it; `left` is what it returned."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(f"worker {worker.name}")
        self.worker = worker
        self.left: int | None = None

    def work(self) -> None:
        self.left = self.worker.run()

    def __exit__(self, *exc_info: object) -> None:
        self.worker.stop()
        super().__exit__(*exc_info)
