"""Callers and their roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from scheduling_srv.domain.limits import Limits


class Role(IntEnum):
    """What a caller may do. Each role includes those before it."""

    READER = 1
    """Reads jobs, runs, events and figures."""
    OPERATOR = 2
    """Changes jobs and runs."""
    ADMIN = 3
    """Resets, restores, and handles dead letters."""


ROLES: Mapping[str, Role] = {role.name.lower(): role for role in Role}
"""By their names in files and tokens."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that has shown who it is."""

    name: str
    role: Role
    limits: Limits | None = None
    """None: all jobs."""


ANONYMOUS = Caller("anonymous", Role.READER)
"""Of methods that are open."""
