"""The call under way: its caller, and what the audit log tells of it.

Only an interceptor sets it. Without credentials, quotas and audit log there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.rules import COMMANDS
from scheduling_srv.domain.errors import Forbidden
from scheduling_srv.domain.limits import Limits

MOST_IDS = 100
"""Ids that the audit log lists of one call; it counts all."""


@dataclass(slots=True)
class Call:
    """One call of a caller."""

    caller: Caller
    peer: str
    method: str
    count: int = 0
    """Jobs, ids or runs that the request names."""
    ids: list[str] = field(default_factory=list)
    detail: str = ""
    """Such as the name of a command."""

    def note(self, ids: Sequence[str], count: int) -> None:
        """Note the ids that are known, and how many objects there are in all."""
        self.ids, self.count = list(ids[:MOST_IDS]), count


_current: ContextVar[Call | None] = ContextVar("call", default=None)
current = _current.get
"""The call under way; None outside of one."""
begin = _current.set


DRY_RUN = "dry run"
"""The detail of a call that changes nothing."""


def note(ids: Sequence[str]) -> None:
    """Note the ids that the call under way changes, if there is one."""
    if call := current():
        call.note(ids, len(ids))


def note_detail(text: str) -> None:
    """The same for its detail."""
    if call := current():
        call.detail = text


def note_changed(ids: Sequence[object], changed: int) -> None:
    """Note the ids that the caller has given, and how many objects were changed."""
    if call := current():
        call.note([str(each) for each in ids], changed)


def note_dry_run(*, dry_run: bool) -> None:
    """Note that the call changes nothing, if it is so."""
    if dry_run:
        note_detail(DRY_RUN)


def limits() -> Limits | None:
    """The limits of the caller; None: all jobs."""
    call = current()
    return call.caller.limits if call else None


def host_of(peer: str) -> str:
    """The host of gRPC's name of a peer, `ipv4:127.0.0.1:50000`."""
    return peer.rpartition(":")[0] or peer


def shown(peer: str) -> str:
    """The caller as the log names it: `name@peer`, or the peer alone."""
    call = current()
    return f"{call.caller.name}@{peer}" if call else peer


def check_command(name: str) -> None:
    """Raises `Forbidden` if the caller may not run this system command."""
    call = current()
    if call is None:
        return
    call.detail = name if name in COMMANDS else ""
    needed = COMMANDS.get(name, Role.READER)  # an unknown command is refused by its name
    if call.caller.role < needed:
        raise Forbidden(
            f"{call.caller.name} may not run the command {name}: it needs the role"
            f" {needed.name.lower()}."
        )
    if call.caller.limits and needed > Role.READER:
        raise Forbidden(
            f"{call.caller.name} may not run the command {name}: it concerns all jobs, and this"
            f" caller is limited to {call.caller.limits}."
        )
