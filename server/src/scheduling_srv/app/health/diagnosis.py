"""Runs all checks of a diagnosis, for `doctor` and for SystemService.Diagnose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from scheduling_srv.domain.errors import StoreRefused, Unavailable
from scheduling_srv.domain.finding import Finding, Severity, badness

Check: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]
"""Looks at one thing. Raises `Unavailable` if a server does not answer."""

CHECK_SECONDS = 8.0
"""How long one check may take."""
FRESH_SECONDS = 5.0
"""How long findings are shown again: callers may ask often, the servers must not be."""
CHECK_ANSWER = "Let the server answer, or correct the setting of its address."
CHECK_RIGHTS = "Give the service's user these rights (docs/operations.md)."


class Diagnosis:
    """`checks`: name of a check -> it. They run at the same time."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        check_seconds: float = CHECK_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._check_seconds = check_seconds
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._found: Sequence[Finding] = ()
        self._fresh_until = float("-inf")

    async def run(self) -> Sequence[Finding]:
        """All findings, the worst first. Never raises for a server that is away."""
        async with self._lock:
            if self._monotonic() >= self._fresh_until:
                answers = await asyncio.gather(
                    *(self._look(name, check) for name, check in self._checks.items())
                )
                self._found = sorted((each for found in answers for each in found), key=badness)
                self._fresh_until = self._monotonic() + self._fresh_seconds
        return self._found

    async def _look(self, name: str, check: Check) -> Sequence[Finding]:
        try:
            async with asyncio.timeout(self._check_seconds):
                return await check()
        except TimeoutError:
            sentence = f"There is no answer within {self._check_seconds:g} s."
            return [Finding(name, Severity.ERROR, sentence, CHECK_ANSWER)]
        except StoreRefused as fault:
            return [Finding(name, Severity.ERROR, str(fault), CHECK_RIGHTS)]
        except Unavailable as fault:
            return [Finding(name, Severity.ERROR, str(fault), CHECK_ANSWER)]
