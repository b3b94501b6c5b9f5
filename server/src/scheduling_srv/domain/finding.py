"""Findings of a diagnosis: each says how something stands, and how to mend it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How bad a finding is. The numbers are those of scheduling.v1."""

    UNKNOWN = 0
    """It could not be looked at."""
    OK = 1
    WARNING = 2
    """A promise is at risk."""
    ERROR = 3
    """A promise cannot be kept."""


class Finding(NamedTuple):
    """Something that was looked at."""

    check: str
    """A stable name, such as `redis.persistence`."""
    severity: Severity
    message: str
    """A sentence."""
    remedy: str = ""
    """A sentence; empty where there is nothing to mend."""


_ORDER = (Severity.ERROR, Severity.WARNING, Severity.UNKNOWN, Severity.OK)


def badness(finding: Finding) -> int:
    """A key to sort by: the worst first."""
    return _ORDER.index(finding.severity)
