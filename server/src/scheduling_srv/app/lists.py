"""Long lists: applied in pieces, all or nothing (docs/decisions/0010).

The pieces are kept first, each in one bounded call. No other call changes their jobs from then on.
One small call decides the list; for a record it also stores the record's position. Then the pieces
are applied, each in one bounded call. A decided list is applied through any crash: by its caller,
by a call that needs one of its jobs, or by the owner. A list that is not decided is dropped.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import structlog

from scheduling_srv.app import deadline
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.budget import PIECE_BYTES, PIECE_JOBS
from scheduling_srv.app.ports import Clock, InputStore, ListStore, Receipt, Refusal, Source
from scheduling_srv.app.replies import Piece
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import (
    Contended,
    NotAnnounced,
    OutcomeUnknown,
    StoreNotReady,
    Unavailable,
)
from scheduling_srv.domain.job import NewJob
from scheduling_srv.runtime.states import State
from scheduling_srv.runtime.time_slice import SharedSlice

log = structlog.get_logger(__name__)

DELETE = "delete"
"""The mode of a list of ids to delete; other modes are those of `WriteMode`."""
MOVING, GONE, LARGE = "moving", "gone", "large"
"""Refusals that the caller does not see: another list is in the way, this one was dropped, or a
piece replaces more than one call may read."""
LASTS_MS = 15_000
"""How long a list stays open after its last piece; then its caller counts as dead."""
PATIENCE_SECONDS = 20.0
"""Seconds that a list may take until it is decided, and again until it is applied."""
PAUSE_SECONDS = 0.02
"""Seconds between looks at a list whose caller has not decided yet."""
KEPT_AHEAD = 8
"""Pieces that are kept and may wait for Kafka. Each is one record."""
APPLIED_AHEAD = 2
"""Pieces that are applied and may wait for Kafka. Runs of other jobs wait for no more of them."""
KAFKA_PATIENCE_SECONDS = 1.0
"""Seconds that a list waits for Kafka at most; after that it goes on without."""
POLL_SECONDS = 5.0
"""Seconds after which the owner looks for lists whose caller has died."""
CONTENDED = "Another call changes a job of this id: nothing was changed, send it again."
SLOW = "The list could not be stored in time: nothing was changed, send it again."
LOST = "Redis has lost writes: whether the change was kept is not known."
LATE = "Kafka does not answer: the change is stored and will be announced."

Outcome = tuple[Receipt, Refusal | None]


class Lists:
    """The long lists of one shard, in one replica."""

    def __init__(
        self,
        store: ListStore,
        inputs: InputStore,
        announcements: Announcements,
        clock: Clock,
        *,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self.piece_bytes = piece_bytes
        self.store = store
        self.inputs = inputs
        self.announcements = announcements
        self.clock = clock
        self._applying = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, _token: str) -> None:
        """The owner's task: finish lists that their callers have left, until cancelled."""
        never = asyncio.Event()
        with State("long lists wait", "long lists go on").watched() as state:
            while True:
                try:
                    await self.settle()
                except Unavailable as fault:
                    state.fails(str(fault))
                else:
                    state.works()
                await wait(never, POLL_SECONDS)

    async def write(
        self, mode: str, jobs: Sequence[NewJob], source: Source | None = None, *, named: bool = True
    ) -> Outcome:
        """Apply the list, or refuse all of it; `named`: others may know its ids.

        With a source it returns when the list is decided. Raises `Unavailable`, and with a source
        `StaleSource`: then nothing was applied, unless it is `NotAnnounced`.
        """
        token, receipt = "", None
        outcome: Receipt | Refusal | None = Refusal("", 0)
        try:
            async with asyncio.timeout(deadline.at_most(PATIENCE_SECONDS)):
                while receipt is None:
                    token = uuid.uuid4().hex
                    outcome = await self._try(token, Piece(0, mode, named), jobs, source)
                    if isinstance(outcome, Refusal):
                        return Receipt("", 0), outcome
                    receipt = outcome
        except TimeoutError as fault:
            raise Contended(CONTENDED if outcome is None else SLOW) from fault
        if source:
            self._finish_later(token)
            return receipt, None
        return await self._finish(token, receipt), None

    async def _try(
        self, token: str, kind: Piece, jobs: Sequence[NewJob], source: Source | None
    ) -> Receipt | Refusal | None:
        """None: something came between, and nothing is decided."""
        decided = False
        try:
            pieces = await self._keep(token, kind, jobs)
            if isinstance(pieces, Refusal):
                if pieces.reason not in {MOVING, GONE}:
                    return pieces
                await self._drop(token)  # two lists that wait for each other would wait for ever
                await self.settle()
                return None
            receipt = await self.store.decide(token, pieces, self.clock.now(), source)
            decided = receipt is not None
            return receipt
        finally:
            if not decided:  # or unknown: the store refuses to drop a decided list
                await asyncio.shield(self._drop(token))

    async def _keep(self, token: str, kind: Piece, jobs: Sequence[NewJob]) -> int | Refusal:
        """Keep all pieces; returns how many."""
        number = place = 0
        time_slice, ahead = SharedSlice(), Ahead(self.announcements, KEPT_AHEAD)
        for piece in pieces_of(jobs, self.piece_bytes):
            queue = [piece]
            while queue:
                part = queue.pop(0)
                number += 1
                step = kind._replace(number=number)
                kept = await self.store.keep(token, step, part, LASTS_MS)
                if isinstance(kept, Receipt):
                    place += len(part)
                    await ahead.note(kept)
                elif kept.reason == LARGE:
                    number, half = number - 1, len(part) // 2
                    queue[:0] = [part[:half], part[half:]]
                else:
                    return kept._replace(place=place + kept.place)
            await time_slice.yield_if_used()
        return number

    async def _drop(self, token: str) -> None:
        """Give up a list of ours. The owner does it later if Redis does not answer."""
        with suppress(Unavailable):
            while await self.store.drop(token, own=True) == "dropped":
                pass

    # --- Decided lists ------------------------------------------------------------------------

    async def settle(self) -> None:
        """Apply the decided lists, and drop undecided ones of dead callers.

        Waits a moment if a list is open whose caller may live. Raises `Unavailable`.
        """
        for token in await self.store.tokens():
            while (state := await self.store.drop(token, own=False)) == "dropped":
                pass
            if state == "decided":
                await self._apply(token)
            elif state == "open":
                await asyncio.sleep(PAUSE_SECONDS)

    async def _finish(self, token: str, decided: Receipt) -> Receipt:
        try:
            async with asyncio.timeout(deadline.at_most(PATIENCE_SECONDS)):
                await self._apply(token)
                end = await self.inputs.append([], self.clock.now())
        except StoreNotReady as fault:
            raise OutcomeUnknown(LOST) from fault
        except TimeoutError as fault:
            raise NotAnnounced(LATE) from fault
        if end.lineage != decided.lineage:
            raise OutcomeUnknown(LOST)
        return end

    def _finish_later(self, token: str) -> None:
        task = asyncio.create_task(self._finish_quietly(token))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_quietly(self, token: str) -> None:
        with suppress(Unavailable):  # the owner does it later
            await self._apply(token)

    async def _apply(self, token: str) -> None:
        """Apply all pieces of a decided list. Others may apply them at the same time."""
        ahead = Ahead(self.announcements, APPLIED_AHEAD)
        async with self._applying:
            while applied := await self.store.apply(token, self.clock.now()):
                receipt, left = applied
                if not left:
                    return
                await ahead.note(receipt)


class Ahead:
    """Lets a list be ahead of Kafka by a few pieces only, so that others get through."""

    def __init__(self, announcements: Announcements, most: int) -> None:
        self.announcements = announcements
        self.most = most
        self._receipts = deque[Receipt]()
        self._is_away = False

    async def note(self, receipt: Receipt) -> None:
        """A piece is stored. Wait until fewer than `most` are ahead, or Kafka seems to be away."""
        self._receipts.append(receipt)
        if self._is_away or len(self._receipts) < self.most:
            return
        try:
            async with asyncio.timeout(KAFKA_PATIENCE_SECONDS):
                await self.announcements.wait(self._receipts.popleft())
        except (TimeoutError, OutcomeUnknown):
            self._is_away = True


def pieces_of(jobs: Sequence[NewJob], most_bytes: int) -> Iterator[Sequence[NewJob]]:
    """The list in pieces that each fit into one call, and into one record on Kafka."""
    start = size = 0
    for index, job in enumerate(jobs):
        weight = len(job.record) + len(job.id.encode()) + 16
        if index > start and (index - start >= PIECE_JOBS or size + weight > most_bytes):
            yield jobs[start:index]
            start, size = index, 0
        size += weight
    yield jobs[start:]
