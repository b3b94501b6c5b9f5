"""Instants and durations of scheduling.v1: whole milliseconds here, seconds and nanoseconds there.

The functions raise `InvalidRequest` without a field: the caller knows it.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from scheduling_srv.domain.errors import InvalidRequest

NANOS_A_MS = 1_000_000
NANOS_A_SECOND = 1_000_000_000
EARLIEST_SECOND, END_SECOND = -62_135_596_800, 253_402_300_800
"""The years 1 to 9999, as protobuf has it."""
LONGEST_SECONDS = 315_576_000_000
"""Of a Duration, as protobuf has it."""


def instant_of(time: Timestamp) -> int:
    """Epoch ms; parts of a millisecond are rounded up, so that nothing is early."""
    if not EARLIEST_SECOND <= time.seconds < END_SECOND or not 0 <= time.nanos < NANOS_A_SECOND:
        raise InvalidRequest("The time is not in the years 1 to 9999.")
    return time.seconds * 1000 - -time.nanos // NANOS_A_MS


def timestamp_of(instant: int) -> Timestamp:
    """Of epoch ms."""
    second, ms = divmod(instant, 1000)
    return Timestamp(seconds=second, nanos=ms * NANOS_A_MS)


def duration_ms(duration: Duration) -> int:
    """Milliseconds; may be negative."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > LONGEST_SECONDS or abs(nanos) >= NANOS_A_SECOND or seconds * nanos < 0:
        raise InvalidRequest("The duration is malformed or longer than 10,000 years.")
    if nanos % NANOS_A_MS:
        raise InvalidRequest("The duration is not a whole number of milliseconds.")
    return seconds * 1000 + nanos // NANOS_A_MS


def duration_of(milliseconds: int) -> Duration:
    """Of milliseconds, not negative."""
    second, ms = divmod(milliseconds, 1000)
    return Duration(seconds=second, nanos=ms * NANOS_A_MS)
