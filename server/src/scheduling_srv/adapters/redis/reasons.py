"""Why Redis does not answer, in words of an operator; redis-py's own text as a last resort."""

from __future__ import annotations

import re

_CHOICES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (
            r"connection refused|connect call failed",
            "refuses the connection: no server listens there",
        ),
        (
            r"name or service not known|nodename nor servname|name resolution",
            "has a host name that cannot be resolved",
        ),
        (
            r"certificate.verify.failed: certificate has expired",
            "shows a certificate that has expired",
        ),
        (
            r"alert.certificate.expired",
            "refuses this client's certificate: it has expired (ssl_certfile)",
        ),
        (
            r"certificate.verify.failed|hostname mismatch",
            "shows a certificate that cannot be verified: check ssl_ca_certs and the host name",
        ),
        (
            r"certificate.required|alert.bad.certificate|alert.unknown.ca|alert.decrypt.error",
            "refuses this client's certificate: check ssl_certfile",
        ),
        (
            r"wrong.version.number|record layer|unexpected.eof",
            "does not speak TLS, which rediss:// asks for",
        ),
        (r"protocol error, got .{0,3}x15", "expects TLS (rediss://)"),
        (r"no route to host|network is unreachable|host is down", "cannot be reached: no route"),
    )
)
TIMED_OUT = re.compile(r"timed out|timeout", re.IGNORECASE)
CLOSED = re.compile(r"closed|reset by peer|broken pipe|eof|^error connecting", re.IGNORECASE)


def in_words(text: str, address: str, *, tls: bool, connecting: bool) -> str:
    """The text of redis-py or of the network about a missing answer, as a sentence.

    `connecting`: no answer has ever come over this connection.
    """
    for pattern, reason in _CHOICES:
        if pattern.search(text):
            return f"{address} {reason}."
    if TIMED_OUT.search(text):
        doubt = ", perhaps because it does not speak TLS (rediss://)" if tls and connecting else ""
        return f"{address} does not answer in time{doubt}."
    if CLOSED.search(text):
        if connecting and not tls:
            return f"{address} closes the connection at once: it may expect TLS (rediss://)."
        if connecting:
            return f"{address} closes the connection at once: perhaps it does not speak TLS."
        return f"{address} has closed the connection."
    return f"{address}: {text}"
