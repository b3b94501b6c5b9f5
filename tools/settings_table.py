"""Writes the tables of settings into docs/settings.md, from the command's output: `make docs`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: make docs -->\n", "<!-- end of settings -->\n"
PREFIX = "SCHEDULING_"
TOPICS = {
    "Listeners": "GRPC_ADDRESS ADMIN_ADDRESS CALL_MEMORY MAX_ITEMS MAX_JOB_BYTES SERVICES",
    "Doors": "INSECURE TLS_CERTIFICATE TLS_KEY TLS_CLIENT_CA CALLERS JWT_KEYS JWT_ISSUER"
    " JWT_AUDIENCE JWT_ROLE_CLAIM OPEN_HEALTH REFLECTION AUDIT_LOG QUOTA_CALLS QUOTA_BYTES"
    " QUOTA_JOBS",
    "Admin pages": "PAGES_ADDRESS PAGES_LINK PAGES_USER_HEADER PAGES_PROXIES PAGES_MASK_PAYLOADS"
    " PAGES_DESCRIPTORS",
    "Redis": "REDIS_URL REDIS_PASSWORD OUTBOX_LIMIT OUTBOX_BYTES",
    "Kafka": "KAFKA_BOOTSTRAP_SERVERS KAFKA_OPTIONS KAFKA_GROUP_ID KAFKA_CLIENT_ID START_OFFSET"
    " OFFSET_INTERVAL EMBEDDED_KAFKA_PORT",
    "Topics": "TOPIC_JOBS TOPIC_RESOURCES TOPIC_COMMANDS TOPIC_DEAD_LETTER CREATE_TOPICS"
    " SHARED_TOPIC",
    "Replicas and shards": "NAMESPACE SHARDS LEASE RAISE_FORMAT_AFTER",
    "Guarantees": "DELIVERY ACKNOWLEDGE REQUIRE_GUARANTEES",
    "Runs": "COMPLETION_TIMEOUT MAX_BACKOFF WAITING_RETRIES MIN_INTERVAL STAGE_AHEAD"
    " PRODUCE_AHEAD RECURRING_SPELLING",
    "After an outage": "CATCH_UP_WINDOW MISSED_RUNS INPUT_TIMEOUT",
    "History": "HISTORY_RUNS HISTORY_FAILURES HISTORY_BYTES",
    "Logs and metrics": "LOG_LEVEL LOG_FORMAT METRICS_TYPES",
}
"""Heading -> settings without their prefix, in the order of the page."""


def table(settings: Iterable[Mapping[str, str]]) -> str:
    """The settings as Markdown."""
    rows = ["| environment | default | meaning |", "|---|---|---|"]
    for row in settings:
        default = f"`{row['default']}`" if row["default"] else "none"
        rows.append(f"| `{row['environment']}` | {default} | {row['meaning']} |")
    return "\n".join(rows) + "\n"


def by_topic(settings: Iterable[Mapping[str, str]]) -> str:
    """A table for each topic. Raises `ValueError` for a setting without a topic, or without use."""
    rows = {row["environment"]: row for row in settings}
    names = [PREFIX + name for topic in TOPICS.values() for name in topic.split()]
    if sorted(names) != sorted(rows):
        differing = sorted(set(names) ^ set(rows))
        raise ValueError(f"TOPICS in tools/settings_table.py and the settings differ: {differing}")
    return "\n".join(
        f"## {heading}\n\n{table(rows[PREFIX + name] for name in topic.split())}"
        for heading, topic in TOPICS.items()
    )


def with_tables(page: str) -> str:
    """The page with its tables as they have to be."""
    command = [sys.executable, "-m", "scheduling_srv", "settings", "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{by_topic(json.loads(said))}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
