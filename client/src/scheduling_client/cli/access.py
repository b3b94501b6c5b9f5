"""The credentials that the options name."""

from __future__ import annotations

from pathlib import Path

from scheduling_client.api.access import Access
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Options


def access_of(options: Options) -> Access:
    """Token and certificates.

    Raises `CommandError` for a file that cannot be read, or a token that others could read.
    """
    access = Access(
        token=options.token,
        tls=options.tls,
        ca=_read(options.ca, "certificate of the authority"),
        cert=_read(options.cert, "certificate"),
        key=_read(options.key, "key"),
    )
    try:
        access.check(options.server)
    except ValueError as fault:
        raise wrong(f"{str(fault).rstrip('.')}: say --tls.") from None
    return access


def _read(path: str, what: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise wrong(f"The {what} {path} cannot be read: {error.strerror}.") from None
