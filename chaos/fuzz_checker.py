"""What must come of a fuzzed input, and whether it did. Shares no code with the product."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from google.protobuf.message import DecodeError

from chaos.fuzz_inputs import COMMANDS_TOPIC, EVENTS, JOBS_TOPIC, Input
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
SHUT = {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
"""The same for wrong credentials: gRPC itself refuses metadata that is too large."""
PRIORITIES = {0, 10, -5, -10, -15}
KEPT_BYTES = 500_000
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


class Verdict(Enum):
    """What must come of an input."""

    EITHER = auto()
    """It may be right or wrong; it is answered as such."""
    TAKEN = auto()
    """Nothing is wrong with it; another input may have been quicker to create its jobs."""
    REFUSED = auto()
    IGNORED = auto()
    """A record that is no event of ours."""
    SHUT_OUT = auto()
    """A call with wrong credentials: nothing of it is done."""
    ANSWERED = auto()
    """A command: a Response event tells its result, also that of a wrong one."""


def verdict(made: Input) -> Verdict:
    """By the contract alone, and only where it leaves no doubt."""
    return Verdict.SHUT_OUT if made.is_shut_out else _of_content(made)


def _of_content(made: Input) -> Verdict:
    name = _name(made)
    if not made.path and (made.key or b"") not in EVENTS:
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


def _name(made: Input) -> str:
    return made.path or (made.key or b"").decode(errors="replace")


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


def _ids(made: Input) -> Iterator[str]:
    """The ids that a list of jobs names, if it is one."""
    message = read(JobList, made.value or b"") if _name(made) in WRITES else None
    return (job.id for job in message.items if job.id) if message else iter(())


@dataclass(slots=True)
class Sent:
    """An input and its result."""

    made: Input
    expected: Verdict = field(init=False)
    code: str = ""
    """The status of a call."""
    sentence: str = ""
    place: tuple[str, int] = ("", -1)
    """Topic and offset of a record."""
    letters: list[Record] = field(default_factory=list)
    """Dead letters of it."""

    def __post_init__(self) -> None:
        self.expected = verdict(self.made)


def faults(sent: Sent, announced: Collection[str]) -> Iterator[str]:
    """What must not have come of it; `announced` are the ids of jobs that the service published."""
    made = sent.made
    if made.path:
        yield from _of_call(sent, sent.expected)
        done = sent.code == "OK"
    else:
        yield from _of_record(sent, sent.expected)
        done = made.topic == JOBS_TOPIC and not sent.letters
    if done and (missing := [each for each in _ids(made) if each not in announced]):
        yield f"it was not refused, and {missing} never announced"


def _of_call(sent: Sent, expected: Verdict) -> Iterator[str]:
    answer = f"{sent.code} {sent.sentence[:200]!r}"
    if expected is Verdict.SHUT_OUT:
        if sent.code not in SHUT or not sent.sentence:
            yield f"its credentials are wrong, and it was answered with {answer}"
    elif sent.code != "OK" and (sent.code not in STATUSES or not sent.sentence):
        yield f"it was answered with {answer}"
    elif expected is Verdict.TAKEN and sent.code not in {"OK", "ALREADY_EXISTS"}:
        yield f"nothing is wrong with it, and it was answered with {answer}"
    elif expected is Verdict.REFUSED and sent.code == "OK":
        yield "it is wrong, and was answered with OK"


def _of_record(sent: Sent, expected: Verdict) -> Iterator[str]:
    if len(sent.letters) > 1:
        yield f"it has {len(sent.letters)} dead letters"
    if sent.letters and expected in {Verdict.IGNORED, Verdict.ANSWERED}:
        yield f"it must be {expected.name}, and has a dead letter"
    if not sent.letters and expected is Verdict.REFUSED:
        yield "it is wrong, and has no dead letter"
    for letter in sent.letters:
        yield from _of_letter(letter, sent.made, expected)


def _of_letter(letter: Record, made: Input, expected: Verdict) -> Iterator[str]:
    status, reason = letter.headers.get("status", ""), letter.headers.get("reason", "")
    if expected is Verdict.TAKEN and status != "ALREADY_EXISTS":
        yield f"it is right, and was refused: {reason[:200]!r}"
    if status not in STATUSES or not reason:
        yield f"its dead letter says {status!r}, {reason[:200]!r}"
    whole = "truncated-from" not in letter.headers
    if whole and (letter.key.encode(), letter.value) != (made.key, made.value or b""):
        yield "its dead letter holds another record"
    if not whole and len(letter.value) < KEPT_BYTES:
        yield "its dead letter is cut too short"
