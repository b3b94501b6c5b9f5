"""A collector of traces that only counts spans: a helper (`bench.actors`)."""

from __future__ import annotations

from bench.actors import Reply, serve
from tests.harness.collector import Collector


class Counting:
    """Listens from the start on."""

    def __init__(self) -> None:
        self._collector = Collector("grpc")

    def start(self) -> Reply:
        """Returns the value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return {"endpoint": self._collector.__enter__().endpoint}

    def take(self) -> Reply:
        """How many spans came since it was asked last."""
        spans, self._collector.spans = self._collector.spans, []
        return {"spans": len(spans)}


if __name__ == "__main__":
    serve(Counting())
