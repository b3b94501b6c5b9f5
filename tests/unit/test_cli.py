"""The command line: help at once, one sentence and exit code 2 for what is wrong."""

import json
import platform
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from scheduling_srv import __version__
from scheduling_srv.adapters.clock import HeldClock
from scheduling_srv.cli.main import main
from scheduling_srv.domain.errors import StartError
from scheduling_srv.settings.load import describe
from scheduling_srv.settings.model import Settings

ROOT = Path(__file__).parents[2]


class Bootstrap(SimpleNamespace):
    """Stands in for what builds and runs the service."""

    served: tuple[object, ...] = ()
    error: Exception | None = None

    clock: HeldClock | None = None

    def serve(
        self, settings: Settings, *, embedded: bool, data_dir: Path | None, clock: HeldClock | None
    ) -> int:
        self.served = settings.lease, embedded, data_dir
        self.clock = clock
        if self.error is not None:
            raise self.error
        return 3


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> Bootstrap:
    stand_in = Bootstrap()
    monkeypatch.setitem(sys.modules, "scheduling_srv.service.service", stand_in)
    monkeypatch.setattr("scheduling_srv.service.service", stand_in, raising=False)
    return stand_in


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "server" / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_serve_hands_over(bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_LEASE", "4s")
    assert main(["serve"]) == 3
    assert bootstrap.served == (4000, False, None)


def test_serve_takes_its_options(bootstrap: Bootstrap, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("lease: 5s")
    config = str(tmp_path / "c.yaml")
    assert main(["serve", "--config", config, "--embedded", "--data-dir", str(tmp_path)]) == 3
    assert bootstrap.served == (5000, True, tmp_path)


def test_a_test_clock_begins_at_a_whole_second(bootstrap: Bootstrap) -> None:
    assert main(["serve", "--embedded", "--test-clock"]) == 3
    assert bootstrap.clock
    assert bootstrap.clock.now() % 1000 == 0
    assert (
        main(["serve", "--embedded", "--test-clock", "--clock-start", "2130-03-30T12:00:00"]) == 3
    )
    assert bootstrap.clock.now() == 5_056_776_000_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--test-clock"], "--test-clock is for tests of schedules: it needs --embedded."),
        (
            ["--test-clock", "--embedded", "--data-dir", "data"],
            "--test-clock begins anew with each start: give no --data-dir.",
        ),
        (
            ["--test-clock", "--embedded", "--clock-start", "2020-01-01"],
            "--clock-start has passed: workers drop runs that are so late.",
        ),
        (
            ["--embedded", "--clock-start", "2130-01-01"],
            "--clock-start is where a test clock begins: give --test-clock too.",
        ),
    ],
)
def test_a_test_clock_is_for_embedded_services(
    arguments: list[str], sentence: str, bootstrap: Bootstrap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == 2
    assert bootstrap.served == ()
    assert sentence in capsys.readouterr().err


def test_what_cannot_start_says_why(
    bootstrap: Bootstrap, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.error = StartError("Why.")
    assert main(["serve"]) == 2
    assert capsys.readouterr() == ("", "scheduling-srv: Why.\n")


@pytest.mark.parametrize(
    "line",
    [
        "nope",
        "serve --nope",
        "serve extra",
        "serve --config",
        "serve --data-dir here",
        "serve --config /nope.toml",
        "version --nope",
    ],
)
def test_a_wrong_line_is_one_sentence(
    bootstrap: Bootstrap, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("scheduling-srv: ")
    assert err.count("\n") == 1
    assert bootstrap.served == ()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "serve a",
            "'scheduling-srv serve' takes no argument 'a': 'scheduling-srv serve --help' lis",
        ),
        ("version a b", "'scheduling-srv version' takes no argument 'a', 'b': 'scheduling-srv ver"),
        ("serve --embeded", "Unknown option: --embeded. Did you mean --embedded?"),
    ],
)
def test_a_superfluous_word_is_named(
    capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    """Before, it was "Unused Tokens: ['a']."."""
    assert main(line.split()) == 2
    assert capsys.readouterr().err.startswith(f"scheduling-srv: {sentence}")


def test_a_wrong_setting_is_one_sentence(
    bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCHEDULING_LEASE", "soon")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == (
        "scheduling-srv: SCHEDULING_LEASE: 'soon' is not a duration"
        " such as '500ms', '3s' or '1h 30m'.\n"
    )
    assert bootstrap.served == ()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == (
        f"scheduling-srv {__version__} (Python {platform.python_version()})\n"
    )
    assert main(["version", "--json"]) == 0
    versions = {"version": __version__, "python": platform.python_version()}
    assert json.loads(capsys.readouterr().out) == versions


def test_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert all(row.environment in out and row.meaning in out for row in describe())
    assert main(["settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row._asdict() for row in describe()]


@pytest.mark.parametrize("line", ["--help", "", "serve --help"])
def test_help(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main(line.split()) == 0
    assert "Usage: scheduling-srv" in capsys.readouterr().out


def test_help_needs_no_server_library() -> None:
    program = (
        "import sys; from scheduling_srv.cli.main import main; code = main(['--help']);"
        "heavy = {'grpc', 'confluent_kafka', 'redis', 'pydantic', 'google'} & set(sys.modules);"
        "sys.exit(code or ' '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_package_can_be_run() -> None:
    command = [sys.executable, "-m", "scheduling_srv", "version", "--json"]
    done = subprocess.run(command, check=True, capture_output=True)
    assert json.loads(done.stdout)["version"] == __version__
