"""How replicas are started, ended and watched, tried on a stand-in."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.grpc_client import Client, Refusal
from tests.harness.fixtures import StartService
from tests.harness.given import Store
from tests.harness.process import Process
from tests.harness.reaper import PROGRAM, beginning
from tests.harness.service import Service
from tests.harness.waiting import PATIENCE_SECONDS, eventually

FAKE = (sys.executable, str(Path(__file__).with_name("fake_service.py")))


@pytest.fixture
def fake(service: StartService, kafka: object, valkey: Store) -> Service:
    return service(start=False, command=FAKE)


def test_start_returns_when_it_serves(fake: Service) -> None:
    fake.start()
    with Client(fake.address) as client:
        assert client.health() == "SERVING"
    fake.stop()
    assert not fake.process.alive


def test_a_refusal_carries_its_code(fake: Service) -> None:
    fake.start()
    with Client(fake.address) as client, pytest.raises(Refusal, match="NOT_FOUND"):
        client.health("nope")


def test_it_starts_again_at_the_same_address_after_sigkill(fake: Service) -> None:
    fake.start()
    with Client(fake.address) as client:
        fake.kill()
        assert not fake.is_serving()
        fake.start()
        assert client.health() == "SERVING"


def test_a_paused_replica_does_not_serve(fake: Service) -> None:
    fake.start()
    fake.pause()
    assert not fake.is_serving()
    fake.resume()
    fake.wait_until_serving()


def test_an_early_death_is_told_with_its_log(fake: Service) -> None:
    fake.settings["SCHEDULING_FAKE_START"] = "fail"
    with pytest.raises(RuntimeError, match="ended with 2(?s:.*)cannot start: the fake was told so"):
        fake.start()
    assert fake.exit_code() == 2


def test_not_serving_is_not_ready(fake: Service) -> None:
    fake.settings["SCHEDULING_FAKE_HEALTH"] = "NOT_SERVING"
    fake.launch()
    eventually(lambda: "fake service up" in fake.log.read_text(), what="its first words")
    with pytest.raises(TimeoutError, match="replica-1 ready(?s:.*)fake service up"):
        fake.wait_until_serving(timeout=0.5)


def test_another_exit_code_than_zero_is_found(fake: Service) -> None:
    fake.settings["SCHEDULING_FAKE_EXIT"] = "3"
    fake.start()
    with pytest.raises(AssertionError, match="exit code 3 after SIGTERM"):
        fake.stop()


def test_servers_do_not_outlive_a_killed_test_run(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, signal\n"
        "from tests.harness.process import Process\n"
        "server = Process('server', pathlib.Path(sys.argv[1]))\n"
        "server.spawn([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(server.pid, flush=True)\n"
        "signal.pause()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout is not None
    with run.stdout:
        pid = int(run.stdout.readline())
    os.kill(pid, 0)
    run.send_signal(signal.SIGKILL)
    run.wait()
    eventually(lambda: not _exists(pid), what=f"end of process {pid}")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("is_the_same", [True, False])
def test_a_process_with_the_number_of_a_server_that_has_ended_lives(is_the_same: bool) -> None:
    """The run of other tests lost its Kafka to the end of this one."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        begun = beginning(process.pid) if is_the_same else "1"
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=f"+ {process.pid} {begun}\n",
            text=True,
            check=True,
        )
        if is_the_same:
            assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert process.poll() == (-signal.SIGKILL if is_the_same else None)
        process.kill()


def test_what_does_not_end_is_killed_and_reported(tmp_path: Path) -> None:
    process = Process("deaf", tmp_path / "log")
    deaf = (
        "import signal; from scheduling_srv.runtime import last_resort\n"
        "last_resort.report(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "def keeps_on(): print('deaf', flush=True); signal.pause()\n"
        "keeps_on()"
    )
    process.spawn([sys.executable, "-c", deaf])
    eventually(lambda: "deaf" in process.log.read_text(), what="its first words")
    process.terminate()
    with pytest.raises(TimeoutError, match=r"(?s)deaf did not end within 0.2 s.*in keeps_on"):
        process.wait(0.2)
    assert not process.alive


def _exists(pid: int) -> bool:
    # An orphan may stay as a zombie where nobody reaps; it is dead all the same.
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")
