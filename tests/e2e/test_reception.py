"""Large, compressed and slow requests: memory stays bounded, and small calls are answered."""

import gzip
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.client import contract
from tests.client.grpc_client import JOBS, Client, Refusal
from tests.client.slow_sender import SlowSender
from tests.e2e.conftest import Deploy
from tests.e2e.load import MIB, forget_peak, peak_memory
from tests.e2e.product import Product, fresh, tomorrow
from tests.e2e.test_memory import LEASE
from tests.harness.background import Background
from tests.harness.waiting import PATIENCE_SECONDS, eventually

BOUND = 512 * MIB
CALLS = 40


def resident(product: Product) -> int:
    """Bytes in memory now."""
    status = Path(f"/proc/{product.service.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def large_list() -> bytes:
    """28 MB of jobs; gzip makes half of it."""
    source = random.Random(11)
    data = [source.randbytes(350_000).hex().encode() for _ in range(4)]
    jobs = [
        contract.job(when=tomorrow(), data=contract.Data(payload=[contract.payload(each)]))
        for each in data * 10
    ]
    return bytes(contract.JobList(items=jobs).SerializeToString())


class SmallCalls(Background):
    """Creates small jobs on a connection of its own, and measures the seconds of each call."""

    def __init__(self, product: Product) -> None:
        super().__init__("small calls")
        self.seconds: list[float] = []
        self.refusals: list[Refusal] = []
        self._address = product.service.address

    def work(self) -> None:
        """Call until the context ends."""
        with Client(self._address, timeout=PATIENCE_SECONDS) as client:
            while not self.leaving.is_set():
                begun = time.monotonic()
                try:
                    client.create(contract.job(id=fresh("small"), when=tomorrow()))
                except Refusal as refusal:
                    self.refusals.append(refusal)
                self.seconds.append(time.monotonic() - begun)
                self.leaving.wait(0.05)


@contextmanager
def bounded(product: Product) -> Iterator[SmallCalls]:
    """Check that memory stays bounded, the lease is kept, and small calls are answered."""
    process = product.service.process
    before = resident(product)
    forget_peak(process)
    with SmallCalls(product) as small:
        yield small
    peak = peak_memory(process)
    print(  # noqa: T201
        f"\nbefore {before / MIB:.0f}, peak {peak / MIB:.0f}, after {resident(product) / MIB:.0f}"
        f" MiB; {len(small.seconds)} small calls, the longest {max(small.seconds):.2f} s,"
        f" {len(small.refusals)} refused"
    )
    assert process.alive
    assert peak < BOUND, f"{peak / MIB:.0f} MiB"
    assert len(small.refusals) <= len(small.seconds) // 10, small.refusals
    assert {each.code for each in small.refusals} <= {grpc.StatusCode.UNAVAILABLE}
    assert product.service.log.read_text().count("lease taken") == 1
    eventually(lambda: resident(product) < before + 120 * MIB, what="memory is freed")


def create(address: str, raw: bytes, compression: grpc.Compression | None = None) -> str:
    """The name of the status that this Create gets, on a connection of its own."""
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options, compression) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(JOBS + "Create")
        try:
            call(raw, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def create_many(product: Product, raw: bytes, count: int) -> Counter[str]:
    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(lambda _: create(product.service.address, raw), range(count)))


@pytest.mark.slow
@pytest.mark.parametrize("compress", [bytes, partial(gzip.compress, compresslevel=1)])
def test_forty_large_lists_at_once_stay_within_memory(
    deploy: Deploy, compress: Callable[[bytes], bytes]
) -> None:
    """The first bytes of a message, not its flag, tell the service whether it is compressed."""
    product, raw = deploy(lease=LEASE), compress(large_list())
    with bounded(product):
        told = create_many(product, raw, CALLS)
        assert {*told} == {"OK", "UNAVAILABLE"}, told
    product.client.timeout = PATIENCE_SECONDS
    product.client.command("reset")


def test_messages_that_decompress_to_a_gigabyte_are_refused(deploy: Deploy) -> None:
    product = deploy(lease=LEASE)
    compressor = zlib.compressobj(wbits=31)
    bomb = b"".join([compressor.compress(bytes(MIB)) for _ in range(1024)]) + compressor.flush()
    with bounded(product):
        assert create(product.service.address, bomb) == "RESOURCE_EXHAUSTED"
        # While the service decompresses one, another may exceed the budget.
        assert {*create_many(product, bomb, CALLS)} <= {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}
        told = create(product.service.address, bytes(100 * MIB), grpc.Compression.Gzip)
        assert told == "RESOURCE_EXHAUSTED"


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 20])
def test_slow_senders_stop_no_other_client(deploy: Deploy, connections: int) -> None:
    """Twenty streams announce a megabyte each and send nothing of it."""
    product = deploy(lease=LEASE)
    port = product.service.grpc_port
    with bounded(product) as small, ExitStack() as stack:
        slow = [stack.enter_context(SlowSender(port)) for _ in range(connections)]
        streams = [(each, each.begin(MIB)) for each in slow for _ in range(20 // connections)]
        for _ in range(20):
            time.sleep(1)
            for each, stream in streams:
                each.send(stream, b"x")
            eventually(lambda: product.client.health() == "SERVING", what="SERVING")
        assert sum(each.ended() for each in slow) >= 5
    assert max(small.seconds) < 15
    assert not small.refusals
    assert len(small.seconds) > 5
