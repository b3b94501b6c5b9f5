"""Unknown events are counted, and logged once an hour for each key."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_srv.app.inputs.keys import KNOWN
from scheduling_srv.app.inputs.unknown_events import LOG_EVERY_SECONDS, MAX_KEYS, UnknownEvents


def counted() -> float:
    return REGISTRY.get_sample_value("scheduling_unknown_events_total", {"topic": "jobs"}) or 0.0


class Hours:
    """A clock that counts hours."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now * LOG_EVERY_SECONDS


def test_each_key_is_logged_once_an_hour_and_always_counted() -> None:
    """Before, an event with a misspelled key (`createJob`) left no trace."""
    hours, before = Hours(), counted()
    unknown = UnknownEvents(hours)
    with capture_logs() as logs:
        for now in (0.0, 0.5, 0.99, 1.0):
            hours.now = now
            unknown.note("jobs", b"createJob", 0, 7)
        unknown.note("jobs", None, 0, 8)
    assert [line["key"] for line in logs] == ["'createJob'", "'createJob'", "''"]
    assert counted() - before == 5


def test_random_keys_fill_neither_the_log_nor_the_memory() -> None:
    hours = Hours()
    unknown = UnknownEvents(hours)
    with capture_logs() as logs:
        for number in range(MAX_KEYS + 50):
            unknown.note("jobs", b"%d" % number + b"x" * 1_000_000, 0, number)
        assert len(logs) == MAX_KEYS
        hours.now = 1.0
        unknown.note("jobs", b"createJob", 0, 7)
    assert logs[-1]["key"] == "'createJob'"
    assert sum(map(len, unknown._logged)) < 20_000


@pytest.mark.parametrize("key", [b"queuedJob", b"jobDone", b"restoreCommand", b"resetResponse"])
def test_keys_of_the_contract_are_known(key: bytes) -> None:
    assert key in KNOWN
