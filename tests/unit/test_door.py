"""The one place that decides about calls, and its table of methods."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from contextvars import copy_context

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor

from scheduling_client.wire import commandinterface_pb2, job_pb2
from scheduling_client.wire.v1 import (
    dead_letter_service_pb2,
    event_service_pb2,
    job_service_pb2,
    run_service_pb2,
    system_service_pb2,
)
from scheduling_srv.app.access.call import Call, begin, check_command
from scheduling_srv.app.access.callers import ANONYMOUS, Caller, Role
from scheduling_srv.app.access.door import (
    LONGEST_TOKEN,
    MOST_REMEMBERED,
    REMEMBER_SECONDS,
    Door,
    Verified,
)
from scheduling_srv.app.access.rules import COMMANDS, RULES
from scheduling_srv.app.commands import clock_commands, commands
from scheduling_srv.domain.errors import Forbidden, Unauthenticated
from scheduling_srv.domain.limits import Limits

FILES: Sequence[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        commandinterface_pb2,
        job_pb2,
        dead_letter_service_pb2,
        event_service_pb2,
        job_service_pb2,
        run_service_pb2,
        system_service_pb2,
    )
]
READ = "/io.restorecommerce.job.Service/Read"
CREATE = "/io.restorecommerce.job.Service/Create"
HEALTH = "/grpc.health.v1.Health/Check"
PAUSE = "/scheduling.v1.JobService/PauseJobs"
DEAD = "/scheduling.v1.DeadLetterService/ReplayDeadLetters"


def methods() -> Iterator[str]:
    """All methods of all protos."""
    for file in FILES:
        for service in file.services_by_name.values():
            yield from (f"/{service.full_name}/{each.name}" for each in service.methods)


class Known:
    """Credentials of a test."""

    def __init__(self, **callers: Caller) -> None:
        self.callers = callers
        self.seconds = REMEMBER_SECONDS
        self.verified: list[str] = []

    async def verify(self, token: str) -> Verified:
        self.verified.append(token)
        if token not in self.callers:
            raise Unauthenticated("The token is not known.")
        return Verified(self.callers[token], self.seconds)

    def of_certificate(self, names: Sequence[str]) -> Caller:
        return Caller(names[0], Role.ADMIN)


READER, OPERATOR, ADMIN = (Caller(role.name.lower(), role) for role in Role)
LIMITED = Caller("limited", Role.ADMIN, Limits(types=frozenset({"mail"})))


class Told:
    """A door whose time the test holds."""

    def __init__(self, *, open_health: bool = True) -> None:
        self.now = 0.0
        self.known = Known(reader=READER, operator=OPERATOR, admin=ADMIN, limited=LIMITED)
        self.door = Door(self.known, open_health=open_health, monotonic=lambda: self.now)

    async def admit(
        self, method: str, token: str | None, certificate: Sequence[str] = ()
    ) -> Caller:
        header = None if token is None else f"Bearer {token}"
        return await self.door.admit(method, header, lambda: certificate)


# --- the table ---


def test_every_method_of_the_protos_has_a_rule() -> None:
    """Add a new one to `rules.py`."""
    descriptor_pool.Default()
    ours = {name for name in RULES if name.startswith(("/io.", "/scheduling."))}
    assert ours == set(methods())


def test_every_command_has_a_role() -> None:
    assert set(COMMANDS) == {*commands.COMMANDS, clock_commands.NAME}


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller("r", Role.READER), False),
        (Caller("o", Role.OPERATOR), True),
        (Caller("l", Role.ADMIN, Limits(types=frozenset({"mail"}))), False),
    ],
)
def test_the_clock_of_a_test_is_not_for_readers(caller: Caller, may: bool) -> None:
    def check() -> None:
        begin(Call(caller, "ipv4:10.0.0.1:5000", "/Command"))
        with nullcontext() if may else pytest.raises(Forbidden, match="the command advance"):
            check_command("advance")

    copy_context().run(check)


@pytest.mark.parametrize(
    ("method", "role"),
    [
        (READ, Role.READER),
        (CREATE, Role.OPERATOR),
        (PAUSE, Role.OPERATOR),
        (DEAD, Role.ADMIN),
        ("GET /metrics", Role.READER),
    ],
)
async def test_each_role_includes_those_before_it(method: str, role: Role) -> None:
    told = Told()
    for caller in (READER, OPERATOR, ADMIN):
        if caller.role >= role:
            assert await told.admit(method, caller.name) is caller
        else:
            with pytest.raises(Forbidden, match=f"needs the role {role.name.lower()}"):
                await told.admit(method, caller.name)


async def test_a_method_without_a_rule_is_closed_to_all() -> None:
    with pytest.raises(Forbidden, match="has no rule for it"):
        await Told().admit("/some.other.Service/Method", "admin")


@pytest.mark.parametrize("method", [DEAD, "/scheduling.v1.SystemService/GetOverview"])
async def test_a_method_that_keeps_no_limits_is_closed_to_limited_callers(method: str) -> None:
    told = Told()
    with pytest.raises(Forbidden, match="is limited to types mail"):
        await told.admit(method, "limited")
    for kept in (CREATE, PAUSE):
        assert await told.admit(kept, "limited") is LIMITED


# --- who calls ---


async def test_health_is_open_or_not() -> None:
    assert await Told().admit(HEALTH, None) is ANONYMOUS
    with pytest.raises(Unauthenticated):
        await Told(open_health=False).admit(HEALTH, None)


@pytest.mark.parametrize(
    "header",
    ["", "reader", "Basic reader", "Bearer", "Bearer  ", "Bearer unknown", "bearer\treader"],
)
async def test_a_header_that_is_no_token_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        await Told().door.admit(READ, header, tuple)


async def test_the_scheme_may_be_written_in_any_way() -> None:
    assert await Told().door.admit(READ, "bEARER reader", tuple) is READER


async def test_a_token_goes_before_a_certificate() -> None:
    told = Told()
    assert (await told.admit(READ, None, ["host"])).name == "host"
    assert (await told.admit(READ, "reader", ["host"])).name == "reader"
    with pytest.raises(Unauthenticated):
        await told.admit(READ, "unknown", ["host"])


async def test_an_oversized_token_is_not_looked_at() -> None:
    told = Told()
    with pytest.raises(Unauthenticated, match="is longer than"):
        await told.admit(READ, "x" * LONGEST_TOKEN)
    assert told.known.verified == []


# --- what is remembered ---


async def test_a_token_is_verified_once_a_minute() -> None:
    told = Told()
    for at in (0, REMEMBER_SECONDS - 1, REMEMBER_SECONDS, REMEMBER_SECONDS + 1):
        told.now = at
        await told.admit(READ, "reader")
    assert told.known.verified == ["reader"] * 2


async def test_a_token_is_never_remembered_beyond_its_expiry() -> None:
    told = Told()
    told.known.seconds = 5
    await told.admit(READ, "reader")
    told.now = 5
    del told.known.callers["reader"]
    with pytest.raises(Unauthenticated):
        await told.admit(READ, "reader")


async def test_changed_credentials_count_at_once() -> None:
    told = Told()
    await told.admit(READ, "reader")
    del told.known.callers["reader"]
    assert await told.admit(READ, "reader") is READER
    told.door.forget()
    with pytest.raises(Unauthenticated):
        await told.admit(READ, "reader")


async def test_what_is_remembered_is_bounded() -> None:
    told = Told()
    told.known.callers = {str(number): READER for number in range(3 * MOST_REMEMBERED)}
    for token in told.known.callers:
        await told.admit(READ, token)
    assert len(told.door._remembered) == MOST_REMEMBERED


async def test_unknown_tokens_leave_nothing_behind() -> None:
    told = Told()
    for number in range(100):
        with pytest.raises(Unauthenticated):
            await told.admit(READ, f"wrong-{number}")
    assert told.door._remembered == {}


async def test_a_token_that_is_revoked_while_it_is_verified_is_not_remembered() -> None:
    told = Told()

    async def slow(token: str) -> Verified:
        told.door.forget()
        return Verified(READER)

    told.known.verify = slow  # type: ignore[method-assign]
    await told.admit(READ, "reader")
    assert told.door._remembered == {}
