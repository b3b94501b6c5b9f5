"""Free loopback ports that stay free until their server binds them."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below the range from which the kernel takes ports for outgoing connections (32768 up on Linux,
# 49152 up elsewhere), so that no client takes a port between its choice and its use.
FIRST, LAST = 20_000, 32_000

_locks: list[int] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other test process will be given."""
    candidates = random.sample(range(FIRST, LAST), 1000)
    for port in candidates:
        if _lock(port) and _bindable(port):
            return port
    raise RuntimeError(f"no free port among a thousand between {FIRST} and {LAST}")


def _lock(port: int) -> bool:
    """Reserves the port among test processes; the lock lives as long as this process."""
    directory = Path(tempfile.gettempdir()) / f"scheduling-srv-ports-{os.getuid()}"
    directory.mkdir(exist_ok=True)
    handle = os.open(directory / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _locks.append(handle)
    return True


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
