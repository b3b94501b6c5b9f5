"""Everything that the README and the quickstart tell their reader to type is typed here."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.demo.service import Service
from tests.docs.snippets import QUICKSTART, README, ROOT, Snippet, snippets
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import in_time, with_enough_time
from tools import readme_figures, settings_table
from tools.snippets import with_examples

GRPC, ADMIN = "127.0.0.1:50054", "127.0.0.1:8080"
SOURCES = "client server proto docs README.md CHANGELOG.md".split()
ALL = snippets(README) + snippets(QUICKSTART)
SHELL = [each for each in ALL if each.language == "sh"]
MAKE = [each for each in SHELL if each.text.startswith("make ")]
SERVING = [each for each in SHELL if "scheduling-srv serve" in each.text]
ENDING = [each for each in SHELL if each not in MAKE and each not in SERVING]
PYTHON = [each for each in ALL if each.language == "python"]
FUNCTION, WORKER, CLIENT = (each.text for each in PYTHON)
PROGRAMS = "worker", "client"
WORKS = 'sending {"report": 7} attempt 1'


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
    text = text.replace(ADMIN, service.addresses.admin)
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
    """It is run in tests/demo."""
    assert snippet.text == "make run\n"
    run(["make", "-n", snippet.text.split()[1]], ROOT)


def copy_checkout(target: Path) -> None:
    """Copy all that packages are built from, so that a build leaves no files in the checkout."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target)


@pytest.mark.timeout(3_600)  # one of them builds and installs packages
@pytest.mark.parametrize("snippet", ENDING, ids=named)
def test_a_command(snippet: Snippet, service: Service, tmp_path: Path) -> None:
    if "pip install" in snippet.text:
        copy_checkout(tmp_path)
    address = {"SCHEDULING_CLIENT_SERVER": service.addresses.grpc}
    ended = run(["sh", "-eu", "-c", located(snippet, service)], tmp_path, address)
    expected = {
        "bin/buf ": '"greet"',
        "scheduling create": "every 10 seconds",
        "pip ": "scheduling-srv 0",
    }
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
    eventually(lambda: wanted in log.read_text() or process.poll() is not None, what=wanted)
    assert process.poll() is None, log.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()


@dataclass
class Program:
    """A snippet that runs as its reader runs it: in a file of an empty directory."""

    process: subprocess.Popen[str]
    output: Path

    def ends(self) -> str:
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.output.read_text()
        return self.output.read_text()

    def says(self, text: str, timeout: float = PATIENCE_SECONDS) -> None:
        eventually(lambda: text in self.output.read_text(), what=text, timeout=timeout)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.ends()


@pytest.fixture
def start(service: Service, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Save a text as a file and start it, or a command; stopped at the end."""
    addresses = {
        "SCHEDULING_GRPC_ADDRESS": service.addresses.grpc,
        "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": service.addresses.kafka,
        "PYTHONUNBUFFERED": "1",  # as at a terminal
    }
    programs = []

    def save_and_start(name: str, text: str, command: Sequence[str] = ()) -> Program:
        (tmp_path / name).write_text(text)
        output = tmp_path / f"{name}.out"
        with output.open("w") as out:
            process = subprocess.Popen(
                command or [sys.executable, name],
                cwd=tmp_path,
                env=environment(addresses),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=True,
            )
        programs.append(process)
        return Program(process, output)

    yield save_and_start
    for process in programs:
        process.kill()
        process.wait()


def test_the_first_function_fires(start: Callable[..., Program]) -> None:
    command = "scheduling worker myjobs:worker"
    assert f"`.venv/bin/{command}`" in README.read_text()
    assert len(FUNCTION.splitlines()) <= 10
    worker = start("myjobs.py", FUNCTION, [*command.split()])
    worker.says("Hello\n")
    worker.stop()


def test_the_worker_does_the_run_of_the_client(start: Callable[[str, str], Program]) -> None:
    worker = start("worker.py", WORKER)
    client = start("client.py", CLIENT)
    said = client.ends()
    due = r"once, \w+ \d+ \w+ 20\d\d at \d\d:\d\d(:\d\d)? UTC"  # none at a full minute
    shown = rf"\S+ send_report {due}\n(?P<id>\S+) clean_up at 03:00 every day\ndeleted (?P=id)\n"
    assert re.fullmatch(shown, said), said
    worker.says(WORKS)
    worker.stop()


def test_a_worker_that_starts_late_does_the_runs_before_it(
    start: Callable[[str, str], Program],
) -> None:
    text = WORKER.replace('"reports"', '"late"')
    start("client.py", CLIENT.replace('"report": 7', '"report": 8')).ends()
    first = start("worker.py", text)
    first.says('sending {"report": 8}')
    first.stop()
    again = start("again.py", text)
    start("second.py", CLIENT.replace('"report": 7', '"report": 9')).ends()
    again.says('sending {"report": 9}')
    again.stop()
    assert '"report": 8' not in again.output.read_text()


def test_long_work_does_not_cost_the_worker_its_partitions(
    start: Callable[[str, str], Program],
) -> None:
    slow = "import time\n\n    time.sleep(9)\n    print("
    short = '"slow", kafka_options={"max.poll.interval.ms": 6_000}'
    text = WORKER.replace("print(", slow, 1).replace('"reports"', short)
    assert text.count("time.sleep") == text.count("max.poll") == 1
    worker = start("worker.py", text)

    def attempt(window: int) -> None:
        client = CLIENT.replace("in 2 seconds", f"in {window} ms")
        start("client.py", client).ends()
        with suppress(TimeoutError):
            worker.says(WORKS, timeout=20 + window / 1000)
        in_time(WORKS in worker.output.read_text(), "the worker had joined before the run came")

    with_enough_time(attempt, 8_000)
    worker.stop()
    assert "exceeded" not in worker.output.read_text()


def test_a_client_without_a_service_says_so(tmp_path: Path) -> None:
    program = tmp_path / "client.py"
    program.write_text(CLIENT)
    ended = subprocess.run(
        [sys.executable, program],
        env=environment({"SCHEDULING_GRPC_ADDRESS": f"127.0.0.1:{free_port()}"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("UNAVAILABLE: ")


def test_the_programs_are_those_of_examples() -> None:
    text = QUICKSTART.read_text()
    assert with_examples(text) == text, "run: make docs"
    assert {WORKER, CLIENT} == {(ROOT / "examples" / f"{name}.py").read_text() for name in PROGRAMS}


def test_the_tables_of_settings_are_what_the_command_says() -> None:
    text = settings_table.PAGE.read_text()
    assert settings_table.with_tables(text) == text, "run: make docs"


def test_every_setting_has_one_topic() -> None:
    row = {"environment": "SCHEDULING_NEW", "default": "", "meaning": ""}
    with pytest.raises(ValueError, match="SCHEDULING_NEW"):
        settings_table.by_topic([row])


def test_the_figures_are_those_of_the_page_of_performance() -> None:
    text = README.read_text()
    assert readme_figures.with_figures(text, readme_figures.PAGE.read_text()) == text, (
        "run: make docs"
    )


def test_the_readme_is_short_and_its_first_job_too() -> None:
    assert len(README.read_text().splitlines()) <= 180
    (job,) = (each for each in ENDING if "scheduling create" in each.text)
    assert len(job.text.splitlines()) <= 12
