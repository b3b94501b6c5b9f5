"""A collector of OpenTelemetry traces: it decodes OTLP by gRPC or HTTP, and keeps the spans."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.harness.waiting import eventually

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PATH = "/v1/traces"


class Found:
    """A span as a test looks at it. Ids are hex texts, as in `traceparent`."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.trace: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.attributes = _values(span.attributes)
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.failed: bool = span.status.code == span.status.STATUS_CODE_ERROR
        self.resource = resource

    @property
    def place(self) -> tuple[str, str]:
        """As a link names it."""
        return self.trace, self.id


class Collector:
    """Listens while it is entered. `endpoint` is the value of OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self, protocol: str) -> None:
        """`protocol`: `grpc` or `http/protobuf`."""
        self.spans: list[Found] = []
        self._start = self._start_grpc if protocol == "grpc" else self._start_http
        self._stop: Callable[[], object] = lambda: None
        self.endpoint = ""

    def __enter__(self) -> Self:
        self.endpoint, self._stop = self._start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def until(self, name: str, fits: Callable[[Found], bool] = lambda _: True) -> Found:
        """The first span with this name that fits, as soon as it is there."""
        return eventually(
            lambda: next((each for each in self.spans if each.name == name and fits(each)), None),
            what=lambda: f"a span {name!r} among {sorted({each.name for each in self.spans})}",
        )

    def take(self, message: bytes) -> bytes:
        """Keep the spans of an export."""
        for of_resource in ExportTraceServiceRequest.FromString(message).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += [Found(span, resource) for span in scope.spans]
        return ExportTraceServiceResponse().SerializeToString()

    def _start_grpc(self) -> tuple[str, Callable[[], object]]:
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            lambda message, _: self.take(message)
        )
        service, _, method = EXPORT[1:].partition("/")
        server = grpc.server(ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"http://127.0.0.1:{port}", lambda: server.stop(None).wait()

    def _start_http(self) -> tuple[str, Callable[[], object]]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == PATH
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    raise AssertionError("nobody asked for compression")
                answer = collector.take(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Not on the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return f"http://127.0.0.1:{server.server_port}", stop


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
