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

KEPT = struct.Struct("<IIQ??")
"""Attempt, instance, timestamp ms, whether the job has one occurrence only, whether the run has a
deadline of its own; the type follows."""
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
    timed: bool = False
    origin: int = 0


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
    named: set[tuple[int, bytes]] = field(default_factory=set)
    """Instance id and occurrence of answers that name one which was not seen before them."""
    counts: dict[tuple[str, int], JournalCount] = field(default_factory=dict)
    """Job id and seq -> the last of its runs that counted, as far as was seen."""
    ended: dict[bytes, int] = field(default_factory=dict)
    """Run -> the last attempt before it was cancelled."""
    last_instance: int | None = None
    """The last one that was given out, as far as was seen."""
    large: int = LARGE

    def emitted(self, emission: Emission) -> None:
        """A run was emitted; of its attempts only the last counts."""
        run, attempt, instance, timestamp, type_, one_time, number, timed = emission
        key = _run_key(run)
        if number:
            self._count(run, number)
        known = self.emissions.get(key)
        if known is None or KEPT.unpack_from(known)[0] < attempt:
            alone = one_time and not run.origin
            self.emissions[key] = KEPT.pack(attempt, instance, timestamp, alone, timed) + type_
        if not run.origin:
            job = _job_key(run.job_id, run.seq)
            self.nominals[job] = max(self.nominals.get(job, 0), run.nominal)
        self.last_instance = later_instance(instance, self.last_instance)

    def _count(self, run: RunKey, number: int) -> None:
        known = self.counts.get((run.job_id, run.seq))
        if known is None or known.number < number:
            self.counts[run.job_id, run.seq] = JournalCount(*run[:3], number)

    def answered(self, instance: int, occurrence: bytes = b"") -> None:
        """An answer was read. One that names another occurrence than its instance has is stale."""
        if occurrence and not self._is_of(instance, occurrence):
            self.named.add((instance, occurrence))
            return
        block, bit = instance >> BLOCK_BITS, 1 << instance % (1 << BLOCK_BITS)
        self.answers[block] = self.answers.get(block, 0) | bit

    def cancelled(self, occurrence: bytes) -> None:
        """The run was cancelled after this attempt. Raises `ValueError`."""
        key, _, attempt = occurrence.rpartition(b"/")
        self.ended[key] = int(attempt)

    def _is_of(self, instance: int, occurrence: bytes) -> bool:
        key, _, attempt = occurrence.rpartition(b"/")
        kept = self.emissions.get(key)
        if kept is None:
            return False
        known, its_instance, *_ = KEPT.unpack_from(kept)
        return bool(its_instance == instance and b"%d" % known == attempt)

    def _is_answered(self, key: bytes, attempt: int, instance: int) -> bool:
        """Whether an attempt of a run has an answer that was applied."""
        bits = self.answers.get(instance >> BLOCK_BITS, 0)
        if bits >> instance % (1 << BLOCK_BITS) & 1:
            return True
        if attempt <= self.ended.get(key, 0):
            return True
        return bool(self.named) and (instance, b"%b/%d" % (key, attempt)) in self.named

    async def tidy(self, piece: TimeSlice) -> None:
        """Forget first attempts that were answered, once there are many emissions.

        The job of such a run is gone, waits for a retry that the journal has, or recurs: of the
        last kind the nominal time is kept. An answer stays known: a copy of its run may come.
        """
        if len(self.emissions) < self.large:
            return
        closed = []
        for key, kept in self.emissions.items():
            attempt, instance, _, one_time, _ = KEPT.unpack_from(kept)
            if attempt <= 1 and key not in self.ended and self._is_answered(key, attempt, instance):
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
                yield OpenRun(*run[:3], attempt, 0, 0, due, origin=run.origin)

    def unanswered(self) -> Iterator[OpenRun]:
        """All runs that an answer is still to come for. First `waiting` has seen all retries."""
        for key, kept in self.emissions.items():
            attempt, instance, timestamp, _, timed = KEPT.unpack_from(kept)
            if not self._is_answered(key, attempt, instance):
                run = RunKey.of(*key.decode().rsplit("/", 2))
                type_ = kept[KEPT.size :]
                yield OpenRun(
                    *run[:3], attempt, instance, timestamp, None, type_, timed, run.origin
                )


def later_instance(one: int, other: int | None) -> int:
    """The one that was given out later: ids wrap, and may begin near the end."""
    return one if other is None or (one - other) % INSTANCES < INSTANCES // 2 else other


def _run_key(run: RunKey) -> bytes:
    return run.id.encode()


def _job_key(job_id: str, seq: int) -> bytes:
    return f"{job_id}/{seq}".encode()
