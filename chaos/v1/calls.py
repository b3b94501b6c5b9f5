"""Calls of scheduling.v1 to replicas, each written down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import grpc

from chaos import callers
from chaos.clock import now_ms
from chaos.history import OK, REFUSED, UNKNOWN, Recorder
from chaos.v1 import facts
from chaos.v1.facts import Call, Final
from chaos.v1.generator import shown, timestamp, to_message
from chaos.v1.specs import Spec
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import run_service_pb2 as runs
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from scheduling_client.wire.v1.run_service_pb2_grpc import RunServiceStub

DEADLINE_SECONDS = 6.0
OPEN = callers.OPEN - {"ABORTED"}
"""Codes that leave the outcome open. ABORTED refuses a stale revision."""
PAGE = 250
"""The most jobs of a GetJobs."""


class V1Calls:
    """Any thread may call."""

    def __init__(self, recorder: Recorder, addresses: Sequence[str]) -> None:
        self.recorder = recorder
        options = [("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 300)]
        self._channels = [grpc.insecure_channel(each, options=options) for each in addresses]
        self._jobs: list[Any] = [JobServiceStub(channel) for channel in self._channels]
        self._runs: list[Any] = [RunServiceStub(channel) for channel in self._channels]
        self._numbers, self._lock = count(1), threading.Lock()

    def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            channel.close()

    def create(self, specs: Sequence[Spec], request_id: str, replica: int) -> Call:
        """The answer has `ids` and which of them are `existing`."""
        request = jobs.CreateJobsRequest(
            jobs=[to_message(spec) for spec in specs], request_id=request_id
        )
        call = self._begin(facts.CREATE, specs=specs, given={"request": request_id})
        return self._end(call, self._of_jobs(replica).CreateJobs, request, _created)

    def update(self, spec: Spec, paths: Sequence[str], revision: int, replica: int) -> Call:
        """The answer has the `revision`, and the properties as `shown`."""
        request = jobs.UpdateJobRequest(job=to_message(spec), revision=revision)
        request.update_mask.paths.extend(paths)
        given = {"paths": list(paths), "revision": revision}
        call = self._begin(facts.UPDATE, [spec.id], specs=[spec], given=given)
        return self._end(call, self._of_jobs(replica).UpdateJob, request, _updated)

    def delete(self, ids: Sequence[str], replica: int) -> Call:
        """The answer has how many were `changed`."""
        request = jobs.DeleteJobsRequest(selection=_selected(ids))
        call = self._begin(facts.DELETE, ids)
        return self._end(call, self._of_jobs(replica).DeleteJobs, request, _progress)

    def pause(self, ids: Sequence[str], replica: int) -> Call:
        """The same."""
        request = jobs.PauseJobsRequest(selection=_selected(ids), note="chaos", by="campaign")
        call = self._begin(facts.PAUSE, ids)
        return self._end(call, self._of_jobs(replica).PauseJobs, request, _progress)

    def resume(self, ids: Sequence[str], replica: int) -> Call:
        """The same."""
        request = jobs.ResumeJobsRequest(selection=_selected(ids))
        call = self._begin(facts.RESUME, ids)
        return self._end(call, self._of_jobs(replica).ResumeJobs, request, _progress)

    def pause_type(self, type_: str, replica: int) -> Call:
        """No answer."""
        call = self._begin(facts.PAUSE_TYPE, [type_])
        request = jobs.PauseTypeRequest(type=type_, note="chaos")
        return self._end(call, self._of_jobs(replica).PauseType, request, _nothing)

    def resume_type(self, type_: str, replica: int) -> Call:
        """No answer."""
        call = self._begin(facts.RESUME_TYPE, [type_])
        request = jobs.ResumeTypeRequest(type=type_)
        return self._end(call, self._of_jobs(replica).ResumeType, request, _nothing)

    def run(self, ids: Sequence[str], request_id: str, replica: int) -> Call:
        """The answer has the `runs`."""
        request = jobs.RunJobsRequest(selection=_selected(ids), request_id=request_id)
        call = self._begin(facts.RUN, ids, given={"request": request_id})
        return self._end(call, self._of_jobs(replica).RunJobs, request, _started)

    def backfill(
        self, job_id: str, span: tuple[int, int], most: int, request_id: str, replica: int
    ) -> Call:
        """The answer has the number of `runs`. `span`: epoch ms, `most` runs are open at a time."""
        request = jobs.BackfillJobRequest(
            job_id=job_id,
            until=timestamp(span[1]),
            max_in_flight=most,
            request_id=request_id,
        )
        getattr(request, "from").CopyFrom(timestamp(span[0]))  # the name is a word of Python
        given = {"from": span[0], "until": span[1], "most": most, "request": request_id}
        call = self._begin(facts.BACKFILL, [job_id], given=given)
        return self._end(call, self._of_jobs(replica).BackfillJob, request, _backfilled)

    def cancel(self, run_id: str, replica: int) -> Call:
        """The answer has how many were `changed`."""
        selection = runs.RunSelection(ids=runs.RunIds(run_ids=[run_id]))
        call = self._begin(facts.CANCEL, [run_id])
        request = runs.CancelRunsRequest(selection=selection)
        return self._end(call, self._of_runs(replica).CancelRuns, request, _progress)

    def get(self, ids: Sequence[str], replica: int) -> Call:
        """The answer has the `revisions` by id, and the ids of `open` runs."""
        call = self._begin(facts.GET, ids)
        return self._end(call, self._of_jobs(replica).GetJobs, jobs.GetJobsRequest(ids=ids), _got)

    def final(self, ids: Sequence[str]) -> list[Final] | None:
        """The jobs as they are at the end, once all was answered. None: there is no answer."""
        found: list[Final] = []
        for first in range(0, len(ids), PAGE):
            request = jobs.GetJobsRequest(ids=ids[first : first + PAGE])
            try:
                answer = self._of_jobs(0).GetJobs(request, timeout=DEADLINE_SECONDS)
            except grpc.RpcError:
                return None
            found += [_final(job) for job in answer.jobs]
        return found

    def _of_jobs(self, replica: int) -> Any:
        return self._jobs[replica % len(self._jobs)]

    def _of_runs(self, replica: int) -> Any:
        return self._runs[replica % len(self._runs)]

    def _begin(
        self,
        op: str,
        names: Sequence[str] = (),
        *,
        specs: Sequence[Spec] = (),
        given: dict[str, Any] | None = None,
    ) -> Call:
        with self._lock:
            number = next(self._numbers)
        call = Call(number, op, now_ms(), tuple(names), tuple(specs), given or {})
        facts.write_call(self.recorder, call)
        return call

    def _end(
        self, call: Call, method: Any, request: Any, read: Callable[[Any], dict[str, Any]]
    ) -> Call:
        try:
            answer = method(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as fault:
            call.ended = now_ms()
            call.code = fault.code().name
            call.outcome = UNKNOWN if call.code in OPEN else REFUSED
        else:
            call.ended, call.outcome, call.answer = now_ms(), OK, read(answer)
        facts.write_told(self.recorder, call)
        return call


def _selected(ids: Sequence[str]) -> v1.JobSelection:
    return v1.JobSelection(ids=v1.JobIds(ids=ids))


def _created(answer: jobs.CreateJobsResponse) -> dict[str, Any]:
    return {
        "ids": [each.job.spec.id for each in answer.jobs],
        "existing": [each.existing for each in answer.jobs],
    }


def _updated(answer: jobs.UpdateJobResponse) -> dict[str, Any]:
    return {"revision": answer.job.status.revision, "shown": shown(answer.job.spec)}


def _progress(answer: Any) -> dict[str, Any]:
    return {"changed": answer.progress.changed, "more": bool(answer.progress.next_page_token)}


def _nothing(_answer: Any) -> dict[str, Any]:
    return {}


def _started(answer: jobs.RunJobsResponse) -> dict[str, Any]:
    return {"runs": [run.run_id for run in answer.runs]}


def _backfilled(answer: jobs.BackfillJobResponse) -> dict[str, Any]:
    return {"runs": answer.runs}


def _got(answer: jobs.GetJobsResponse) -> dict[str, Any]:
    return {
        "revisions": {job.spec.id: job.status.revision for job in answer.jobs},
        "open": [run.run_id for job in answer.jobs for run in job.status.open_runs],
    }


def _final(job: v1.Job) -> Final:
    status = job.status
    paused = status.HasField("pause")
    return Final(
        job.spec.id,
        shown(job.spec)["tag"],
        status.revision,
        paused=paused,
        counted=status.counters.counted,
    )
