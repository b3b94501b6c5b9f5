"""The doors of a replica, put together from the settings (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from scheduling_srv.adapters.audit_file import AuditFile, to_log
from scheduling_srv.adapters.credentials.credentials import AllCredentials
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.door import Door
from scheduling_srv.app.access.quotas import Quotas
from scheduling_srv.app.supervision import Part
from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances import admin, grpc_server
from scheduling_srv.entrances.addresses import check_loopback
from scheduling_srv.entrances.grpc_gate import Gate
from scheduling_srv.entrances.tls import Certificates
from scheduling_srv.settings.model import Settings

AUDIT_TO_LOG = "log"
PAGES_SETTING = "SCHEDULING_PAGES_ADDRESS"
NEEDS_EXTRA = (
    'SCHEDULING_JWT_KEYS needs more packages. Install them with pip install "scheduling-srv[jwt]".'
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Doors:
    """What stands before the ports. None: it is not used."""

    gate: Gate | None = None
    door: Door | None = None
    certificates: Certificates | None = None
    credentials: AllCredentials | None = None
    quotas: Quotas | None = None
    audit: AuditLog | None = None
    parts: Sequence[tuple[str, Part]] = ()
    """Loops that look at files or write sums, with their names."""


def build(settings: Settings) -> Doors:
    """The doors. Raises `StartError` for a file that cannot be used."""
    certificates = _certificates(settings)
    credentials = _credentials(settings) if settings.has_credentials else None
    door = None
    if credentials:
        door = Door(credentials, open_health=settings.open_health)
        credentials.on_change.append(door.forget)
    parts = [("credentials", credentials.run)] if credentials else []
    parts += [("certificates", certificates.run)] if certificates else []
    audit, quotas = _audit(settings), _quotas(settings)
    parts += [("audit log", audit.run)] if audit else []
    gate = _gate(door, quotas, audit)
    return Doors(gate, door, certificates, credentials, quotas, audit, parts)


def check_ports(settings: Settings) -> None:
    """Raise `StartError` for a port that other hosts reach unprotected, or log it if allowed."""
    for fault in _unprotected(settings):
        if not settings.insecure:
            raise fault
        log.warning("a port is open to other hosts", reason=str(fault).partition(" Listen")[0])


def _unprotected(settings: Settings) -> Iterator[StartError]:
    needed = {"TLS": settings.tls_certificate, "credentials": settings.has_credentials}
    lacks = " and ".join(name for name, given in needed.items() if not given)
    ports = {
        grpc_server.SETTING: settings.grpc_address,
        admin.SETTING: settings.admin_address,
    }
    if settings.pages_address:
        ports[PAGES_SETTING] = settings.pages_address
    for setting, address in ports.items():
        if lacks and address != admin.OFF:
            try:
                check_loopback(address, setting, lacks)
            except StartError as fault:
                yield fault


def _certificates(settings: Settings) -> Certificates | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificates(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def _credentials(settings: Settings) -> AllCredentials:
    keys = settings.jwt_keys
    if keys is None:
        return AllCredentials(settings.callers, None)
    try:  # an extra, and 30 ms that other starts need not wait for
        from scheduling_srv.adapters.credentials.jwks import JwksAddress, JwksFile  # noqa: PLC0415
        from scheduling_srv.adapters.credentials.jwts import JwtVerifier  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise StartError(NEEDS_EXTRA) from missing
    source = JwksAddress(keys) if "://" in keys else JwksFile(Path(keys))
    verifier = JwtVerifier(
        source,
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience or "",
        role_claim=settings.jwt_role_claim,
    )
    return AllCredentials(settings.callers, verifier)


def _audit(settings: Settings) -> AuditLog | None:
    place = settings.audit_log
    if not place:
        return None
    return AuditLog(to_log if place == AUDIT_TO_LOG else AuditFile(Path(place)))


def _quotas(settings: Settings) -> Quotas | None:
    if settings.quota_calls or settings.quota_bytes:
        return Quotas(calls=settings.quota_calls, bytes_=settings.quota_bytes)
    return None


def _gate(door: Door | None, quotas: Quotas | None, audit: AuditLog | None) -> Gate | None:
    """None if it would have nothing to do."""
    if not (door or quotas or audit):
        return None
    return Gate(door=door, quotas=quotas, audit=audit)
