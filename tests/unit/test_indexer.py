"""The owner indexes what an earlier format has stored, until all is done."""

import asyncio

import pytest

from scheduling_srv.app.owner.indexer import RETRY_SECONDS, Indexer
from scheduling_srv.domain.errors import LeaseLost, StoreUnavailable
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class Index:
    """`answers`: whether there is more, or the fault of a call."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = [*answers]
        self.ended = asyncio.Event()

    async def index_older(self, token: str) -> bool:
        assert token == "token"
        answer = self.answers.pop(0)
        if not self.answers:
            self.ended.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_it_goes_on_until_all_is_indexed() -> None:
    index = Index(True, True, False)
    await Indexer(index).run_once("token")  # type: ignore[arg-type]
    assert index.answers == []


async def test_it_goes_on_after_redis_was_away_and_then_waits() -> None:
    """It must not return: the owner would end with it."""
    index = Index(True, StoreUnavailable("It is away."), True, False)
    began = asyncio.get_running_loop().time()
    work = asyncio.create_task(Indexer(index).run("token"))  # type: ignore[arg-type]
    await index.ended.wait()
    assert asyncio.get_running_loop().time() - began >= RETRY_SECONDS
    await asyncio.sleep(1_000)
    assert not work.done()
    work.cancel()


async def test_a_lost_lease_ends_it() -> None:
    index = Index(LeaseLost("gone"))
    with pytest.raises(LeaseLost):
        await Indexer(index).run("token")  # type: ignore[arg-type]
