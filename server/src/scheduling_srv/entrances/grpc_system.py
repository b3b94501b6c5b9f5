"""SystemService of scheduling.v1, from bytes to bytes (docs/reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduling_srv.app import deadline
from scheduling_srv.domain.finding import Finding
from scheduling_srv.domain.system import System
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.memory_budget import Bounded, Reservation
from scheduling_srv.formats.v1 import system as formats


class SystemPort(Protocol):
    """The use cases of `app.health.system.SystemCalls`."""

    def system(self) -> System:
        """How the service is set up."""

    async def diagnose(self) -> Sequence[Finding]:
        """All findings, the worst first."""


def system_methods(system: SystemPort) -> Mapping[str, Bounded]:
    """Method of the SystemService -> its code."""

    async def get_system(raw: bytes, _context: Context, _memory: Reservation) -> bytes:
        formats.decode_system(raw)
        return formats.encode_system(system.system())

    async def diagnose(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        formats.decode_diagnose(raw)
        with deadline.within(context.time_remaining()):
            return formats.encode_findings(await system.diagnose())

    return {"GetSystem": get_system, "Diagnose": diagnose}
