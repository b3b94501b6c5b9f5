"""A filter bar: its fields are in the address of its page, as texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self


class FilterBar:
    """A subclass is a dataclass whose fields named in `FIELDS` are texts; empty: no condition."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """From the parameters of an address, or the fields of a form."""
        return cls(**{name: given.get(name, "").strip() for name in cls.FIELDS})

    @property
    def filters(self) -> dict[str, str]:
        """The conditions that are set."""
        return {name: value for name in self.FIELDS if (value := getattr(self, name))}
