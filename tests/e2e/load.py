"""Clients that ask for too much, what they were told, and what the service needed for it."""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

import grpc

from tests.client import contract
from tests.client.grpc_client import JOBS, Client, Refusal, refusal
from tests.e2e.product import Product
from tests.harness.process import Process
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS

MIB = 2**20


def peak_memory(process: Process) -> int:
    """The most that was resident since it began, or since `forget_peak`, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak(process: Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


@contextmanager
def memory_grows_by_less_than(size: int, *products: Product) -> Iterator[None]:
    """Whatever happens inside, each replica stays the same process and within this bound."""
    processes = [replica.process for product in products for replica in product.replicas]
    before = {}
    for process in processes:
        forget_peak(process)
        before[process.pid] = peak_memory(process)
    yield
    for process in processes:
        assert process.alive
        grown = peak_memory(process) - before[process.pid]
        assert grown < size, f"{process.name} grew by {grown / MIB:.0f} MiB"


def read_all(address: str) -> Any:
    """All jobs in one answer, as by a client that takes large ones."""
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        call: Callable[..., bytes] = channel.unary_unary(JOBS + "Read")
        try:
            return contract.JobList.FromString(call(b"", timeout=PATIENCE_SECONDS))
        except grpc.RpcError as error:
            raise refusal(error) from error


class Flood:
    """Threads that create one list of jobs after the other, and note what they were told."""

    def __init__(self, product: Product, make: Callable[[int], Any], *, size: int = 1) -> None:
        self.accepted: list[str] = []
        """Ids of jobs that were acknowledged."""
        self.refusals: list[Refusal] = []
        self._product, self._make, self._size = product, make, size
        self._numbers = count()
        self._leaving = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join()

    def refused(self, word: str, times: int = 1) -> bool:
        """Whether so many calls were UNAVAILABLE with this word in their sentence."""
        found = [each for each in list(self.refusals) if word in each.message]
        assert all(each.code is grpc.StatusCode.UNAVAILABLE for each in list(self.refusals))
        return len(found) >= times

    def _run(self) -> None:
        with Client(self._product.service.address, timeout=PATIENCE_SECONDS) as client:
            while not self._leaving.is_set():
                jobs = [self._make(next(self._numbers)) for _ in range(self._size)]
                try:
                    answer = client.create(*jobs)
                except Refusal as refused:
                    self.refusals.append(refused)
                    self._leaving.wait(0.05)
                else:
                    self.accepted += [job.id for job in answer.items]


class CrampedValkey(ValkeyServer):
    """Whose files may grow to a size only: a full disk, for a process that is not root's."""

    # Python gives SIGXFSZ back its deadly default; a full disk does not kill.
    starter = ("sh", "-c", """trap '' XFSZ; exec "$0" "$@\"""")

    def fill_disk(self, left: int) -> None:
        """Leave room for so many bytes in the file that grows."""
        size = max(file.stat().st_size for file in self.directory.rglob("*.aof"))
        self._limit(size + left)

    def free_disk(self) -> None:
        if self.process.alive:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
