"""The command `scheduling` on the real service."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduling_client.api.request_ids import derived_id
from scheduling_client.cli.commands.create import BATCH
from scheduling_srv import __version__
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.waiting import eventually

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

    assert (shown["state"], shown["revision"]) == ("WAITING", 1)

    line("update", job, "--delay", "5s")
    line("update", job, "--attempts", "5", "--revision", "2")
    (updated,) = json.loads(line("show", job, "-o", "json"))
    assert (updated["attempts"], updated["backoff"]) == (5, {"delay": "5s"})
    assert updated["revision"] == 3
    own = {"attempts", "backoff", "revision", "update_time", "next"}
    assert {key: updated[key] for key in updated if key not in own} == {
        key: shown[key] for key in shown if key not in own
    }
    with pytest.raises(Ended, match="has revision 3 by now") as stale:
        line("update", job, "--parallel", "5", "--revision", "2")
    assert stale.value.code == 4

    line("update", job, "--at", tomorrow())
    assert "interval" not in json.loads(line("show", job, "-o", "json"))[0]

    assert line("delete", job, fresh(), "--dry-run", "-o", "json") == line(
        "delete", job, "-o", "json"
    )
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
    with pytest.raises(Ended, match="Interval .never. is not understood") as ended:
        line("create", "--type", "t", "--cron", "never")
    assert ended.value.code == 2


def test_a_list_says_how_many_there_are(line: Any) -> None:
    creator = fresh("creator")
    for _ in range(3):
        line("create", "--type", "t", "--creator", creator, "--at", tomorrow())
    newest, *_ = line("list", "--creator", creator, "--order", "newest", "-o", "name").split()
    oldest, *others = line("list", "--creator", creator, "-o", "name").split()
    assert len(others) == 2
    assert newest == others[-1]
    heading, first = line("list", "--creator", creator, "--limit", "1").splitlines()
    assert heading.split() == ["ID", "TYPE", "CREATOR", "STATE", "NEXT", "SCHEDULE"]
    assert first.startswith(oldest)
    with pytest.raises(Ended, match="This deletes 3 jobs .* Say --yes"):
        line("delete", "--creator", creator)
    deleted = line("delete", "--creator", creator, "--yes", "-o", "json")
    assert json.loads(deleted) == {"matched": 3, "changed": 3}


def test_jobs_are_paused(line: Any) -> None:
    job, other, creator = fresh(), fresh(), fresh("creator")
    for each in (job, other):
        arguments = ("--type", "t", "--creator", creator, "--at", tomorrow())
        line("create", "--id", each, *arguments)
    paused = line("pause", job, "--note", "why", "--by", "me", "-o", "json")
    assert json.loads(paused) == {"matched": 1, "changed": 1}
    (shown,) = json.loads(line("show", job, "-o", "json"))
    assert (shown["state"], shown["paused"]["note"], shown["paused"]["by"]) == (
        "PAUSED",
        "why",
        "me",
    )
    assert "next" not in shown
    with pytest.raises(Ended, match="This pauses 1 jobs of .* Say --yes"):
        line("pause", "--creator", creator)
    paused = line("pause", "--creator", creator, "--yes", "-o", "json")
    assert json.loads(paused) == {"matched": 2, "changed": 1}
    names = line("list", "--creator", creator, "--state", "PAUSED", "-o", "name").split()
    assert names == [job, other]
    with pytest.raises(Ended, match="This resumes 2 jobs of .* Say --yes"):
        line("resume", "--creator", creator)
    line("resume", "--creator", creator, "--yes")
    assert line("list", "--creator", creator, "--state", "PAUSED", "-o", "name") == ""
    line("delete", job, other)


def test_a_type_is_paused(line: Any) -> None:
    kind = fresh("type")
    with pytest.raises(Ended, match=f"This pauses all jobs of the type '{kind}' .* Say --yes"):
        line("pause", "--type", kind)
    line("pause", "--type", kind, "--note", "why", "--yes")
    assert line("paused", "-o", "name") == f"{kind}\n"
    (item,) = json.loads(line("paused", "-o", "json"))
    assert (item["type"], item["note"], bool(item["by"])) == (kind, "why", True)
    job = line("create", "--type", kind, "--at", tomorrow(), "-o", "name").strip()
    (shown,) = json.loads(line("show", job, "-o", "json"))
    assert (shown["state"], shown["type_paused"]["note"]) == ("PAUSED", "why")
    assert json.loads(line("resume", "--type", kind, "--yes", "-o", "json"))["changed"] is True
    assert line("paused", "-o", "name") == ""
    line("delete", job)


def test_jobs_are_found_by_their_labels(line: Any) -> None:
    kind = fresh("type")
    for team in ("a", "b", "a"):
        line("create", "--type", kind, "--every", "1 day", "--label", f"team={team}")
    assert len(line("list", "--type", kind, "--label", "team=a", "-o", "name").split()) == 2
    assert line("list", "--type", kind, "--state", "PAUSED", "-o", "name") == ""
    line("delete", "--type", kind, "--yes")


def test_the_next_runs_come_in_order(line: Any) -> None:
    kind = fresh("type")
    for text in ("50 minutes", "30 minutes", "2 hours"):
        line("create", "--id", f"{kind}/{text}", "--type", kind, "--every", text)
    shown = line("next", "--type", kind, "-o", "name")
    assert shown == f"{kind}/30 minutes\n{kind}/50 minutes\n"
    heading, *rows = line("next", "--type", kind, "--within", "3h", "--utc").splitlines()
    assert heading.split() == ["NEXT", "RUNS", "ID", "TYPE", "SCHEDULE"]
    assert [row.split()[1] for row in rows] == ["6", "3", "1"]
    assert rows[0].split()[0].endswith("+00:00")
    line("delete", "--prefix", kind, "--yes")


def test_a_set_is_kept_as_a_file(line: Any, tmp_path: Path) -> None:
    name, path = fresh("set"), tmp_path / "jobs.yaml"
    other = line("create", "--type", "t", "--every", "1 day", "-o", "name").strip()
    first, second = {"name": "one", "type": "t", "every": "1h"}, {"name": "two", "type": "t"}
    path.write_text(json.dumps([first, {**second, "interval": "@daily"}]))
    given = ("-f", str(path), "--set", name)
    with pytest.raises(Ended) as differs:
        line("diff", *given)
    assert differs.value.code == 1
    applied = json.loads(line("apply", *given, "-o", "json"))
    assert [(each["change"], each["id"]) for each in applied] == [
        ("create", f"{name}/one"),
        ("create", f"{name}/two"),
    ]
    assert line("apply", *given, "-o", "name") == ""
    assert line("diff", *given, "-o", "name") == ""

    exported = line("export", "--set", name)
    path.write_text(exported)
    assert line("diff", *given, "-o", "name") == ""

    path.write_text(json.dumps([{**first, "every": "2h", "attempts": 3}]))
    assert line("apply", *given, "-o", "name") == f"{name}/one\n"
    (shown,) = json.loads(line("show", f"{name}/one", "-o", "json"))
    assert (shown["every"], shown["attempts"], shown["labels"]) == ("2h", 3, {"managed-by": name})
    assert line("list", "--label", f"managed-by={name}", "-o", "name").count("\n") == 2
    with pytest.raises(Ended, match="deletes 1 jobs of the set"):
        line("apply", *given, "--prune")
    assert line("apply", *given, "--prune", "--yes", "-o", "name") == f"{name}/two\n"
    assert other in line("list", "--limit", "0", "-o", "name")

    path.write_text(json.dumps([{"name": "x", "type": "t", "now": True}]))
    with pytest.raises(Ended, match="a set holds recurring jobs"):
        line("apply", *given)
    line("delete", f"{name}/one", other)


def test_a_set_leaves_jobs_of_others_alone(line: Any, tmp_path: Path) -> None:
    name, path = fresh("set"), tmp_path / "jobs.json"
    line("create", "--id", f"{name}/one", "--type", "t", "--every", "1 day")
    path.write_text(json.dumps([{"name": "one", "type": "t", "every": "1h"}]))
    with pytest.raises(Ended, match="is not of the set") as conflict:
        line("apply", "-f", str(path), "--set", name)
    assert conflict.value.code == 4
    line("delete", f"{name}/one")


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
    eventually(lambda: line("health") == "status  SERVING\n", what="SERVING")
    one = ("health", "--service", "io-restorecommerce-scheduling-cis", "-o", "json")
    eventually(lambda: json.loads(line(*one)) == {"status": "SERVING"}, what="SERVING")
    with pytest.raises(Ended, match="Service nope does not exist") as ended:
        line("health", "--service", "nope")
    assert ended.value.code == 1
    versions = json.loads(line("version", "-o", "json"))
    assert versions["client"] == versions["service"] == __version__
    assert line("restore", "-o", "name") == "The restore has begun.\n"
    product.reader.wait_for(lambda record: record.key == "restoreResponse")


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


def test_only_a_service_under_test_can_advance(line: Any) -> None:
    with pytest.raises(Ended, match="The service has no test clock: start it with") as ended:
        line("advance", "1 hour")
    assert ended.value.code == 1


def test_runs_are_listed_and_failed_ones_repeated(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    line("create", "--id", job, "--type", kind, "--creator", "me", "--at", "in 1 second")
    (run,) = product.runs(kind)
    (shown,) = json.loads(line("runs", "--job", job, "-o", "json"))
    assert (shown["state"], shown["attempts"]) == ("RUNNING", 1)
    assert shown["instance_id"] == run.instance

    product.failed(run, "no paper")
    failed = ("--type", kind, "--outcome", "FAILED")
    eventually(lambda: line("runs", *failed, "-o", "name"), what="the failure")
    heading, row = line("runs", *failed).splitlines()
    assert heading.split() == ["DUE", "JOB", "TYPE", "STATE", "ATTEMPT", "ERROR", "RUN"]
    assert row.split()[3:7] == ["failed", "1", "no", "paper"]
    (group,) = json.loads(line("runs", "--by-error", "--type", kind, "-o", "json"))
    assert (group["count"], group["error"], group["last_job_id"]) == (1, "no paper", job)

    with pytest.raises(Ended, match="This repeats 1 runs of the service at .*Say --yes") as asked:
        line("retry", *failed)
    assert asked.value.code == 2
    again = json.loads(line("retry", *failed, "--yes", "-o", "json"))
    assert again == {"matched": 1, "changed": 1, "refusals": []}
    product.done(product.run(kind, 2))
    product.finish(kind)


def test_a_run_that_cannot_be_repeated_is_told(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    line("create", "--id", job, "--type", kind, "--every", "1 second")
    run = product.run(kind)
    product.done(run)
    done = ("runs", "--job", job, "--outcome", "DONE", "-o", "name")
    eventually(lambda: line(*done), what="the end of the run")
    name, *_ = line(*done).split()
    with pytest.raises(Ended) as refused:
        line("retry", name, "-o", "json")
    (refusal,) = json.loads(str(refused.value))["refusals"]
    assert refusal["run_id"] == name
    line("delete", job)
    product.finish(kind)


def test_jobs_run_once_more_by_hand(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    line("create", "--id", job, "--type", kind, "--every", "1 day")
    again = ("run", job, "--request-id", fresh("request"), "-o", "json")
    made = json.loads(line(*again))
    assert (made["matched"], made["changed"], len(made["runs"])) == (1, 1, 1)
    assert json.loads(line(*again))["runs"] == made["runs"]
    run = product.run(kind)
    with pytest.raises(Ended, match="This runs 1 jobs of the service at .*Say --yes"):
        line("run", "--type", kind)
    assert json.loads(line("cancel", *made["runs"], "-o", "json")) == {"matched": 1, "changed": 1}
    product.done(run)
    assert len(json.loads(line("run", "--type", kind, "--yes", "-o", "json"))["runs"]) == 1
    product.done(product.run(kind, 2))
    with pytest.raises(Ended, match="Name the ids of the jobs to run, or give filters"):
        line("run")
    line("delete", job)
    product.finish(kind)


def test_open_runs_are_cancelled_by_filters(line: Any, product: Product) -> None:
    kind = fresh("type")
    ids = [fresh() for _ in range(2)]
    for job in ids:
        line("create", "--id", job, "--type", kind, "--at", "in 50 ms", "--attempts", "3")
    product.runs(kind, 2)
    one = ("cancel", "--job", ids[0], "--state", "RUNNING")
    assert json.loads(line(*one, "--dry-run", "-o", "json")) == {"matched": 1, "changed": 1}
    with pytest.raises(Ended, match="This cancels 1 runs of the service at .*Say --yes"):
        line(*one)
    assert json.loads(line(*one, "--yes", "-o", "json"))["changed"] == 1
    assert line("cancel", "--type", kind, "--yes", "-o", "name") == "1\n"
    assert {product.deleted(job).headers["outcome"] for job in ids} == {"cancelled"}
    assert line("cancel", "--type", kind, "--yes", "-o", "name") == "0\n"


def test_bulk_commands_of_runs_need_a_choice(line: Any) -> None:
    for command in ("retry", "cancel"):
        for arguments in ([], ["run", "--all"]):
            with pytest.raises(Ended, match=f"ids of the runs to {command}, or give filters"):
                line(command, *arguments)
    with pytest.raises(Ended, match="--by-error groups the failures"):
        line("runs", "--by-error", "--job", "a")
    with pytest.raises(Ended, match="--since: "):
        line("runs", "--since", "some day")


def test_top_shows_the_service_at_a_glance(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    line("create", "--id", job, "--type", kind, "--every", "20 minutes")
    shown = line("top", "--once", "--utc")
    assert "serving" in shown
    assert "next hour: " in shown
    assert job in shown

    def overview() -> Any:
        return json.loads(line("top", "-o", "json"))

    eventually(lambda: overview()["serving"], what="serving")
    found = overview()
    assert found["jobs"] >= 1
    assert len(found["due"]) == 60
    line("delete", job)


def test_past_occurrences_are_run(line: Any, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    line("create", "--id", job, "--type", kind, "--cron", "@daily")
    span = ("--since", "2026-03-01T00:00:00Z", "--until", "2026-03-04T00:00:00Z")
    assert json.loads(line("backfill", job, *span, "--dry-run", "-o", "json"))["runs"] == 3
    line("backfill", job, *span, "--in-flight", "3")
    for run in product.runs(kind, 3):
        product.done(run)
    *_, heading, _, _, last = line("show", job, "--utc").splitlines()
    assert heading.split() == ["DUE", "RUN", "STATE", "ATTEMPT", "ERROR"]
    assert last.startswith("2026-03-01T00:00:00+00:00")
    with pytest.raises(Ended, match="This makes 365 runs of the job .*Say --yes"):
        line("backfill", job, "--since", "2025-03-01", "--until", "2026-03-01")
    with pytest.raises(Ended, match="--since has to be before --until"):
        line("backfill", job, "--since", "2026-03-01", "--until", "2025-03-01")
    line("delete", job)
    product.finish(kind)
