"""A name for this member of its group that it has again after a crash.

The group then gives its partitions back at once. A member without such a name has to be missed for
the session time-out first. No two processes may have a name at the same time: each holds a lock on
a file. The file's place on its disk is part of the name, so that containers which share a host's
name do not share this one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
from itertools import count
from pathlib import Path
from typing import Self


class Identity:
    """The lowest number that no living process on this machine has in this group."""

    def __init__(self, name: str, handle: int) -> None:
        self.name = name
        self._handle = handle

    @classmethod
    def claim(cls, group: str) -> Self:
        """Held until `release`, or the end of the process."""
        folder = Path(tempfile.gettempdir()) / f"scheduling-workers-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        stem = hashlib.sha256(group.encode()).hexdigest()[:16]
        for number in count():
            handle = os.open(folder / f"{stem}.{number}", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            place = os.fstat(handle)
            mark = hashlib.sha256(f"{place.st_dev}:{place.st_ino}".encode()).hexdigest()[:8]
            return cls(f"{socket.gethostname()}-{mark}-{number}", handle)
        raise AssertionError

    def release(self) -> None:
        """Another process may have the name."""
        os.close(self._handle)
