"""The gRPC entrance: jobs, commands, reflection and health (docs/contract.md).

Methods take and return bytes. So an unreadable message is a fault of the client, not an INTERNAL
error of the server, and answers are made of stored bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from scheduling_srv.app import deadline
from scheduling_srv.app.access.call import check_command, shown
from scheduling_srv.app.destructive import called_by, note_deleted
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.ignored_triggers import IgnoredTriggers
from scheduling_srv.app.requests.jobs import ANSWER_TOO_LARGE, ReadResult
from scheduling_srv.domain.errors import TooLarge
from scheduling_srv.domain.job import JobRequest, ReadQuery, StoredJob
from scheduling_srv.entrances.addresses import refused
from scheduling_srv.entrances.grpc_bounds import BoundedServer
from scheduling_srv.entrances.grpc_connections import GrpcConnections
from scheduling_srv.entrances.grpc_errors import (
    Context,
    StatusOf,
    guarded,
    status_of,
    status_with_reason,
)
from scheduling_srv.entrances.grpc_gate import Gate
from scheduling_srv.entrances.grpc_health import HEALTH_SERVICE, HealthService
from scheduling_srv.entrances.grpc_pauses import PausesPort
from scheduling_srv.entrances.grpc_reflection import Descriptors
from scheduling_srv.entrances.grpc_runs import RunControlPort
from scheduling_srv.entrances.grpc_v1 import DefinitionsPort, v1_methods
from scheduling_srv.entrances.memory_budget import (
    JOB_BYTES,
    Bounded,
    Limits,
    MemoryBudget,
    Reservation,
    bounded,
)
from scheduling_srv.entrances.receive_slots import ReceiveSlots
from scheduling_srv.entrances.tls import Certificates
from scheduling_srv.formats import messages
from scheduling_srv.formats.selection import Selection
from scheduling_srv.formats.trace import trace_from_headers

SETTING = "SCHEDULING_GRPC_ADDRESS"
MAX_REQUEST_BYTES = 32 * 2**20
"""A larger request is RESOURCE_EXHAUSTED."""
WARNING = "scheduling-warning"
"""The key of a sentence in the trailing metadata of a call that was answered."""
CLIENT_PING_MS = 5_000
"""How often a client may ping at most."""
MAX_CONNECTIONS = 2_000
"""gRPC closes a further one at once."""
HANDSHAKE_MS = 5_000
"""How long a connection may take until it speaks HTTP/2. A silent one counts as well."""
SERVER_PING_MS, PING_TIMEOUT_MS = 60_000, 20_000

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # `decompression` does that, within the memory budget.
    ("grpc.per_message_decompression", 0),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.enable_channelz", 1),  # it counts them
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    # A call that waits for its slot holds at most 64 kB. With the probe on, fast clients could send
    # megabytes ahead. gRPC opens the window for the whole message once the service reads it.
    ("grpc.http2.bdp_probe", 0),
    # Clients that watch, or keep an idle connection, ping it. gRPC's default allows that every five
    # minutes, and closes the connection of a client that pings three times within.
    ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_PING_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # The service pings as well: a connection whose other end is gone is closed.
    ("grpc.keepalive_time_ms", SERVER_PING_MS),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    # Two processes that share a port by accident would each get half of the calls.
    ("grpc.so_reuseport", 0),
]
_EMPTY = b""
"""A google.protobuf.Empty."""


class JobsPort(Protocol):
    """The use cases of `app.requests.jobs.Jobs`."""

    async def create(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create all or none."""

    async def update(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Replace all or none."""

    async def upsert(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create or replace, all or none."""

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete the jobs that exist."""

    async def delete_all(self) -> None:
        """Delete every job."""

    async def read(self, query: ReadQuery) -> ReadResult:
        """Jobs in order of creation."""


class CommandsPort(Protocol):
    """The use cases of `app.commands.Commands`."""

    async def run(self, name: str, payload: bytes | None) -> bytes:
        """Run a command; returns its JSON."""


class Write(Protocol):
    """One of `JobsPort.create`, `update` and `upsert`."""

    async def __call__(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Write all or none."""


class GrpcServer:
    """A server on `address` (`host:port`; port 0: any). Health also knows the names `services`.

    A list of more than `max_items` jobs, or with a job of more than `max_job_bytes`, is refused
    before it is decoded. `call_memory` is the memory budget of all calls, in bytes; an answer may
    have half of it. Without `gate` all callers may call all methods.
    """

    def __init__(
        self,
        address: str,
        *,
        jobs: JobsPort,
        definitions: DefinitionsPort,
        pauses: PausesPort,
        run_control: RunControlPort,
        commands: CommandsPort,
        health: Health,
        services: Iterable[str] = (),
        max_items: int,
        max_job_bytes: int,
        call_memory: int,
        gate: Gate | None = None,
        certificates: Certificates | None = None,
        reflection: bool = True,
    ) -> None:
        self._address = address
        self._certificates = certificates
        limits = Limits(max_items, max_job_bytes)
        of_2018 = {
            messages.JOB_SERVICE: _job_methods(jobs, limits),
            messages.COMMAND_SERVICE: {"Command": _command(commands)},
        }
        of_v1 = v1_methods(definitions, pauses, run_control, limits)
        names = [*of_2018, *of_v1, HEALTH_SERVICE]
        names += [SERVICE_NAME] if reflection else []
        self._health = HealthService(health, [*names, *services])
        self._server = grpc.aio.server(options=_OPTIONS, interceptors=[gate] if gate else None)
        self.connections = GrpcConnections(MAX_CONNECTIONS)
        received = gate.received if gate and gate.counts_bytes else None
        taking_in = TakingIn(MemoryBudget(call_memory), ReceiveSlots(), received)
        self._server.add_generic_rpc_handlers(
            [
                _handlers(name, methods, taking_in, told)
                for kind, told in ((of_2018, status_of), (of_v1, status_with_reason))
                for name, methods in kind.items()
            ]
        )
        standard: Any = BoundedServer(self._server)
        add_HealthServicer_to_server(self._health, standard)
        if reflection:
            add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
                aio.ReflectionServicer(names, Descriptors(descriptor_pool.Default())), standard
            )

    async def start(self) -> int:
        """Listen; returns the port. Raises `StartError` if the address cannot be had."""
        try:
            port = self._add_port()
        except RuntimeError as error:
            raise refused(self._address, SETTING) from error
        await self._server.start()
        return port

    def _add_port(self) -> int:
        if self._certificates is None:
            return self._server.add_insecure_port(self._address)
        credentials = self._certificates.grpc_credentials()
        return self._server.add_secure_port(self._address, credentials)

    async def stop(self, grace: float) -> None:
        """Take no more calls and finish those under way, for at most `grace` seconds."""
        self._health.close()
        await self._server.stop(grace)


