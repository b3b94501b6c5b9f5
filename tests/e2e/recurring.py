"""A job that runs again and again, to see whether a service goes on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scheduling_client import Client, every
from tests.client import contract
from tests.e2e.product import Product, fresh
from tests.harness.waiting import eventually
from tests.harness.windows import in_time, with_enough_time

PERIOD = 300
IS_MEMBER = ("reading partitions", "partitions assigned")
"""In the log of this version, and of 0.1."""


def recurring(product: Product) -> str:
    """Create such a job; answers its type. Then other services can find this one."""
    kind = fresh("type")
    product.client.create(contract.job(id=kind, type=kind, interval=f"{PERIOD} ms"))
    product.run(kind)
    log = product.service.log
    eventually(  # it emits before it is a member of its group
        lambda: any(words in log.read_text() for words in IS_MEMBER),
        what="a member of the consumer group",
    )
    return kind


def hourly(client: Client, name: Callable[[], str] = fresh) -> str:
    """Create an hourly job whose first run is due soon; answers its type, which is its id."""

    def attempt(window: int) -> str:
        kind = name()
        begin = datetime.now(UTC) + timedelta(milliseconds=window)
        client.create(kind, every(timedelta(hours=1)), id=kind, start_time=begin)
        created = datetime.now(UTC)
        if created >= begin:
            client.delete(kind)
        in_time(created < begin, "the job was there before its first run was due")
        return kind

    return with_enough_time(attempt, 500)


def assert_goes_on(product: Product, kind: str, more: int = 4) -> None:
    """No occurrence is missing, none is doubled, and more follow."""
    known = len(product.runs_so_far(kind))
    dues = [run.nominal for run in product.runs(kind, known + more)]
    assert dues == [dues[0] + PERIOD * number for number in range(len(dues))]
