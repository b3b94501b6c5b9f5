"""Clients of scheduling.v1 that read, as pages and command lines do: a helper (`bench.actors`).

Each kind of call is sent at its own rate, whatever the answers take: so a slow answer delays no
other call, and its time counts from when it was to be sent.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

import grpc

from bench.actors import Reply, quantile, serve
from bench.varied import CREATORS, KINDS, LABEL_EACH, LABELS, TYPES
from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as jobs
from scheduling_client.wire.v1 import system_service_pb2 as system
from scheduling_client.wire.v1.job_service_pb2_grpc import JobServiceStub
from scheduling_client.wire.v1.system_service_pb2_grpc import SystemServiceStub

RATES = {"get": 10, "list": 20, "upcoming": 5, "overview": 5}
"""Calls a second."""
IDS, PAGE = 10, 100
"""Jobs of a call."""
ID_DIGITS = 16
DEADLINE_SECONDS = 30.0
DAYS_AHEAD = 60
"""How far upcoming looks; its answer is capped."""


class Wrong(Exception):
    """An answer without the jobs that there are: its time is of another call."""


class Reads:
    """Readers in a thread of their own."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = defaultdict(list)
        """Seconds, by kind."""
        self.failure = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, address: str, count: int) -> Reply:
        """Begin. `count`: how many jobs wait."""
        if self._thread:  # a trial before this one was late
            self.stop()
        self.took.clear()
        self._ending.clear()
        run = self._run(address, count)
        self._thread = threading.Thread(target=lambda: asyncio.run(run), daemon=True)
        self._thread.start()
        return {}

    def stop(self) -> Reply:
        """End. Returns for each kind how many calls there were, and ms. Raises `RuntimeError`."""
        self._ending.set()
        if self._thread:
            self._thread.join(60)
            self._thread = None
        if self.failure:
            raise RuntimeError(self.failure)
        return {kind: _figures(sorted(took)) for kind, took in self.took.items()}

    async def _run(self, address: str, count: int) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            of_jobs: Any = JobServiceStub(channel)
            of_system: Any = SystemServiceStub(channel)
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "get": lambda: get(of_jobs, count),
                "list": Pages(of_jobs, count).next,
                "upcoming": lambda: list_upcoming(of_jobs, count),
                "overview": lambda: get_overview(of_system, count),
            }
            await asyncio.gather(*(self._repeat(kind, call) for kind, call in calls.items()))

    async def _repeat(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        pending, due = set[asyncio.Task[None]](), time.perf_counter()
        while not self._ending.is_set():
            due += 1 / RATES[kind]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._once(kind, call, due))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)

    async def _once(self, kind: str, call: Callable[[], Awaitable[object]], due: float) -> None:
        try:
            await call()
        except (grpc.RpcError, Wrong) as fault:
            self.failure = f"{kind}: {fault}"
        else:
            self.took[kind].append(time.perf_counter() - due)


class Pages:
    """Walks through one list after the other, two pages of each."""

    def __init__(self, stub: Any, count: int) -> None:  # noqa: ANN401 - generated code has no types
        self._stub, self._count = stub, count
        self._requests = cycle(_lists(count))
        self._second: list[jobs.ListJobsRequest] = []

    async def next(self) -> None:
        """The second page of a list, or else the first one of the next list. Raises `Wrong`."""
        request = self._second.pop() if self._second else next(self._requests)
        answer = await self._stub.ListJobs(request, timeout=DEADLINE_SECONDS)
        self._check(request, answer)
        if answer.next_page_token and not request.page_token:
            second = jobs.ListJobsRequest()
            second.CopyFrom(request)
            second.page_token = answer.next_page_token
            self._second.append(second)

    def _check(self, request: jobs.ListJobsRequest, answer: jobs.ListJobsResponse) -> None:
        """A page is full if so many jobs match. A walk without an index may need more pages."""
        before = PAGE if request.page_token else 0
        expected = max(0, min(PAGE, matches(request.filter, self._count) - before))
        may_be_short = bool(answer.next_page_token) and not is_indexed(request)
        if len(answer.jobs) > PAGE or (len(answer.jobs) < expected and not may_be_short):
            raise Wrong(f"{len(answer.jobs)} jobs, not {expected}, of {request}")


