"""A PostgreSQL with an empty database, for the contenders that need one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench.contenders.install import NotInstalled
from tests.harness.ports import free_port
from tests.harness.reaper import reaper
from tests.harness.waiting import eventually

DEBIAN = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # The manual's advice for a dedicated server. A commit still waits for the disk.
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
}


class Server(NamedTuple):
    """One that runs."""

    pid: int
    url: str


def _programs() -> Path:
    found = shutil.which("initdb")
    newest = sorted(DEBIAN.glob("*/bin/initdb"))[-1:]
    if not found and not newest:
        raise NotInstalled("PostgreSQL is not here: there is no initdb")
    return (Path(found).resolve() if found else newest[0]).parent


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: options of `subprocess` for another user."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            known = pwd.getpwnam(name)
            return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    raise NotInstalled("PostgreSQL refuses to run as root, and there is no other user")


@contextmanager
def server() -> Iterator[Server]:
    """A new one, deleted afterwards. Raises `NotInstalled`."""
    programs, user = _programs(), _unprivileged()
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as place:
        if user:
            os.chown(place, user["user"], user["group"])
        data = f"{place}/data"
        make = [str(programs / "initdb"), "--no-sync", "--auth=trust", "--username=bench", data]
        subprocess.run(make, cwd=place, capture_output=True, check=True, **user)
        port = free_port()
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, "port": port}.items()]
        process = subprocess.Popen(
            [str(programs / "postgres"), "-D", data, *options],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **user,
        )
        reaper.born(process.pid)
        try:
            ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            eventually(
                lambda: subprocess.run(ready, check=False).returncode == 0, what="PostgreSQL"
            )
            yield Server(process.pid, f"postgresql://bench@127.0.0.1:{port}/postgres")
        finally:
            process.terminate()  # disconnects its clients after their transactions
            process.wait(60)
            reaper.buried(process.pid)
