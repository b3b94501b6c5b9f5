"""The protos of scheduling.v1: buf checks their style, this checks their content."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.test_packaging import ROOT

FILES = sorted(path.stem for path in (ROOT / "proto" / "scheduling" / "v1").glob("*.proto"))

METHODS = {
    "JobService": """
        CreateJobs GetJobs ListJobs UpdateJob DeleteJobs PauseJobs ResumeJobs PauseType ResumeType
        ListPausedTypes RunJobs BackfillJob PreviewSchedule ListUpcoming
    """,
    "RunService": "ListRuns ListFailures CancelRuns RetryRuns ExtendRun ExplainJob",
    "EventService": "WatchEvents",
    "DeadLetterService": "ListDeadLetters GetDeadLetter ReplayDeadLetters HideDeadLetters",
    "SystemService": "GetOverview GetSystem Diagnose",
}
BULK = "DeleteJobs PauseJobs ResumeJobs RunJobs CancelRuns RetryRuns ReplayDeadLetters".split()


def module(name: str) -> ModuleType:
    return importlib.import_module(f"scheduling_client.wire.v1.{name}_pb2")


@pytest.mark.parametrize("name", FILES)
def test_code_is_generated_below_the_client(name: str) -> None:
    """A package `scheduling` at the top would be in the way of others."""
    described = module(name).DESCRIPTOR
    assert described.name == f"scheduling/v1/{name}.proto"
    assert described.package == "scheduling.v1"
    assert "scheduling" not in sys.modules


def test_every_method_is_there() -> None:
    services = {
        service.name: {method.name for method in service.methods}
        for name in FILES
        for service in module(name).DESCRIPTOR.services_by_name.values()
    }
    assert services == {name: set(methods.split()) for name, methods in METHODS.items()}


@pytest.mark.parametrize("method", BULK)
def test_bulk_calls_count_and_continue(method: str) -> None:
    requests = {
        name: message
        for file in FILES
        for name, message in module(file).DESCRIPTOR.message_types_by_name.items()
    }
    fields = set(requests[f"{method}Request"].fields_by_name)
    assert {"selection", "dry_run", "page_token"} <= fields


@pytest.mark.parametrize("name", FILES)
def test_other_languages_have_one_package(name: str) -> None:
    options = module(name).DESCRIPTOR.GetOptions()
    assert options.java_package == "scheduling.v1"
    assert options.java_multiple_files
    assert options.csharp_namespace == "Scheduling.V1"
    assert options.go_package == "scheduling/v1;schedulingv1"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("scheduling/v1/job.proto", "string note = 2;", "string note = 9;"),
        ("scheduling/v1/job_service.proto", "rpc GetJobs(", "rpc FetchJobs("),
        ("scheduling_client/wire/job.proto", "string type = 11;", "bytes type = 11;"),
    ],
)
def test_a_change_that_breaks_clients_is_found(
    path: str, before: str, after: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    buf = str(Path(sys.executable).parent / "buf")
    baseline = str(ROOT / "proto" / "baseline.binpb")

    def exit_code() -> int:
        """As `make lint` asks: of two modules, buf compares only an image with an image."""
        image = subprocess.run(
            [buf, "build", "--output", "-"], cwd=tmp_path, check=True, capture_output=True
        )
        command = [buf, "breaking", "-", "--config", "buf.yaml", "--against", baseline]
        return subprocess.run(
            command, cwd=tmp_path, check=False, capture_output=True, input=image.stdout
        ).returncode

    assert exit_code() == 0
    changed = tmp_path / "proto" / path
    assert before in changed.read_text()
    changed.write_text(changed.read_text().replace(before, after, 1))
    assert exit_code() == 100
