"""Answers of scheduling.v1, as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_client.schedules import preview as schedules
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_client.wire.v1 import preview_pb2
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.job_view import CreatedJob, JobPage, JobView
from scheduling_srv.domain.pause import Pause
from scheduling_srv.formats.v1.specs import spec_of
from scheduling_srv.formats.v1.times import timestamp_of
from scheduling_srv.runtime.time_slice import SharedSlice

_CHANGES = {
    schedules.ClockChange.NONE: preview_pb2.CLOCK_CHANGE_UNSPECIFIED,
    schedules.ClockChange.SKIPPED: preview_pb2.CLOCK_CHANGE_SKIPPED,
    schedules.ClockChange.REPEATED: preview_pb2.CLOCK_CHANGE_REPEATED,
}

_STATES = {state: v1.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState}


def job_of(view: JobView) -> v1.Job:
    """A job as the API shows it."""
    status = v1.JobStatus(
        words=view.words,
        next_times=[timestamp_of(each) for each in view.next_times],
        create_time=timestamp_of(view.created) if view.created else None,
        update_time=timestamp_of(view.updated) if view.updated else None,
        revision=view.revision,
        state=_STATES[view.state] if view.state else v1.JOB_STATE_UNSPECIFIED,
        pause=_pause_of(view.pauses.own) if view.pauses.own else None,
        type_pause=_pause_of(view.pauses.of_type) if view.pauses.of_type else None,
    )
    return v1.Job(spec=spec_of(view.job), status=status)


def _pause_of(pause: Pause) -> v1.Pause:
    return v1.Pause(since=timestamp_of(pause.since), note=pause.note, by=pause.by)


async def write_created(created: Sequence[CreatedJob]) -> bytes:
    """A CreateJobsResponse."""
    answer, time_slice = service.CreateJobsResponse(), SharedSlice()
    for each in created:
        answer.jobs.add(job=job_of(each.view), existing=each.existing)
        await time_slice.yield_if_used()
    return answer.SerializeToString()


async def write_jobs(views: Sequence[JobView]) -> bytes:
    """A GetJobsResponse."""
    answer, time_slice = service.GetJobsResponse(), SharedSlice()
    for view in views:
        answer.jobs.append(job_of(view))
        await time_slice.yield_if_used()
    return answer.SerializeToString()


async def write_list(page: JobPage) -> bytes:
    """A ListJobsResponse."""
    answer, time_slice = service.ListJobsResponse(next_page_token=page.token), SharedSlice()
    if page.total is not None:
        answer.total_size = page.total
    for view in page.jobs:
        answer.jobs.append(job_of(view))
        await time_slice.yield_if_used()
    return answer.SerializeToString()


def encode_updated(view: JobView, *, changed: bool) -> bytes:
    """An UpdateJobResponse."""
    return service.UpdateJobResponse(job=job_of(view), changed=changed).SerializeToString()


def encode_deleted(progress: Progress) -> bytes:
    """A DeleteJobsResponse."""
    return service.DeleteJobsResponse(progress=progress_of(progress)).SerializeToString()


def encode_paused(progress: Progress) -> bytes:
    """A PauseJobsResponse."""
    return service.PauseJobsResponse(progress=progress_of(progress)).SerializeToString()


def encode_resumed(progress: Progress) -> bytes:
    """A ResumeJobsResponse."""
    return service.ResumeJobsResponse(progress=progress_of(progress)).SerializeToString()


def encode_type_paused(pause: Pause) -> bytes:
    """A PauseTypeResponse."""
    return service.PauseTypeResponse(pause=_pause_of(pause)).SerializeToString()


def encode_type_resumed(*, changed: bool) -> bytes:
    """A ResumeTypeResponse."""
    return service.ResumeTypeResponse(changed=changed).SerializeToString()


def encode_paused_types(types: Sequence[tuple[str, Pause]]) -> bytes:
    """A ListPausedTypesResponse."""
    answer = service.ListPausedTypesResponse()
    for name, pause in types:
        answer.types.add(type=name, pause=_pause_of(pause))
    return answer.SerializeToString()


def progress_of(progress: Progress) -> v1.BulkProgress:
    """How far a bulk call came."""
    matched, changed, token = progress
    return v1.BulkProgress(matched=matched, changed=changed, next_page_token=token)


def encode_preview(preview: schedules.Preview) -> bytes:
    """A PreviewScheduleResponse."""
    found = preview_pb2.Preview(
        words=preview.words,
        timezone=preview.timezone,
        times=[_time_of(each) for each in preview.times],
    )
    return service.PreviewScheduleResponse(preview=found).SerializeToString()


def _time_of(time: schedules.PreviewTime) -> preview_pb2.PreviewTime:
    return preview_pb2.PreviewTime(
        time=timestamp_of(time.instant),
        local_time=time.local,
        clock_change=_CHANGES[time.change],
        remark=time.remark,
    )
