"""Records on Kafka: those to be produced, and those read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Self

from scheduling_srv.formats import layouts
from scheduling_srv.formats.job_record import read_varint


class Topic(StrEnum):
    """Where a record goes; the names are settings."""

    JOBS = "jobs"
    RESOURCES = "resources"
    COMMANDS = "commands"
    DEAD_LETTER = "dead_letter"
    JOURNAL = "journal"
    POSITION = "position"
    EVENTS = "events"


Headers = list[tuple[str, bytes]]

QUEUED_KEY = b"queuedJob"
"""The key of a run."""
SETTLED_KEY = b"\0settled"
"""The key of records without meaning, which end a hanging transaction; no job has such an id."""
DEPLOYMENT = "deployment"
"""The header of queuedJob and of the position record."""
JOB_V1 = "job-v1"
"""The header of jobsCreated and of a job in the journal: what the messages of 2018 cannot say."""
OUTCOME, CANCELLED = "outcome", b"cancelled"
"""The header of jobsDeleted, and of the jobFailed by which this service cancels a run."""
DEADLINE = "deadline"
"""The header of a run whose job has a completion timeout of its own."""
RUN_NUMBER = "run-number"
"""The header of a run that counts for `max_runs`: the how manieth of its job it is."""
JOURNAL_JOB, JOURNAL_RETRY, JOURNAL_PARCEL, JOURNAL_LIST = b"job", b"retry", b"parcel", b"list"
JOURNAL_COUNT, JOURNAL_PAUSE = b"count", b"pause"
JOURNAL_REPLAYED, JOURNAL_BACKFILL = b"replayed", b"backfill"
"""Values of the journal's `kind` header."""
NOT_OF_A_JOB = b"\0"
"""In the keys of records of the journal that are no jobs; no id holds it."""
JOURNAL_DUE = layouts.JOURNAL_JOB.struct
"""First due ms, before the record in a journal value."""
RETRY = layouts.JOURNAL_RETRY.struct
COUNTED = layouts.JOURNAL_COUNT.struct
TYPE_PAUSE = layouts.TYPE_PAUSE_KEY.encode()
TYPE_TAG = b"\x12"
"""Of the second field of a ScheduledJob."""
ONE_TIME = (b'"\x03NOW', b'"\x04ONCE')
"""Ends of a ScheduledJob whose job has no other occurrence."""
ORIGINS = {mark: origin for origin, mark in enumerate(layouts.ORIGIN_MARKS) if mark}
"""The mark in the id of a run -> its origin."""
LONGEST_NUMBER = 1 << 63
INSTANCES = 1 << 32
"""How many instance ids there are (docs/contract.md)."""
MOST_ATTEMPTS = 1 << 32
"""No record of this service has larger numbers than these."""


class Record(NamedTuple):
    """A record to be produced."""

    topic: Topic
    key: bytes
    value: bytes | None
    headers: Headers
    route: bytes
    """Records with the same route stay in one partition."""


class Refusal(NamedTuple):
    """A record that Kafka refuses."""

    record: int
    """Its place among those that were to be published, from 0."""
    topic: Topic
    reason: str
    of_topic: bool
    """The topic cannot be used at all: not the record is at fault."""
    too_large: bool = False


class Extent(NamedTuple):
    """Offsets of one partition, from `first` up to, but not including, `end`."""

    partition: int
    first: int
    end: int


