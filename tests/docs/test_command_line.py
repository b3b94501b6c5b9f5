"""The page of the command line says what the command does."""

import re

import pytest

from scheduling_client.cli.app import COMMANDS, run
from scheduling_client.cli.errors import Exit
from scheduling_client.cli.options import DEFAULTS, VARIABLES
from tests.docs.snippets import ROOT, pages

PAGE = (ROOT / "docs" / "command-line.md").read_text()
VARIABLE = re.compile(r"SCHEDULING_CLIENT_[A-Z_]+[A-Z]")


def test_every_command_is_there() -> None:
    table = PAGE.split("| command | does |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)", table, re.MULTILINE)) == set(COMMANDS)


def test_every_exit_code_is_there() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert codes == {int(code) for code in Exit}


def test_every_variable_is_there_and_no_other() -> None:
    named = set(VARIABLE.findall(PAGE))
    assert named == set(VARIABLES)
    for page in pages():
        assert set(re.findall(r"SCHEDULING_CLIENT_[A-Z_]+[A-Z]", page.read_text())) <= VARIABLES, (
            page
        )


def test_the_defaults_are_those_of_the_command() -> None:
    rows = re.findall(
        r"^\| `--.*\| `SCHEDULING_CLIENT_\w+` \| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE
    )
    told = {name: text.strip("`") for name, text in rows}
    shown = {name: default or "none" for name, default in DEFAULTS.items()}
    assert told == {**shown, "zone": "the zone of the machine", "tls": "false"}


def test_the_preview_is_that_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    schedule = ["0 30 2 * * *", "--timezone", "Europe/Berlin", "--after", "2027-03-27"]
    assert run(["preview", *schedule, "--count", "3"]) == 0
    assert f"```text\n{capsys.readouterr().out}```" in PAGE
