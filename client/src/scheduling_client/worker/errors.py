"""What a handler raises to say how its run ended, and what the worker raises."""

from __future__ import annotations

from scheduling_client.worker.durations import Duration, seconds


class Retry(Exception):
    """The run has failed, and its next attempt begins `after` that time.

    Without `after` the backoff of the job decides. The job's `attempts` still limit it. Raises
    ValueError if `after` is no duration.
    """

    def __init__(self, reason: str = "", *, after: Duration | None = None) -> None:
        super().__init__(reason or "The handler asked for a retry.")
        self.after_ms = 0 if after is None else max(1, round(seconds(after, "after") * 1000))


class Discard(Exception):
    """The run has failed for good: no attempt follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class AlreadyDone(Exception):
    """The effect of this run is in the database already. The worker answers that it is done."""


class WorkerError(Exception):
    """The worker cannot start, or cannot go on. Its sentence names the cause and a remedy."""


class PayloadError(Exception):
    """A payload does not fit the handler. The text has no part of the payload."""
