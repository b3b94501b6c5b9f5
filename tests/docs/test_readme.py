"""Everything that the README tells its reader to type is typed here."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from examples.demo.service import Service
from tests.docs.snippets import README, ROOT, Snippet, snippets
from tests.harness.ports import free_port
from tools.settings_table import with_table

GRPC, ADMIN, CHECKOUT = "127.0.0.1:50054", "127.0.0.1:8080", "/path/to/checkout"
ALL = snippets(README)
SHELL = [each for each in ALL if each.language == "sh"]
MAKE = [each for each in SHELL if each.text.startswith("make ")]
SERVING = [each for each in SHELL if "scheduling-srv serve" in each.text]
ENDING = [each for each in SHELL if each not in MAKE and each not in SERVING]
PYTHON = [each for each in ALL if each.language == "python"]
ENDLESS = [each for each in PYTHON if "def main():" in each.text]

# Runs the worker's `main` until a job of the README's type has been answered.
DRIVER = """
import threading
from google.protobuf import empty_pb2
import grpc
from scheduling_srv.wire import job_pb2_grpc

watcher = Consumer({**kafka, "group.id": "test", "auto.offset.reset": "earliest"})
watcher.subscribe([topic])
threading.Thread(target=main, daemon=True).start()
jobs = job_pb2_grpc.ServiceStub(grpc.insecure_channel("127.0.0.1:50054"))
request = job_pb2.JobList()
job = request.items.add(type="send_report", now=True)
job.data.payload.add(value=b"report 7")
answered = False
for _ in range(300):
    if not answered:
        jobs.Create(request, timeout=10)  # a consumer that has no position starts at the end
    message = watcher.poll(0.5)
    if message is not None and message.key() == b"jobDone":
        print("answered", flush=True)
        os._exit(0)
os._exit(1)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The embedded service that the snippets talk to."""
    data = tmp_path_factory.mktemp("readme")
    settings = {
        "SCHEDULING_GRPC_ADDRESS": "127.0.0.1:0",
        "SCHEDULING_ADMIN_ADDRESS": "127.0.0.1:0",
    }
    embedded = Service(data / "data", data / "service.log", settings)
    embedded.wait_until_serving(lambda: False)
    yield embedded
    assert embedded.stop() == 0


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULING_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PATH": path, **(more or {})}


def located(snippet: Snippet, service: Service) -> str:
    """The snippet with the places of this test."""
    text = snippet.text.replace(GRPC, service.addresses.grpc)
    text = text.replace(ADMIN, service.addresses.admin).replace(CHECKOUT, str(ROOT))
    return text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")


def run(
    command: list[str], place: Path, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        command,
        cwd=place,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def named(snippet: Snippet) -> str:
    return snippet.name


def test_every_snippet_has_its_test() -> None:
    assert {each.language for each in ALL} == {"sh", "python"}
    assert sorted(map(named, MAKE + SERVING + ENDING + PYTHON)) == sorted(map(named, ALL))


@pytest.mark.parametrize("snippet", MAKE, ids=named)
def test_make_knows_the_target(snippet: Snippet) -> None:
    """`run` and `demo-check` are run in tests/demo; `test` runs this."""
    assert re.fullmatch(r"make (run|demo-check|test)\n", snippet.text)
    run(["make", "-n", snippet.text.split()[1]], ROOT)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("snippet", ENDING, ids=named)
def test_a_command(snippet: Snippet, service: Service, tmp_path: Path) -> None:
    ended = run(["sh", "-eu", "-c", located(snippet, service)], tmp_path)
    expected = {"curl ": "scheduling_owner 1.0", "bin/buf ": '"greet"', "pip ": "scheduling-srv 0"}
    wanted = [text for word, text in expected.items() if word in snippet.text][-1]
    assert wanted in ended.stdout


@pytest.mark.parametrize("snippet", SERVING, ids=named)
def test_a_service(snippet: Snippet, tmp_path: Path) -> None:
    ports = {
        "SCHEDULING_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "SCHEDULING_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    # Nobody has such servers here, and the service says so and waits.
    wanted = "emitting" if "embedded" in snippet.text else "waiting for a server"
    log = tmp_path / "log"
    with log.open("w") as output:
        text = snippet.text.replace("scheduling-srv serve", "exec scheduling-srv serve")
        process = subprocess.Popen(
            ["sh", "-eu", "-c", text],
            cwd=tmp_path,
            env=environment(ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    deadline = time.monotonic() + 30
    while wanted not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, log.read_text()


@pytest.mark.parametrize("snippet", PYTHON, ids=named)
def test_a_program(snippet: Snippet, service: Service, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    driver = DRIVER.replace(GRPC, service.addresses.grpc) if snippet in ENDLESS else ""
    program.write_text(located(snippet, service) + driver)
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": service.addresses.kafka}
    ended = run([sys.executable, str(program)], tmp_path, kafka)
    wanted = "answered" if driver else "2 jobs"
    assert wanted in ended.stdout, ended.stdout
    if driver:
        assert "sending b'report 7'" in ended.stdout


def test_the_table_of_settings_is_what_the_command_says() -> None:
    text = README.read_text()
    assert with_table(text) == text, "run: make docs"


def test_the_client_runs(service: Service, tmp_path: Path) -> None:
    client = str(ROOT / "examples" / "client.py")
    shown = run([sys.executable, client, service.addresses.grpc], tmp_path).stdout
    due = r"20\d\d-\d\d-\d\dT\d\d:00:00.000Z"
    assert re.search(rf"send_report  {due}\n.*clean_up  0 3 \* \* \*\nleft: 0\n", shown), shown


def test_the_client_tells_what_is_wrong(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "client.py"), f"127.0.0.1:{free_port()}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("UNAVAILABLE: ")
