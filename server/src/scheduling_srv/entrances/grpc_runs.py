"""The methods of scheduling.v1 that change single runs, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.run import RunBulkCall
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    RunCall,
    Started,
)
from scheduling_srv.entrances.grpc_small import small_method
from scheduling_srv.entrances.memory_budget import Bounded
from scheduling_srv.formats.v1 import run_control as messages


class RunControlPort(Protocol):
    """The use cases of `app.requests.run_control.RunControl`."""

    async def extend(self, asked: Extension) -> int:
        """Move the deadline of an unanswered attempt; returns it."""

    async def cancel(self, call: RunBulkCall) -> Progress:
        """Cancel open runs, one step."""

    async def run(self, call: RunCall) -> Started:
        """Run jobs now, one step."""

    async def backfill(self, call: BackfillCall) -> Backfilled:
        """Run the occurrences of a job between two instants."""


def run_job_methods(runs: RunControlPort) -> Mapping[str, Bounded]:
    """Method of the JobService -> its code."""
    return {
        "RunJobs": small_method(
            messages.decode_run,
            lambda call: runs.run(call),  # noqa: PLW0108 - the table is made without, too
            messages.encode_started,
        ),
        "BackfillJob": small_method(
            messages.decode_backfill,
            lambda call: runs.backfill(call),  # noqa: PLW0108
            messages.encode_backfilled,
        ),
    }


def run_control_methods(runs: RunControlPort) -> Mapping[str, Bounded]:
    """Method of the RunService -> its code."""
    return {
        "ExtendRun": small_method(
            messages.decode_extend,
            lambda asked: runs.extend(asked),  # noqa: PLW0108 - the table is made without, too
            messages.encode_extended,
        ),
        "CancelRuns": small_method(
            messages.decode_cancel,
            lambda call: runs.cancel(call),  # noqa: PLW0108
            messages.encode_cancelled,
        ),
    }
