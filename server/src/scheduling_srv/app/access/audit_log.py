"""The audit log: a line for each change and each refusal (docs/security.md). Never a payload.

`scheduling-srv audit` is another thing: it compares runs with the schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from scheduling_srv.app.access.call import Call, host_of
from scheduling_srv.app.access.callers import Role
from scheduling_srv.app.access.refusals import SECONDS, Refusals, Refused
from scheduling_srv.app.access.rules import COMMANDS, RULES

REFUSED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})

Write = Callable[[Mapping[str, object]], None]


class AuditLog:
    """Writes lines: time, caller, peer, method, ids, count, outcome.

    Refusals beyond a number share a line with their sum: see `Refusals`.
    """

    def __init__(self, write: Write, refusals: Refusals | None = None) -> None:
        self._write = write
        self._refusals = refusals or Refusals()

    def note(self, call: Call, outcome: str, *, admitted: bool = True) -> None:
        """Write the line of a call that has ended, if it is one of a change or a refusal.

        `admitted` is false for a call that the gate refused, for any reason.
        """
        refused = outcome in REFUSED
        if not refused and not _changes(call):
            return
        if (refused or not admitted) and not self._has_line(call, outcome):
            return
        self._write(_line(call, outcome))

    def _has_line(self, call: Call, outcome: str) -> bool:
        self._write_sums(self._refusals.ended())
        return self._refusals.has_line(Refused(host_of(call.peer), call.caller.name, outcome))

    async def run(self) -> None:
        """Write the sums that are due, until cancelled."""
        try:
            while True:
                await asyncio.sleep(SECONDS)
                self._write_sums(self._refusals.ended())
        finally:
            self._write_sums(self._refusals.take())

    def _write_sums(self, sums: Mapping[Refused, int]) -> None:
        for (host, caller, outcome), count in sums.items():
            self._write(
                {
                    "time": _now(),
                    "caller": caller,
                    "peer": host,
                    "outcome": outcome,
                    "more_refusals": count,
                }
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _line(call: Call, outcome: str) -> Mapping[str, object]:
    line: dict[str, object] = {
        "time": _now(),
        "caller": call.caller.name,
        "role": call.caller.role.name.lower(),
        "peer": call.peer,
        "method": call.method,
        "outcome": outcome,
        "count": call.count,
        "ids": call.ids,
    }
    if call.detail:
        line["detail"] = call.detail
    return line


def _changes(call: Call) -> bool:
    rule = RULES.get(call.method)
    role = COMMANDS.get(call.detail, Role.READER)
    return max(role, rule.role if rule else role) > Role.READER
