"""The ports of one shard, as callers and consumed records use them."""

from __future__ import annotations

from dataclasses import dataclass

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.lists import Lists
from scheduling_srv.app.ports import InputStore, JobStore, Transfers


@dataclass(frozen=True, slots=True)
class ShardPorts:
    """One shard."""

    store: JobStore
    inputs: InputStore
    transfers: Transfers
    announcements: Announcements
    lists: Lists
    """Applies the lists that are too long for one call."""
