"""A run in a worker, and the runs of one type."""

from __future__ import annotations

import asyncio
from collections import deque

from scheduling_client.worker.figures import TypeFigures
from scheduling_client.worker.jobs import Job
from scheduling_client.worker.ledger import Ledger
from scheduling_client.worker.runs import Run

UNANSWERED_PER_PLACE = 4
SPARE_ANSWERS = 16
"""Runs of a job of which the answers are on their way: so many, and 4 for each that may be at work.

A crash repeats them unless the store knows them. Fewer would hold up short runs.
"""


class Entry:
    """A run in this worker."""

    __slots__ = (
        "beaten",
        "began",
        "copies",
        "dropped",
        "is_late",
        "lane",
        "ledger",
        "occurrence",
        "offset",
        "run",
        "size",
        "task",
    )

    def __init__(self, run: Run, lane: Lane, ledger: Ledger, offset: int, size: int) -> None:
        self.run, self.lane, self.ledger, self.offset, self.size = run, lane, ledger, offset, size
        self.occurrence = run.occurrence_id
        self.task: asyncio.Task[None] | None = None
        self.copies: tuple[Entry, ...] = ()
        """Further records of the same run, which came while it was at work."""
        self.dropped = self.is_late = False
        self.began = self.beaten = 0.0


class Lane:
    """The runs of one type."""

    def __init__(self, job: Job, figures: TypeFigures) -> None:
        self.job, self.figures = job, figures
        self.waiting: deque[Entry] = deque()
        self.at_work: set[Entry] = set()
        self.unanswered = 0
        """Runs that have ended, and whose answers Kafka has not confirmed. A crash repeats them."""
        self.begins_soon = False

    def places(self, abandoned: int) -> int:
        """How many more runs may begin, by the bounds of the job; may be below 0.

        `abandoned`: calls that timed out and keep their threads. They hold places too, so no run
        waits for a thread while its time passes.
        """
        most = self.job.concurrency
        unanswered = UNANSWERED_PER_PLACE * most + SPARE_ANSWERS - self.unanswered
        return min(most - len(self.at_work) - abandoned, unanswered)