class LogRecord(NamedTuple):
    """A record read back from a topic."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class RunKey(NamedTuple):
    """A run over all its attempts."""

    job_id: str
    seq: int
    nominal: int
    origin: int = 0
    """Of `ORIGIN_MARKS`; 0: the schedule."""

    @property
    def id(self) -> str:
        """As `run-id` has it; the attempt follows it in the occurrence id."""
        return f"{self.job_id}/{self.seq}/{self.nominal}{layouts.ORIGIN_MARKS[self.origin]}"

    @classmethod
    def of(cls, job_id: str, seq: str, nominal: str) -> Self:
        """From the parts of its id. Raises `ValueError`."""
        origin = ORIGINS.get(nominal[-1:], 0)
        return cls(job_id, int(seq), int(nominal[:-1] if origin else nominal), origin)

    @property
    def is_possible(self) -> bool:
        """Whether a run of ours may have such numbers."""
        return 0 <= self.seq < LONGEST_NUMBER and 0 <= self.nominal < LONGEST_NUMBER

    @classmethod
    def and_attempt(cls, occurrence: bytes) -> tuple[Self, int]:
        """From an occurrence id. Raises `ValueError`."""
        job_id, seq, nominal, attempt = occurrence.decode().rsplit("/", 3)
        return cls.of(job_id, seq, nominal), int(attempt)


class Emission(NamedTuple):
    """A queuedJob record."""

    run: RunKey
    attempt: int
    instance: int
    timestamp: int
    type: bytes = b""
    one_time: bool = False
    """The job has no other occurrence."""
    number: int = 0
    """The how manieth run of its job it is, if those are counted."""
    timed: bool = False
    """It has a deadline of its own."""

    @classmethod
    def parse(cls, entry: LogRecord) -> Self:
        """From the record's `occurrence-id` and its value. Raises `ValueError`."""
        run, attempt = RunKey.and_attempt(entry.headers["occurrence-id"])
        value = entry.value or b""
        instance, at = read_varint(value, 1)
        if not run.is_possible:
            raise ValueError("No run of ours has such numbers.")
        if not (0 <= attempt < MOST_ATTEMPTS and instance < INSTANCES):
            raise ValueError("No attempt of ours has such numbers.")
        size, at = read_varint(value, at + 1) if value[at : at + 1] == TYPE_TAG else (0, at)
        type_ = value[at : at + size]
        number = int(entry.headers.get(RUN_NUMBER, b"0"))
        one_time = value.endswith(ONE_TIME)
        timed = DEADLINE in entry.headers
        return cls(run, attempt, instance, entry.timestamp, type_, one_time, number, timed)


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
        seq, nominal, number, due = RETRY.unpack(value)
        origin, attempt = divmod(number, layouts.ORIGIN_UNIT)
        return cls(RunKey(job_id, seq, nominal, origin), attempt, due)


class JournalCount(NamedTuple):
    """How many runs of a job with `max_runs` have counted, and the last one of them."""

    job_id: str
    seq: int
    nominal: int
    number: int

    @classmethod
    def parse(cls, key: bytes, value: bytes) -> Self:
        """From a journal record of kind `count`."""
        return cls(key.split(b"\0", 1)[0].decode(), *COUNTED.unpack(value))


class JournalPause(NamedTuple):
    """A pause of a job, or of a type."""

    job_id: str
    """Empty: it is one of a type."""
    type: str
    note: bytes
    """JSON; `seq` in it is the newest creation number of its time."""

    @classmethod
    def parse(cls, key: bytes, value: bytes) -> Self:
        """From a journal record of kind `pause`."""
        if key.startswith(TYPE_PAUSE):
            return cls("", key[len(TYPE_PAUSE) :].decode(), value)
        return cls(key.split(b"\0", 1)[0].decode(), "", value)

    @property
    def seq(self) -> int:
        """A reset up to this creation number, or a later one, makes it void."""
        return int(json.loads(self.note)["seq"])


class JournalBackfill(NamedTuple):
    """How far the backfill of a job is."""

    job_id: str
    text: bytes
    """JSON; `seq` in it is the creation number of the job."""

    @classmethod
    def parse(cls, key: bytes, value: bytes) -> Self:
        """From a journal record of kind `backfill`."""
        return cls(key.split(b"\0", 1)[0].decode(), value)


def replayed_letter(key: bytes) -> str:
    """The dead letter in the key of a journal record of kind `replayed`."""
    return key.removeprefix(layouts.REPLAYED_KEY.encode()).decode()


def parcel_name(key: bytes) -> str:
    """The name in the key of a journal record of kind `parcel`."""
    return key.rpartition(b"\0")[2].decode()


def piece_of_list(key: bytes) -> tuple[str, int]:
    """Token and number in the key of a journal record of kind `list`."""
    token, number = key.decode().split("\0")[-2:]
    return token, int(number)
