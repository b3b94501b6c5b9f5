"""How spans are related, and when the service traces at all."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scheduling_srv.adapters import telemetry
from scheduling_srv.adapters.telemetry import MOST_LINKS, Telemetry, add_ids
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.trace import trace_of_record, traces_of_entries
from scheduling_srv.runtime import spans
from scheduling_srv.runtime.otel import context_of, text_of
from scheduling_srv.runtime.spans import Kind, Relation, Span, spanned
from scheduling_srv.service import tracing
from tests.store.shard import job
from tests.unit.test_announcer import NOMINAL, created, queued

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


def text(number: int, flags: str = "01") -> bytes:
    return f"00-{number:032x}-{number:016x}-{flags}".encode()


class Recorded:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.telemetry = Telemetry(self.exporter, "me")

    def spans(self) -> dict[str, ReadableSpan]:
        self.telemetry._provider.force_flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    spans.record_with(made.telemetry)
    yield made
    spans.record_with(None)
    made.telemetry._provider.shutdown()


def begun(relation: Relation, *traces: bytes, name: str = "s") -> Span:
    return Span(name, Kind.CLIENT, relation, traces)


def parent_of(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent else 0


def links_of(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


@pytest.mark.parametrize(
    ("relation", "traces", "parent", "links"),
    [
        (Relation.SERVES, [1], 1, []),
        (Relation.SERVES, [1, 1], 1, []),
        (Relation.SERVES, [1, 2, 1], 0, [1, 2]),
        (Relation.LINKED, [], 0, []),
        (Relation.LINKED, [1], 0, [1]),
    ],
)
def test_a_span_is_a_child_or_has_links(
    recorded: Recorded, relation: Relation, traces: list[int], parent: int, links: list[int]
) -> None:
    with recorded.telemetry.around(begun(relation, *map(text, traces))):
        pass
    span = recorded.spans()["s"]
    assert (parent_of(span), links_of(span)) == (parent, links)


def test_no_span_is_made_for_work_without_a_trace(recorded: Recorded) -> None:
    for relation in (Relation.CHILD, Relation.SERVES):
        with recorded.telemetry.around(begun(relation)):
            pass
    assert not recorded.spans()


def test_a_child_belongs_to_the_span_under_way_and_no_further_than_that(recorded: Recorded) -> None:
    outer = begun(Relation.LINKED, name="outer")
    with recorded.telemetry.around(outer):
        with recorded.telemetry.around(begun(Relation.CHILD, name="inner")):
            pass
        serves_nobody = recorded.telemetry.around(begun(Relation.SERVES))
        with serves_nobody, recorded.telemetry.around(begun(Relation.CHILD, name="lost")):
            pass
    found = recorded.spans()
    assert found.keys() == {"outer", "inner"}
    assert parent_of(found["inner"]) == found["outer"].context.span_id


def test_a_trace_that_is_not_sampled_has_no_children(recorded: Recorded) -> None:
    with recorded.telemetry.around(begun(Relation.SERVES, text(1, "00"))):
        pass
    assert not recorded.spans()


def test_links_are_bounded(recorded: Recorded) -> None:
    with recorded.telemetry.around(begun(Relation.LINKED, *map(text, range(1, 1_000)))):
        pass
    assert links_of(recorded.spans()["s"]) == [*range(1, MOST_LINKS + 1)]


def test_a_fault_is_noted_and_goes_on(recorded: Recorded) -> None:
    with pytest.raises(KeyError), recorded.telemetry.around(begun(Relation.LINKED)):
        raise KeyError("x")
    assert recorded.spans()["s"].status.status_code is trace.StatusCode.ERROR


def test_lines_of_the_log_have_ids_within_a_recorded_span_only(recorded: Recorded) -> None:
    assert add_ids(None, "", {}) == {}
    with recorded.telemetry.around(begun(Relation.LINKED)):
        event = add_ids(None, "", {})
    context = recorded.spans()["s"].context
    assert event == {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
    }


class Port:
    value = 1

    async def act(self, add: int, *, more: int = 0) -> int:
        return self.value + add + more


async def test_a_port_has_spans_around_the_calls_of_its_table(recorded: Recorded) -> None:
    def of(add: int, more: int = 0) -> Span | None:
        return begun(Relation.LINKED, name=f"{add} {more}") if add else None

    port = spanned(Port(), {"act": of})
    assert port.value == 1
    assert [await port.act(1, more=2), await port.act(0)] == [4, 1]
    assert recorded.spans().keys() == {"1 2"}


def test_a_port_is_itself_if_the_service_does_not_trace() -> None:
    port = Port()
    assert spanned(port, {"act": lambda *_: None}) is port


# --- trace contexts ---


@pytest.mark.parametrize("given", [text(7), text(7, "00"), text(7) + b"\na=1,b=2"])
def test_a_trace_context_survives(given: bytes) -> None:
    assert text_of(context_of(given)) == given


@pytest.mark.parametrize("given", [b"", text(7), text(7) + b"\na=1"])
def test_the_trace_of_a_job_is_found_in_its_record_and_its_run(given: bytes) -> None:
    assert trace_of_record(job("j", TriggerKind.ONCE, NOMINAL, trace=given).record) == given
    entries = [b"M", queued(TriggerKind.ONCE, trace=given)]
    assert [*traces_of_entries(entries)] == ([given] if given else [])


@pytest.mark.parametrize("letter", [b"C", b"N"])
def test_the_trace_of_a_new_job_is_found_in_its_entry(letter: bytes) -> None:
    entry, stored = created(letter)
    assert [*traces_of_entries([entry])] == [trace_of_record(stored)]


# --- when ---


@pytest.mark.parametrize(
    ("environment", "traces"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, False),
        ({"OTEL_SDK_DISABLED": "true", **ENDPOINT}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, True),
    ],
)
def test_it_traces_if_the_environment_asks_for_it(
    environment: dict[str, str], traces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_exporter", lambda _: InMemorySpanExporter())
    made = tracing.begin(environment, "me")
    spans.record_with(None)
    assert (made.calls is not None, bool(made.processors)) == (traces, traces)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin' is not known"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", **ENDPOINT}, "'http/json' is not known"),
    ],
)
def test_a_wrong_variable_is_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(StartError, match=sentence):
        tracing.begin(environment, "me")


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "scheduling_srv.adapters.telemetry", missing)
    monkeypatch.delattr("scheduling_srv.adapters.telemetry", raising=False)
    with pytest.raises(StartError, match=r"scheduling-srv\[otel\]"):
        tracing.begin(ENDPOINT, "me")


def test_without_it_nothing_of_it_is_imported() -> None:
    """But by redis-py, which imports the SDK wherever it is installed."""
    code = (
        "import sys; from scheduling_srv.service import service, tracing;"
        " tracing.begin({}, 'me');"
        " names = {'scheduling_srv.adapters.telemetry', 'scheduling_srv.entrances.grpc_spans',"
        " 'scheduling_srv.runtime.otel', 'opentelemetry.exporter'};"
        " sys.exit(bool(names & {*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
