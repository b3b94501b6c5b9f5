"""A loop that is cancelled while it fails leaves no state behind: the log would repeat it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scheduling_srv.app.commands.restore import Restorer
from scheduling_srv.app.lists import Lists
from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.app.owner.sweeper import Sweeper
from scheduling_srv.app.sharding import courier as courier_module
from scheduling_srv.app.sharding.courier import Courier
from scheduling_srv.domain.errors import StoreUnavailable
from scheduling_srv.runtime.states import STATES, State
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class Away:
    """A server: whatever is asked of it fails."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        return self._fail

    async def _fail(self, *_: object, **__: object) -> None:
        raise StoreUnavailable("It is away.")


def a_list() -> Awaitable[None]:
    loop: Any = object.__new__(Lists)
    loop.settle = Away().settle
    return Lists.run(loop, "token")


def a_restorer() -> Awaitable[None]:
    loop: Any = object.__new__(Restorer)
    loop._called = asyncio.Event()
    loop.run_once = Away().run_once
    return Restorer.run(loop, "token")


def a_courier() -> Awaitable[None]:
    loop: Any = object.__new__(Courier)
    loop.settle = Away().settle
    return Courier.run(loop, 0)


def a_catch_up() -> Awaitable[None]:
    away: Any = Away()
    return CatchUp(inputs=away, limit_ms=1)._until_read()


def a_sweeper() -> Awaitable[None]:
    away: Any = Away()
    return Sweeper(away).run("token")


@pytest.mark.parametrize("make", [a_list, a_restorer, a_courier, a_catch_up, a_sweeper])
async def test_its_state_ends_with_the_loop(
    make: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "LOOK", 0.0)
    found = list[State]()
    monkeypatch.setattr(
        STATES, "listeners", [lambda: found.extend(each for each in STATES.all if each.failing)]
    )
    before = {each for each in STATES.all if each.failing}
    loop = asyncio.ensure_future(make())
    while not found:  # noqa: ASYNC110 - as long as it takes
        await asyncio.sleep(0)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert not [each for each in found if each.failing and each not in before]