def is_indexed(request: jobs.ListJobsRequest) -> bool:
    """Whether an index has exactly the jobs of the list, in its order."""
    by_creation = request.order != jobs.ListJobsRequest.ORDER_NEXT_DUE
    narrow = bool(request.filter.id_prefix or request.filter.states)
    return (by_creation and not narrow) or request.filter == v1.JobFilter()


def matches(wanted: v1.JobFilter, count: int) -> int:
    """How many of `count` varied jobs match at least."""
    if wanted.states:
        return 0  # none is paused
    if wanted.id_prefix:
        size = 1 << 4 * (ID_DIGITS - len(wanted.id_prefix))
        first = int(wanted.id_prefix, 16) * size
        return max(0, min(count, first + size - 1) - max(1, first) + 1)
    rounds = count // (KINDS + 1)  # the loader has a plain job before each thousand
    label = LABEL_EACH * LABELS if wanted.labels else 1
    share = TYPES if wanted.type else CREATORS if wanted.creator else label
    return rounds * (KINDS // share) if share > 1 else count


async def get(stub: Any, count: int) -> None:  # noqa: ANN401 - generated code has no types
    """Some jobs by their ids. Raises `Wrong`."""
    request = _get(count)
    answer = await stub.GetJobs(request, timeout=DEADLINE_SECONDS)
    if [each.spec.id for each in answer.jobs] != [*request.ids]:
        raise Wrong(f"{len(answer.jobs)} jobs of {[*request.ids]}")


async def list_upcoming(stub: Any, count: int) -> None:  # noqa: ANN401
    """The next runs. Raises `Wrong`."""
    answer = await stub.ListUpcoming(_upcoming(), timeout=DEADLINE_SECONDS)
    if len(answer.upcoming) != min(PAGE, count):
        raise Wrong(f"{len(answer.upcoming)} upcoming runs")


async def get_overview(stub: Any, count: int) -> None:  # noqa: ANN401
    """The counts. Raises `Wrong`."""
    answer = await stub.GetOverview(system.GetOverviewRequest(), timeout=DEADLINE_SECONDS)
    if answer.counts.jobs < count:
        raise Wrong(f"an overview of {answer.counts.jobs} jobs")


def _lists(count: int) -> list[jobs.ListJobsRequest]:
    """One for each index, order, and a filter that no index serves."""
    prefix = f"{random.randrange(count):0{ID_DIGITS}x}"[:13]  # noqa: S311
    filters = [
        v1.JobFilter(),
        v1.JobFilter(type=f"type-{random.randrange(TYPES)}"),  # noqa: S311
        v1.JobFilter(creator=f"creator-{random.randrange(CREATORS)}"),  # noqa: S311
        v1.JobFilter(labels={"tenant": "t1"}),
        v1.JobFilter(id_prefix=prefix),
        v1.JobFilter(states=[v1.JOB_STATE_PAUSED]),
    ]
    orders = (
        jobs.ListJobsRequest.ORDER_CREATED,
        jobs.ListJobsRequest.ORDER_NEWEST,
        jobs.ListJobsRequest.ORDER_NEXT_DUE,
    )
    return [
        jobs.ListJobsRequest(filter=each, order=order, page_size=PAGE)
        for each in filters
        for order in orders
        if not each.id_prefix or order == orders[0]
    ]


def _get(count: int) -> jobs.GetJobsRequest:
    ids = [f"{number:016x}" for number in random.sample(range(1, count + 1), IDS)]
    return jobs.GetJobsRequest(ids=ids, next_times=5)


def _upcoming() -> jobs.ListUpcomingRequest:
    request = jobs.ListUpcomingRequest(limit=PAGE)
    request.until.FromSeconds(int(time.time()) + DAYS_AHEAD * 86_400)
    return request


def _figures(took: list[float]) -> dict[str, float]:
    return {
        "calls": len(took),
        "p50": quantile(took, 0.5) * 1000,
        "p99": quantile(took, 0.99) * 1000,
        "max": took[-1] * 1000,
    }


if __name__ == "__main__":
    serve(Reads())
