"""Finds out from the topics which runs were emitted, were answered, or wait for a retry."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduling_srv.formats.kafka_records import (
    INSTANCES,
    Emission,
    JournalCount,
    JournalRetry,
    RunKey,
)
from scheduling_srv.runtime.time_slice import TimeSlice

KEPT = struct.Struct("<IIQ?")
"""Attempt, instance, timestamp ms, whether the job has one occurrence only; the type follows."""
LARGE = 50_000
"""Emissions after which those that are closed are looked for."""
BLOCK_BITS = 6
"""Of an instance id: its place within a block of answers."""


class OpenRun(NamedTuple):
    """A run that is unanswered (`due` None), or waits for its retry."""

    job_id: str
    seq: int
    nominal: int
    attempt: int
    instance: int
    start: int
    due: int | None
    type: bytes = b""


@dataclass(slots=True)
class Settlement:
    """Collects the records of runs; later records override earlier ones.

    There may be millions of runs. So an emission is two byte strings, some 250 bytes in all, and
    those that are closed are forgotten. A run with several attempts is kept: partitions are read
    one after the other, so an earlier attempt may still come.
    """

    emissions: dict[bytes, bytes] = field(default_factory=dict)
    """Run -> `KEPT` of its last attempt, and the type."""
    nominals: dict[bytes, int] = field(default_factory=dict)
    """Job id and seq -> the last occurrence that was emitted."""
    answers: dict[int, int] = field(default_factory=dict)
    """Block of instance ids -> those that were answered, one bit each."""
    counts: dict[tuple[str, int], JournalCount] = field(default_factory=dict)
    """Job id and seq -> the last of its runs that counted, as far as was seen."""
    last_instance: int | None = None
    """The last one that was given out, as far as was seen."""
    large: int = LARGE

    def emitted(self, emission: Emission) -> None:
        """A run was emitted; of its attempts only the last counts."""
        run, attempt, instance, timestamp, type_, one_time, number = emission
        key = _run_key(run)
        if number:
            self._count(run, number)
        known = self.emissions.get(key)
        if known is None or KEPT.unpack_from(known)[0] < attempt:
            self.emissions[key] = KEPT.pack(attempt, instance, timestamp, one_time) + type_
        job = _job_key(run.job_id, run.seq)
        self.nominals[job] = max(self.nominals.get(job, 0), run.nominal)
        self.last_instance = later_instance(instance, self.last_instance)

    def _count(self, run: RunKey, number: int) -> None:
        known = self.counts.get((run.job_id, run.seq))
        if known is None or known.number < number:
            self.counts[run.job_id, run.seq] = JournalCount(*run, number)

    def answered(self, instance: int) -> None:
        """An answer was applied."""
        block, bit = instance >> BLOCK_BITS, 1 << instance % (1 << BLOCK_BITS)
        self.answers[block] = self.answers.get(block, 0) | bit

    def is_answered(self, instance: int) -> bool:
        """Whether the instance has an answer that was applied."""
        bits = self.answers.get(instance >> BLOCK_BITS, 0)
        return bool(bits >> instance % (1 << BLOCK_BITS) & 1)

    async def tidy(self, piece: TimeSlice) -> None:
        """Forget first attempts that were answered, once there are many emissions.

        The job of such a run is gone, waits for a retry that the journal has, or recurs: of the
        last kind the nominal time is kept. An answer stays known: a copy of its run may come.
        """
        if len(self.emissions) < self.large:
            return
        closed = []
        for key, kept in self.emissions.items():
            attempt, instance, _, one_time = KEPT.unpack_from(kept)
            if attempt <= 1 and self.is_answered(instance):
                closed.append((key, one_time))
            await piece.yield_if_used()
        for key, one_time in closed:
            del self.emissions[key]
            if one_time:
                self.nominals.pop(key.rpartition(b"/")[0], None)
            await piece.yield_if_used()
        self.large = max(LARGE, 2 * len(self.emissions))

    def latest_nominal(self, job_id: str, seq: int) -> int | None:
        """The nominal time of the job's last emitted occurrence, if one was seen."""
        return self.nominals.get(_job_key(job_id, seq))

    def waiting(self, retries: Iterable[JournalRetry]) -> Iterator[OpenRun]:
        """Those of the journal's retries that were not emitted; their emissions are closed."""
        for run, attempt, due in retries:
            key = _run_key(run)
            known = self.emissions.get(key)
            if known is None or KEPT.unpack_from(known)[0] < attempt:
                self.emissions.pop(key, None)
                yield OpenRun(*run, attempt, 0, 0, due)

    def unanswered(self) -> Iterator[OpenRun]:
        """All runs that an answer is still to come for. First `waiting` has seen all retries."""
        for key, kept in self.emissions.items():
            attempt, instance, timestamp, _ = KEPT.unpack_from(kept)
            if not self.is_answered(instance):
                job_id, seq, nominal = key.decode().rsplit("/", 2)
                run = RunKey(job_id, int(seq), int(nominal))
                yield OpenRun(*run, attempt, instance, timestamp, None, kept[KEPT.size :])


def later_instance(one: int, other: int | None) -> int:
    """The one that was given out later: ids wrap, and may begin near the end."""
    return one if other is None or (one - other) % INSTANCES < INSTANCES // 2 else other


def _run_key(run: RunKey) -> bytes:
    return f"{run.job_id}/{run.seq}/{run.nominal}".encode()


def _job_key(job_id: str, seq: int) -> bytes:
    return f"{job_id}/{seq}".encode()
