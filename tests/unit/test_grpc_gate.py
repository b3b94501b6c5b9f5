"""The gate before all methods: which calls count, and what is noted of refusals."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from scheduling_srv.app.access.door import Door
from scheduling_srv.app.access.quotas import BURST_SECONDS, Quotas
from scheduling_srv.entrances.grpc_gate import Gate
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
        return grpc.unary_unary_rpc_method_handler(answer)  # type: ignore[arg-type]

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


# --- quotas ---


async def test_a_flood_of_health_calls_does_not_take_a_replica_out_of_load_balancers() -> None:
    for gate in (
        Gate(door=door(), quotas=Quotas(calls=1, bytes_=0, monotonic=lambda: 0.0)),
        Gate(quotas=Quotas(calls=1, bytes_=0, monotonic=lambda: 0.0)),
    ):
        assert {await call(gate, HEALTH) for _ in range(100)} == {None}
        assert await call(gate, READ, token="operator") is None


async def test_other_calls_count() -> None:
    gate = Gate(door=door(), quotas=Quotas(calls=4, bytes_=0, monotonic=lambda: 0.0))
    codes = [await call(gate, READ, token="operator") for _ in range(100)]
    assert codes.count(None) == 4 * BURST_SECONDS
    assert set(codes) == {None, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await call(gate, HEALTH) is None
