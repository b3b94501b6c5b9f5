"""Traces of the service, sent to a real receiver of OTLP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.collector import Collector
from tests.harness.waiting import eventually

CALLER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
TRACE = f"00-{CALLER[0]}-{CALLER[1]}-01"
JOBS = "io.restorecommerce.job.Service"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector("grpc") as found:
        yield found


def traced(deploy: Deploy, collector: Collector, **more: str) -> Product:
    product = deploy(start=False)
    product.service.settings |= {
        "SCHEDULING_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }
    product.service.start()
    return product


def test_the_trace_of_the_creator_leads_to_the_run_and_its_answer(
    deploy: Deploy, collector: Collector
) -> None:
    product, kind = traced(deploy, collector), fresh("t")
    product.client.metadata = (("traceparent", TRACE), ("tracestate", "vendor=1"))
    product.client.create(contract.job(type=kind, now=True))
    call = collector.until(f"{JOBS}/Create")
    assert (call.trace, call.parent) == CALLER
    assert call.attributes["rpc.grpc.status_code"] == 0
    assert call.resource["service.name"] == "scheduling-srv"

    store = collector.until("store write", lambda span: span.trace == call.trace)
    assert store.parent == call.id

    run = product.run(kind)
    assert run.record.headers["traceparent"] == f"00-{call.trace}-{call.id}-01"
    assert run.record.headers["tracestate"] == "vendor=1"
    publish = collector.until("publish", lambda span: call.place in span.links)
    assert publish.trace != call.trace

    worker = ("1" * 32, "2" * 16)
    headers = {"traceparent": f"00-{worker[0]}-{worker[1]}-01"}
    product.send("jobDone", contract.JobDone(id=run.instance, schedule_type="NOW"), headers=headers)
    answer = collector.until("process", lambda span: worker in span.links)
    assert answer.attributes["scheduling.answers"] == 1
    assert collector.until("store complete").parent == answer.id


def test_calls_that_share_a_store_call_are_linked_to_it(
    deploy: Deploy, collector: Collector
) -> None:
    product = traced(deploy, collector)
    made: list[Any] = [product.client.channel.unary_unary(f"/{JOBS}/Create") for _ in range(20)]
    message = contract.JobList(items=[contract.job(type="t", when=tomorrow())]).SerializeToString()
    for each in [call.future(message, timeout=product.client.timeout) for call in made]:
        each.result()

    def places(name: str) -> set[tuple[str, str]]:
        found = [span for span in [*collector.spans] if span.name == name]
        if name == "store write":
            return {each for span in found for each in span.links or [(span.trace, span.parent)]}
        return {span.place for span in found}

    eventually(
        lambda: len(made) == len(places(f"{JOBS}/Create")) == len(places("store write")),
        what="the spans of all calls, and of their store calls",
    )
    assert places("store write") == places(f"{JOBS}/Create")


def test_lines_of_the_log_name_the_trace(deploy: Deploy, collector: Collector) -> None:
    product = traced(deploy, collector)
    product.client.delete("unknown")
    call = collector.until(f"{JOBS}/Delete")
    (line,) = [
        line for line in product.service.lines() if line["event"] == "jobs were deleted by id"
    ]
    assert (line["trace_id"], line["span_id"]) == call.place


def test_a_caller_that_is_not_sampled_has_no_spans_and_keeps_its_trace(
    deploy: Deploy, collector: Collector
) -> None:
    product, kind = traced(deploy, collector), fresh("t")
    unsampled = f"{TRACE[:-2]}00"
    product.client.metadata = (("traceparent", unsampled),)
    product.client.create(contract.job(type=kind, now=True))
    assert product.run(kind).record.headers["traceparent"] == unsampled
    product.client.metadata = ()
    product.client.read()
    collector.until(f"{JOBS}/Read")
    assert not [span for span in collector.spans if span.trace == CALLER[0]]


def test_spans_go_by_http_too_and_the_last_ones_are_sent_at_the_end(deploy: Deploy) -> None:
    with Collector("http/protobuf") as collector:
        more = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            "OTEL_SERVICE_NAME": "mine",
        }
        product = traced(deploy, collector, **more)
        product.client.read()
        assert not [span for span in collector.spans if span.name == f"{JOBS}/Read"]
        product.service.stop()
        assert collector.until(f"{JOBS}/Read").resource["service.name"] == "mine"


def test_a_collector_that_is_away_delays_neither_calls_nor_the_end(
    deploy: Deploy, collector: Collector
) -> None:
    product = traced(deploy, collector, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    product.client.create(contract.job(type="t", when=tomorrow()))
    product.service.stop()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "write one of grpc, http/protobuf."),
        ("OTEL_TRACES_EXPORTER", "write otlp or none."),
    ],
)
def test_a_wrong_variable_ends_the_start(
    deploy: Deploy, collector: Collector, variable: str, sentence: str
) -> None:
    replica = deploy(start=False).service
    replica.settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, variable: "pigeon"}
    replica.launch()
    assert replica.exit_code() == 2
    assert sentence in replica.log.read_text()
