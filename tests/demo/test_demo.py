"""`make run` and `make demo-check`, as people and machines meet them."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo import service
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
TERMINAL = Path(__file__).parent / "terminal.py"
COLOUR = "\x1b["


@pytest.fixture
def environment() -> dict[str, str]:
    """Nobody's settings, and ports of our own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULING_")}
    return {
        **inherited,
        "SCHEDULING_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "SCHEDULING_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def at_a_terminal(
    environment: dict[str, str], data: Path, *, until: str
) -> subprocess.CompletedProcess[str]:
    """`make run` at a terminal, with Ctrl-C as soon as the text appears."""
    return subprocess.run(
        [sys.executable, TERMINAL, until, "make", "run", f"DATA={data}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def table(text: str) -> list[list[str]]:
    """Job and event of each line of the table."""
    rows = re.findall(r"^[\d:]{8}\.\d{3} +(\w+) +(\w+)", plain(text), re.MULTILINE)
    return [list(row) for row in rows]


def assert_clean(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "***" not in ended.stdout, "make complains"


def test_the_check_sees_all_of_it(environment: dict[str, str]) -> None:
    ended = subprocess.run(
        ["make", "demo-check"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_clean(ended)
    assert "All of it happened" in ended.stdout
    assert COLOUR not in ended.stdout


def test_ctrl_c_ends_it_well_and_the_second_start_goes_on(
    environment: dict[str, str], data: Path
) -> None:
    first = at_a_terminal(environment, data, until="That was all but heartbeat")
    assert_clean(first)
    assert COLOUR in first.stdout
    rows = table(first.stdout)
    for expected in (
        ["greet", "created"], ["greet", "queued"], ["greet", "done"],
        ["remind", "created"], ["remind", "queued"], ["remind", "done"], ["remind", "deleted"],
        ["heartbeat", "created"], ["heartbeat", "queued"], ["heartbeat", "done"],
        ["print", "deleted"],
    ):  # fmt: skip
        assert expected in rows, expected
    *before, one, other = [row[1] for row in rows if row[0] == "print"]
    assert before == ["created", "queued", "failed", "queued", "failed", "queued"]
    assert {one, other} == {"done", "deleted"}  # they are on two topics, so in any order
    second = at_a_terminal(environment, data, until="That was all but heartbeat")
    assert_clean(second)
    rows = table(second.stdout)
    assert rows[0] == ["heartbeat", "kept"]
    assert ["heartbeat", "created"] not in rows
    assert ["heartbeat", "done"] in rows


def test_ctrl_c_while_it_starts(environment: dict[str, str], data: Path) -> None:
    assert_clean(at_a_terminal(environment, data, until="embedded"))


def test_sigterm_ends_it_well(environment: dict[str, str], data: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--data", str(data)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    assert any("greet" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait(PATIENCE_SECONDS) == 0
    process.stdout.close()
    assert "Stopped. heartbeat is kept" in rest


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_chosen_port_that_is_taken_is_an_error(
    environment: dict[str, str], data: Path, taken: str
) -> None:
    environment["SCHEDULING_GRPC_ADDRESS"] = taken
    ended = demo(environment, "--data", str(data))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"demo: Cannot listen on {taken} (SCHEDULING_GRPC_ADDRESS): Address already in use.\n"
    )


def test_the_usual_ports_are_given_up_if_they_are_taken(
    monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    free = f"127.0.0.1:{free_port()}"
    usual = {"SCHEDULING_GRPC_ADDRESS": taken, "SCHEDULING_ADMIN_ADDRESS": free}
    monkeypatch.setattr(service, "DEFAULTS", usual)
    settings, notes = service.free_addresses({})
    assert settings == {**usual, "SCHEDULING_GRPC_ADDRESS": "127.0.0.1:0"}
    assert notes == [f"{taken} is taken by something else, so another port is used."]
    assert service.free_addresses({"SCHEDULING_GRPC_ADDRESS": taken}) == (
        {"SCHEDULING_ADMIN_ADDRESS": free},
        [],
    )


def test_a_second_one_on_the_same_data_is_told_so(environment: dict[str, str], data: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--data", str(data)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout
        assert any("greet" in line for line in iter(first.stdout.readline, ""))
        other = {
            name: value for name, value in environment.items() if not name.startswith("SCHEDULING_")
        }
        second = demo(other, "--data", str(data))
        first.terminate()
        first.stdout.read()
    assert second.returncode == 1
    assert "is in use by another embedded Valkey" in second.stderr


def test_a_directory_that_cannot_be_used(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = demo(environment, "--data", str(tmp_path / "file" / "data"))
    assert ended.returncode == 1
    assert re.fullmatch(r"demo: .* cannot be used: Not a directory\.\n", ended.stderr)


def test_a_wrong_setting_is_one_sentence(environment: dict[str, str], data: Path) -> None:
    ended = demo({**environment, "SCHEDULING_LEASE": "soon"}, "--data", str(data))
    assert ended.returncode == 1
    assert ended.stderr.startswith("demo: SCHEDULING_LEASE: 'soon' is not a duration")
