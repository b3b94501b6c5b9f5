"""Errors of calls: the service refused or failed one, or did not answer.

SchedulingError
├── InvalidRequest      a field is missing, malformed or out of range
├── NotFound            no job has this id
├── AlreadyExists       a job with this id exists
├── Conflict            the job was changed since it was read
├── FailedPrecondition  the service is set up or stands so that it cannot be done
├── Exhausted           the request is over a limit
├── Refused             credentials are missing or wrong, or do not allow the call
├── Unsupported         this version of the service cannot do it
├── Unavailable         no answer, or the service cannot work now; it may be sent again
│   └── TimedOut        no answer in time; a change may have been made
└── ServiceFault        a fault of the service, or an unexpected answer
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Violation(NamedTuple):
    """One fault of a request."""

    field: str
    """Its path, such as `jobs[0].schedule.interval`."""
    description: str
    """A sentence."""


class SchedulingError(Exception):
    """A call that failed. Its text is a sentence."""

    def __init__(
        self,
        sentence: str,
        *,
        code: str = "",
        reason: str = "",
        violations: Sequence[Violation] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        """The canonical code, such as `NOT_FOUND`."""
        self.reason = reason
        """A stable reason, such as `JOB_NOT_FOUND`; empty: the service has named none."""
        self.violations = tuple(violations)
        self.retry_seconds = retry_seconds
        """How long the service asks to wait; None: it does not say."""


class InvalidRequest(SchedulingError):
    """A field is missing, malformed or out of range."""


class NotFound(SchedulingError):
    """No job has this id."""


class AlreadyExists(SchedulingError):
    """A job with this id exists."""


class Conflict(SchedulingError):
    """The job was changed since it was read."""


class FailedPrecondition(SchedulingError):
    """The service is set up or stands so that it cannot be done."""


class Exhausted(SchedulingError):
    """The request, or its answer, is over a limit."""


class Refused(SchedulingError):
    """Credentials are missing, wrong or expired, or do not allow the call."""


class Unsupported(SchedulingError):
    """This version of the service cannot do it."""


class Unavailable(SchedulingError):
    """No answer, or the service cannot work now."""


class TimedOut(Unavailable):
    """No answer in time. A change may have been made."""


class ServiceFault(SchedulingError):
    """A fault of the service, or an unexpected answer."""


KINDS: dict[str, type[SchedulingError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "ABORTED": Conflict,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": Exhausted,
    "UNAUTHENTICATED": Refused,
    "PERMISSION_DENIED": Refused,
    "UNIMPLEMENTED": Unsupported,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": TimedOut,
}
"""Canonical code -> error. Any other code is a `ServiceFault`."""
