"""Quotas of callers, by a clock that the test holds."""

import pytest

from scheduling_srv.app.access import quotas
from scheduling_srv.app.access.quotas import BURST_SECONDS, Quotas
from scheduling_srv.domain.errors import OverQuota


class Told:
    """Quotas, and the time."""

    def __init__(self, *, calls: int = 0, bytes_: int = 0) -> None:
        self.now = 0.0
        self.quotas = Quotas(calls=calls, bytes_=bytes_, monotonic=lambda: self.now)

    def accepted(self, caller: str, calls: int) -> int:
        """How many of so many calls at once are accepted."""
        count = 0
        for _ in range(calls):
            try:
                self.quotas.begin(caller)
            except OverQuota:
                continue
            count += 1
        return count


def test_a_burst_then_the_rate() -> None:
    told = Told(calls=10)
    assert told.accepted("a", 100) == 10 * BURST_SECONDS
    told.now += 1
    assert told.accepted("a", 100) == 10
    told.now += 1_000
    assert told.accepted("a", 100) == 10 * BURST_SECONDS


def test_callers_do_not_share() -> None:
    told = Told(calls=1)
    told.accepted("greedy", 100)
    assert told.accepted("modest", 1) == 1


def test_a_refusal_tells_when_the_call_would_be_accepted() -> None:
    told = Told(calls=10)
    told.accepted("a", 100)
    with pytest.raises(OverQuota, match="quota of 10 calls a second") as caught:
        told.quotas.begin("a")
    told.now += caught.value.retry_seconds
    assert told.accepted("a", 1) == 1


def test_bytes_beyond_the_quota_delay_the_next_call() -> None:
    told = Told(bytes_=1_000)
    told.quotas.begin("a")
    told.quotas.received("a", 5_000)
    with pytest.raises(OverQuota, match="bytes") as caught:
        told.quotas.begin("a")
    assert 3 <= caught.value.retry_seconds <= 3.1
    told.now += 2.9
    assert told.accepted("a", 1) == 0
    told.now += 0.2
    assert told.accepted("a", 1) == 1


def test_zero_does_not_limit() -> None:
    told = Told()
    told.quotas.received("a", 2**40)
    assert told.accepted("a", 1_000) == 1_000


def test_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_CALLERS", 10)
    told = Told(calls=1)
    for number in range(100):
        told.accepted(str(number), 1)
    assert told.quotas._calls
    assert len(told.quotas._calls._buckets) == 10
