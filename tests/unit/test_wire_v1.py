"""The protos of scheduling.v1: buf checks their style, this checks their content."""

import importlib
import sys
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
