"""What must come of a fuzzed input, and whether it did. Shares no code with the product."""

from __future__ import annotations

import math
import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from enum import IntEnum
from typing import Any

from google.protobuf.message import DecodeError

from chaos.fuzz_inputs import COMMANDS, COMMANDS_TOPIC, EVENTS, JOBS_TOPIC, Input
from tests.client.contract import (
    CommandRequest,
    Deleted,
    DeleteRequest,
    Job,
    JobDone,
    JobFailed,
    JobList,
    JobReadRequest,
)
from tests.client.grpc_client import COMMAND, JOBS
from tests.client.topics import Record

STATUSES = {"INVALID_ARGUMENT", "ALREADY_EXISTS", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
"""All that a user's fault may be answered with."""
KNOWN = {each.encode() for each in (*EVENTS, *COMMANDS)}
PRIORITIES = {0, 10, -5, -10, -15}
MOST_TOLD = 40
KEPT = 500_000
"""Bytes of a value that a dead letter has at least."""
KINDS = {
    JOBS + "Create": (JobList,),
    JOBS + "Update": (JobList,),
    JOBS + "Upsert": (JobList,),
    JOBS + "Read": (JobReadRequest,),
    JOBS + "Delete": (DeleteRequest, Deleted),
    COMMAND: (CommandRequest,),
    "createJobs": (JobList,),
    "modifyJobs": (JobList,),
    "deleteJobs": (DeleteRequest, Deleted),
    "jobDone": (JobDone,),
    "jobFailed": (JobFailed,),
}
"""What each may be read as; the other ones are answered whatever is in them."""
WRITES = {name for name, kinds in KINDS.items() if kinds == (JobList,)}
"""What is announced, job by job, unless it is refused."""
RIGHT = {JOBS + "Create", JOBS + "Read", JOBS + "Delete", "createJobs", "deleteJobs", "jobDone"}
"""Taken whenever nothing was done to them; an Update depends on what there is."""


class Verdict(IntEnum):
    """What must come of an input."""

    EITHER = 0
    """It may be right or wrong; it is answered as such."""
    TAKEN = 1
    """Nothing is wrong with it; another input may have been quicker to create its jobs."""
    REFUSED = 2
    IGNORED = 3
    """A record that is no event of ours."""
    ANSWERED = 4
    """A command: a Response event says what came of it, also of a wrong one."""


def verdict(made: Input) -> Verdict:
    """By the contract alone, and only where it leaves no doubt."""
    name = made.path or (made.key or b"").decode(errors="replace")
    if not made.path and (made.key or b"") not in KNOWN:
        return Verdict.IGNORED
    if made.topic == COMMANDS_TOPIC:
        return Verdict.ANSWERED
    if not made.mutations and name in RIGHT:
        return Verdict.TAKEN
    messages = [read(kind, made.value or b"") for kind in KINDS.get(name, ())]
    if name in KINDS and not any(message is not None for message in messages):
        return Verdict.REFUSED
    if name in WRITES and not _may_be_right(messages[0].items):
        return Verdict.REFUSED
    return Verdict.EITHER


def read(kind: Any, raw: bytes) -> Any:
    """The message, None if it is none."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        return None


def _may_be_right(items: Iterable[Job]) -> bool:
    found = list(items)
    return bool(found) and all(
        job.type
        and job.HasField("data")
        and (job.interval or job.when or job.now)
        and job.priority in PRIORITIES
        and job.backoff.type in {0, 1}
        and math.isfinite(job.backoff.delay)
        and job.backoff.delay >= 0
        for job in found
    )


def _ids(made: Input) -> tuple[str, ...]:
    """The ids that a list of jobs names, if it is one."""
    name = made.path or (made.key or b"").decode(errors="replace")
    message = read(JobList, made.value or b"") if name in WRITES else None
    return tuple(job.id for job in message.items if job.id) if message else ()


class Book:
    """Everything that was sent and said, a few bytes each."""

    def __init__(self, count: int) -> None:
        self.verdicts = bytearray(count)
        self.sums = array("L", bytes(8 * count))
        self.places: dict[tuple[str, int], int] = {}
        """Topic and offset of each record -> its number."""
        self.named: dict[int, tuple[str, ...]] = {}
        """Ids in the list of jobs that an input is; of a call, once it was answered OK."""
        self.codes: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.faults = 0

    def fault(self, text: str) -> None:
        """Something is not as it must be."""
        self.faults += 1
        if len(self.wrong) < MOST_TOLD:
            self.wrong.append(text)

    def sent(self, made: Input) -> None:
        """An input is about to be sent."""
        self.verdicts[made.number] = verdict(made)
        self.sums[made.number] = _sum(made.key, made.value)
        if made.topic == JOBS_TOPIC and (ids := _ids(made)):
            self.named[made.number] = ids

    def landed(self, number: int, topic: str, offset: int) -> None:
        """A record is on its topic."""
        self.places[topic, offset] = number

    def answered(self, made: Input, code: str, sentence: str) -> None:
        """A call was answered."""
        self.codes[code] += 1
        what = f"input {made.number} {made.path} {made.mutations}: {code} {sentence[:200]!r}"
        expected = self.verdicts[made.number]
        if code != "OK" and (code not in STATUSES or not sentence):
            self.fault(what)
        elif expected == Verdict.TAKEN and code not in {"OK", "ALREADY_EXISTS"}:
            self.fault(f"{what}, but nothing is wrong with it")
        elif expected == Verdict.REFUSED and code == "OK":
            self.fault(f"{what}, but it is wrong")
        elif code == "OK" and (ids := _ids(made)):
            self.named[made.number] = ids

    # --- At the end ---------------------------------------------------------------------------

    def judge_letters(self, letters: Iterable[Record]) -> None:
        """Each record that had to be refused has one letter, with its reason; no other has."""
        seen = Counter[int]()
        for letter in letters:
            headers = letter.headers
            place = (headers.get("topic", ""), int(headers.get("offset", "-1")))
            number = self.places.get(place)
            self.letters[headers.get("status", "none")] += 1
            if number is None:
                self.fault(f"a dead letter of what was never sent: {headers}")
                continue
            seen[number] += 1
            self.named.pop(number, None)
            self._judge_letter(number, letter)
        for number in self.places.values():
            expected, count = self.verdicts[number], seen[number]
            if count > 1:
                self.fault(f"record {number} has {count} dead letters")
            elif count and expected not in {Verdict.EITHER, Verdict.REFUSED, Verdict.TAKEN}:
                self.fault(f"record {number} was {Verdict(expected).name}, and has a dead letter")
            elif not count and expected == Verdict.REFUSED:
                self.fault(f"record {number} is wrong, and has no dead letter")

    def _judge_letter(self, number: int, letter: Record) -> None:
        status, reason = letter.headers.get("status", ""), letter.headers.get("reason", "")
        if self.verdicts[number] == Verdict.TAKEN and status != "ALREADY_EXISTS":
            self.fault(f"record {number} is right, and was refused: {reason[:200]!r}")
        if status not in STATUSES or not reason:
            self.fault(f"the dead letter of record {number} says {status!r}, {reason[:200]!r}")
        whole = "truncated-from" not in letter.headers
        if whole and self.sums[number] != _sum(letter.key.encode(), letter.value):
            self.fault(f"the dead letter of record {number} is not what was sent")
        if not whole and len(letter.value) < KEPT:
            self.fault(f"the dead letter of record {number} is cut too short")

    def judge_announced(self, announced: Collection[str]) -> None:
        """What was not refused was done. After `judge_letters`."""
        for number, ids in self.named.items():
            if missing := [each for each in ids if each not in announced]:
                self.fault(f"input {number} was not refused, and {missing} never announced")

    def judge_ids(self, records: Iterable[Record]) -> None:
        """No record of the service is there twice."""
        for name in ("event-id", "occurrence-id"):
            ids = Counter(
                each.headers[name]
                for each in records
                if name in each.headers and "event-id" in each.headers
            )
            for found, count in ids.items():
                if count > 1:
                    self.fault(f"{name} {found} is there {count} times")

    def judge_responses(self, responses: int, called: int) -> None:
        """Each command event is answered; of a call, the event is missing if it took too long."""
        asked = sum(
            topic.startswith("command") and self.verdicts[number] == Verdict.ANSWERED
            for (topic, _), number in self.places.items()
        )
        if not asked <= responses <= asked + called:
            self.fault(f"{responses} responses to {asked} events and {called} calls")


def _sum(key: bytes | None, value: bytes | None) -> int:
    return zlib.crc32(value or b"", zlib.crc32(key or b""))
