"""The gate before all methods: which calls count, and what is noted of refusals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest

from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.callers import Caller
from scheduling_srv.app.access.door import Door
from scheduling_srv.app.access.holding import FREE, MOST_HELD, MOST_SOURCES, Holding
from scheduling_srv.app.access.quotas import BURST_SECONDS, Quotas
from scheduling_srv.app.access.refusals import LINES, MOST_LINES, Refusals
from scheduling_srv.domain.limits import Limits
from scheduling_srv.entrances.grpc_gate import AGAIN_SECONDS, Gate
from scheduling_srv.service import doors
from scheduling_srv.settings.model import Settings
from tests.unit.test_door import OPERATOR, Known

HEALTH = "/grpc.health.v1.Health/Check"
READ = "/io.restorecommerce.job.Service/Read"
CREATE = "/io.restorecommerce.job.Service/Create"


class Details:
    """Of a call, as far as the gate looks at them."""

    def __init__(self, method: str) -> None:
        self.method = method


class Context:
    """A call of a client, as far as the gate looks at it."""

    def __init__(self, host: str, token: str | None) -> None:
        self._host = host
        self._token = token
        self.refused: grpc.StatusCode | None = None

    def peer(self) -> str:
        return f"{self._host}:5000"

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return [("authorization", f"Bearer {self._token}")] if self._token else []

    def time_remaining(self) -> float | None:
        return None

    def auth_context(self) -> dict[str, Sequence[bytes]]:
        return {}

    def code(self) -> grpc.StatusCode | None:
        return self.refused

    async def abort(self, code: grpc.StatusCode, *_: object) -> None:
        self.refused = code
        raise grpc.aio.AbortError


async def _answer(_request: object, _context: object) -> bytes:
    return b""


async def call(
    gate: Gate,
    method: str,
    *,
    host: str = "ipv4:10.0.0.1",
    token: str | None = None,
    answer: Callable[[object, object], Awaitable[bytes]] = _answer,
) -> grpc.StatusCode | None:
    """The code of a call that is refused; None: it is answered."""

    async def continuation(_details: object) -> Any:
        behaviour: Any = answer
        return grpc.unary_unary_rpc_method_handler(behaviour)

    details: Any = Details(method)
    handler: Any = await gate.intercept_service(continuation, details)
    context = Context(host, token)
    try:
        await handler.unary_unary(b"", context)
    except grpc.aio.AbortError:
        return context.refused
    return None


def door() -> Door:
    return Door(Known(operator=OPERATOR), open_health=True)


# --- streams ---


class Watch:
    """A stream through the gate, on a clock that the test holds."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.now = 0.0
        self.known = Known(operator=OPERATOR)
        self.door = Door(self.known, open_health=False)
        self.gate = Gate(door=self.door, monotonic=lambda: self.now)
        self.context = Context("ipv4:10.0.0.1", "operator")
        self.closed = False

    async def answers(self, _request: object, _context: object) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            self.closed = True

    async def begin(self) -> AsyncIterator[bytes]:
        async def continuation(_details: object) -> Any:
            behaviour: Any = self.answers
            return grpc.unary_stream_rpc_method_handler(behaviour)

        details: Any = Details(self.method)
        handler: Any = await self.gate.intercept_service(continuation, details)
        stream: AsyncIterator[bytes] = handler.unary_stream(b"", self.context)
        return stream


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ({}, grpc.StatusCode.UNAUTHENTICATED),
        (
            {"operator": replace(OPERATOR, limits=Limits(types=frozenset({"mail"})))},
            grpc.StatusCode.UNAVAILABLE,
        ),
    ],
)
async def test_a_stream_ends_with_its_credentials(
    now: dict[str, Caller], code: grpc.StatusCode
) -> None:
    watch = Watch("/scheduling.v1.EventService/WatchEvents")
    stream = await watch.begin()
    await anext(stream)
    watch.now = AGAIN_SECONDS
    await anext(stream)
    watch.known.callers = now
    watch.door.forget()
    watch.now = 2 * AGAIN_SECONDS - 1
    await anext(stream)
    watch.now += 1
    with pytest.raises(grpc.aio.AbortError):
        await anext(stream)
    assert (watch.context.refused, watch.closed) == (code, True)


async def test_a_watch_of_the_health_outlives_its_credentials() -> None:
    watch = Watch("/grpc.health.v1.Health/Watch")
    stream = await watch.begin()
    await anext(stream)
    watch.known.callers = {}
    watch.door.forget()
    watch.now = AGAIN_SECONDS
    await anext(stream)


# --- quotas ---


async def test_a_flood_of_health_calls_does_not_take_a_replica_out_of_load_balancers() -> None:
    for gate in (
        Gate(door=door(), quotas=Quotas(calls=1, bytes_=0, monotonic=lambda: 0.0)),
        Gate(quotas=Quotas(calls=1, bytes_=0, monotonic=lambda: 0.0)),
    ):
        assert {await call(gate, HEALTH) for _ in range(100)} == {None}
        assert await call(gate, READ, token="operator") is None


