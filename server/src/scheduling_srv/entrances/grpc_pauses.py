"""The methods of scheduling.v1 that pause and resume, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduling_srv.app import deadline
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.pause import Pause
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.memory_budget import Bounded, Reservation
from scheduling_srv.formats.v1 import answers, requests


class PausesPort(Protocol):
    """The use cases of `app.requests.pauses.PauseCalls`."""

    async def pause(self, call: BulkCall, note: str, by: str) -> Progress:
        """Pause jobs, one step."""

    async def resume(self, call: BulkCall) -> Progress:
        """End the pauses of jobs, one step."""

    async def pause_type(self, job_type: str, note: str, by: str) -> Pause:
        """Returns the pause: the earlier one if the type was paused already."""

    async def resume_type(self, job_type: str) -> bool:
        """Returns whether it was paused."""

    async def paused_types(self) -> Sequence[tuple[str, Pause]]:
        """The types that are paused, in the order of their names."""


def pause_methods(pauses: PausesPort) -> Mapping[str, Bounded]:
    """Method of the JobService -> its code."""
    return {
        "PauseJobs": _pause(pauses),
        "ResumeJobs": _resume(pauses),
        "PauseType": _pause_type(pauses),
        "ResumeType": _resume_type(pauses),
        "ListPausedTypes": _paused_types(pauses),
    }


def _pause(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        asked = requests.decode_pause(raw)
        with deadline.within(context.time_remaining()):
            return answers.encode_paused(await pauses.pause(*asked))

    return call


def _resume(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        asked = requests.decode_resume(raw)
        with deadline.within(context.time_remaining()):
            return answers.encode_resumed(await pauses.resume(asked))

    return call


def _pause_type(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        asked = requests.decode_pause_type(raw)
        with deadline.within(context.time_remaining()):
            return answers.encode_type_paused(await pauses.pause_type(*asked))

    return call


def _resume_type(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        job_type = requests.decode_resume_type(raw)
        with deadline.within(context.time_remaining()):
            return answers.encode_type_resumed(changed=await pauses.resume_type(job_type))

    return call


def _paused_types(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        requests.decode_paused_types(raw)
        with deadline.within(context.time_remaining()):
            answer = answers.encode_paused_types(await pauses.paused_types())
        memory.reserve(len(answer))
        return answer

    return call
