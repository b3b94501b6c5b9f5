"""Every error that this product raises on purpose.

    SchedulingError
    ├── RequestError          the request is at fault; nothing of it was applied
    │   ├── InvalidRequest    a field is missing, malformed or out of range
    │   ├── AlreadyExists     a job with this id exists
    │   │   └── UniqueKeyTaken  another job of the type has this unique key
    │   ├── NotFound          no job has this id
    │   │   └── RunNotFound   no open run has this id
    │   ├── TooLarge          the request is over a limit
    │   ├── TooMany           too many requests of this kind are pending
    │   ├── OverQuota         the caller has used up its share
    │   ├── Unauthenticated   it is not known who calls
    │   ├── Forbidden         the caller may not do this
    │   ├── FailedPrecondition  a server is set up so that the request cannot be carried out
    │   │   └── FormatTooOld  the format of the stored data cannot hold a property
    │   ├── StaleRevision     the job was changed since the caller has read it
    │   └── Unsupported       this version of the service cannot do it
    ├── Unavailable           the request is fine, a server is not; it may be sent again
    │   ├── StoreUnavailable  Redis does not answer, or not in time
    │   │   ├── StoreFull     Redis has no room left
    │   │   ├── StoreRefused  Redis refuses a right, or is a read-only replica
    │   │   ├── StoreFault    Redis has answered an error that is a fault of ours
    │   │   └── NewerData     what is stored is of a later version of the service
    │   ├── StoreNotReady     the schedule is being recovered from Kafka
    │   ├── Overloaded        more is under way than may be: nothing more is taken in
    │   ├── LogUnavailable    Kafka does not answer, or not in time
    │   │   └── Undecided     a transaction in the way has not ended
    │   ├── SharedTopic       another service uses the jobs topic: nothing is consumed
    │   ├── NotAnnounced      the change is stored, its announcement is not yet on Kafka
    │   ├── Contended         another call decides about the same id
    │   ├── ClockHeld         an instant of a test clock does not come to its end
    │   └── OutcomeUnknown    the store was rebuilt while the change was under way
    ├── RepeatedRequest       the request was answered before
    ├── PublishFailed         a transaction may or may not have been committed
    │   ├── RecordRefused     because Kafka refuses a record or a topic
    │   └── Fenced            because another producer may have taken the transactional id over
    ├── Diverged              Redis and Kafka disagree on how far the outbox is published
    ├── LeaseLost             another replica owns the shard by now
    ├── StaleSource           the store is not where the consumer believed it to be
    └── StartError            the process cannot start as it was configured

``str(error)`` is a full sentence for the person who sent the request. Texts of schedules are
refused as `ScheduleError` of the client; the domain makes an `InvalidRequest` of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from scheduling_srv.domain.reasons import Reason


class Violation(NamedTuple):
    """One fault of a request, as in ``google.rpc.BadRequest.FieldViolation``."""

    field: str
    """Path of the field, such as ``items[3].interval``."""
    description: str
    """A sentence that names the item and its fault."""


class SchedulingError(Exception):
    """The root of all errors that this product raises on purpose."""

    reason: ClassVar[Reason] = Reason.INTERNAL


class RequestError(SchedulingError):
    """The request is at fault; nothing of it was applied."""

    def __init__(self, sentence: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(sentence)
        self.violations = tuple(violations)


class InvalidRequest(RequestError):
    """A field is missing, malformed or out of range (docs/contract.md)."""

    reason: ClassVar[Reason] = Reason.INVALID_REQUEST


class AlreadyExists(RequestError):
    """A job with this id exists (docs/contract.md)."""

    reason: ClassVar[Reason] = Reason.JOB_EXISTS


KEY_TAKEN = "Another job of this type has this unique key."


class UniqueKeyTaken(AlreadyExists):
    """Another job of the type has this unique key."""

    reason: ClassVar[Reason] = Reason.UNIQUE_KEY_TAKEN


class NotFound(RequestError):
    """No job has this id (docs/contract.md)."""

    reason: ClassVar[Reason] = Reason.JOB_NOT_FOUND


class RunNotFound(NotFound):
    """No open run has this id."""

    reason: ClassVar[Reason] = Reason.RUN_NOT_FOUND


class TooLarge(RequestError):
    """The request is over a limit that the operator set."""

    reason: ClassVar[Reason] = Reason.REQUEST_TOO_LARGE


class TooMany(RequestError):
    """Too many requests of this kind are pending (docs/contract.md)."""

    reason: ClassVar[Reason] = Reason.TOO_MANY_PENDING


class OverQuota(RequestError):
    """The caller has used up its share; it may send the request again later."""

    reason: ClassVar[Reason] = Reason.OVER_QUOTA

    def __init__(self, sentence: str, retry_seconds: float = 1.0) -> None:
        """`retry_seconds`: after that time the request would be accepted."""
        super().__init__(sentence)
        self.retry_seconds = retry_seconds


class Unauthenticated(RequestError):
    """It is not known who calls: credentials are missing, wrong or expired."""

    reason: ClassVar[Reason] = Reason.UNAUTHENTICATED


class Forbidden(RequestError):
    """The caller may not do this (docs/security.md)."""

    reason: ClassVar[Reason] = Reason.FORBIDDEN


class FailedPrecondition(RequestError):
    """A server is set up so that the request cannot be carried out, now or later."""

    reason: ClassVar[Reason] = Reason.RECORD_TOO_LARGE


class FormatTooOld(FailedPrecondition):
    """The stored data has an earlier format, which the request does not fit into."""

    reason: ClassVar[Reason] = Reason.FORMAT_TOO_OLD


class StaleRevision(RequestError):
    """The job was changed since the caller has read it."""

    reason: ClassVar[Reason] = Reason.STALE_REVISION


class Unsupported(RequestError):
    """This version of the service cannot do it."""

    reason: ClassVar[Reason] = Reason.NOT_SUPPORTED


class RepeatedRequest(SchedulingError):
    """The request was answered before."""


class Unavailable(SchedulingError):
    """The request is fine, a server is not; it may be sent again."""

    reason: ClassVar[Reason] = Reason.UNAVAILABLE


class StoreUnavailable(Unavailable):
    """Redis does not answer, or not in time."""

    reason: ClassVar[Reason] = Reason.REDIS_UNAVAILABLE


class StoreFull(StoreUnavailable):
    """Redis has no room left (`maxmemory`). Writes that make room continue."""

    reason: ClassVar[Reason] = Reason.REDIS_FULL


class StoreRefused(StoreUnavailable):
    """Redis refuses the user, a right, the database, or is in cluster mode.

    Before the first serving this ends the process; later it is an outage like any other.
    """


class StoreFault(StoreUnavailable):
    """A script has failed: a fault of the code or of stored data. Loops treat it as an outage."""

    reason: ClassVar[Reason] = Reason.INTERNAL


class NewerData(StoreUnavailable):
    """A later version of the service wrote what is stored in Redis or on Kafka.

    At the start it ends the process; a replica that runs waits (docs/decisions/0024).
    """

    reason: ClassVar[Reason] = Reason.NEWER_DATA


class StoreNotReady(Unavailable):
    """The schedule is being recovered from Kafka."""

    reason: ClassVar[Reason] = Reason.RECOVERING


class Overloaded(Unavailable):
    """A limit is reached: calls under way, their memory, or entries that wait for Kafka."""

    reason: ClassVar[Reason] = Reason.OVERLOADED


class LogUnavailable(Unavailable):
    """Kafka does not answer, or not in time."""

    reason: ClassVar[Reason] = Reason.KAFKA_UNAVAILABLE


class Undecided(LogUnavailable):
    """A transaction is neither committed nor aborted: records after it cannot be read yet."""


class SharedTopic(Unavailable):
    """Another service uses the jobs topic: nothing is consumed (docs/decisions/0019)."""

    reason: ClassVar[Reason] = Reason.SHARED_TOPIC


class NotAnnounced(Unavailable):
    """The change is stored, but its announcement did not get to Kafka in time."""

    reason: ClassVar[Reason] = Reason.NOT_ANNOUNCED


class Contended(Unavailable):
    """Another call decides about the same id, and does not come to an end."""

    reason: ClassVar[Reason] = Reason.CONTENDED


class ClockHeld(Unavailable):
    """An instant of a test clock does not come to its end: runs are not emitted or answered."""


class OutcomeUnknown(Unavailable):
    """The store was rebuilt from Kafka while the change was under way."""

    reason: ClassVar[Reason] = Reason.OUTCOME_UNKNOWN


class PublishFailed(SchedulingError):
    """A transaction may or may not have been committed: recover before going on."""


class RecordRefused(PublishFailed):
    """Kafka refuses a record or a topic: recover, then publish record by record to find it."""

    def __init__(self, sentence: str, *, too_large: bool = False) -> None:
        """`too_large`: a record, or all records of a batch together, are over a limit."""
        super().__init__(sentence)
        self.too_large = too_large


class Fenced(PublishFailed):
    """Another producer has taken the transactional id over, or the broker has made it void."""


class Diverged(SchedulingError):
    """Redis and Kafka disagree on how far the outbox is published: recover before going on."""


class LeaseLost(SchedulingError):
    """This replica does not own the shard any more."""


class StaleSource(SchedulingError):
    """The store is not where the consumer believed it to be: another replica changed it."""


class StartError(SchedulingError):
    """The process cannot start as it was configured."""
