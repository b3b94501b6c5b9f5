"""Work for people who look on gives way to due runs (docs/decisions/0034)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOK_SECONDS = 0.02
"""Between two looks whether the runs have gone out."""


class GivingWay:
    """Pages and the reader of events share an event loop with the owners of this replica."""

    def __init__(
        self,
        is_behind: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_behind`: whether more runs of this replica are due than go out at once.

        `monotonic` counts seconds.
        """
        self._is_behind = is_behind
        self._monotonic = monotonic

    @property
    def is_due(self) -> bool:
        """Whether to wait now."""
        return self._is_behind()

    async def wait(self, seconds: float) -> None:
        """Return once the due runs have gone out, after so many seconds at the latest."""
        until = self._monotonic() + seconds
        while self._is_behind() and self._monotonic() < until:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_SECONDS)
