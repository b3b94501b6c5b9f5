"""`scheduling-srv audit`: run the audit and print its report."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime

from confluent_kafka import KafkaException

from scheduling_client.schedules.durations import parse_duration
from scheduling_client.schedules.when import rfc3339
from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.adapters.kafka.clients import ask, make_admin, unavailable
from scheduling_srv.adapters.kafka.history import KafkaHistory
from scheduling_srv.audit.compare import Audit, Report, Window
from scheduling_srv.domain.errors import StartError, Unavailable
from scheduling_srv.service.from_settings import kafka_config, topic_names
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions

FOUND = 1
"""Exit code when a run is missing, doubled or early."""
KAFKA_SECONDS = 10.0
"""How long the audit waits for an answer of Kafka."""
MOST_LINES = 1_000
"""At most this many findings are printed; all are counted."""


def audit(settings: Settings, *, since: str, until: str, late: str, as_json: bool) -> int:
    """Audit the topics and print the report; returns the exit code. Raises `StartError`."""
    now = SystemClock().now()
    window = Window(
        since=_instant(since, now),
        until=_instant(until, now),
        late=_duration(late),
        catch_up=settings.catch_up_window,
        max_backoff=settings.max_backoff,
        repeats=settings.delivery == "at_least_once",
        completion_timeout=settings.completion_timeout,
    )
    if window.since >= window.until:
        raise StartError("--since is after --until: there is nothing to audit.")
    if window.until > now:
        raise StartError("--until is in the future: runs that are due then cannot be there yet.")
    config = kafka_config(settings)
    history = KafkaHistory(
        config, settings.namespace, 0, topic_names(settings), timeout=KAFKA_SECONDS
    )
    try:
        _ask_kafka(config, settings.topic_jobs)
        report = asyncio.run(Audit(history, window).run())
    except Unavailable as fault:
        raise StartError(str(fault)) from fault
    _print_json(report, window) if as_json else _print(report, window)
    return 0 if report.clean else FOUND


def _ask_kafka(config: KafkaOptions, topic: str) -> None:
    """Raises `LogUnavailable` with the reason, which a consumer does not report."""
    try:
        ask(make_admin(config), config, topic, KAFKA_SECONDS)
    except KafkaException as fault:
        raise unavailable(fault, config) from fault


def _instant(text: str, now: int) -> int:
    """Milliseconds since 1970 for an RFC 3339 instant, a duration ago, or `now`."""
    if text == "now":
        return now
    instant = _ago(text, now)
    if instant is None:
        instant = _moment(text)
    if instant is None:
        raise StartError(
            f"{text!r} is neither a duration such as 1h nor an instant such as "
            "2026-01-15T10:30:00Z."
        )
    if instant < 0:
        raise StartError(f"{text!r} is before 1970: nothing can have been emitted then.")
    return instant


def _ago(text: str, now: int) -> int | None:
    try:
        return now - parse_duration(text)
    except ValueError:
        return None


def _moment(text: str) -> int | None:
    """Refuses plain numbers: Python would read milliseconds since 1970 as a year."""
    try:
        moment = None if text.isdecimal() else datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment is None:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError:
        raise StartError(f"{text!r} is not a duration such as 500ms or 1s.") from None


def _summary(report: Report, window: Window) -> dict[str, object]:
    kinds = Counter(finding.kind for finding in report.findings)
    late = report.lateness
    return {
        "since": rfc3339(window.since).decode(),
        "until": rfc3339(window.until).decode(),
        "runs": report.runs,
        "missing": kinds["missing"],
        "doubled": kinds["doubled"],
        "repeated": kinds["repeated"],
        "early": kinds["early"],
        "late": kinds["late"],
        "waiting": kinds["waiting"],
        "coalesced": report.coalesced,
        "lateness_ms": {
            "p50": late[len(late) // 2] if late else None,
            "p99": late[int(len(late) * 0.99)] if late else None,
            "max": late[-1] if late else None,
        },
    }


def _print_json(report: Report, window: Window) -> None:
    findings = [
        {**finding._asdict(), "nominal": rfc3339(finding.nominal).decode()}
        for finding in report.findings
    ]
    sys.stdout.write(json.dumps({**_summary(report, window), "findings": findings}, indent=2))
    sys.stdout.write("\n")


def _print(report: Report, window: Window) -> None:
    for kind, job_id, nominal, attempt, detail in report.findings[:MOST_LINES]:
        due = rfc3339(nominal).decode()
        sys.stdout.write(f"{kind:<8} {due}  {job_id}  attempt {attempt}: {detail}\n")
    if len(report.findings) > MOST_LINES:
        sys.stdout.write(f"... and {len(report.findings) - MOST_LINES} more\n")
    for name, value in _summary(report, window).items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {part}" for key, part in value.items())  # noqa: PLW2901
        sys.stdout.write(f"{name.replace('_', ' '):<12} {value}\n")
    verdict = "clean: every run is there, once, not early" if report.clean else "NOT clean"
    sys.stdout.write(f"{verdict}\n")
