"""Finds out from the topics which runs were emitted, were answered, or wait for a retry."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from scheduling_srv.app.records import LogRecord
from scheduling_srv.app.time_slice import TimeSlice
from scheduling_srv.domain.record import read_varint

RETRY = struct.Struct("<QQIQ")
"""Seq, nominal ms, attempt, due ms; the Lua twin is in `lua/lib/answer.lua`."""
TYPE_TAG = b"\x12"
"""Of the second field of a ScheduledJob."""
ONE_TIME = (b'"\x03NOW', b'"\x04ONCE')
"""Ends of a ScheduledJob whose job has no other occurrence."""
KEPT = struct.Struct("<IIQ?")
"""Attempt, instance, timestamp ms, whether the job has one occurrence only; the type follows."""
LARGE = 50_000
"""Emissions after which those that are closed are looked for."""
LONGEST_NUMBER = 1 << 63
INSTANCES = 1 << 32
"""How many instance ids there are (docs/contract.md)."""
MOST_ATTEMPTS = 1 << 32
"""Numbers beyond them are nobody's of ours."""
BLOCK_BITS = 6
"""Of an instance id: its place within a block of answers."""


class RunKey(NamedTuple):
    """A run over all its attempts."""

    job_id: str
    seq: int
    nominal: int


class Emission(NamedTuple):
    """A queuedJob record."""

    run: RunKey
    attempt: int
    instance: int
    timestamp: int
    type: bytes = b""
    one_time: bool = False
    """The job has no other occurrence."""

    @classmethod
    def parse(cls, entry: LogRecord) -> Self:
        """From the record's `occurrence-id` and its value. Raises `ValueError`."""
        job_id, *rest = entry.headers["occurrence-id"].decode().rsplit("/", 3)
        seq, nominal, attempt = (int(text) for text in rest)
        value = entry.value or b""
        instance, at = read_varint(value, 1)
        if not (0 <= seq < LONGEST_NUMBER and 0 <= nominal < LONGEST_NUMBER):
            raise ValueError("No run of ours has such numbers.")
        if not (0 <= attempt < MOST_ATTEMPTS and instance < INSTANCES):
            raise ValueError("No attempt of ours has such numbers.")
        size, at = read_varint(value, at + 1) if value[at : at + 1] == TYPE_TAG else (0, at)
        run, type_ = RunKey(job_id, seq, nominal), value[at : at + size]
        return cls(run, attempt, instance, entry.timestamp, type_, value.endswith(ONE_TIME))


class JournalRetry(NamedTuple):
    """A run that waits for its retry, as the journal has it.

    Attempt 1 waits for its start: the schedule of its job has changed. Attempt 0 was emitted
    before its job was updated: the job goes on behind it.
    """

    run: RunKey
    attempt: int
    due: int

    @classmethod
    def parse(cls, key: bytes, value: bytes) -> Self:
        """From a journal record of kind `retry`."""
        job_id = key.split(b"\0", 1)[0].decode()
        seq, nominal, attempt, due = RETRY.unpack(value)
        return cls(RunKey(job_id, seq, nominal), attempt, due)


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
    last_instance: int | None = None
    """The last one that was given out, as far as was seen."""
    large: int = LARGE

    def emitted(self, emission: Emission) -> None:
        """A run was emitted; of its attempts only the last counts."""
        run, attempt, instance, timestamp, type_, one_time = emission
        key = _run_key(run)
        known = self.emissions.get(key)
        if known is None or KEPT.unpack_from(known)[0] < attempt:
            self.emissions[key] = KEPT.pack(attempt, instance, timestamp, one_time) + type_
        job = _job_key(run.job_id, run.seq)
        self.nominals[job] = max(self.nominals.get(job, 0), run.nominal)
        self.last_instance = later_instance(instance, self.last_instance)

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
