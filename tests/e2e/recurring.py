"""A job that runs again and again, to see whether a service goes on."""

from tests.client import contract
from tests.e2e.product import Product, fresh
from tests.harness.waiting import eventually

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


def assert_goes_on(product: Product, kind: str, more: int = 4) -> None:
    """No occurrence is missing, none is doubled, and more follow."""
    known = len(product.runs_so_far(kind))
    dues = [run.nominal for run in product.runs(kind, known + more)]
    assert dues == [dues[0] + PERIOD * number for number in range(len(dues))]
