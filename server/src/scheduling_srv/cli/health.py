"""`scheduling-srv health`: ask the replica on this host whether it is alive or ready."""

from __future__ import annotations

import ssl
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances.addresses import parse_address
from scheduling_srv.entrances.admin import OFF
from scheduling_srv.settings.model import Settings

ANSWER_SECONDS = 5.0
OK, UNAUTHORIZED = 200, 401
ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - a replica that listens there also answers on loopback


def health(settings: Settings, *, live: bool) -> int:
    """Returns 0 if it is, else 1. Raises `StartError` if there is no port to ask."""
    if settings.admin_address == OFF:
        raise StartError("SCHEDULING_ADMIN_ADDRESS is off: there is no port to ask.")
    page = "/livez" if live else "/readyz"
    try:
        status, text = _ask(settings, page)
    except (OSError, HTTPException) as fault:
        sys.stdout.write(f"No replica answers at {settings.admin_address}: {fault}.\n")
        return 1
    if status == UNAUTHORIZED and live:
        text = "ok: it asks for credentials\n"
    sys.stdout.write(text)
    return 0 if status == OK or (live and status == UNAUTHORIZED) else 1


def _ask(settings: Settings, page: str) -> tuple[int, str]:
    host, port = parse_address(settings.admin_address)
    host = "localhost" if host in ANY_HOST else host
    with closing(_connection(host, port, tls=settings.tls_certificate is not None)) as connection:
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def _connection(host: str, port: int, *, tls: bool) -> HTTPConnection:
    """The certificate is not verified: it names other hosts than this one."""
    if not tls:
        return HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)
