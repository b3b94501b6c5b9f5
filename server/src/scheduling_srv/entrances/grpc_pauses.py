"""The methods of scheduling.v1 that pause and resume, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduling_srv.app import deadline
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.pause import Pause
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.grpc_small import small_method
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
        "PauseJobs": small_method(
            requests.decode_pause, lambda asked: pauses.pause(*asked), answers.encode_paused
        ),
        "ResumeJobs": small_method(
            requests.decode_resume,
            lambda asked: pauses.resume(asked),  # noqa: PLW0108 - the table is made without, too
            answers.encode_resumed,
        ),
        "PauseType": small_method(
            requests.decode_pause_type,
            lambda asked: pauses.pause_type(*asked),
            answers.encode_type_paused,
        ),
        "ResumeType": small_method(
            requests.decode_resume_type,
            lambda asked: pauses.resume_type(asked),  # noqa: PLW0108
            lambda changed: answers.encode_type_resumed(changed=changed),
        ),
        "ListPausedTypes": _paused_types(pauses),
    }


def _paused_types(pauses: PausesPort) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        requests.decode_paused_types(raw)
        with deadline.within(context.time_remaining()):
            answer = answers.encode_paused_types(await pauses.paused_types())
        memory.reserve(len(answer))
        return answer

    return call
