"""The tables of docs/contract.md, row by row, against what reads such texts."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduling_client.schedules.cron import Cron, looks_like_cron
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import zone
from tests.docs.snippets import ROOT, snippets

CONTRACT = ROOT / "docs" / "contract.md"
PAGE = CONTRACT.read_text()
ASKED_AT = datetime(2030, 1, 15, 10, tzinfo=UTC)
NOW = round(ASKED_AT.timestamp() * 1000)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first column has this heading."""
    _, _, rest = PAGE.partition(f"| {heading} |")
    table = rest.split("\n\n")[0].splitlines()[2:]
    found = [[cell.strip().strip("`") for cell in row.strip("|").split(" |")] for row in table]
    assert len(found) > 5, heading
    return found


def column(heading: str) -> list[str]:
    """The cells of a table that has one column."""
    return [row[0] for row in rows(heading)]


@pytest.mark.parametrize(("text", "milliseconds"), rows("accepted interval"))
def test_an_interval(text: str, milliseconds: str) -> None:
    assert not looks_like_cron(text)
    assert parse_interval(text) == int(milliseconds)


@pytest.mark.parametrize("text", column("refused interval"))
def test_no_interval(text: str) -> None:
    assert not looks_like_cron(text)
    with pytest.raises(Unparsable):
        parse_interval(text)


@pytest.mark.parametrize("text", column("accepted cron"))
def test_a_cron_expression(text: str) -> None:
    assert looks_like_cron(text)
    Cron.parse(text)


@pytest.mark.parametrize("text", column("refused cron"))
def test_no_cron_expression(text: str) -> None:
    assert looks_like_cron(text)
    with pytest.raises(Unparsable):
        Cron.parse(text)


@pytest.mark.parametrize(("text", "cron", "due"), rows("accepted words"))
def test_days_in_words(text: str, cron: str, due: str) -> None:
    assert looks_like_cron(text)
    found = Cron.parse(text)
    expected = datetime.fromisoformat(f"{due}+00:00").timestamp() * 1000
    assert found.next_after(NOW, zone("UTC")) == expected
    if cron != "none":
        assert found.fingerprint == Cron.parse(cron).fingerprint


@pytest.mark.parametrize(("text", "advice"), rows("refused, with advice"))
def test_a_refusal_with_advice(text: str, advice: str) -> None:
    assert looks_like_cron(text)
    with pytest.raises(Unparsable) as caught:
        Cron.parse(text)
    assert advice in str(caught.value)


@pytest.mark.parametrize(("text", "instant"), rows("accepted when"))
def test_an_instant(text: str, instant: str) -> None:
    expected = datetime.fromisoformat(f"{instant}+00:00").timestamp() * 1000
    assert parse_when(text, NOW, zone("UTC")) == expected


@pytest.mark.parametrize("text", column("refused when"))
def test_no_instant(text: str) -> None:
    with pytest.raises(Unparsable):
        parse_when(text, NOW, zone("UTC"))


def test_the_day_of_the_table_is_what_it_says() -> None:
    assert f"{ASKED_AT:%Y-%m-%dT%H:%M:%SZ}, a {ASKED_AT:%A}" in PAGE


def test_stubs_are_generated_as_the_page_says(tmp_path: Path) -> None:
    (command,) = (each.text for each in snippets(CONTRACT) if "protoc" in each.text)
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    (tmp_path / "stubs").mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-eu", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True
    )
    made = tmp_path / "stubs" / "scheduling_client" / "wire"
    ours = ROOT / "client" / "src" / "scheduling_client" / "wire"
    for name in ("job_pb2.py", "job_pb2_grpc.py", "commandinterface_pb2_grpc.py"):
        assert (made / name).read_text() == (ours / name).read_text()
