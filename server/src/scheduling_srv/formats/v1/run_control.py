"""Messages of calls that change runs. Requests raise `InvalidRequest` and `TooLarge`."""

from __future__ import annotations

from scheduling_client.wire.v1 import job_service_pb2 as job_service
from scheduling_client.wire.v1 import run_pb2
from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.domain.backoff import LONGEST_MS
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.run import RunBulkCall
from scheduling_srv.domain.run_control import (
    BackfillCall,
    Backfilled,
    Extension,
    NewRun,
    RunCall,
    Started,
)
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.answers import progress_of
from scheduling_srv.formats.v1.faults import check_size, fault_in
from scheduling_srv.formats.v1.requests import LONGEST_REQUEST_ID, selection_of
from scheduling_srv.formats.v1.run_requests import run_selection_of
from scheduling_srv.formats.v1.specs import field_named
from scheduling_srv.formats.v1.times import duration_ms, instant_of, timestamp_of

RUN_SERVICE = service.DESCRIPTOR.services_by_name["RunService"].full_name
LONGEST_OCCURRENCE = 4096
"""Bytes."""
MOST_IN_FLIGHT = 10_000


def decode_extend(raw: bytes) -> Extension:
    """An ExtendRunRequest."""
    request = parse_whole(service.ExtendRunRequest, raw)
    if not request.instance_id:
        raise fault_in("instance_id", "No instance id is given.")
    check_size("occurrence_id", request.occurrence_id, LONGEST_OCCURRENCE)
    length = None
    if request.HasField("extension"):
        with field_named("extension"):
            length = duration_ms(request.extension)
        if not 0 < length <= LONGEST_MS:
            sentence = "The extension is longer than zero, and at most 100 years."
            raise fault_in("extension", sentence)
    return Extension(request.instance_id, request.occurrence_id, length)


def encode_extended(deadline: int) -> bytes:
    """An ExtendRunResponse."""
    return service.ExtendRunResponse(deadline=timestamp_of(deadline)).SerializeToString()


def decode_cancel(raw: bytes) -> RunBulkCall:
    """A CancelRunsRequest."""
    request = parse_whole(service.CancelRunsRequest, raw)
    return RunBulkCall(run_selection_of(request.selection), request.dry_run, request.page_token)


def encode_cancelled(progress: Progress) -> bytes:
    """A CancelRunsResponse."""
    matched, changed, token = progress
    return service.CancelRunsResponse(
        progress=service.RunProgress(matched=matched, changed=changed, next_page_token=token)
    ).SerializeToString()


def decode_run(raw: bytes) -> RunCall:
    """A RunJobsRequest."""
    request = parse_whole(job_service.RunJobsRequest, raw)
    check_size("request_id", request.request_id, LONGEST_REQUEST_ID)
    bulk = BulkCall(selection_of(request.selection), request.dry_run, request.page_token)
    return RunCall(bulk, request.request_id)


def encode_started(started: Started) -> bytes:
    """A RunJobsResponse."""
    return job_service.RunJobsResponse(
        progress=progress_of(started.progress), runs=[_new_run(run) for run in started.runs]
    ).SerializeToString()


def _new_run(run: NewRun) -> run_pb2.Run:
    return run_pb2.Run(
        run_id=str(run.id),
        job_id=run.id.job_id,
        type=run.type,
        nominal_time=timestamp_of(run.id.nominal),
        origin=run_pb2.RUN_ORIGIN_MANUAL,
    )


def decode_backfill(raw: bytes) -> BackfillCall:
    """A BackfillJobRequest."""
    request = parse_whole(job_service.BackfillJobRequest, raw)
    if not request.job_id:
        raise fault_in("job_id", "Job id not specified.")
    check_size("request_id", request.request_id, LONGEST_REQUEST_ID)
    times = {}
    for name in ("from", "until"):
        if not request.HasField(name):
            raise fault_in(name, f"The instant {name} is not given.")
        with field_named(name):
            times[name] = instant_of(getattr(request, name))
    if not 0 < times["from"] < times["until"]:
        raise fault_in("until", "The first instant is after 1970, and before the last one.")
    if request.max_in_flight > MOST_IN_FLIGHT:
        raise fault_in("max_in_flight", f"At most {MOST_IN_FLIGHT} runs are open at a time.")
    return BackfillCall(
        request.job_id,
        times["from"],
        times["until"],
        request.max_in_flight or 1,
        request.request_id,
        request.dry_run,
    )


def encode_backfilled(done: Backfilled) -> bytes:
    """A BackfillJobResponse."""
    return job_service.BackfillJobResponse(
        runs=done.runs,
        first_run_id=str(done.first) if done.first else "",
        last_run_id=str(done.last) if done.last else "",
    ).SerializeToString()
