"""The client of scheduling.v1, for programs with an event loop."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
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
    open_async_channel,
    serialized,
)
from scheduling_client.api.client import BATCH
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

Result = TypeVar("Result")


class AsyncClient:
    """As `Client`, with methods to await. Make it in the event loop that uses it.

    async with AsyncClient() as client:
        await client.create("report", every("2 minutes"))
        async for job in client.list():
            print(job.id)
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        access: Access | None = None,
        channel: grpc.aio.Channel | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """See `Client`."""
        self.timeout = timeout
        self._owned = channel is None
        access = access or Access()
        self._headers = access.headers
        self._channel = channel or open_async_channel(server, access)
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._owned:
            await self._channel.close()

    # --- Jobs ---------------------------------------------------------------------------------

    async def create(
        self,
        type: str,  # noqa: A002 - the property is called so
        schedule: Schedule,
        *,
        payload: Payload | Sequence[Payload] = (),
        request_id: str = "",
        **properties: Unpack[Properties],
    ) -> Job:
        """See `Client.create`."""
        payloads = (payload,) if isinstance(payload, Payload) else tuple(payload)
        spec = JobSpec(type=type, schedule=schedule, payload=payloads, **properties)
        return (await self._run(logic.create([spec], request_id)))[0]

    async def create_many(
        self, specs: Iterable[JobSpec], *, request_id: str = "", batch: int = BATCH
    ) -> AsyncIterator[Job]:
        """See `Client.create_many`."""
        left, number = iter(specs), 0
        while piece := [*islice(left, batch)]:
            for job in await self._run(logic.create(piece, request_id, number)):
                yield job
            number += len(piece)

    async def get(self, job_id: str, *, next_times: int = 1) -> Job:
        """See `Client.get`."""
        return await self._run(logic.get_one(job_id, next_times))

    async def get_many(self, ids: Sequence[str], *, next_times: int = 1) -> list[Job]:
        """See `Client.get_many`."""
        return await self._run(logic.get(ids, next_times))

    async def list(
        self, where: Filter | None = None, *, order: Order = Order.CREATED, page_size: int = 0
    ) -> AsyncIterator[Job]:
        """See `Client.list`."""
        token, more = "", True
        while more:
            steps = logic.list_page(where or Filter(), order.value, page_size, token)
            page = await self._run(steps)
            for job in page.jobs:
                yield job
            token, more = page.token, bool(page.token)

    async def update(
        self,
        job_id: str,
        *,
        revision: int = 0,
        allow_missing: bool = False,
        **changes: Unpack[Changes],
    ) -> Job:
        """See `Client.update`."""
        return await self._run(logic.update(job_id, changes, revision, allow_missing=allow_missing))

    async def delete(
        self, *ids: str, where: Filter | None = None, dry_run: bool = False
    ) -> Progress:
        """See `Client.delete`."""
        return await self._run(logic.delete(ids, where, dry_run=dry_run))

    async def pause(
        self,
        *ids: str,
        where: Filter | None = None,
        note: str = "",
        by: str = "",
        dry_run: bool = False,
    ) -> Progress:
        """See `Client.pause`."""
        return await self._run(logic.pause(ids, where, note, by, dry_run=dry_run))

    async def resume(
        self, *ids: str, where: Filter | None = None, dry_run: bool = False
    ) -> Progress:
        """See `Client.resume`."""
        return await self._run(logic.resume(ids, where, dry_run=dry_run))

    async def pause_type(
        self,
        type: str,  # noqa: A002 - the property is called so
        *,
        note: str = "",
        by: str = "",
    ) -> Pause:
        """See `Client.pause_type`."""
        return await self._run(logic.pause_type(type, note, by))

    async def resume_type(
        self,
        type: str,  # noqa: A002 - the property is called so
    ) -> bool:
        """See `Client.resume_type`."""
        return await self._run(logic.resume_type(type))

    async def paused_types(self) -> dict[str, Pause]:
        """See `Client.paused_types`."""
        return await self._run(logic.paused_types())

    async def preview(
        self, subject: JobSpec | str, *, count: int = 10, after: datetime | None = None
    ) -> Preview:
        """See `Client.preview`."""
        return await self._run(logic.preview(subject, count, after))

    # --- Runs ---------------------------------------------------------------------------------

    async def extend(
        self, instance_id: int, length: timedelta | None = None, *, occurrence_id: str = ""
    ) -> datetime:
        """See `Client.extend`."""
        return await self._run(run_logic.extend(instance_id, length, occurrence_id))

    async def run_now(
        self,
        *ids: str,
        where: Filter | None = None,
        request_id: str = "",
        dry_run: bool = False,
    ) -> Started:
        """See `Client.run_now`."""
        return await self._run(run_logic.run_now(ids, where, request_id, dry_run=dry_run))

    async def backfill(
        self,
        job_id: str,
        since: datetime,
        until: datetime,
        *,
        max_in_flight: int = 1,
        request_id: str = "",
        dry_run: bool = False,
    ) -> Backfill:
        """See `Client.backfill`."""
        span = since, until
        steps = run_logic.backfill(job_id, span, max_in_flight, request_id, dry_run=dry_run)
        return await self._run(steps)

    async def cancel(
        self, *run_ids: str, where: RunFilter | None = None, dry_run: bool = False
    ) -> Progress:
        """See `Client.cancel`."""
        return await self._run(run_logic.cancel(run_ids, where, dry_run=dry_run))

    async def runs(
        self, where: RunFilter | None = None, *, page_size: int = 0
    ) -> AsyncIterator[Run]:
        """See `Client.runs`."""
        token, more = "", True
        while more:
            page = await self._run(run_logic.list_page(where or RunFilter(), page_size, token))
            for run in page.runs:
                yield run
            token, more = page.token, bool(page.token)

    async def failures(
        self,
        type: str = "",  # noqa: A002 - the property is called so
        *,
        limit: int = 0,
    ) -> builtins.list[FailureGroup]:
        """See `Client.failures`."""
        return await self._run(run_logic.failures(type, limit))

    async def explain(self, job_id: str, at: datetime | None = None) -> Explanation:
        """See `Client.explain`."""
        return await self._run(explanations.explain(job_id, at))

    async def retry_runs(
        self, *run_ids: str, where: RunFilter | None = None, dry_run: bool = False
    ) -> Retried:
        """See `Client.retry_runs`."""
        return await self._run(run_logic.retry(run_ids, where, dry_run=dry_run))

    async def upcoming(
        self, until: datetime, where: Filter | None = None, *, limit: int = 0
    ) -> Upcoming:
        """See `Client.upcoming`."""
        return await self._run(run_logic.upcoming(until, where or Filter(), limit))

    async def overview(self) -> Overview:
        """See `Client.overview`."""
        return await self._run(run_logic.overview())

    # --- Events -------------------------------------------------------------------------------

    async def watch(
        self, where: EventFilter | None = None, *, cursor: str = ""
    ) -> AsyncIterator[Event]:
        """See `Client.watch`."""
        watch = Watch(where or EventFilter(), cursor, self.timeout)
        method = self._channel.unary_stream(
            WATCH,
            request_serializer=serialized,
            response_deserializer=WatchEventsResponse.FromString,
        )
        while True:
            stream = method(watch.request, metadata=self._headers)
            try:
                async for message in stream:
                    for event in watch.events(message):
                        yield event
                error: SchedulingError = Unavailable("The service has ended the stream.")
            except grpc.aio.AioRpcError as failed:
                error = error_of(failed)
            finally:
                stream.cancel()
            await self._sleep(watch.pause_after(error))

    # --- Dead letters -------------------------------------------------------------------------

    async def dead_letters(
        self, where: LetterFilter | None = None, *, page_size: int = 0
    ) -> AsyncIterator[DeadLetter]:
        """See `Client.dead_letters`."""
        token, more = "", True
        while more:
            steps = of_letters.list_page(where or LetterFilter(), page_size, token)
            page = await self._run(steps)
            for letter in page.letters:
                yield letter
            token, more = page.token, bool(page.token)

    async def dead_letter(self, letter_id: str) -> DeadLetter:
        """See `Client.dead_letter`."""
        return await self._run(of_letters.get(letter_id))

    async def replay(
        self, *ids: str, where: LetterFilter | None = None, dry_run: bool = False
    ) -> Progress:
        """See `Client.replay`."""
        return await self._run(of_letters.replay(ids, where, dry_run=dry_run))

    async def hide(
        self, *ids: str, where: LetterFilter | None = None, dry_run: bool = False
    ) -> Progress:
        """See `Client.hide`."""
        return await self._run(of_letters.hide(ids, where, dry_run=dry_run))

    # --- The service --------------------------------------------------------------------------

    async def system(self) -> System:
        """See `Client.system`."""
        return await self._run(of_system.system())

    async def diagnose(self) -> Sequence[Finding]:
        """See `Client.diagnose`."""
        return await self._run(of_system.diagnose())

    # --- Calls --------------------------------------------------------------------------------

    async def _run(self, steps: Steps[Result]) -> Result:
        try:
            call = next(steps)
            while True:
                call = steps.send(await self._call(call))
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _call(self, call: Call[Any]) -> Any:  # noqa: ANN401 - the answer of the call
        method = self._channel.unary_unary(
            call.path, request_serializer=serialized, response_deserializer=call.answer.FromString
        )
        attempts = Attempts(self.timeout, repeatable=call.repeatable)
        request = call.request
        while True:
            try:
                return await method(request, timeout=attempts.seconds_left, metadata=self._headers)
            except grpc.aio.AioRpcError as failed:
                error: SchedulingError = error_of(failed)
            await self._sleep(attempts.pause_after(error))
            request = call.again or request
