"""SystemService, from and to bytes."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_client.wire.v1 import system_service_pb2 as service
from scheduling_srv.domain.finding import Finding, Severity
from scheduling_srv.domain.system import System
from scheduling_srv.formats.parsing import parse_whole

SYSTEM_SERVICE = service.DESCRIPTOR.services_by_name["SystemService"].full_name
_SEVERITIES = {
    Severity.UNKNOWN: service.Finding.SEVERITY_UNSPECIFIED,
    Severity.OK: service.Finding.SEVERITY_OK,
    Severity.WARNING: service.Finding.SEVERITY_WARNING,
    Severity.ERROR: service.Finding.SEVERITY_ERROR,
}


def decode_system(raw: bytes) -> None:
    """A GetSystemRequest. Raises `InvalidRequest`."""
    parse_whole(service.GetSystemRequest, raw)


def decode_diagnose(raw: bytes) -> None:
    """A DiagnoseRequest. Raises `InvalidRequest`."""
    parse_whole(service.DiagnoseRequest, raw)


def encode_system(system: System) -> bytes:
    """A GetSystemResponse."""
    answer = service.GetSystemResponse(
        version=system.version,
        python_version=system.python_version,
        tzdata_version=system.tzdata_version,
        namespace=system.namespace,
        settings=[service.Setting(**each._asdict()) for each in system.settings],
        topics=[service.Topic(**each._asdict()) for each in system.topics],
        shards=system.shards,
    )
    return answer.SerializeToString()


def encode_findings(findings: Sequence[Finding]) -> bytes:
    """A DiagnoseResponse."""
    answer = service.DiagnoseResponse()
    for check, severity, message, remedy in findings:
        answer.findings.add(
            check=check, severity=_SEVERITIES[severity], message=message, remedy=remedy
        )
    return answer.SerializeToString()
