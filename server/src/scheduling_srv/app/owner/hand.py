"""Entries that were taken from the outbox and are not published yet, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.formats.layouts import QUEUES


class Hand:
    """The batches in hand. A run stays until it is due; all behind it stays as well."""

    def __init__(self, most: int, hold: Hold) -> None:
        """`most`: entries that go out together, unless one batch has more."""
        self.most = most
        self.hold = hold
        self.entries = 0
        self._batches = deque[Batch]()

    def add(self, batch: Batch) -> None:
        """`batch` follows all that is in hand."""
        if batch.taken.entries:
            self.entries += len(batch.taken.entries)
            self._batches.append(batch)

    def put_back(self, batch: Batch) -> None:
        """`batch` goes before all that is in hand."""
        if batch.taken.entries:
            self.entries += len(batch.taken.entries)
            self._batches.appendleft(batch)

    def clear(self) -> None:
        """Forget all of it."""
        self._batches.clear()
        self.entries = 0

    def due(self) -> Batch | None:
        """Take out the entries before the first run that has to wait; None if there are none."""
        found: list[Batch] = []
        size = 0
        while self._batches:
            batch = self._batches[0]
            entries = batch.taken.entries
            if found and size + len(entries) > self.most:
                break
            count, due = self.hold.release(entries)
            if count < len(entries):
                if count:
                    found.append(_front(batch, count)._replace(due=due))
                    self._batches[0] = rest_of(batch, count)
                break
            found.append(self._batches.popleft()._replace(due=due))
            size += count
        self.entries -= sum(len(batch.taken.entries) for batch in found)
        return _joined(found) if found else None

    @property
    def is_held(self) -> bool:
        """Whether a run that has to wait holds back all that is in hand."""
        return bool(self._batches) and self.hold.since is not None

    def opens(self) -> int | None:
        """When the first run may go, in epoch ms, if it holds back all that is in hand."""
        if not self.is_held:
            return None
        first = self._batches[0].taken.entries[0]
        return self.hold.opens(first) if first[0] in QUEUES else None


def rest_of(batch: Batch, count: int) -> Batch:
    """The batch without its first `count` entries."""
    taken = batch.taken
    after = taken.after + count
    return batch._replace(taken=taken._replace(after=after, entries=taken.entries[count:]))


def _front(batch: Batch, count: int) -> Batch:
    return batch._replace(taken=batch.taken._replace(entries=batch.taken.entries[:count]))


def _joined(batches: Sequence[Batch]) -> Batch:
    """`at` is that of the oldest one."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    entries = [entry for batch in batches for entry in batch.taken.entries]
    due = max(batch.due for batch in batches)
    return first._replace(taken=first.taken._replace(entries=entries), due=due)
