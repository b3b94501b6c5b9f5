"""`serve --embedded` ends with a sentence when its Valkey has ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness.waiting import PATIENCE_SECONDS, eventually


def test_an_embedded_valkey_that_dies_ends_the_service(tmp_path: Path) -> None:
    """Before, the service stayed NOT_SERVING and named a random port."""
    environment = {
        **os.environ,
        "SCHEDULING_GRPC_ADDRESS": "127.0.0.1:0",
        "SCHEDULING_ADMIN_ADDRESS": "off",
        "SCHEDULING_EMBEDDED_KAFKA_PORT": "0",
        "SCHEDULING_LOG_FORMAT": "json",
    }
    log = tmp_path / "log"
    command = [sys.executable, "-m", "scheduling_srv", "serve", "--embedded"]
    with log.open("w") as output:
        service = subprocess.Popen(
            [*command, "--data-dir", str(tmp_path / "data")], env=environment, stderr=output
        )
    try:
        eventually(lambda: '"serving"' in log.read_text(), what="serving")
        (valkey,) = _children(service.pid)
        os.kill(valkey, signal.SIGKILL)
        assert service.wait(PATIENCE_SECONDS) == 2
    finally:
        service.kill()
        service.wait()
    last = log.read_text().splitlines()[-1]
    assert "The embedded Valkey has ended with exit code -9." in last
    assert "valkey.log" in last


def _children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in listed]
