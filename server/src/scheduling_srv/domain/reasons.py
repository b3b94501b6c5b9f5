"""The stable reasons of errors, as `ErrorInfo.reason` of google.rpc carries them.

Clients compare them, so a reason never changes its meaning. docs/reference/errors.md is made of
this table.
"""

from __future__ import annotations

from enum import StrEnum

DOMAIN = "scheduling.v1"
"""`ErrorInfo.domain`."""


class Reason(StrEnum):
    """Why a call was refused or failed."""

    INVALID_REQUEST = "INVALID_REQUEST"
    JOB_EXISTS = "JOB_EXISTS"
    UNIQUE_KEY_TAKEN = "UNIQUE_KEY_TAKEN"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    LETTER_NOT_FOUND = "LETTER_NOT_FOUND"
    LETTER_NOT_WHOLE = "LETTER_NOT_WHOLE"
    CURSOR_GONE = "CURSOR_GONE"
    SLOW_WATCHER = "SLOW_WATCHER"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    TOO_MANY_PENDING = "TOO_MANY_PENDING"
    OVER_QUOTA = "OVER_QUOTA"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    RECORD_TOO_LARGE = "RECORD_TOO_LARGE"
    FORMAT_TOO_OLD = "FORMAT_TOO_OLD"
    STALE_REVISION = "STALE_REVISION"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    REDIS_UNAVAILABLE = "REDIS_UNAVAILABLE"
    REDIS_FULL = "REDIS_FULL"
    NEWER_DATA = "NEWER_DATA"
    RECOVERING = "RECOVERING"
    OVERLOADED = "OVERLOADED"
    KAFKA_UNAVAILABLE = "KAFKA_UNAVAILABLE"
    SHARED_TOPIC = "SHARED_TOPIC"
    NOT_ANNOUNCED = "NOT_ANNOUNCED"
    CONTENDED = "CONTENDED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    RUN_NOT_FAILED = "RUN_NOT_FAILED"
    PAYLOAD_GONE = "PAYLOAD_GONE"


MEANINGS: dict[Reason, str] = {
    Reason.INVALID_REQUEST: "A field is missing, malformed or out of range. Nothing was done.",
    Reason.JOB_EXISTS: "A job with this id exists. Nothing was done.",
    Reason.UNIQUE_KEY_TAKEN: "Another job of this type has this unique key. Nothing was done.",
    Reason.JOB_NOT_FOUND: "No job has this id. Nothing was done.",
    Reason.RUN_NOT_FOUND: "No open run has this id. Nothing was done.",
    Reason.LETTER_NOT_FOUND: "No dead letter has this id: Kafka may have deleted it.",
    Reason.LETTER_NOT_WHOLE: (
        "The original record of a dead letter is not there as a whole. Nothing was done."
    ),
    Reason.CURSOR_GONE: (
        "The cursor is too old, or Kafka has deleted records after it: begin without one."
    ),
    Reason.SLOW_WATCHER: "The client reads events too slowly: go on from the last cursor.",
    Reason.REQUEST_TOO_LARGE: "The request or its answer is over a limit. Nothing was done.",
    Reason.TOO_MANY_PENDING: "Too many requests of this kind are pending. Nothing was done.",
    Reason.OVER_QUOTA: "The caller has used up its share. Nothing was done: send it again later.",
    Reason.UNAUTHENTICATED: "Credentials are missing, wrong or expired. Nothing was done.",
    Reason.FORBIDDEN: "The caller may not do this. Nothing was done.",
    Reason.RECORD_TOO_LARGE: "Kafka takes no record of this size. Nothing was done.",
    Reason.FORMAT_TOO_OLD: (
        "The stored data has a format that cannot hold this property. Nothing was done."
    ),
    Reason.STALE_REVISION: "The job was changed meanwhile. Nothing was done: read it again.",
    Reason.NOT_SUPPORTED: "This version of the service cannot do this. Nothing was done.",
    Reason.INTERNAL: "A fault of the service. Its log has the reference.",
    Reason.UNAVAILABLE: "The service cannot answer now. The change may have been made.",
    Reason.REDIS_UNAVAILABLE: "Redis does not answer. The change may have been made.",
    Reason.REDIS_FULL: "Redis has no room left. Nothing was done.",
    Reason.NEWER_DATA: "A later version of the service wrote the stored data. Nothing was done.",
    Reason.RECOVERING: "The schedule is being recovered from Kafka. Nothing was done.",
    Reason.OVERLOADED: "Too much is under way. Nothing was done: send it again later.",
    Reason.KAFKA_UNAVAILABLE: "Kafka does not answer. The change may have been made.",
    Reason.SHARED_TOPIC: "Another service uses the jobs topic.",
    Reason.NOT_ANNOUNCED: "The change is stored, and not on Kafka yet.",
    Reason.CONTENDED: "Another call decides about the same id. Nothing was done.",
    Reason.OUTCOME_UNKNOWN: "Redis has lost writes. The change may have been made.",
    Reason.RUN_NOT_FAILED: "The run has not failed, so it is not tried again. Nothing was done.",
    Reason.PAYLOAD_GONE: "The job is gone, and its payload was not kept. Nothing was done.",
}