async def test_other_calls_count() -> None:
    gate = Gate(
        door=door(),
        quotas=Quotas(calls=4, bytes_=0, monotonic=lambda: 0.0),
        holding=Holding(0.0),
    )
    codes = [await call(gate, READ, token="operator") for _ in range(100)]
    assert codes.count(None) == 4 * BURST_SECONDS
    assert set(codes) == {None, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await call(gate, HEALTH) is None


# --- floods of refused calls ---


class Held:
    """Calls that are refused one after the other, on a clock that the test holds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.holding = Holding(SECONDS, lambda: self.now)

    async def holds(self, host: str = "a", caller: str = "x", left: float | None = None) -> bool:
        """Whether the next one is not answered at once."""
        task = asyncio.ensure_future(self.holding.hold(host, caller, left))
        await asyncio.sleep(0)
        held = not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return held


SECONDS = 3600.0


async def test_refusals_of_a_flood_are_held_and_a_few_are_not() -> None:
    held = Held()
    assert [await held.holds() for _ in range(FREE + 2)] == [False] * FREE + [True] * 2
    assert not await held.holds(host="b")
    assert not await held.holds(caller="y")
    held.now += 1
    assert not await held.holds()


async def test_a_call_is_not_held_beyond_its_deadline() -> None:
    held = Held()
    for _ in range(FREE):
        await held.holds()
    await asyncio.wait_for(held.holding.hold("a", "x", 0.002), 60)


async def test_what_is_held_and_counted_is_bounded() -> None:
    held = Held()
    for number in range(2 * MOST_SOURCES):
        await held.holds(host=str(number))
    assert len(held.holding._refused) <= MOST_SOURCES + 1
    assert await held.holds(host="new")  # all of them are counted together
    calls = [asyncio.ensure_future(held.holding.hold("new", "x", None)) for _ in range(MOST_HELD)]
    await asyncio.sleep(0)
    assert not await held.holds(host="new")
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert await held.holds(host="new")


# --- the audit log ---


class Told:
    """An audit log whose time the test holds, and its lines."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[Mapping[str, object]] = []
        self.log = AuditLog(self.lines.append, Refusals(lambda: self.now))
        self.gate = Gate(door=door(), audit=self.log, holding=Holding(0.0))

    def sums(self) -> list[tuple[object, object, object]]:
        return [
            (each["peer"], each["outcome"], each["more_refusals"])
            for each in self.lines
            if "more_refusals" in each
        ]


async def test_a_flood_of_refusals_is_a_few_lines_and_a_sum() -> None:
    told = Told()
    for _ in range(1_000):
        assert await call(told.gate, CREATE, token="wrong")
    assert len(told.lines) == LINES
    told.now = 1.0
    await call(told.gate, CREATE, token="wrong")
    assert told.sums() == [("ipv4:10.0.0.1", "UNAUTHENTICATED", 1_000 - LINES)]
    assert len(told.lines) == LINES + 2


async def test_a_sum_is_written_although_no_refusal_follows() -> None:
    told = Told()
    for _ in range(LINES + 5):
        await call(told.gate, CREATE)
    running = asyncio.create_task(told.log.run())
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [count for *_, count in told.sums()] == [5]


async def test_a_flood_hides_no_refusal_of_a_known_caller() -> None:
    told = Told()
    for _ in range(1_000):
        await call(told.gate, CREATE)
    forbidden = "/scheduling.v1.DeadLetterService/HideDeadLetters"
    assert await call(told.gate, forbidden, token="operator")
    assert (told.lines[-1]["caller"], told.lines[-1]["method"]) == ("operator", forbidden)


async def test_many_hosts_share_a_bounded_number_of_lines() -> None:
    told = Told()
    for number in range(1_000):
        await call(told.gate, CREATE, host=f"ipv4:10.1.{number // 250}.{number % 250}")
    assert len(told.lines) == MOST_LINES
    told.now = 1.0
    await call(told.gate, CREATE)
    assert len(told.sums()) == MOST_LINES + 1
    assert told.sums()[-1][2] == 1_000 - 2 * MOST_LINES


async def test_calls_over_the_quota_are_no_flood_of_lines_either() -> None:
    told = Told()
    quotas = Quotas(calls=1, bytes_=0, monotonic=lambda: 0.0)
    gate = Gate(door=door(), quotas=quotas, audit=told.log, holding=Holding(0.0))
    for _ in range(1_000):
        await call(gate, CREATE, token="operator")
    assert len(told.lines) == BURST_SECONDS + LINES


async def test_changes_are_never_summed() -> None:
    told = Told()
    for _ in range(1_000):
        assert await call(told.gate, CREATE, token="operator") is None
    assert len(told.lines) == 1_000


def test_a_replica_writes_the_sums() -> None:
    built = doors.build(Settings(audit_log="log"))
    assert [name for name, _ in built.parts] == ["audit log"]
    assert doors.build(Settings()).parts == []
