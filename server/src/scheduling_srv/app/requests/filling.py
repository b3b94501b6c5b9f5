"""Pages that are filled by several bounded calls (docs/decisions/0031).

A call to the store ends early where it passes many items that do not match. The page goes on from
there for a moment. Then it is short, and has a token.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from scheduling_srv.formats.page_token import PageToken

FILLED_SECONDS = 0.01
"""Seconds of a page that goes on. It makes no further call that would end later, if that takes as
long as the one before."""

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """A page, or the part of one that a call has found."""

    items: Sequence[T]
    following: PageToken | None
    """Where to go on; None: there is nothing further."""

    @property
    def token(self) -> str:
        """As clients get it."""
        return self.following.pack() if self.following else ""


class Filling:
    """The time and the size that a page may take. It begins with the first call."""

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.monotonic = monotonic
        self._began = monotonic()
        self._until = self._began + FILLED_SECONDS

    async def fill(
        self,
        first: Found[T],
        go_on: Callable[[PageToken, int], Awaitable[Found[T]]],
        is_large: Callable[[Sequence[T]], bool] = lambda _: False,
    ) -> Found[T]:
        """The first items, and those that follow: `go_on` finds at most as many as it is told.

        A page that `is_large` does not go on.
        """
        items, following = [*first.items], first.following
        while following and not is_large(items) and self._may_go_on(len(items)):
            self._began = self.monotonic()
            more = await go_on(following, self.limit - len(items))
            items, following = [*items, *more.items], more.following
        return Found(items, following)

    def _may_go_on(self, size: int) -> bool:
        now = self.monotonic()
        return size < self.limit and now + (now - self._began) <= self._until
