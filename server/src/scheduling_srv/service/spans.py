"""Which calls of ports have spans (docs/operations.md). The assembly puts them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from scheduling_srv.app.inputs.keys import ANSWERS
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.ports import WriteGroup
from scheduling_srv.app.records import Consumed
from scheduling_srv.formats.trace import (
    trace_from_headers,
    trace_of_record,
    traces_of_entries,
)
from scheduling_srv.runtime.spans import Kind, Relation, Span, Table

SYSTEM = "messaging.system"
COUNT = "messaging.batch.message_count"


def _store(operation: str) -> Callable[..., Span]:
    """A call of the store, made for the span under way."""
    span = Span(f"store {operation}", Kind.CLIENT, attributes=_of_store(operation))
    return lambda *_, **__: span


def _of_store(operation: str) -> dict[str, str | int]:
    return {"db.system.name": "redis", "db.operation.name": operation}


def _write(groups: Sequence[WriteGroup], _now: int, source: object = None) -> Span:
    """Calls that arrive together share one call of the store."""
    about = {**_of_store("write"), "db.operation.batch.size": len(groups)}
    if source is not None:
        return Span("store write", Kind.CLIENT, attributes=about)
    return Span("store write", Kind.CLIENT, Relation.SERVES, _of_calls(groups), about)


def _of_calls(groups: Sequence[WriteGroup]) -> Iterator[bytes]:
    """All jobs of a call have its trace."""
    return (trace for each in groups if (trace := trace_of_record(each.jobs[0].record)))


def _publish(batch: Batch) -> Span | None:
    entries = batch.taken.entries
    if not entries:
        return None
    about: dict[str, str | int] = {SYSTEM: "kafka", COUNT: len(entries)}
    return Span("publish", Kind.PRODUCER, Relation.LINKED, traces_of_entries(entries), about)


def _process(batches: Sequence[Sequence[Consumed]]) -> Span:
    records = [record for batch in batches for record in batch]
    answers = sum(record.key in ANSWERS for record in records)
    about: dict[str, str | int] = {
        SYSTEM: "kafka",
        COUNT: len(records),
        "scheduling.answers": answers,
    }
    traces = (trace for each in records if (trace := trace_from_headers(each.headers)))
    return Span("process", Kind.CONSUMER, Relation.LINKED, traces, about)


JOBS: Table = {
    "write": _write,
    **{name: _store(name) for name in ("delete", "clear", "page", "get", "complete", "append")},
}
"""`JobStore` and `InputStore`."""
LISTS: Table = {name: _store(f"list {name}") for name in ("keep", "decide", "apply")}
"""`ListStore`."""
INDEX: Table = {"page": _store("index page"), "show": _store("index show")}
"""`JobIndex`."""
PAUSES: Table = {name: _store(name) for name in ("pause", "resume", "pauses")}
"""`PauseStore`."""
RUN_CONTROL: Table = {name: _store(f"run {name}") for name in ("extend", "cancel", "run")}
"""`RunControlStore`."""
RUNS: Table = {
    name: _store(f"runs {name}")
    for name in ("runs", "failures", "job_runs", "upcoming", "retry", "overview")
}
"""`RunReading`, `RunRetrying` and `ShardOverview`."""
PUBLISHER: Table = {"publish": _publish}
"""`BatchPublisher`."""
CONSUME: Table = {"apply": _process}
"""`Consume`: answers, and events that create, change and delete jobs."""
