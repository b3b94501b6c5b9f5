"""Runs on Kafka that no position covers: they are not sent again (docs/decisions/0005)."""

from __future__ import annotations

from collections.abc import Mapping

from scheduling_srv.app.replies import Taken
from scheduling_srv.formats.entry_groups import VOID
from scheduling_srv.formats.layouts import QUEUES
from scheduling_srv.formats.outbox_entries import occurrence_of


class KnownRuns:
    """Of one shard. Recovery finds them; whoever takes entries leaves them out."""

    def __init__(self) -> None:
        self._names: dict[int, bytes] = {}
        """Number of the entry -> occurrence id of its run."""

    def begin(self, names: Mapping[int, bytes]) -> None:
        """Kafka has the runs of these entries: number -> occurrence id."""
        self._names = dict(names)

    def leave_out(self, taken: Taken) -> Taken:
        """The same with entries that become nothing in place of these runs."""
        if not self._names:
            return taken
        entries = list(taken.entries)
        for place, entry in enumerate(entries):
            name = self._names.get(taken.after + place + 1)
            if name and entry[0] in QUEUES and occurrence_of(entry) == name:
                entries[place] = VOID
        return taken._replace(entries=entries)

    def forget(self, trimmed: int) -> None:
        """Entries up to this number will not be taken again."""
        if self._names and trimmed >= max(self._names):
            self._names.clear()
