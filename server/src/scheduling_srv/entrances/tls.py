"""Certificates of the ports: read at the start, and again when their files change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import structlog

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime.states import Kind, State

LOOK_SECONDS = 2.0
"""Seconds between looks at the files."""

log = structlog.get_logger(__name__)


class Pem(NamedTuple):
    """The contents of the files."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """The certificate of the service, its key, and the authority of its clients if they need one.

    Connections that are open keep the certificate that they began with.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """PEM files; `certificate` holds the chain. Raises `StartError`."""
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self.current = self._contents()
        self._context = self._checked(self.current)
        """Of the same content."""
        self.on_change: list[Callable[[], None]] = []
        """Called after the files were read again."""
        self._given: Pem | None = None
        self._state = State(
            "certificates cannot be used", "certificates are used", kind=Kind.CHANGE
        )

    @property
    def asks_clients(self) -> bool:
        """Whether each client of gRPC needs a certificate."""
        return self._client_ca is not None

    async def run(self) -> None:
        """Look at the files until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Read the files. Files that do not fit together, as in the middle of a change, wait."""
        try:
            found = await asyncio.to_thread(self._contents)
            changed = found != self.current
            context = await asyncio.to_thread(self._checked, found) if changed else self._context
        except StartError as fault:
            self._state.fails(str(fault))
            return
        self._state.works()
        if changed:
            self.current, self._context = found, context
            log.info("certificates were read again", certificate=str(self._certificate))
            for tell in self.on_change:
                tell()

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """The credentials of a gRPC port. gRPC asks for a change at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self.current),
            self._changed,  # type: ignore[arg-type]  # None: it is as it was
            require_client_authentication=self.asks_clients,
        )

    def context(self) -> ssl.SSLContext:
        """TLS for HTTP, of `current`: the files may be in the middle of a change."""
        return self._context

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called in a thread of gRPC. None: as it was."""
        now = self.current
        if now is self._given:
            return None
        self._given = now
        return _configuration(now)

    def _contents(self) -> Pem:
        """Raises `StartError` that names the file and the fault."""
        return Pem(
            _bytes(self._certificate, "CERTIFICATE"),
            _bytes(self._key, "KEY"),
            _bytes(self._client_ca, "CLIENT_CA") if self._client_ca else None,
        )

    def _checked(self, found: Pem) -> ssl.SSLContext:
        """The context of this content. OpenSSL reads keys from files only, so they are read again.

        Raises `StartError` if they do not fit together, or have changed meanwhile.
        """
        context: ssl.SSLContext | None = None
        fault: Exception | None = None
        try:
            context = self._build()
        except (ssl.SSLError, OSError) as error:
            fault = error
        if self._contents() != found:
            raise StartError(f"{self._certificate} and the files that belong to it are changing.")
        if context is None:
            raise StartError(_unfit(self._certificate, self._key, self._client_ca)) from fault
        return context

    def _build(self) -> ssl.SSLContext:
        """Clients may show a certificate: some pages are open to all."""
        context = _context(self._certificate, self._key)
        if self._client_ca:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def certificate_names(shown: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names in the answer of `getpeercert`: alternative names, then the common name."""
    about = shown or {}
    alternative = about.get("subjectAltName", ())
    names = [value for kind, value in alternative if kind in ("DNS", "URI")]
    subject = (pair for part in about.get("subject", ()) for pair in part)
    return (*names, *(value for kind, value in subject if kind == "commonName"))


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pem.key, pem.certificate)], root_certificates=pem.client_ca
    )


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=_no_password)
    return context


def _no_password() -> str:
    """Else OpenSSL would ask the terminal."""
    raise ssl.SSLError("the key has a password")


def _bytes(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        reason = fault.strerror
        raise StartError(f"Cannot read {path} (SCHEDULING_TLS_{setting}): {reason}.") from fault


def _unfit(certificate: Path, key: Path, client_ca: Path | None) -> str:
    """Which of the files is at fault, as a sentence."""
    try:
        _context(certificate, key)
    except (ssl.SSLError, OSError) as fault:
        if "KEY_VALUES_MISMATCH" in str(fault):
            return f"The key {key} (SCHEDULING_TLS_KEY) does not belong to {certificate}."
        if "password" in str(fault):
            return f"The key {key} (SCHEDULING_TLS_KEY) has a password: give one without."
        return f"{certificate} and {key} (SCHEDULING_TLS_CERTIFICATE, _KEY) are not PEM files."
    return f"{client_ca} (SCHEDULING_TLS_CLIENT_CA) holds no certificate in PEM."
