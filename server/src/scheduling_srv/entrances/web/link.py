"""A link that signs in once: for the person who can read the file that it is in."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from scheduling_srv.domain.errors import StartError

SETTING = "SCHEDULING_PAGES_LINK"


class Link:
    """The file always holds a link that has not been used."""

    def __init__(self, path: Path, base: str) -> None:
        """`base` is the address of the pages, such as `http://127.0.0.1:8080`.

        Raises `StartError` if the file cannot be written.
        """
        self._path = path
        self._base = base
        self._code = ""
        self._renew()

    def take(self, code: str) -> bool:
        """Whether the code is that of the link, which is then used up."""
        if not hmac.compare_digest(code.encode(), self._code.encode()):
            return False
        self._renew()
        return True

    def _renew(self) -> None:
        self._code = secrets.token_urlsafe(24)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            beside.touch(0o600, exist_ok=False)
            beside.write_text(f"{self._base}/sign-in?link={self._code}\n")
            beside.replace(self._path)
        except OSError as fault:
            raise StartError(f"Cannot write {self._path} ({SETTING}): {fault.strerror}.") from fault
