"""Why a job ran, ran late, or did not run: the service's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from scheduling_client.api.jobs import Run
from scheduling_client.api.logic import Steps, ask
from scheduling_client.api.messages import known, length_in, run_in, time_in, timestamp
from scheduling_client.api.run_logic import of_runs
from scheduling_client.wire.v1 import run_service_pb2 as service


class Verdict(Enum):
    """The reason in one word."""

    UNKNOWN = 0
    """Not known any more, or a reason of a later version."""
    EMITTED = 1
    HELD = 2
    """By a limit."""
    SKIPPED_BY_OVERLAP = 3
    PAUSED = 4
    """A pause skipped it, or holds it."""
    MISSED = 5
    """In an outage."""
    PAST_DEADLINE = 6
    """It could not start before its `start_deadline`."""
    ENDED = 7
    """The job had ended, or will have."""
    NOT_SCHEDULED = 8
    UPCOMING = 9
    """It is still to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job ran, ran late, or did not run."""

    verdict: Verdict
    sentences: Sequence[str] = ()
    """The most important first; times are in the zone of the job."""
    run: Run | None = None
    """None: the service has no run of the instant."""
    lateness: timedelta | None = None
    """How late it was emitted; None: it was not, or that is not known."""
    owner: str = ""
    """The replica that emitted it; empty: not known."""
    before: datetime | None = None
    """The nominal time before the instant."""
    after: datetime | None = None
    """The nominal time after the instant."""


def explain(job_id: str, at: datetime | None) -> Steps[Explanation]:
    """Of a job at an instant; None: its last or next run."""
    request = service.ExplainJobRequest(job_id=job_id, at=timestamp(at))
    answer = yield from ask(of_runs("ExplainJob", request, service.ExplainJobResponse))
    found = answer.explanation
    return Explanation(
        verdict=known(Verdict, found.verdict, Verdict.UNKNOWN),
        sentences=list(found.sentences),
        run=run_in(found.run) if found.HasField("run") else None,
        lateness=length_in(found, "lateness"),
        owner=found.owner,
        before=time_in(found, "before"),
        after=time_in(found, "after"),
    )
