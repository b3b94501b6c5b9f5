"""Callers, their roles and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


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
class Limits:
    """The jobs that a caller may see and change. An empty set allows all."""

    types: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()

    def allow(self, type_: str, creator: str) -> bool:
        """Whether a job of this type and creator is within them."""
        return (not self.types or type_ in self.types) and (
            not self.creators or creator in self.creators
        )

    def __str__(self) -> str:
        parts = (("types", self.types), ("creators", self.creators))
        return " and ".join(f"{name} {', '.join(sorted(each))}" for name, each in parts if each)


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that has shown who it is."""

    name: str
    role: Role
    limits: Limits | None = None
    """None: all jobs."""


ANONYMOUS = Caller("anonymous", Role.READER)
"""Of methods that are open."""
