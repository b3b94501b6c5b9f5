"""A forked replica is a process like any other."""

import signal
from pathlib import Path

import pytest

from tests.harness.fork_server import ForkServer, shared
from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import eventually


def fork(folder: Path, **settings: str) -> Process:
    process = Process("replica", folder / "replica.log")
    environment = {f"SCHEDULING_{name.upper()}": text for name, text in settings.items()}
    process.adopt(shared().fork(environment, process.log))
    return process


def test_its_exit_code_and_its_words_are_known(tmp_path: Path) -> None:
    process = fork(tmp_path, lease="soon")
    assert process.wait() == 2
    assert process.log.read_text().startswith("scheduling-srv: SCHEDULING_LEASE: 'soon'")


def test_it_can_be_killed(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    process = fork(tmp_path, kafka_bootstrap_servers=nobody, grpc_address="127.0.0.1:0")
    eventually(lambda: "listening" in process.log.read_text(), what="its first words")
    assert process.alive
    process.kill()
    assert process.exit_code == -signal.SIGKILL


def test_a_fault_is_a_traceback_and_an_exit_code(tmp_path: Path) -> None:
    server = ForkServer("tests.harness.broken_main")
    process = Process("broken", tmp_path / "log")
    process.adopt(server.fork({}, process.log))
    assert process.wait() == 1
    assert "ZeroDivisionError: as it is told" in process.log.read_text()
    server.close()


def test_a_server_that_has_ended_says_so(tmp_path: Path) -> None:
    server = ForkServer("tests.harness.no_such_module")
    with pytest.raises((RuntimeError, BrokenPipeError)):
        server.fork({}, tmp_path / "log")
    server.close()
