"""The service without an installation: `uvx` builds both packages and runs the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT
from tests.harness.waiting import eventually

PLACES = ("GRPC_ADDRESS", "ADMIN_ADDRESS")


@pytest.mark.slow
def test_uvx_runs_the_service_with_its_own_servers(tmp_path: Path) -> None:
    uvx, log = Path(sys.executable).parent / "uvx", tmp_path / "log"
    command = ("--from", "./server[embedded]", "--with", "./client", "scheduling-srv", "serve")
    settings = {f"SCHEDULING_{name}": "127.0.0.1:0" for name in PLACES}
    settings |= {"SCHEDULING_EMBEDDED_KAFKA_PORT": "0", "SCHEDULING_LOG_FORMAT": "json"}
    with log.open("wb") as output:
        running = subprocess.Popen(
            [uvx, *command, "--embedded", "--data-dir", tmp_path / "data"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        eventually(
            lambda: '"event": "serving"' in log.read_text() or running.poll() is not None,
            what=lambda: f"the service serves\n{log.read_text()}",
        )
    finally:
        running.terminate()
        code = running.wait(60)
    assert code == 0, log.read_text()
    assert '"event": "serving"' in log.read_text()
