"""Maps the errors of the domain to canonical gRPC codes with rich details (docs/contract.md)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    QuotaFailure,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram

from scheduling_srv.app.owner import lanes
from scheduling_srv.domain.errors import (
    AlreadyExists,
    CursorGone,
    FailedPrecondition,
    Forbidden,
    InvalidRequest,
    NotFound,
    OverQuota,
    RequestError,
    SchedulingError,
    SlowWatcher,
    StaleRevision,
    StoreFault,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
    Violation,
)
from scheduling_srv.domain.reasons import DOMAIN, Reason
from scheduling_srv.runtime import metrics

CODES: Sequence[tuple[type[SchedulingError], grpc.StatusCode]] = (
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (CursorGone, grpc.StatusCode.OUT_OF_RANGE),
    (SlowWatcher, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooMany, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (OverQuota, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (StaleRevision, grpc.StatusCode.ABORTED),
    (Unsupported, grpc.StatusCode.UNIMPLEMENTED),
    (StoreFault, grpc.StatusCode.INTERNAL),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
)
"""All that a call may be answered with; anything else is a fault of ours, and INTERNAL."""

SENTENCE_BYTES = 1_200
"""Of the sentence, as it travels: percent-encoded. It travels twice, in `grpc-message` and in the
details. Clients take 8 KiB of headers in all by default, and answer RESOURCE_EXHAUSTED to more."""
VIOLATION_BYTES = 600
"""Bytes of the field, and of the description, of one violation."""
DETAILS_BYTES = 2_500
"""Bytes of all violations; base64 makes four bytes of three."""
ELLIPSIS = "..."
LONGEST_CHARACTER = 12
"""Percent-encoded bytes."""
RETRY_SECONDS = 1
"""How long a client should wait before it sends an UNAVAILABLE call again."""

Context = grpc.aio.ServicerContext[bytes, bytes]
Method = Callable[[Context], Awaitable[bytes]]
"""It reads its message from the context."""
StatusOf = Callable[[Exception], Status]

log = structlog.get_logger()


def code_of(error: Exception) -> grpc.StatusCode:
    """The canonical code of an error."""
    return next((code for kind, code in CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def guarded(
    name: str, method: Method, told: StatusOf
) -> Callable[[object, Context], Awaitable[bytes]]:
    """`method` with its errors turned into statuses by `told`, counted under `name`.

    Cancellation goes through: it ends a call whose client no longer waits.
    """

    async def call(_messages: object, context: Context) -> bytes:
        begun, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            with lanes.client_call():
                return await method(context)
        except grpc.aio.AbortError:  # `refuse` has ended the call
            code = grpc.StatusCode.UNAVAILABLE
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001 - the border: whatever it is, it ends here
            failure = rpc_status.to_status(told(error))
            code = failure.code
        finally:
            _calls(name, code).inc()
            _seconds(name).observe(time.perf_counter() - begun)
        return await _abort(context, failure)

    return call


Stream = Callable[[Context], AsyncIterator[bytes]]
"""A method that answers with several messages. It reads its own from the context."""


def guarded_stream(
    name: str, method: Stream, told: StatusOf
) -> Callable[[object, Context], AsyncIterator[bytes]]:
    """As `guarded`, for a stream. A stream is counted when it ends."""

    async def call(_messages: object, context: Context) -> AsyncIterator[bytes]:
        code = grpc.StatusCode.OK
        try:
            async for message in method(context):
                yield message
        except grpc.aio.AbortError:
            code = grpc.StatusCode.UNAVAILABLE
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001 - the border, as above
            failure = rpc_status.to_status(told(error))
            code = failure.code
            await _abort(context, failure)
        finally:
            _calls(name, code).inc()

    return call


async def refuse(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End a call with this error.

    The functions that call this one must not refer to the message. gRPC keeps their frames until
    the garbage collector runs.
    """
    await _abort(context, rpc_status.to_status(status_of(error)))


async def _abort(context: grpc.aio.ServicerContext[Any, Any], failure: grpc.Status) -> NoReturn:
    await context.abort(failure.code, failure.details, failure.trailing_metadata)


@cache
def _calls(method: str, code: grpc.StatusCode) -> Counter:
    """Looking a label up costs as much as counting."""
    return metrics.CALLS.labels(method=method, code=code.name)


@cache
def _seconds(method: str) -> Histogram:
    return metrics.CALL_SECONDS.labels(method=method)


def status_of(error: Exception) -> Status:
    """The error as a client sees it: code, sentence, and the violations that have room."""
    code = code_of(error)
    if code is grpc.StatusCode.INTERNAL:
        return _internal(error)
    status = Status(code=code.value[0], message=_short(str(error), SENTENCE_BYTES))
    if isinstance(error, RequestError) and error.violations:
        _add(status, _bad_request(error.violations))
    if isinstance(error, OverQuota):
        delay = Duration()
        delay.FromMilliseconds(max(1, round(error.retry_seconds * 1000)))
        _add(status, RetryInfo(retry_delay=delay))
        _add(status, _quota_failure(error))
    return status


def status_with_reason(error: Exception) -> Status:
    """The same with the details of scheduling.v1: the stable reason, and when to try again."""
    status = status_of(error)
    reason = error.reason if isinstance(error, SchedulingError) else Reason.INTERNAL
    _add(status, ErrorInfo(reason=reason, domain=DOMAIN))
    if status.code == grpc.StatusCode.UNAVAILABLE.value[0]:
        _add(status, RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)))
    return status


def _add(status: Status, content: Message) -> None:
    detail = AnyMessage()
    detail.Pack(content)
    status.details.append(detail)


def _internal(error: Exception) -> Status:
    """The answer about a fault of ours: only its reference in the log."""
    reference = secrets.token_hex(4)
    log.error("a call broke", reference=reference, exc_info=error)
    sentence = f"Internal error, see {reference} in the service's log."
    return Status(code=grpc.StatusCode.INTERNAL.value[0], message=sentence)


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    request = BadRequest()
    for index, (field, description) in enumerate(violations):
        short = BadRequest.FieldViolation(
            field=_short(field, VIOLATION_BYTES), description=_short(description, VIOLATION_BYTES)
        )
        if index and request.ByteSize() + short.ByteSize() > DETAILS_BYTES:
            more = f"There are {len(violations) - index} more violations."
            request.field_violations.add(description=more)
            break
        request.field_violations.append(short)
    return request


def _quota_failure(error: OverQuota) -> QuotaFailure:
    failure = QuotaFailure()
    failure.violations.add(
        subject=_short(error.subject, VIOLATION_BYTES),
        description=_short(str(error), VIOLATION_BYTES),
    )
    return failure


def _short(text: str, size: int) -> str:
    """Cut to `size` percent-encoded bytes; characters that UTF-8 cannot encode are escaped."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    if len(clean) * LONGEST_CHARACTER <= size:
        return clean
    left = size
    for place, character in enumerate(clean[: size + 1]):
        left -= _encoded_size(character)
        if left < 0:
            return clean[: place - len(ELLIPSIS)] + ELLIPSIS
    return clean


def _encoded_size(character: str) -> int:
    """As `grpc-message` carries it: three bytes for each that is not printable ASCII, or is %."""
    plain = " " <= character <= "~" and character != "%"
    return 1 if plain else 3 * len(character.encode())
