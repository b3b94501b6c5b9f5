"""The meaning of each error of Kafka: one table, by librdkafka's code.

Never compare the text of an error. `tests/unit/test_kafka_errors.py` fails for every code of a new
librdkafka until it stands here; a code that is unknown at run time is passing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException

from scheduling_srv.domain.errors import Fenced, PublishFailed, RecordRefused


class Meaning(StrEnum):
    """The reaction to an error."""

    REFUSED = "refused"
    """The broker does not take this record, however often it is sent."""
    TOPIC = "topic"
    """The topic cannot be used now: an operator has to create it, or to grant a right."""
    UNCLEAR = "unclear"
    """A record has failed; the delivery reports say which one, and why."""
    GONE = "gone"
    """The requested offset does not exist any more: find a new beginning."""
    FENCED = "fenced"
    """Another owner has taken over, or this client's state on the broker is void: begin anew."""
    MISCONFIGURED = "misconfigured"
    """A setting or a right of this service is wrong: an operator has to act."""
    PASSING = "passing"
    """A server is away, slow, moving or busy: try again."""
    NONE = "none"
    """Not an error, or one that no call of this product can meet: treated as passing."""


_NAMES: dict[Meaning, str] = {
    Meaning.REFUSED: """
        MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE INVALID_RECORD INVALID_TIMESTAMP POLICY_VIOLATION
        INVALID_MSG_SIZE UNSUPPORTED_FOR_MESSAGE_FORMAT _BAD_MSG _KEY_SERIALIZATION
        _VALUE_SERIALIZATION _INVALID_DIFFERENT_RECORD
    """,
    Meaning.TOPIC: """
        UNKNOWN_TOPIC_OR_PART TOPIC_EXCEPTION TOPIC_AUTHORIZATION_FAILED INVALID_PARTITIONS
        UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID _UNKNOWN_TOPIC _UNKNOWN_PARTITION
    """,
    Meaning.UNCLEAR: "_INCONSISTENT _GAPLESS_GUARANTEE _FATAL _PARTIAL",
    Meaning.GONE: "OFFSET_OUT_OF_RANGE _AUTO_OFFSET_RESET _LOG_TRUNCATION _NO_OFFSET",
    Meaning.FENCED: """
        INVALID_PRODUCER_EPOCH PRODUCER_FENCED TRANSACTION_COORDINATOR_FENCED UNKNOWN_PRODUCER_ID
        INVALID_PRODUCER_ID_MAPPING INVALID_TXN_STATE OUT_OF_ORDER_SEQUENCE_NUMBER
        DUPLICATE_SEQUENCE_NUMBER FENCED_INSTANCE_ID FENCED_MEMBER_EPOCH STALE_MEMBER_EPOCH
        TRANSACTION_ABORTABLE ILLEGAL_GENERATION UNKNOWN_MEMBER_ID UNRELEASED_INSTANCE_ID
        _FENCED _STATE _CONFLICT _ASSIGNMENT_LOST _MAX_POLL_EXCEEDED
    """,
    Meaning.MISCONFIGURED: """
        INVALID_REQUIRED_ACKS INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID INVALID_SESSION_TIMEOUT
        GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED UNSUPPORTED_SASL_MECHANISM
        ILLEGAL_SASL_STATE UNSUPPORTED_VERSION INVALID_REPLICATION_FACTOR
        INVALID_REPLICA_ASSIGNMENT INVALID_CONFIG INVALID_REQUEST INVALID_TRANSACTION_TIMEOUT
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED SECURITY_DISABLED SASL_AUTHENTICATION_FAILED
        DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
        DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DELEGATION_TOKEN_AUTHORIZATION_FAILED
        DELEGATION_TOKEN_EXPIRED INVALID_PRINCIPAL_TYPE UNSUPPORTED_COMPRESSION_TYPE
        GROUP_MAX_SIZE_REACHED UNACCEPTABLE_CREDENTIAL PRINCIPAL_DESERIALIZATION_FAILURE
        UNSUPPORTED_ASSIGNOR MISMATCHED_ENDPOINT_TYPE UNSUPPORTED_ENDPOINT_TYPE
        INVALID_REGULAR_EXPRESSION LISTENER_NOT_FOUND INVALID_COMMIT_OFFSET_SIZE
        OFFSET_METADATA_TOO_LARGE
        _CRIT_SYS_RESOURCE _FS _SSL _AUTHENTICATION _UNKNOWN_PROTOCOL _NOT_IMPLEMENTED
        _UNSUPPORTED_FEATURE _NOT_CONFIGURED _INVALID_ARG _INVALID_TYPE
    """,
    Meaning.PASSING: """
        UNKNOWN INVALID_MSG LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION REQUEST_TIMED_OUT
        BROKER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE STALE_CTRL_EPOCH NETWORK_EXCEPTION
        COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR NOT_ENOUGH_REPLICAS
        NOT_ENOUGH_REPLICAS_AFTER_APPEND REBALANCE_IN_PROGRESS NOT_CONTROLLER
        CONCURRENT_TRANSACTIONS OPERATION_NOT_ATTEMPTED KAFKA_STORAGE_ERROR LOG_DIR_NOT_FOUND
        REASSIGNMENT_IN_PROGRESS FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH
        FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH STALE_BROKER_EPOCH OFFSET_NOT_AVAILABLE
        MEMBER_ID_REQUIRED PREFERRED_LEADER_NOT_AVAILABLE
        ELIGIBLE_LEADERS_NOT_AVAILABLE UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED
        UNKNOWN_CONTROLLER_ID REBOOTSTRAP_REQUIRED
        _BAD_COMPRESSION _DESTROY _FAIL _TRANSPORT _RESOLVE _MSG_TIMED_OUT _ALL_BROKERS_DOWN
        _TIMED_OUT _QUEUE_FULL _ISR_INSUFF _NODE_UPDATE _WAIT_COORD _UNKNOWN_GROUP _IN_PROGRESS
        _PREV_IN_PROGRESS _OUTDATED _TIMED_OUT_QUEUE _WAIT_CACHE _INTR _UNDERFLOW _RETRY
        _PURGE_QUEUE _PURGE_INFLIGHT _UNKNOWN_BROKER _APPLICATION _DESTROY_BROKER
        _KEY_DESERIALIZATION _VALUE_DESERIALIZATION
    """,
    Meaning.NONE: """
        NO_ERROR TOPIC_ALREADY_EXISTS NON_EMPTY_GROUP GROUP_ID_NOT_FOUND TOPIC_DELETION_DISABLED
        ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS GROUP_SUBSCRIBED_TO_TOPIC
        RESOURCE_NOT_FOUND DUPLICATE_RESOURCE INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION
        FEATURE_UPDATE_FAILED UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE INVALID_REGISTRATION
        INVALID_RECORD_STATE SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH
        FENCED_STATE_EPOCH INVALID_VOTER_KEY DUPLICATE_VOTER VOTER_NOT_FOUND
        STREAMS_INVALID_TOPOLOGY STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED
        SHARE_SESSION_LIMIT_REACHED
        _PARTITION_EOF _EXISTING_SUBSCRIPTION _ASSIGN_PARTITIONS _REVOKE_PARTITIONS _READ_ONLY
        _NOENT _NOOP
    """,
}

