"""The operator's settings for a shard. All durations are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ShardRules:
    """See docs/settings.md for the settings of these names. Their defaults stand here."""

    completion_timeout: int = 3_600_000
    max_backoff: int = 86_400_000
    catch_up_window: int = 60_000
    missed_runs: Literal["latest", "skip"] = "latest"
    stage_ahead: int = 10
    """Runs are staged so long before they are due, and held until then (docs/decisions/0028)."""
    produce_ahead: int = 0
    """Runs go to Kafka so long before they are due, in a transaction that is committed then."""
    lease: int = 3_000
    catch_up_limit: int = 10_000
    outbox_limit: int = 200_000
    """Entries that may wait for Kafka before staging pauses: this bounds Redis's memory."""
    outbox_bytes: int = 268_435_456
    """The same limit in bytes."""
    waiting_retries: int = 10_000
    """Retries of one job that may wait; a run that fails beyond it is not retried."""
    batch_records: int = 1_000
    """Entries of one Kafka transaction."""
    batch_bytes: int = 8_000_000
    """Bytes after which a transaction takes no further entries."""
    stage_limit: int = 500
    """Runs of one staging call: it blocks Redis for some 5 ms."""
    most_staged: int = 1_000
    """Runs of one staging call while more than `stage_limit` are due."""


DEFAULTS = ShardRules()
"""The defaults of the settings of the same names."""
