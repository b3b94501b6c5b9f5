"""How a service is set up, as SystemService.GetSystem tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Setting(NamedTuple):
    """A setting that is in effect."""

    name: str
    """Its environment variable."""
    value: str
    """Empty if it is a secret."""
    source: str
    """`default`, `environment`, or the path of a file."""
    secret: bool


class TopicUse(NamedTuple):
    """A topic of the service."""

    name: str
    purpose: str
    partitions: int
    """0: it does not exist, or may not be described."""


class System(NamedTuple):
    """How the service is set up."""

    version: str
    python_version: str
    tzdata_version: str
    namespace: str
    settings: Sequence[Setting]
    topics: Sequence[TopicUse]
    shards: int
