"""The command `scheduling` on the real service."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduling_client.cli.commands.jobs import BATCH, derived_id
from scheduling_srv import __version__
from tests.e2e.product import Product, fresh, tomorrow

COMMAND = Path(sys.executable).parent / "scheduling"


class Ended(Exception):
    """The command ended with another exit code than 0."""

    def __init__(self, code: int, error: str) -> None:
        super().__init__(error)
        self.code = code


@pytest.fixture
def line(product: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the installed command against the service; returns its output."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SCHEDULING_CLIENT_SERVER", product.service.address)

    def run(*arguments: str, text: str = "") -> str:
        ended = subprocess.run(
            [COMMAND, *arguments], capture_output=True, check=False, text=True, input=text
        )
        if ended.returncode:
            assert ended.stderr.count("\n") <= 1, ended.stderr
            raise Ended(ended.returncode, ended.stderr or ended.stdout)
        return ended.stdout

    return run


def test_a_job_from_its_creation_to_its_end(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    created = line(
        *f"create --id {job} --type {kind} --creator me --timezone Europe/Berlin".split(),
        *("--cron", "30 2 * * *", "--priority", "HIGH", "--attempts", "3"),
        *("--payload-json", '{"a": 1}', "-o", "name"),
    )
    assert created == f"{job}\n"

    (shown,) = json.loads(line("show", job, "-o", "json"))
    assert shown["words"] == "at 02:30 every day"
    assert shown["payload"] == [{"type_url": "payload", "text": '{"a": 1}'}]
    assert len(shown.pop("next")) == 5
    assert shown["priority"] == "HIGH"

    line("update", job, "--attempts", "5")
    (updated,) = json.loads(line("show", job, "-o", "json"))
    assert updated["attempts"] == 5
    updated.pop("next")
    assert {**updated, "attempts": 3} == shown

    line("update", job, "--at", tomorrow())
    assert "interval" not in json.loads(line("show", job, "-o", "json"))[0]

    line("delete", job, fresh())
    with pytest.raises(Ended, match=f"No job has the id '{job}'") as ended:
        line("show", job)
    assert ended.value.code == 3


def test_a_run_at_once_comes_with_its_payload(line: Any, product: Product) -> None:
    kind = fresh("type")
    line("create", "--type", kind, "--now", "--payload", "-", text="hello")
    run = product.run(kind)
    assert [each.value for each in run.message.data.payload] == [b"hello"]
    product.finish(kind, [run])


def test_an_id_that_exists(line: Any) -> None:
    job = fresh()
    arguments = ("create", "--id", job, "--type", "t", "--at", tomorrow())
    line(*arguments)
    with pytest.raises(Ended, match=job) as ended:
        line(*arguments)
    assert ended.value.code == 4
    line("delete", job)


def test_the_service_says_which_field_is_wrong(line: Any) -> None:
    with pytest.raises(Ended, match="interval") as ended:
        line("create", "--type", "t", "--every", "never")
    assert ended.value.code == 2


def test_a_list_says_how_many_there_are(line: Any) -> None:
    creator = fresh("creator")
    for _ in range(3):
        line("create", "--type", "t", "--creator", creator, "--at", tomorrow())
    newest, *_ = line("list", "--creator", creator, "--newest", "-o", "name").split()
    oldest, *others = line("list", "--creator", creator, "-o", "name").split()
    assert len(others) == 2
    assert newest == others[-1]
    heading, first = line("list", "--creator", creator, "--limit", "1").splitlines()
    assert heading.split() == ["ID", "TYPE", "CREATOR", "SCHEDULE"]
    assert first.startswith(oldest)
    line("delete", oldest, *others)


def test_a_file_is_resumed_where_it_ended(line: Any, product: Product, tmp_path: Path) -> None:
    request, creator, count = fresh("request"), fresh("creator"), BATCH + 50
    path = tmp_path / "jobs.ndjson"
    jobs = [{"type": "t", "creator": creator, "when": tomorrow()} for _ in range(count)]
    path.write_text("\n".join(map(json.dumps, jobs)))
    wanted = [derived_id(request, number) for number in range(count)]
    arguments = ("create", "-f", str(path), "--request-id", request, "-o", "name")
    assert line(*arguments).split() == wanted
    line("delete", wanted[3], wanted[-1])
    assert line(*arguments).split() == [wanted[3], wanted[-1]]
    assert line(*arguments) == ""
    line("delete", *wanted)
    assert line("list", "--creator", creator, "-o", "name") == ""


def test_the_service_as_a_whole(line: Any, product: Product) -> None:
    assert line("health") == "status  SERVING\n"
    logical = "io-restorecommerce-scheduling-cis"
    assert json.loads(line("health", "--service", logical, "-o", "json")) == {"status": "SERVING"}
    with pytest.raises(Ended, match="Service nope does not exist") as ended:
        line("health", "--service", "nope")
    assert ended.value.code == 1
    versions = json.loads(line("version", "-o", "json"))
    assert versions["client"] == versions["service"] == __version__
    assert line("restore", "-o", "name") == "The restore has begun.\n"


def test_everything_is_deleted_only_when_it_is_meant(line: Any) -> None:
    job = fresh()
    line("create", "--id", job, "--type", "t", "--at", tomorrow())
    for command in (("delete", "--all"), ("reset",)):
        with pytest.raises(Ended, match="Say --yes") as ended:
            line(*command)
        assert ended.value.code == 2
    assert job in line("list", "--limit", "0", "-o", "name")
    line("delete", "--all", "--yes")
    assert job not in line("list", "--limit", "0", "-o", "name")
    assert line("reset", "--yes", "-o", "name") == "Reset concluded successfully\n"
