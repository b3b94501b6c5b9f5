"""The part of a history that calls of scheduling.v1 write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chaos.history import UNKNOWN, Recorder
from chaos.v1.specs import Spec, without_defaults

CREATE, UPDATE, DELETE = "v1-create", "v1-update", "v1-delete"
PAUSE, RESUME = "v1-pause", "v1-resume"
PAUSE_TYPE, RESUME_TYPE = "v1-pause-type", "v1-resume-type"
RUN, BACKFILL, CANCEL, GET = "v1-run", "v1-backfill", "v1-cancel", "v1-get"
CALL, TOLD, FINAL = "v1-call", "v1-told", "v1-final"
"""Kinds of lines."""


@dataclass(slots=True)
class Call:
    """A call over gRPC."""

    number: int
    op: str
    begun: int
    names: tuple[str, ...] = ()
    """Jobs, types or runs."""
    specs: tuple[Spec, ...] = ()
    """Definitions that it writes; of an Update, the whole job after it."""
    given: dict[str, Any] = field(default_factory=dict)
    """Other arguments."""
    ended: int | None = None
    outcome: str = UNKNOWN
    code: str = ""
    answer: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op} {self.number}"


@dataclass(frozen=True, slots=True)
class Final:
    """A job as GetJobs shows it at the end."""

    id: str
    tag: str
    revision: int
    paused: bool
    counted: int = 0


def read_call(line: dict[str, Any]) -> Call:
    """Of a line."""
    specs = tuple(Spec(**each) for each in line.pop("specs"))
    return Call(specs=specs, names=tuple(line.pop("names")), **line)


def write_call(recorder: Recorder, call: Call) -> None:
    """The call begins."""
    recorder.write(
        CALL,
        number=call.number,
        op=call.op,
        begun=call.begun,
        names=list(call.names),
        specs=[without_defaults(spec) for spec in call.specs],
        given=call.given,
    )


def write_told(recorder: Recorder, call: Call) -> None:
    """The call has ended."""
    recorder.write(
        TOLD,
        number=call.number,
        at=call.ended,
        outcome=call.outcome,
        code=call.code,
        answer=call.answer,
    )
