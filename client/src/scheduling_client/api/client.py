"""The client of scheduling.v1, for programs without an event loop."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from scheduling_client.api import dead_letters as of_letters
from scheduling_client.api import explanations, logic, run_logic
from scheduling_client.api import system as of_system
from scheduling_client.api.access import Access
from scheduling_client.api.channels import (
    DEFAULT_SERVER,
    DEFAULT_TIMEOUT_SECONDS,
    open_channel,
    serialized,
)
from scheduling_client.api.dead_letters import DeadLetter, LetterFilter
from scheduling_client.api.errors import SchedulingError, Unavailable
from scheduling_client.api.events import WATCH, Event, EventFilter, Watch
from scheduling_client.api.explanations import Explanation
from scheduling_client.api.jobs import (
    Backfill,
    Changes,
    FailureGroup,
    Filter,
    Job,
    JobSpec,
    Order,
    Pause,
    Payload,
    Preview,
    Progress,
    Properties,
    Retried,
    Run,
    RunFilter,
    Started,
    Upcoming,
)
from scheduling_client.api.logic import Call, Steps
from scheduling_client.api.overview import Overview
from scheduling_client.api.retrying import Attempts
from scheduling_client.api.statuses import error_of
from scheduling_client.api.system import Finding, System
from scheduling_client.api.triggers import Schedule
from scheduling_client.wire.v1.event_service_pb2 import WatchEventsResponse

BATCH = 1_000
"""Jobs of one call of `create_many`."""

Result = TypeVar("Result")


class Client:
    """A client of the service at an address such as `127.0.0.1:50054`.

    Each call has `timeout` seconds, with all its attempts. A call that may be repeated is sent
    again when the service is unavailable. All methods raise `SchedulingError`. A client may be
    used by several threads.

        with Client() as client:
            client.create("report", every("2 minutes"), payload=Payload.of_json({"to": "me"}))
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        access: Access | None = None,
        channel: grpc.Channel | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`access`: a token and certificates. `channel`: one of your own; you close it yourself.

        Raises `ValueError` if others could read the token on its way.
        """
        self.timeout = timeout
        self._owned = channel is None
        access = access or Access()
        self._headers = access.headers
        self._channel = channel or open_channel(server, access)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._owned:
            self._channel.close()

    # --- Jobs ---------------------------------------------------------------------------------

    def create(
        self,
        type: str,  # noqa: A002 - the property is called so
        schedule: Schedule,
        *,
        payload: Payload | Sequence[Payload] = (),
        request_id: str = "",
        **properties: Unpack[Properties],
    ) -> Job:
        """Create a job. An id that exists raises `AlreadyExists`.

        `request_id` names the request: it may be repeated, and creates one job. Without one the
        client makes it, so that its own repetitions are safe. `properties`: see `JobSpec`.
        """
        payloads = (payload,) if isinstance(payload, Payload) else tuple(payload)
        spec = JobSpec(type=type, schedule=schedule, payload=payloads, **properties)
        return self._run(logic.create([spec], request_id))[0]

    def create_many(
        self, specs: Iterable[JobSpec], *, request_id: str = "", batch: int = BATCH
    ) -> Iterator[Job]:
        """Create any number of jobs, `batch` at a time: each batch as a whole or not at all.

        The jobs come as their batch is created. With the same `request_id` the iteration may be
        begun again, from the first spec: jobs that exist are returned as they are.
        """
        left, number = iter(specs), 0
        while piece := [*islice(left, batch)]:
            yield from self._run(logic.create(piece, request_id, number))
            number += len(piece)

    def get(self, job_id: str, *, next_times: int = 1) -> Job:
        """The job, with its next times. Raises `NotFound`. Jobs that run at once are not shown."""
        return self._run(logic.get_one(job_id, next_times))

    def get_many(self, ids: Sequence[str], *, next_times: int = 1) -> list[Job]:
        """The jobs that exist, in the order of the ids."""
        return self._run(logic.get(ids, next_times))

    def list(
        self, where: Filter | None = None, *, order: Order = Order.CREATED, page_size: int = 0
    ) -> Iterator[Job]:
        """All jobs that match, page by page."""
        token, more = "", True
        while more:
            page = self._run(logic.list_page(where or Filter(), order.value, page_size, token))
            yield from page.jobs
            token, more = page.token, bool(page.token)

    def update(
        self,
        job_id: str,
        *,
        revision: int = 0,
        allow_missing: bool = False,
        **changes: Unpack[Changes],
    ) -> Job:
        """Change the given properties of a job, and keep the others.

        With a `revision`, a job that was changed since raises `Conflict`.
        """
        return self._run(logic.update(job_id, changes, revision, allow_missing=allow_missing))

    def delete(self, *ids: str, where: Filter | None = None, dry_run: bool = False) -> Progress:
        """Delete jobs, by ids or by a filter. Unknown ids are no error.

        Once it returns, no run of these jobs is emitted.
        """
        return self._run(logic.delete(ids, where, dry_run=dry_run))

    def pause(
        self,
        *ids: str,
        where: Filter | None = None,
        note: str = "",
        by: str = "",
        dry_run: bool = False,
    ) -> Progress:
        """Pause jobs, by ids or by a filter. Unknown ids are no error.

        Once it returns, nothing of these jobs is emitted until they are resumed. `note` and `by`
        say why and who; a job that is paused already keeps its own.
        """
        return self._run(logic.pause(ids, where, note, by, dry_run=dry_run))

    def resume(self, *ids: str, where: Filter | None = None, dry_run: bool = False) -> Progress:
        """End the pauses of jobs, by ids or by a filter.

        A job goes on unless its type is paused as well. Runs that came due meanwhile are skipped,
        but retries and one-time jobs start now.
        """
        return self._run(logic.resume(ids, where, dry_run=dry_run))

    def pause_type(
        self,
        type: str,  # noqa: A002 - the property is called so
        *,
        note: str = "",
        by: str = "",
    ) -> Pause:
        """Pause all jobs of a type, also those that are created later.

        Returns the pause: the earlier one if the type was paused already.
        """
        return self._run(logic.pause_type(type, note, by))

    def resume_type(
        self,
        type: str,  # noqa: A002 - the property is called so
    ) -> bool:
        """End the pause of a type; returns whether it was paused.

        Jobs that are paused themselves stay so.
        """
        return self._run(logic.resume_type(type))

    def paused_types(self) -> dict[str, Pause]:
        """The types that are paused: type -> its pause."""
        return self._run(logic.paused_types())

    def preview(
        self, subject: JobSpec | str, *, count: int = 10, after: datetime | None = None
    ) -> Preview:
        """The next times of a definition, or of the job with this id."""
        return self._run(logic.preview(subject, count, after))

    # --- Runs ---------------------------------------------------------------------------------

    def extend(
        self, instance_id: int, length: timedelta | None = None, *, occurrence_id: str = ""
    ) -> datetime:
        """Give an unanswered attempt more time, from now on; returns its new deadline.

        Without a `length` it is the completion timeout of the job. The deadline never moves to an
        earlier instant. Raises `NotFound` if no such attempt is unanswered, or if it is not the one
        that `occurrence_id` names.
        """
        return self._run(run_logic.extend(instance_id, length, occurrence_id))

    def run_now(
        self,
        *ids: str,
        where: Filter | None = None,
        request_id: str = "",
        dry_run: bool = False,
    ) -> Started:
        """Give jobs a run beside their schedule, by ids or by a filter. Unknown ids are no error.

        A run by hand ignores pauses and `overlap`, and waits for `parallel`. `request_id` names the
        request: within 15 minutes it may be repeated, and finds the same runs. Without one the
        client makes it, so that its own repetitions are safe.
        """
        return self._run(run_logic.run_now(ids, where, request_id, dry_run=dry_run))

    def backfill(
        self,
        job_id: str,
        since: datetime,
        until: datetime,
        *,
        max_in_flight: int = 1,
        request_id: str = "",
        dry_run: bool = False,
    ) -> Backfill:
        """Run the occurrences of a recurring job between two instants, the second one excluded.

        `until` is not after now; there are at most 10,000 runs. At most `max_in_flight` of them are
        open at a time. They are announced with the origin `backfill`. A job has one backfill at a
        time. `request_id`: see `run_now`.
        """
        span = since, until
        steps = run_logic.backfill(job_id, span, max_in_flight, request_id, dry_run=dry_run)
        return self._run(steps)

    def cancel(
        self, *run_ids: str, where: RunFilter | None = None, dry_run: bool = False
    ) -> Progress:
        """Cancel open runs, by ids or by a filter: held, running, and waiting for a retry.

        Once it returns, answers of their workers change nothing, and no further attempt is made. A
        one-time job ends with its run. Ids of no open run are no error. Runs that begin meanwhile
        may be left: the call may be repeated.
        """
        return self._run(run_logic.cancel(run_ids, where, dry_run=dry_run))

    def runs(self, where: RunFilter | None = None, *, page_size: int = 0) -> Iterator[Run]:
        """All runs that match, page by page: open ones before those that have ended."""
        token, more = "", True
        while more:
            page = self._run(run_logic.list_page(where or RunFilter(), page_size, token))
            yield from page.runs
            token, more = page.token, bool(page.token)

    def failures(
        self,
        type: str = "",  # noqa: A002 - the property is called so
        *,
        limit: int = 0,
    ) -> builtins.list[FailureGroup]:
        """Failed runs grouped by error, the most frequent one first. Without `type`: of all."""
        return self._run(run_logic.failures(type, limit))

    def explain(self, job_id: str, at: datetime | None = None) -> Explanation:
        """Why a job ran, ran late, or did not run at an instant; without it: its last or next run.

        A deleted job is explained from logs and kept runs, as long as they are there.
        """
        return self._run(explanations.explain(job_id, at))

    def retry_runs(
        self, *run_ids: str, where: RunFilter | None = None, dry_run: bool = False
    ) -> Retried:
        """Try failed runs again, by ids or by a filter.

        A run that cannot be tried again is among the refusals; unknown ids are no error. A job that
        is gone is created anew, if the service has kept its payload.
        """
        return self._run(run_logic.retry(run_ids, where, dry_run=dry_run))

    def upcoming(self, until: datetime, where: Filter | None = None, *, limit: int = 0) -> Upcoming:
        """The runs that are due until an instant, by time; a frequent job comes once."""
        return self._run(run_logic.upcoming(until, where or Filter(), limit))

    def overview(self) -> Overview:
        """How the service stands: counts, the last and the next hour, owners, health."""
        return self._run(run_logic.overview())

    # --- Events -------------------------------------------------------------------------------

    def watch(self, where: EventFilter | None = None, *, cursor: str = "") -> Iterator[Event]:
        """Events as they happen, until you stop to iterate.

        It connects again by itself, and goes on where it was; `timeout` bounds each outage. With
        the `cursor` of an event it goes on after that one. A cursor that is too old raises
        `InvalidRequest`.
        """
        watch = Watch(where or EventFilter(), cursor, self.timeout)
        method = self._channel.unary_stream(
            WATCH,
            request_serializer=serialized,
            response_deserializer=WatchEventsResponse.FromString,
        )
        while True:
            stream = method(watch.request, metadata=self._headers)
            try:
                for message in stream:
                    yield from watch.events(message)
                error: SchedulingError = Unavailable("The service has ended the stream.")
            except grpc.RpcError as failed:
                error = error_of(failed)
            finally:
                stream.cancel()
            self._sleep(watch.pause_after(error))

    # --- Dead letters -------------------------------------------------------------------------

    def dead_letters(
        self, where: LetterFilter | None = None, *, page_size: int = 0
    ) -> Iterator[DeadLetter]:
        """Records that could not be applied, the newest first, page by page."""
        token, more = "", True
        while more:
            page = self._run(of_letters.list_page(where or LetterFilter(), page_size, token))
            yield from page.letters
            token, more = page.token, bool(page.token)

    def dead_letter(self, letter_id: str) -> DeadLetter:
        """One of them, with its value. Raises `NotFound`."""
        return self._run(of_letters.get(letter_id))

    def replay(
        self, *ids: str, where: LetterFilter | None = None, dry_run: bool = False
    ) -> Progress:
        """Put original records on their topics again, by ids or by a filter: each once.

        A named one whose record is not there as a whole raises `FailedPrecondition`.
        """
        return self._run(of_letters.replay(ids, where, dry_run=dry_run))

    def hide(self, *ids: str, where: LetterFilter | None = None, dry_run: bool = False) -> Progress:
        """Leave dead letters out of lists. Kafka cannot delete single records."""
        return self._run(of_letters.hide(ids, where, dry_run=dry_run))

    # --- The service --------------------------------------------------------------------------

    def system(self) -> System:
        """Settings with their sources, versions, topics and shards."""
        return self._run(of_system.system())

    def diagnose(self) -> Sequence[Finding]:
        """Checks Redis, Kafka, clocks and rights: all findings, the worst first."""
        return self._run(of_system.diagnose())

    # --- Calls --------------------------------------------------------------------------------

    def _run(self, steps: Steps[Result]) -> Result:
        try:
            call = next(steps)
            while True:
                call = steps.send(self._call(call))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _call(self, call: Call[Any]) -> Any:  # noqa: ANN401 - the answer of the call
        method = self._channel.unary_unary(
            call.path, request_serializer=serialized, response_deserializer=call.answer.FromString
        )
        attempts = Attempts(self.timeout, repeatable=call.repeatable)
        request = call.request
        while True:
            try:
                return method(request, timeout=attempts.seconds_left, metadata=self._headers)
            except grpc.RpcError as failed:
                error: SchedulingError = error_of(failed)
            self._sleep(attempts.pause_after(error))
            request = call.again or request
