"""Which jobs a caller may see and change (docs/decisions/0033)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a limited caller. An empty set allows all."""

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
