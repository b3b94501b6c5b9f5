"""Requests of scheduling.v1 about runs, from bytes. Each raises `InvalidRequest` and `TooLarge`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, TypeVar

from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.domain.errors import InvalidRequest, TooLarge, Violation
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.run import (
    RunBulkCall,
    RunFilter,
    RunOrigin,
    RunOutcome,
    RunSelection,
    RunState,
)
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.requests import job_filter_of
from scheduling_srv.formats.v1.specs import field_named
from scheduling_srv.formats.v1.times import instant_of

RUN_SERVICE = service.DESCRIPTOR.services_by_name["RunService"].full_name
MOST_LISTED, DEFAULT_LISTED = 1_000, 100
"""Runs of a page, and entries of what is upcoming."""
MOST_GROUPS, DEFAULT_GROUPS = 100, 20
"""Errors of one answer."""
MOST_BULK = 10_000
"""Ids of one call."""

Kind = TypeVar("Kind", bound=IntEnum)


class ListRunsCall(NamedTuple):
    """A ListRunsRequest."""

    wanted: RunFilter
    size: int
    """Runs of a page, at most."""
    token: str


class ListFailuresCall(NamedTuple):
    """A ListFailuresRequest."""

    type: str
    """Empty: of all types."""
    limit: int


class UpcomingCall(NamedTuple):
    """A ListUpcomingRequest."""

    wanted: JobFilter
    until: int
    limit: int


def decode_list_runs(raw: bytes) -> ListRunsCall:
    """A ListRunsRequest."""
    request = parse_whole(service.ListRunsRequest, raw)
    _check_most("page_size", request.page_size, MOST_LISTED)
    wanted = run_filter_of(request.filter, "filter")
    return ListRunsCall(wanted, request.page_size or DEFAULT_LISTED, request.page_token)


def decode_failures(raw: bytes) -> ListFailuresCall:
    """A ListFailuresRequest."""
    request = parse_whole(service.ListFailuresRequest, raw)
    _check_most("limit", request.limit, MOST_GROUPS)
    return ListFailuresCall(request.type, request.limit or DEFAULT_GROUPS)


def decode_retry(raw: bytes) -> RunBulkCall:
    """A RetryRunsRequest."""
    request = parse_whole(service.RetryRunsRequest, raw)
    selection = run_selection_of(request.selection)
    return RunBulkCall(selection, request.dry_run, request.page_token)


def decode_upcoming(raw: bytes) -> UpcomingCall:
    """A ListUpcomingRequest."""
    request = parse_whole(jobs.ListUpcomingRequest, raw)
    _check_most("limit", request.limit, MOST_LISTED)
    if not request.HasField("until"):
        raise _fault("until", "No instant is given up to which runs are listed.")
    with field_named("until"):
        until = instant_of(request.until)
    wanted = job_filter_of(request.filter, "filter")
    return UpcomingCall(wanted, until, request.limit or DEFAULT_LISTED)


def run_selection_of(selection: service.RunSelection) -> RunSelection:
    """The runs of a bulk call."""
    kind = selection.WhichOneof("selection")
    if kind is None:
        raise _fault("selection", "No runs are selected: give ids or a filter.")
    if kind == "filter":
        return run_filter_of(selection.filter, "selection.filter")
    ids = list(dict.fromkeys(selection.ids.run_ids))
    if not ids:
        raise _fault("selection.ids", "No ids are given.")
    if len(ids) > MOST_BULK:
        sentence = f"There are {len(ids)} ids; the limit is {MOST_BULK}."
        raise TooLarge(sentence, [Violation("selection.ids", sentence)])
    return ids


def run_filter_of(given: service.RunFilter, path: str) -> RunFilter:
    """A RunFilter, which is the field `path` of its request."""
    times = dict[str, int]()
    for name in ("from", "until"):
        if given.HasField(name):
            with field_named(f"{path}.{name}"):
                times[f"nominal_{name}"] = instant_of(getattr(given, name))
    return RunFilter(
        given.job_id,
        given.type,
        _members(RunState, given.states, f"{path}.states"),
        _members(RunOutcome, given.outcomes, f"{path}.outcomes"),
        _members(RunOrigin, given.origins, f"{path}.origins"),
        error=given.error,
        **times,
    )


def _members(kind: type[Kind], numbers: Iterable[int], path: str) -> frozenset[Kind]:
    known = {each.value: each for each in kind if each.value}
    given = set(numbers)
    if unknown := given - known.keys():
        raise _fault(path, f"The number {min(unknown)} is none of the enum.")
    return frozenset(known[number] for number in given)


def _check_most(field: str, number: int, most: int) -> None:
    if number > most:
        raise _fault(field, f"The number {number} is larger than {most}.")


def _fault(field: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(field, sentence)])
