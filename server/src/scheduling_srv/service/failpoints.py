"""Which failpoints lie around the ports of a shard. The assembly puts them there.

All other points lie within a step that no port shows: docs/failpoints.md says which, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.replies import Taken
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import read_event
from scheduling_srv.runtime import points
from scheduling_srv.runtime.failpoint_wrappers import Around, Table


def _is_of_a_caller(_groups: object, _now: object, source: object = None) -> bool:
    return source is None


def _is_of_a_record(_groups: object, _now: object, source: object = None) -> bool:
    return source is not None


def _are_dead_letters(entries: Sequence[bytes], *_: object) -> bool:
    return bool(entries) and read_event(entries[0])[0] is Topic.DEAD_LETTER


def _works(_token: object, *, emitting: bool) -> bool:
    return emitting


def _is_own(_token: object, *, own: bool) -> bool:
    return own


def _is_empty(taken: Taken) -> bool:
    return not taken.entries


def _has_records(records: object, *_: object) -> bool:
    return records != ()


def _has_none(records: object, *_: object) -> bool:
    return records == ()


def _is_there(result: Any) -> bool:  # noqa: ANN401 - of any port
    return bool(result)


# --- Calls ----------------------------------------------------------------------------------------

JOBS: Table = {
    "write": (
        Around(points.WRITE_CALL, points.WRITE_DONE, calls=_is_of_a_caller),
        Around(points.EVENT_CALL, points.EVENT_DONE, calls=_is_of_a_record),
    ),
    "delete": Around(points.DELETE_CALL, points.DELETE_DONE),
}
"""`JobStore`."""
ANNOUNCEMENTS: Table = {"wait": Around(points.WRITE_WAIT)}
"""`Announcements`, which is all that a caller sees of Kafka."""
LISTS: Table = {
    "keep": Around(after=points.LIST_KEPT, results=lambda kept: isinstance(kept, Receipt)),
    "decide": Around(points.LIST_DECIDE, points.LIST_DECIDED),
    "apply": Around(after=points.LIST_APPLIED, results=_is_there),
    "drop": Around(
        after=points.LIST_DROPPED, calls=_is_own, results=lambda state: state == "dropped"
    ),
}
"""`ListStore`."""
RESTORES: Table = {
    "begin": Around(after=points.RESTORE_NOTED),
    "pending": Around(after=points.RESTORE_BEGUN, results=_is_there),
    "put_back": Around(after=points.RESTORE_PUT_BACK),
    "end": Around(points.RESTORE_END, points.RESTORE_ENDED),
}
"""`Restores`."""
RESTORED_LOG: Table = {"resources": Around(after=points.RESTORE_READ)}
"""`History`, as a restore reads it."""

# --- Consumed records -----------------------------------------------------------------------------

INPUTS: Table = {
    "complete": Around(points.ANSWER_CALL, points.ANSWER_DONE),
    "append": Around(points.BURY_CALL, points.BURY_DONE, calls=_are_dead_letters),
}
"""`InputStore`, as consumed records use it."""
STARTS: Table = {"find": Around(after=points.LISTEN_ASSIGNED)}
"""`Starts`, as the listener uses it."""
SHOWN: Table = {"show_offsets": Around(points.LISTEN_SHOW, points.LISTEN_SHOWN)}
"""`JobStore`, as the listener uses it."""
GROUP: Table = {"commit": Around(after=points.LISTEN_COMMITTED)}
"""`GroupConsumer`."""

# --- Owning ---------------------------------------------------------------------------------------

LEASE: Table = {
    "acquire": Around(after=points.LEASE_TAKEN, results=_is_there),
    "renew": Around(after=points.LEASE_RENEWED, calls=_works),
    "release": Around(points.LEASE_RELEASE, points.LEASE_RELEASED),
}
"""`Lease`."""
RECOVERED_STORE: Table = {
    "note_backlog": Around(points.RECOVER_SETTLED),
    "initialise": Around(after=points.RECOVER_INITIALISED),
}
"""`ShardStore`, as `Recovery` uses it."""
RECOVERED_LOG: Table = {"last_position": Around(after=points.RECOVER_POSITION)}
"""`History`, as `Recovery` reads it."""
FENCING: Table = {"open": Around(after=points.RECOVER_FENCED)}
"""`Publisher`, as `Recovery` opens it."""
REBUILT_STORE: Table = {
    "begin_rebuild": Around(after=points.REBUILD_BEGUN),
    "load_jobs": Around(after=points.REBUILD_JOBS),
    "load_runs": Around(after=points.REBUILD_RUNS),
    "initialise": Around(after=points.REBUILD_INITIALISED),
}
"""`ShardStore`, as `Rebuild` uses it."""
REBUILT_LOG: Table = {"journal": Around(points.REBUILD_SETTLED, points.REBUILD_JOURNAL)}
"""`History`, as `Rebuild` reads it."""

# --- Emitting -------------------------------------------------------------------------------------

STAGING: Table = {
    "stage": Around(points.STAGE_CALL, points.STAGE_DONE),
    "unplanned": Around(after=points.PLAN_READ),
    "plan": Around(after=points.PLAN_DONE),
    "expire": Around(points.EXPIRE_CALL, points.EXPIRE_DONE),
}
"""`Schedule`."""
REFUSALS: Table = {"set_aside": Around(points.REFUSE_FOUND, points.REFUSE_SET_ASIDE)}
"""`Asides`."""
EXACTLY_ONCE: Table = {
    "publish": Around(points.PUBLISH_TAKEN, points.PUBLISH_KNOWN),
}
"""`BatchPublisher` with one transaction for each batch."""
OUTBOX: Table = {"take": Around(after=points.PUBLISH_TRIMMED, results=_is_empty)}
"""`Outbox`."""
AT_LEAST_ONCE: Table = {
    "publish": Around(points.SEND_TAKEN, points.SEND_SENT, results=_is_there),
}
"""`BatchPublisher` that sends runs at once."""
FOLLOWING: Table = {
    "publish": (
        Around(after=points.SEND_ANCHORED, calls=_has_none),
        Around(points.SEND_DELIVERED, points.SEND_SETTLED, calls=_has_records),
    )
}
"""`SwiftPublisher`: the transactions that follow runs."""

TABLES = (
    JOBS,
    ANNOUNCEMENTS,
    LISTS,
    RESTORES,
    RESTORED_LOG,
    INPUTS,
    STARTS,
    SHOWN,
    GROUP,
    LEASE,
    RECOVERED_STORE,
    RECOVERED_LOG,
    FENCING,
    REBUILT_STORE,
    REBUILT_LOG,
    STAGING,
    REFUSALS,
    EXACTLY_ONCE,
    OUTBOX,
    AT_LEAST_ONCE,
    FOLLOWING,
)
