"""The command `scheduling`: options, outputs, errors, and the commands that ask no service."""

import ast
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from scheduling_client.api.jobs import Job, JobSpec, Payload, UpcomingRun
from scheduling_client.api.request_ids import derived_id
from scheduling_client.api.triggers import now
from scheduling_client.cli import asking, main
from scheduling_client.cli.app import COMMANDS, run
from scheduling_client.cli.commands.sets import differing
from scheduling_client.cli.errors import CommandError
from scheduling_client.cli.job_texts import KEYS, changes_of, item_of, items_in, spec_item, spec_of
from scheduling_client.cli.options import Common, Options, local_zone, resolve
from scheduling_client.cli.output import show_item, show_list
from scheduling_client.cli.run_texts import upcoming_rows
from scheduling_client.schedules.zone import UTC, zone
from scheduling_srv.settings.load import load

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no profile of this machine."""
    for name in list(os.environ):
        if name.startswith("SCHEDULING_CLIENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")


def write_profiles(folder: Path, text: str) -> Path:
    path = folder / "scheduling" / "profiles.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


# --- Imports ------------------------------------------------------------------------------------


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(sorted(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    return set(ast.literal_eval(ended.stdout.splitlines()[-1]))


def test_the_start_imports_nothing_heavy() -> None:
    """No server, no gRPC, no protobuf, no module of another command."""
    modules = imported_by("import scheduling_client.cli.app")
    assert modules.isdisjoint({"grpc", "google.protobuf", "yaml", "rich", "scheduling_srv"})
    assert not [name for name in modules if name.startswith("scheduling_client.cli.commands.")]


def test_a_preview_needs_no_grpc() -> None:
    code = "from scheduling_client.cli.app import run\nrun(['preview', '0 5 * * *'])"
    assert imported_by(code).isdisjoint({"grpc", "google.protobuf", "scheduling_srv"})


@pytest.mark.parametrize("missing", sorted(main.EXTRA))
def test_without_the_extra_the_command_says_so(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "scheduling_client.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["scheduling", "preview", "@daily", "-o", "yaml"])
    assert main.main() == 2
    assert 'pip install "scheduling-client[cli]"' in capsys.readouterr().err


# --- Options ------------------------------------------------------------------------------------


def test_defaults() -> None:
    assert resolve(None) == Options("127.0.0.1:50054", "table", UTC, 20.0)


def test_an_option_goes_before_a_variable_before_a_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = 'server = "profile:1"\noutput = "yaml"\nzone = "Asia/Tokyo"\ntimeout = "3s"'
    write_profiles(tmp_path, f'default = "live"\n[profiles.live]\n{profile}\n')
    assert resolve(None) == Options("profile:1", "yaml", zone("Asia/Tokyo"), 3.0)
    monkeypatch.setenv("SCHEDULING_CLIENT_SERVER", "variable:2")
    monkeypatch.setenv("SCHEDULING_CLIENT_TIMEOUT", "500ms")
    assert resolve(None) == Options("variable:2", "yaml", zone("Asia/Tokyo"), 0.5)
    common = Common(server="option:3", output="name", utc=True)
    assert resolve(common) == Options("option:3", "name", UTC, 0.5)


def test_a_profile_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = '[profiles.a]\nserver = "a:1"\n[profiles.b]\nserver = "b:1"\n'
    write_profiles(tmp_path, text)
    assert resolve(None).server == "127.0.0.1:50054"
    assert resolve(Common(profile="a")).server == "a:1"
    monkeypatch.setenv("SCHEDULING_CLIENT_PROFILE", "b")
    assert resolve(None).server == "b:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[profiles.other]\n", "Profile 'a' is not in .*: it has other."),
        ("", "Profile 'a' is not in .*: it has none."),
        ("not toml", "is not TOML"),
        (
            "[profiles.a]\nsecret = 'x'\n",
            "has 'secret': it may have server, output, timeout, zone, token,",
        ),
        ("[profiles.a]\ntimeout = 3\n", "timeout is a text"),
        ("[profiles.a]\ntimeout = 'soon'\n", "The timeout 'soon' is not a duration"),
        ("[profiles.a]\noutput = 'xml'\n", "Output 'xml' is not known: give one of table, json"),
        ("[profiles.a]\nzone = 'Berlin'\n", "Time zone 'Berlin' is not known"),
    ],
)
def test_a_wrong_profile_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    write_profiles(tmp_path, text)
    with pytest.raises(CommandError, match=sentence) as raised:
        resolve(Common(profile="a"))
    assert raised.value.code == 2


def test_a_profile_without_a_file() -> None:
    with pytest.raises(CommandError, match="Profile 'a' is not known: there is no file"):
        resolve(Common(profile="a"))


def test_the_service_leaves_the_variables_of_the_command_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCHEDULING_CLIENT_SERVER", "example.org:1")
    monkeypatch.setenv("SCHEDULING_CLIENT_ANYTHING_LATER", "x")
    load()


def test_the_zone_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":America/New_York")
    assert local_zone().key == "America/New_York"
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    assert local_zone() is UTC


# --- Commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: Capture) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: scheduling {name}" in shown
    summary = re.split(r"\n\n", shown)[1]
    assert summary.strip()


def test_the_list_of_commands_says_what_each_does(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"│ {name} +\w", shown), name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], 'Unknown command "nope"'),
        (["preview"], "SCHEDULE"),
        (["preview", "61 * * * *"], "The minute field '61'"),
        (["preview", "@daily", "--count", "0"], "--count is from 1 to 1000."),
        (["preview", "@daily", "--after", "soon"], "--after: Time 'soon' is not understood"),
        (["preview", "@daily", "-o", "xml"], "xml"),
        (["create", "--now", "--at", "noon"], "A job has one schedule: --now and --at are given."),
        (["create", "-f", "x.yaml", "--type", "t"], "Give the properties of a job, or a file"),
        (["create", "--request-id", "r", "--now"], "--request-id belongs to --file."),
        (["create", "--now", "--payload-json", "{"], "--payload-json is not JSON"),
        (["create", "--now", "--payload-json", "1", "--payload", "-"], "not both"),
        (["create", "--now", "--payload", "/missing"], "/missing cannot be read"),
        (["update", "a"], "Nothing is to be changed"),
        (["create", "--type", "t", "--every", "never"], "Interval 'never' is not understood"),
        (["create", "--type", "t"], "a job needs a schedule: one of now, at"),
        (["create", "--now", "--jitter", "soon"], "jitter 'soon' is not a duration"),
        (["create", "--now", "--label", "x"], "The label 'x' is not key=value."),
        (["next", "--within", "soon"], "--within: 'soon' is not a duration"),
        (["delete"], "Name the ids of the jobs to delete, or give filters, or --all."),
        (["delete", "a", "--all"], "Name the ids of the jobs to delete, or give filters"),
        (["delete", "--all", "--type", "t"], "Name the ids of the jobs to delete, or give filters"),
        (["pause"], "Name the ids of the jobs to pause, or give filters, or --all."),
        (["pause", "a", "--type", "t"], "Name the ids of the jobs to pause, or give filters"),
        (["resume", "--all", "--type", "t"], "Name the ids of the jobs to resume, or give"),
        (["apply", "-f", "x.yaml"], "--set"),
        (["diff", "-f", "/missing", "--set", "s"], "/missing cannot be read"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], sentence: str, capsys: Capture
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("scheduling: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err


def test_no_service_is_one_sentence_with_a_way_out(capsys: Capture) -> None:
    assert run(["list", "--server", "127.0.0.1:1"]) == 5
    assert capsys.readouterr().err == (
        "scheduling: No service answers at 127.0.0.1:1. Start one, or name another with --server or"
        " SCHEDULING_CLIENT_SERVER.\n"
    )


def test_a_reset_without_a_terminal_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert run(["reset", "--server", "127.0.0.1:1"]) == 2
    assert "Say --yes: no terminal is there to ask." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y", True), ("YES", True), ("", False), ("n", False)]
)
def test_asking(answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return f"{answer}\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    if agreed:
        asking.confirm("This deletes all.", yes=False)
    else:
        with pytest.raises(CommandError, match="Nothing was changed"):
            asking.confirm("This deletes all.", yes=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: Capture) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in COMMANDS:
        assert name in script


def test_a_preview_in_every_output(capsys: Capture) -> None:
    arguments = (
        "preview 30:2 --timezone Europe/Berlin --after 2027-03-27T12:00:00Z --count 2".split()
    )
    arguments[1] = "30 2 * * *"
    assert run([*arguments, "--zone", "Asia/Tokyo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "at 02:30 every day (Europe/Berlin)"
    assert lines[2].split() == ["LOCAL", "UTC", "ASIA/TOKYO", "REMARK"]
    assert lines[3].startswith(
        "2027-03-28T03:00:00+02:00  2027-03-28T01:00:00Z  2027-03-28T10:00:00"
    )
    assert lines[3].endswith("The clock skips 02:30 that day: it runs at 03:00.")
    assert len(lines) == 5

    assert run([*arguments, "-o", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert run([*arguments, "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == content
    assert content["times"][0] == {
        "local": "2027-03-28T03:00:00+02:00",
        "utc": "2027-03-28T01:00:00Z",
        "clock_change": "skipped",
        "remark": "The clock skips 02:30 that day: it runs at 03:00.",
    }

    assert run([*arguments, "-o", "name"]) == 0
    assert capsys.readouterr().out.split() == ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]


# --- Output -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "no_color", "bold"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_that_want_them(
    terminal: bool, no_color: str, bold: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    show_list([{"id": "a"}], {"ID": "id"}, "table")
    assert ("\033[" in capsys.readouterr().out) == bold


def test_control_characters_do_not_reach_the_terminal(capsys: Capture) -> None:
    show_list([{"id": "a\x1b[31m\nb", "words": ""}], {"ID": "id", "SCHEDULE": "words"}, "table")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.splitlines()[1].split() == [r"a\x1b[31m\nb", "-"]


def test_lists_and_objects_of_an_item_are_lines_for_people(capsys: Capture) -> None:
    item = {"id": "a", "labels": {"team": "x", "tier": 1}, "next": [{"utc": "1"}, "2"], "none": {}}
    show_item(item, "table")
    assert capsys.readouterr().out.splitlines() == [
        "id      a",
        "labels  team=x, tier=1",
        "next    utc=1",
        "        2",
        "none    -",
    ]


def test_a_bound_is_no_count_and_a_job_without_words_runs_once() -> None:
    at = datetime(2027, 1, 2, tzinfo=UTC)
    found = [UpcomingRun("a", "t", at, 10_000, ""), UpcomingRun("b", "t", at, 9_999, "w")]
    rows = upcoming_rows(found, Options("here", "table", UTC, 1.0))
    assert [(row["runs"], row["words"]) for row in rows] == [("10,000+", "once"), ("9,999", "w")]
    assert "runs" not in upcoming_rows(found, Options("here", "json", UTC, 1.0))[0]


# --- Jobs as JSON -------------------------------------------------------------------------------

FULL = {
    "id": "report",
    "type": "mail",
    "creator": "me",
    "timezone": "Europe/Berlin",
    "parallel": 2,
    "max_runs": 3,
    "unique_key": "k",
    "priority": "HIGH",
    "attempts": 3,
    "backoff": {"delay": "1s 500ms", "type": "EXPONENTIAL", "max_delay": "1h", "random_share": 0.5},
    "interval": "0 9 * * 1-5",
    "start_time": "2030-01-02T12:00:00Z",
    "end_time": "2030-01-02T12:00:00.500Z",
    "start_deadline": "1m",
    "jitter": "2s",
    "completion_timeout": "1h 30m",
    "overlap": "ONE",
    "missed": {"window": "1d", "older": "SKIP"},
    "labels": {"team": "a"},
    "payload": [{"type_url": "payload", "text": '{"a": 1}'}, {"type_url": "x", "base64": "/w=="}],
}


def test_a_job_as_json_and_back() -> None:
    spec = spec_of(FULL, "it")
    assert spec.payload[1].value == b"\xff"
    assert spec_item(spec) == FULL
    item = item_of(Job(spec=spec, words="w", revision=2))
    assert item == {**FULL, "words": "w", "revision": 2}
    assert spec_of(item, "it") == spec
    assert set(item) < set(KEYS)


@pytest.mark.parametrize(
    "schedule",
    [
        {"now": True},
        {"at": "2030-01-02T12:00:00Z"},
        {"when": "tomorrow"},
        {"every": "1h 30m"},
        {"interval": "@daily"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_schedule_as_json_and_back(schedule: dict[str, object]) -> None:
    item = {"type": "t", "priority": "NORMAL", **schedule}
    assert spec_item(spec_of(item, "it")) == item


def test_times_of_yaml_are_times() -> None:
    text = "- {type: t, now: true, start_time: 2030-01-02T12:00:00+01:00}\n"
    (item,) = items_in(text, "x.yaml")
    assert spec_item(spec_of(item, "it"))["start_time"] == "2030-01-02T11:00:00Z"


def test_changes_are_those_that_are_given() -> None:
    assert changes_of({"creator": "you"}, "it") == {"creator": "you"}
    assert [*changes_of({"attempts": 2}, "it")] == ["retry"]


def test_a_difference_names_its_properties() -> None:
    job = Job(spec=spec_of({**FULL, "timezone": "UTC"}, "it"))
    same = {key: value for key, value in FULL.items() if key != "timezone"}
    assert differing(job, spec_of(same, "it")) == []
    other = {**same, "every": "1h", "labels": {"team": "b"}, "attempts": 4}
    del other["interval"]
    assert differing(job, spec_of(other, "it")) == ["schedule", "retry", "labels"]


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"tpye": "x"}, "'tpye' is no property"),
        ({"priority": "URGENT"}, "priority is one of LOW, .*, not 'URGENT'"),
        ({"attempts": "three"}, "attempts is a number, not 'three'"),
        ({"parallel": True}, "parallel is a number, not True"),
        ({"type": 3}, "type is a text, not 3"),
        ({"payload": [{}]}, "text"),
        ({"now": True, "every": "1h"}, "A job has one schedule: now and every are given"),
        ({"every": "never"}, "Interval 'never' is not understood"),
        ({"jitter": "soon"}, "jitter 'soon' is not a duration"),
        ({"start_time": "2030-01-02T12:00:00"}, "start_time has no time zone"),
        ({"backoff": {"delay_ms": 3}}, "backoff has no 'delay_ms'"),
        ({"missed": {}}, "window"),
        ({"labels": ["a"]}, "items"),
    ],
    ids=str,
)
def test_a_wrong_job_is_named(item: dict[str, object], sentence: str) -> None:
    with pytest.raises(CommandError, match=f"^it: .*{sentence}"):
        spec_of(item, "it")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.yaml", "- {id: a, type: t, now: true}\n- {id: b, type: t, now: true}\n"),
        (
            "jobs.json",
            '[{"id": "a", "type": "t", "now": true}, {"id": "b", "type": "t", "now": true}]',
        ),
        (
            "jobs.ndjson",
            '{"id": "a", "type": "t", "now": true}\n\n{"id": "b", "type": "t", "now": true}\n',
        ),
    ],
)
def test_files_of_jobs(name: str, text: str) -> None:
    jobs = [spec_of(item, name) for item in items_in(text, name)]
    assert jobs == [JobSpec(id=each, type="t", schedule=now()) for each in "ab"]
    assert Payload(b"x") not in jobs[0].payload


@pytest.mark.parametrize(("name", "text"), [("x.json", "{"), ("x.yaml", "a: [")])
def test_a_file_that_cannot_be_read(name: str, text: str) -> None:
    with pytest.raises(CommandError, match=f"{name} cannot be read: "):
        [*items_in(text, name)]


def test_ids_of_a_request_never_change() -> None:
    assert derived_id("nightly", 7) == "~2a3b62b53ddb9f16-7"
    assert derived_id("nightly", 7) != derived_id("daily", 7)
