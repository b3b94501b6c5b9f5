"""The jobs of the demonstration."""

from __future__ import annotations

from examples.demo.scheduler import job
from scheduling_client.wire import job_pb2 as wire

CREATOR = "demo"
HEARTBEAT = "heartbeat"
"""Type and id of the recurring job; one id, so that a second start finds it again."""
PERIOD_MS = 2_000
RETRY_MS = 500
"""The first delay of the job that fails; it doubles."""
ATTEMPTS = 3

PLANS = {
    "greet": "now",
    "remind": "in five seconds",
    "heartbeat": "every two seconds",
    "print": "now, and it fails twice: three attempts",
}
"""Job type -> when it runs, in words."""


def one_time_jobs() -> list[wire.Job]:
    """New ones at each start; the service gives them ids."""
    backoff = wire.Backoff(delay=RETRY_MS, type=wire.Backoff.EXPONENTIAL)
    return [
        job("greet", {"name": "world"}, creator=CREATOR, now=True),
        job("remind", {"text": "tea"}, creator=CREATOR, when="in 5 seconds"),
        job("print", {"pages": 2}, creator=CREATOR, when="now", attempts=ATTEMPTS, backoff=backoff),
    ]


def heartbeat() -> wire.Job:
    """The recurring job, created once."""
    return job(HEARTBEAT, creator=CREATOR, id=HEARTBEAT, interval="2 seconds")


def retry_delay(attempt: int) -> int:
    """Milliseconds from the failure before this attempt (2, 3, ...) to the attempt."""
    return RETRY_MS << (attempt - 2)
