"""Which runs were emitted, answered, or wait for a retry: what the topics say of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from scheduling_srv.app.records import LogRecord
from scheduling_srv.domain.record import read_varint

RETRY = struct.Struct("<QQIQ")
"""Seq, nominal ms, attempt, due ms; the Lua twin is in `lua/lib/answer.lua`."""
TYPE_TAG = b"\x12"
"""Of the second field of a ScheduledJob."""


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

    @classmethod
    def parse(cls, entry: LogRecord) -> Self:
        """From the record's `occurrence-id` and its first fields: the instance id and the type."""
        job_id, seq, nominal, attempt = entry.headers["occurrence-id"].decode().rsplit("/", 3)
        run = RunKey(job_id, int(seq), int(nominal))
        value = entry.value or b""
        instance, at = read_varint(value, 1)
        size, at = read_varint(value, at + 1) if value[at : at + 1] == TYPE_TAG else (0, at)
        return cls(run, int(attempt), instance, entry.timestamp, value[at : at + size])


class JournalRetry(NamedTuple):
    """A run that waits for its retry, as the journal has it."""

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
    """Collects what the topics say; later records override earlier ones."""

    emissions: dict[RunKey, Emission] = field(default_factory=dict)
    nominals: dict[tuple[str, int], int] = field(default_factory=dict)
    answers: set[int] = field(default_factory=set)
    retries: dict[RunKey, JournalRetry] = field(default_factory=dict)
    waiting: set[tuple[str, int]] = field(default_factory=set)
    """Job id and seq of jobs with a run that waits for its retry."""
    last_instance: int = 0

    def emitted(self, emission: Emission) -> None:
        """A run was emitted; of its attempts only the last counts."""
        run = emission.run
        known = self.emissions.get(run)
        if known is None or known.attempt < emission.attempt:
            self.emissions[run] = emission
        job = (run.job_id, run.seq)
        self.nominals[job] = max(self.nominals.get(job, 0), run.nominal)
        self.last_instance = max(self.last_instance, emission.instance)

    def answered(self, instance: int) -> None:
        """An answer was applied."""
        self.answers.add(instance)

    def add_retries(self, retries: Iterable[JournalRetry]) -> None:
        """What the journal says."""
        for retry in retries:
            self.retries[retry.run] = retry
            self.waiting.add((retry.run.job_id, retry.run.seq))

    def latest_nominal(self, job_id: str, seq: int) -> int | None:
        """The nominal time of the job's last emitted occurrence, if one was seen."""
        return self.nominals.get((job_id, seq))

    def open_runs(self) -> Iterator[OpenRun]:
        """All runs that an answer or a retry is still to come for."""
        for run, emission in self.emissions.items():
            retry = self.retries.get(run)
            superseded = retry is not None and retry.attempt > emission.attempt
            if emission.instance not in self.answers and not superseded:
                yield OpenRun(*run, *emission[1:4], None, emission.type)
        for run, retry in self.retries.items():
            known = self.emissions.get(run)
            if known is None or known.attempt < retry.attempt:
                yield OpenRun(*run, retry.attempt, 0, 0, retry.due)
