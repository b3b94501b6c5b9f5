"""The methods of scheduling.v1 that read runs, try them again, and tell how the service stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from scheduling_srv.app import deadline
from scheduling_srv.app.requests.explaining import Explanation
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.overview import Overview
from scheduling_srv.domain.run import (
    FailureGroup,
    RetryProgress,
    RunBulkCall,
    RunFilter,
    RunPage,
    UpcomingRuns,
)
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.grpc_v1 import Services
from scheduling_srv.entrances.memory_budget import Bounded, Reservation
from scheduling_srv.formats.v1 import explanations, overview, run_answers, run_requests
from scheduling_srv.formats.v1.requests import JOB_SERVICE

Asked = TypeVar("Asked")


class RunListingPort(Protocol):
    """The use cases of `app.requests.run_listing.RunListing`."""

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        """A page of the runs that match."""

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        """The most frequent errors."""


class RunRetriesPort(Protocol):
    """The use case of `app.requests.run_retries.RunRetries`."""

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        """Try failed runs again, one step."""


class UpcomingPort(Protocol):
    """The use case of `app.requests.upcoming.UpcomingListing`."""

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        """The runs that are due until an instant."""


class OverviewPort(Protocol):
    """The use case of `app.health.overview.OverviewCalls`."""

    async def overview(self) -> Overview:
        """How the service stands."""


class ExplainingPort(Protocol):
    """The use case of `app.requests.explaining.Explaining`."""

    async def explain(self, job_id: str, at: int | None) -> Explanation:
        """Why a job ran, or did not."""


@dataclass(frozen=True, slots=True)
class ReadingPorts:
    """The use cases behind these methods."""

    listing: RunListingPort
    retries: RunRetriesPort
    upcoming: UpcomingPort
    overview: OverviewPort
    explaining: ExplainingPort


def reading_methods(ports: ReadingPorts) -> Services:
    """Service -> method -> its code."""
    return {
        JOB_SERVICE: _of_jobs(ports),
        run_requests.RUN_SERVICE: _of_runs(ports),
        overview.SYSTEM_SERVICE: _of_system(ports),
    }


def _of_runs(ports: ReadingPorts) -> Mapping[str, Bounded]:
    async def failures(asked: run_requests.ListFailuresCall) -> bytes:
        return run_answers.encode_failures(await ports.listing.failures(*asked))

    async def retry(asked: RunBulkCall) -> bytes:
        return run_answers.encode_retried(await ports.retries.retry(asked))

    async def runs(asked: run_requests.ListRunsCall) -> bytes:
        return await run_answers.write_runs(await ports.listing.list(*asked))

    async def explain(asked: explanations.ExplainCall) -> bytes:
        return explanations.encode_explained(*await ports.explaining.explain(*asked))

    return {
        "ExplainJob": _method(explanations.decode_explain, explain),
        "ListRuns": _method(run_requests.decode_list_runs, runs),
        "ListFailures": _method(run_requests.decode_failures, failures),
        "RetryRuns": _method(run_requests.decode_retry, retry),
    }


def _of_jobs(ports: ReadingPorts) -> Mapping[str, Bounded]:
    async def upcoming(asked: run_requests.UpcomingCall) -> bytes:
        return run_answers.encode_upcoming(await ports.upcoming.upcoming(*asked))

    return {"ListUpcoming": _method(run_requests.decode_upcoming, upcoming)}


def _of_system(ports: ReadingPorts) -> Mapping[str, Bounded]:
    async def get_overview(_asked: None) -> bytes:
        return overview.encode_overview(await ports.overview.overview())

    return {"GetOverview": _method(overview.decode_overview, get_overview)}


def _method(
    decode: Callable[[bytes], Asked], answer: Callable[[Asked], Awaitable[bytes]]
) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        asked = decode(raw)
        with deadline.within(context.time_remaining()):
            written = await answer(asked)
        memory.reserve(len(written))
        return written

    return call
