"""Writes the dashboard of Grafana, deploy/grafana/scheduling.json: `make docs`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[1] / "deploy" / "grafana" / "scheduling.json"
WIDTH, HEIGHT, COLUMNS = 8, 7, 3


class Panel(NamedTuple):
    """One graph."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    """Expression and legend."""


def _quantile(share: str, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum(rate({metric}_bucket[$__rate_interval])) by ({by}))"


def _rate(metric: str, by: str) -> str:
    return f"sum(rate({metric}[$__rate_interval])) by ({by})"


PANELS: Sequence[Panel] = (
    Panel("Replicas that serve, shards that are owned", "none", [
        ("sum(scheduling_serving)", "serving"), ("sum(scheduling_owner)", "owned"),
    ]),
    Panel("Lateness of runs", "s", [
        (_quantile("0.5", "scheduling_lateness_seconds"), "p50"),
        (_quantile("0.99", "scheduling_lateness_seconds"), "p99"),
        ("max(scheduling_oldest_due_seconds)", "oldest due"),
    ]),
    Panel("Emitted and accepted", "cps", [
        (_rate("scheduling_runs_emitted_total", "type"), "runs {{type}}"),
        (_rate("scheduling_jobs_accepted_total", "type"), "jobs {{type}}"),
    ]),
    Panel("Waiting", "none", [
        ("max(scheduling_jobs_waiting)", "jobs"), ("max(scheduling_runs_held)", "held by parallel"),
        ("max(scheduling_retries_waiting)", "retries"),
    ]),
    Panel("Unanswered runs", "none", [
        ("max(scheduling_runs_unanswered) by (type)", "{{type}}"),
    ]),
    Panel("Runs that have ended", "cps", [
        (_rate("scheduling_runs_ended_total", "outcome"), "{{outcome}}"),
    ]),
    Panel("Outbox", "none", [("max(scheduling_outbox_entries)", "announcements")]),
    Panel("Transactions", "s", [
        (_quantile("0.5", "scheduling_transaction_seconds"), "p50"),
        (_quantile("0.99", "scheduling_transaction_seconds"), "p99"),
    ]),
    Panel("Consumer lag", "none", [
        ("sum(scheduling_consumer_lag_records) by (topic)", "{{topic}}"),
    ]),
    Panel("Calls", "cps", [
        (_rate("scheduling_grpc_calls_total", "method, code"), "{{method}} {{code}}"),
    ]),
    Panel("Time of calls, p99", "s", [
        (_quantile("0.99", "scheduling_grpc_call_seconds", "le, method"), "{{method}}"),
    ]),
    Panel("Refused calls", "cps", [
        (_rate("scheduling_calls_refused_total", "reason"), "{{reason}}"),
    ]),
    Panel("Dead letters and refused records", "cps", [
        (_rate("scheduling_dead_letters_total", "reason"), "{{reason}}"),
        (_rate("scheduling_records_refused_total", "kind"), "refused {{kind}}"),
    ]),
    Panel("Recoveries", "none", [
        ("sum(increase(scheduling_recoveries_total[$__rate_interval])) by (how)", "{{how}}"),
    ]),
    Panel("Guarantees at risk", "none", [
        ("max(scheduling_guarantee_at_risk) by (reason)", "{{reason}}"),
    ]),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "scheduling-srv",
        "title": "scheduling-srv",
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {
            "list": [{"name": "source", "label": "Source", "type": "datasource",
                      "query": "prometheus"}],
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
