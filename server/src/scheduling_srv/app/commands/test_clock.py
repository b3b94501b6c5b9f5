"""Moves the clock of a service under test, from one due instant to the next (decision 35).

All that is due at an instant is emitted before the clock goes on. So runs come in the order of
their nominal times, as they would in the same span of real time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from scheduling_srv.app.ports import AgendaStore, Inputs, SettableClock
from scheduling_srv.app.replies import Agenda
from scheduling_srv.domain.errors import ClockHeld, StaleSource

LOOK_SECONDS = 0.002
"""Between two looks at the shards."""
NUDGE_SECONDS = 0.01
"""The owner is called so often while it has something to do: no timer of its own would end."""
EMIT_SECONDS = 10.0
"""Real seconds in which the owner emits what is due at one instant."""


class TestClock:
    """Advances the clock of a replica that owns all its shards. One call at a time."""

    __test__ = False  # no class of tests

    def __init__(
        self,
        *,
        clock: SettableClock,
        shards: Sequence[AgendaStore],
        inputs: Inputs,
        nudge: Callable[[], None],
    ) -> None:
        """`nudge` has the owners look at the clock."""
        self.clock = clock
        self.shards = shards
        self.inputs = inputs
        self.nudge = nudge
        self._turn = asyncio.Lock()

    async def advance(self, milliseconds: int, patience: int | None = None) -> int:
        """Let so much time pass; returns the instant then, in epoch ms.

        All that is due until then is emitted in order. With `patience` the clock goes on from an
        instant only when all its runs are answered, and their retries that are due then as well:
        each instant has so many real milliseconds for that. Answers that were sent before the call
        count before it. Raises `ClockHeld` if an instant does not come to its end, and
        `Unavailable`; the clock then stands somewhere on its way.
        """
        async with self._turn:
            await self._read_inputs()
            end = self.clock.now() + milliseconds
            while True:
                due = await self._settled(patience)
                if due is None or due > end:
                    break
                self._go_to(due)
            self._go_to(end)
            return end

    def _go_to(self, instant: int) -> None:
        self.clock.set(instant)
        self.nudge()

    async def _read_inputs(self) -> None:
        """Apply the answers that the topic holds."""
        deadline = time.monotonic() + EMIT_SECONDS
        while True:
            try:
                await self.inputs.read()
            except StaleSource:  # the group has applied them meanwhile
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def _settled(self, patience: int | None) -> int | None:
        """Return when all is done that the present instant asks for, with the next instant."""
        while True:
            found = await self._until(lambda found: not found.busy, EMIT_SECONDS)
            if patience is None or not found.unanswered:
                return found.next
            found = await self._until(lambda found: not found.unanswered, patience / 1000)
            if not found.busy:
                return found.next

    async def _until(self, done: Callable[[Agenda], bool], seconds: float) -> Agenda:
        began = nudged = time.monotonic()
        while not done(found := await self._look()):
            now = time.monotonic()
            if now - began > seconds:
                raise ClockHeld(_reason(found, seconds))
            if now - nudged > NUDGE_SECONDS:
                nudged = now
                self.nudge()
            await asyncio.sleep(LOOK_SECONDS)
        return found

    async def _look(self) -> Agenda:
        """All shards as one."""
        now = self.clock.now()
        found = [await shard.look(now) for shard in self.shards]
        return Agenda(
            busy=any(each.busy for each in found),
            next=min((each.next for each in found if each.next is not None), default=None),
            unanswered=sum(each.unanswered for each in found),
        )


def _reason(found: Agenda, seconds: float) -> str:
    if found.busy:
        return f"The service has not emitted within {seconds:g} s what is due: see its log."
    return (
        f"{found.unanswered} runs have no answer after {seconds:g} s. Is a worker there for each"
        " type? Without workers, advance without waiting for answers."
    )
