"""How a client shows who it is, and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import grpc

OPEN_WAY = "Without TLS anybody on the way to {server} could read the token."


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials of calls. Any of the certificates implies TLS; all are in PEM."""

    token: str = field(default="", repr=False)
    """A bearer token: one of the service's token file, or a JWT."""
    tls: bool = False
    ca: bytes | None = None
    """Certificates of the authority that the service's certificate comes from; None: the usual."""
    cert: bytes | None = None
    """This client's own certificate."""
    key: bytes | None = field(default=None, repr=False)

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.tls or bool(self.ca or self.cert)

    def check(self, server: str) -> None:
        """Raises `ValueError` if anybody on the way to `server` could read the token."""
        if self.token and not self.secure and not _is_local(server.rpartition(":")[0].strip("[]")):
            raise ValueError(OPEN_WAY.format(server=server))

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel with TLS."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.cert)

    @property
    def headers(self) -> tuple[tuple[str, str | bytes], ...]:
        """Metadata of each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
