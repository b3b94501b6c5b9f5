"""Statuses of gRPC as errors, with the details of google.rpc."""

from __future__ import annotations

from typing import Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from scheduling_client.api.errors import KINDS, SchedulingError, ServiceFault, Violation

DETAILS = "grpc-status-details-bin"


class Failed(Protocol):
    """The error of a call, of either kind of channel."""

    def code(self) -> grpc.StatusCode:
        """The canonical code."""

    def details(self) -> str | None:
        """The sentence."""

    def trailing_metadata(self) -> object:
        """The trailers."""


def error_of(failed: Failed) -> SchedulingError:
    """The error that a status means."""
    code = failed.code().name
    found = KINDS.get(code, ServiceFault)(failed.details() or f"The answer was {code}.", code=code)
    for detail in _details_in(failed.trailing_metadata()):
        _add(detail, found)
    return found


def _details_in(trailers: object) -> list[AnyMessage]:
    for key, value in trailers or ():  # type: ignore[attr-defined]
        if key == DETAILS:
            try:
                return list(Status.FromString(value).details)
            except DecodeError:
                return []  # of a proxy: the code and the sentence are known
    return []


def _add(detail: AnyMessage, found: SchedulingError) -> None:
    faults, info, retry = BadRequest(), ErrorInfo(), RetryInfo()
    if detail.Unpack(faults):
        fields = faults.field_violations
        found.violations = tuple(Violation(each.field, each.description) for each in fields)
    elif detail.Unpack(info):
        found.reason = info.reason
    elif detail.Unpack(retry):
        found.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