MEANINGS: dict[int, Meaning] = {
    getattr(KafkaError, name): meaning
    for meaning, names in _NAMES.items()
    for name in names.split()
    if hasattr(KafkaError, name)  # an older librdkafka does not know them all
}
"""Code -> meaning."""

JUST_MADE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
"""Errors that a broker answers for a moment about a partition that was just created."""

TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
"""Said of a record, and as well of a batch whose records are all small enough."""


@contextmanager
def fatal_errors() -> Iterator[None]:
    """Raise a fatal error of a producer as `KafkaException`.

    confluent-kafka notes the exception when it hears of the error, and may call a callback of ours
    before it returns. Python then raises `SystemError` from it, at the first step of the callback.
    """
    try:
        yield
    except SystemError as fault:
        if isinstance(fault.__cause__, KafkaException):
            raise fault.__cause__ from None
        raise


def meaning_of(error: KafkaError | None) -> Meaning:
    """The meaning of an error; a code that the table does not know is passing."""
    return MEANINGS.get(error.code(), Meaning.PASSING) if error else Meaning.NONE


def error_of(fault: BaseException) -> KafkaError | None:
    """Kafka's error within an exception, if it has one."""
    found = fault.args[0] if isinstance(fault, KafkaException) and fault.args else None
    return found if isinstance(found, KafkaError) else None


def publish_failed(fault: BaseException, sentence: str) -> PublishFailed:
    """The exception for the application.

    `RecordRefused` if it helps to look for a record, `Fenced` if another producer may exist.
    """
    return failed(error_of(fault), sentence)


def failed(error: KafkaError | None, sentence: str) -> PublishFailed:
    """The same for an error that was reported, not raised."""
    meaning = meaning_of(error)
    if error and meaning in {Meaning.REFUSED, Meaning.TOPIC, Meaning.UNCLEAR}:
        return RecordRefused(sentence, too_large=error.code() in TOO_LARGE)
    return Fenced(sentence) if meaning is Meaning.FENCED else PublishFailed(sentence)