class TakingIn(NamedTuple):
    """What bounds and counts the bytes of requests."""

    budget: MemoryBudget
    slots: ReceiveSlots
    received: Callable[[int], None] | None


def _handlers(
    service: str,
    methods: Mapping[str, Bounded],
    taking_in: TakingIn,
    told: StatusOf,
) -> grpc.GenericRpcHandler:
    """To gRPC these methods receive a stream, so that the service decides when to read."""
    budget, slots, received = taking_in
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.stream_unary_rpc_method_handler(
            guarded(name, bounded(budget, slots, MAX_REQUEST_BYTES, method, received), told)
        )
        for name, method in methods.items()
    }
    return grpc.method_handlers_generic_handler(service, handlers)


def _job_methods(jobs: JobsPort, limits: Limits) -> Mapping[str, Bounded]:
    ignored = IgnoredTriggers("grpc")
    return {
        "Create": _write(jobs.create, limits, ignored),
        "Read": _read(jobs, limits),
        "Update": _write(jobs.update, limits, ignored),
        "Upsert": _write(jobs.upsert, limits, ignored),
        "Delete": _delete(jobs, limits),
    }


def _write(write: Write, limits: Limits, ignored: IgnoredTriggers) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        trace = trace_from_headers(context.invocation_metadata() or ())
        requests = await messages.read_job_list(raw, trace, limits.items, limits.job_bytes)
        memory.reserve(JOB_BYTES * len(requests))
        with deadline.within(context.time_remaining()):
            stored = await write(requests)
        if warning := ignored.note(requests, context.peer):
            context.set_trailing_metadata(((WARNING, warning),))
        items = await messages.write_items(stored, None)
        return await messages.join((items, messages.encode_total(len(stored))))

    return call


def _read(jobs: JobsPort, limits: Limits) -> Bounded:
    async def call(raw: bytes, context: Context, memory: Reservation) -> bytes:
        query, fields = messages.decode_read(raw, limits.items)
        with deadline.within(context.time_remaining()):
            total, pages = await jobs.read(query)
            async with aclosing(pages):
                pieces = await _pieces(pages, fields, memory)
        return await messages.join((*pieces, messages.encode_total(total)))

    return call


def _delete(jobs: JobsPort, limits: Limits) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        ids, everything = messages.decode_delete(raw, limits.items)
        with deadline.within(context.time_remaining()), called_by(shown(context.peer())):
            if ids and not everything:
                note_deleted(len(ids))  # first: it may be done although the answer is an error
            await (jobs.delete_all() if everything else jobs.delete(ids))
        return _EMPTY

    return call


def _command(commands: CommandsPort) -> Bounded:
    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        name, payload = messages.decode_command(raw)
        check_command(name)
        with deadline.within(context.time_remaining()), called_by(shown(context.peer())):
            return messages.encode_result(await commands.run(name, payload))

    return call


async def _pieces(
    pages: AsyncGenerator[Sequence[StoredJob]], fields: Selection | None, memory: Reservation
) -> Sequence[bytes]:
    """The answer page by page: each page of the store is released once it is encoded."""
    pieces, size = list[bytes](), 0
    async for page in pages:
        piece = await messages.write_items(page, fields)
        size += len(piece)
        if size > memory.budget.largest_answer:
            raise TooLarge(ANSWER_TOO_LARGE)
        memory.reserve(len(piece))
        pieces.append(piece)
        await asyncio.sleep(0)
    return pieces
