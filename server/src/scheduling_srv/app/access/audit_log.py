"""The audit log: a line for each change and each refusal (docs/security.md). Never a payload.

`scheduling-srv audit` is another thing: it compares runs with the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import Role
from scheduling_srv.app.access.rules import COMMANDS, RULES

REFUSED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})

Write = Callable[[Mapping[str, object]], None]


class AuditLog:
    """Writes lines: time, caller, peer, method, ids, count, outcome."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def note(self, call: Call, outcome: str) -> None:
        """Write the line of a call that has ended, if it is one of a change or a refusal."""
        if outcome not in REFUSED and not _changes(call):
            return
        line: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
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
        self._write(line)


def _changes(call: Call) -> bool:
    rule = RULES.get(call.method)
    role = COMMANDS.get(call.detail, Role.READER)
    return max(role, rule.role if rule else role) > Role.READER
