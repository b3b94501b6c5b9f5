"""A real PostgreSQL of Debian on loopback."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import PATIENCE_SECONDS

USER = "postgres"


def binaries() -> Path | None:
    """Where the newest one is, if any is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


class PostgresServer:
    """Its directory is readable for the user that it runs as: it refuses to run as root."""

    def __init__(self, log: Path) -> None:
        found = binaries()
        assert found is not None, "apt-get install postgresql"
        self._binaries = found
        self._directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as_user = []
        if os.getuid() == 0:
            shutil.chown(self._directory, USER, USER)
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        self.port = free_port()
        self.process = Process("postgres", log)

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Returns when it answers."""
        data = str(self._directory / "data")
        command = [*self._as_user, str(self._binaries / "initdb"), "-D", data, "-U", USER]
        subprocess.run([*command, "--auth=trust"], check=True, capture_output=True, cwd="/")
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._directory)]
        options += ["-c", "fsync=off"]  # the machine does not crash, and nothing is kept
        self.process.spawn(
            [*self._as_user, self._binaries / "postgres", "-D", data, *options], cwd=Path("/")
        )
        self.process.until_ready(self._answers, timeout=PATIENCE_SECONDS)

    def stop(self) -> None:
        """At once: nothing is kept."""
        self.process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _answers(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
