"""The channel to the service: with TLS, a client certificate and a token, as the options say."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import grpc

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Options

LARGEST_ANSWER_BYTES = 40 << 20
"""The service answers with no more (docs/contract.md)."""
_LIMITS = [("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES)]


def open_channel(options: Options) -> grpc.Channel:
    """Open a channel to the service. Raises `CommandError` for a file that cannot be read."""
    if not options.tls:
        _check_way(options)
        return grpc.insecure_channel(options.server, options=_LIMITS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(options.ca, "certificate of the authority"),
        private_key=_read(options.key, "key"),
        certificate_chain=_read(options.cert, "certificate"),
    )
    return grpc.secure_channel(options.server, credentials, options=_LIMITS)


def metadata(options: Options) -> tuple[tuple[str, str | bytes], ...]:
    """The headers of each call."""
    return (("authorization", f"Bearer {options.token}"),) if options.token else ()


def _check_way(options: Options) -> None:
    """Raise `CommandError` if anybody on the way to the service could read the token."""
    host = options.server.rpartition(":")[0].strip("[]")
    if options.token and not _is_local(host):
        raise wrong(
            f"Without TLS anybody on the way to {options.server} could read the token: say --tls."
        )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: str, what: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise wrong(f"The {what} {path} cannot be read: {error.strerror}.") from None
