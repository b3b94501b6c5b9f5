"""EventService, from and to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_client.wire.v1 import event_service_pb2 as service
from scheduling_client.wire.v1 import run_pb2
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.event import Event, EventFilter, EventKind, EventRun
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.times import timestamp_of

EVENT_SERVICE = service.DESCRIPTOR.services_by_name["EventService"].full_name
_KINDS = {kind: service.EventKind.Value(f"EVENT_KIND_{kind.name}") for kind in EventKind}
_ORIGINS = {
    "schedule": run_pb2.RUN_ORIGIN_SCHEDULE,
    "manual": run_pb2.RUN_ORIGIN_MANUAL,
    "backfill": run_pb2.RUN_ORIGIN_BACKFILL,
}
_ENDED = {
    EventKind.DONE: run_pb2.OUTCOME_DONE,
    EventKind.FINALLY_FAILED: run_pb2.OUTCOME_FAILED,
    EventKind.TIMED_OUT: run_pb2.OUTCOME_TIMED_OUT,
    EventKind.CANCELLED: run_pb2.OUTCOME_CANCELLED,
}
"""Kind of an event after which its run has ended -> the outcome."""


class WatchCall(NamedTuple):
    """A WatchEventsRequest."""

    wanted: EventFilter
    cursor: str


def decode_watch(raw: bytes) -> WatchCall:
    """A WatchEventsRequest. Raises `InvalidRequest`."""
    asked = parse_whole(service.WatchEventsRequest, raw)
    kinds = set[EventKind]()
    for place, number in enumerate(asked.kinds):
        try:
            kinds.add(EventKind(number))
        except ValueError:
            sentence = f"There is no kind of events with the number {number}."
            raise InvalidRequest(sentence, [Violation(f"kinds[{place}]", sentence)]) from None
    wanted = EventFilter(asked.job_id, asked.type, dict(asked.labels), frozenset(kinds))
    return WatchCall(wanted, asked.cursor)


def encode_events(events: Sequence[Event], cursor: str) -> bytes:
    """A WatchEventsResponse."""
    answer = service.WatchEventsResponse(cursor=cursor)
    for event in events:
        answer.events.append(_event_of(event))
    return answer.SerializeToString()


def _event_of(event: Event) -> service.Event:
    return service.Event(
        event_id=event.id,
        kind=_KINDS[event.kind],
        time=timestamp_of(event.time),
        job_id=event.job_id,
        type=event.type,
        run=_run_of(event, event.run) if event.run else None,
        count=event.count,
        reason=event.reason,
        by=event.by,
    )


def _run_of(event: Event, run: EventRun) -> run_pb2.Run:
    outcome = _ENDED.get(event.kind, run_pb2.OUTCOME_UNSPECIFIED)
    state = run_pb2.RUN_STATE_ENDED if outcome else run_pb2.RUN_STATE_UNSPECIFIED
    is_running = event.kind in {EventKind.QUEUED, EventKind.HEARTBEAT}
    return run_pb2.Run(
        run_id=run.run_id,
        job_id=event.job_id,
        type=event.type,
        nominal_time=timestamp_of(run.nominal) if run.nominal else None,
        origin=_ORIGINS.get(run.origin, run_pb2.RUN_ORIGIN_UNSPECIFIED),
        state=run_pb2.RUN_STATE_RUNNING if is_running else state,
        attempts=run.attempt,
        instance_id=run.instance,
        outcome=outcome,
        error=event.reason if event.kind is EventKind.FAILED else "",
    )
