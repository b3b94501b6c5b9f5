"""The command `advance`, which there is only with a test clock (docs/decisions/0035)."""

from __future__ import annotations

import json
from typing import Protocol

from scheduling_srv.app.commands.payloads import Json, parse_payload
from scheduling_srv.app.commands.test_clock import TestClock
from scheduling_srv.domain.errors import InvalidRequest, Violation

NAME = "advance"
FARTHEST_MS = 3_660 * 86_400_000
"""Ten years."""
MOST_PATIENCE_MS = 3_600_000


class CommandsPort(Protocol):
    """The use cases of `Commands`."""

    async def run(self, name: str, payload: bytes | None) -> bytes:
        """Run a command; returns its JSON."""


class ClockCommands:
    """The commands of every service, and `advance`."""

    def __init__(self, commands: CommandsPort, clock: TestClock) -> None:
        self.commands = commands
        self.clock = clock

    async def run(self, name: str, payload: bytes | None) -> bytes:
        """See `Commands.run`.

        `advance` takes `{"milliseconds": 86400000, "patience": 10000}`, see `TestClock.advance`,
        and answers `{"now": <epoch ms>}`.
        """
        if name != NAME:
            return await self.commands.run(name, payload)
        given = parse_payload(payload)
        milliseconds = _number(given, "milliseconds", FARTHEST_MS) or 0
        patience = _number(given, "patience", MOST_PATIENCE_MS)
        now = await self.clock.advance(milliseconds, patience)
        return json.dumps({"now": now}).encode()


def _number(given: Json, name: str, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        sentence = f"{name} is not a whole number from 0 to {most}."
        raise InvalidRequest(sentence, [Violation(f"payload.{name}", sentence)])
    return value
