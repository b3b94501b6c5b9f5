"""The port through which an owner raises the format of the stored data (docs/decisions/0024)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol


class RaiseVerdict(StrEnum):
    """Whether the stored data may have a new format."""

    RAISED = "raised"
    """It has it by now."""
    ALONE = "alone"
    """All connected replicas read it."""
    OLDER = "older"
    """A replica is connected that does not read it."""
    BLIND = "blind"
    """Redis does not tell which replicas are connected."""


class Raised(NamedTuple):
    """The answer of `FormatRaising.raise_format`."""

    verdict: RaiseVerdict
    older: str = ""
    """The name of a replica that does not read the format."""


class FormatRaising(Protocol):
    """The format of one shard."""

    async def raise_format(self, token: str, writes: int, *, looks: bool = False) -> Raised:
        """Raise it, unless a replica is connected that does not read it. The lease ends with that.

        `looks`: changes nothing. Raises `LeaseLost` and `StoreUnavailable`.
        """
