"""The service itself, as programs see it, and the calls that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from scheduling_client.api.logic import Call, Steps, ask
from scheduling_client.api.messages import known
from scheduling_client.wire.v1 import system_service_pb2 as service

SYSTEM = "/scheduling.v1.SystemService/"


class Severity(Enum):
    """How bad a finding is."""

    UNKNOWN = 0
    """It could not be looked at."""
    OK = 1
    WARNING = 2
    """A promise is at risk."""
    ERROR = 3
    """A promise cannot be kept."""


class Finding(NamedTuple):
    """Something that a diagnosis has looked at."""

    check: str
    """A stable name, such as `redis.persistence`."""
    severity: Severity
    message: str
    remedy: str
    """How to mend it; empty: there is nothing to mend."""


class Setting(NamedTuple):
    """A setting that is in effect."""

    name: str
    """Its environment variable."""
    value: str
    """Empty if it is a secret."""
    source: str
    """`default`, `environment`, or the path of a file."""
    secret: bool


class Topic(NamedTuple):
    """A topic of the service."""

    name: str
    purpose: str
    partitions: int
    """0: it does not exist, or may not be described."""


@dataclass(frozen=True, slots=True)
class System:
    """How the service is set up."""

    version: str
    python_version: str
    tzdata_version: str
    namespace: str
    settings: Sequence[Setting]
    topics: Sequence[Topic]
    shards: int


def system() -> Steps[System]:
    """How the service is set up."""
    request = service.GetSystemRequest()
    found = yield from ask(Call(f"{SYSTEM}GetSystem", request, service.GetSystemResponse))
    return System(
        version=found.version,
        python_version=found.python_version,
        tzdata_version=found.tzdata_version,
        namespace=found.namespace,
        settings=[
            Setting(each.name, each.value, each.source, each.secret) for each in found.settings
        ],
        topics=[Topic(each.name, each.purpose, each.partitions) for each in found.topics],
        shards=found.shards,
    )


def diagnose() -> Steps[list[Finding]]:
    """All findings, the worst first."""
    request = service.DiagnoseRequest()
    found = yield from ask(Call(f"{SYSTEM}Diagnose", request, service.DiagnoseResponse))
    return [
        Finding(
            each.check, known(Severity, each.severity, Severity.UNKNOWN), each.message, each.remedy
        )
        for each in found.findings
    ]
