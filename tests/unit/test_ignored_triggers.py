"""Which trigger of several counts is said, now and then to operators and always to callers."""

from typing import Any

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_srv.app.ignored_triggers import LOG_EVERY_SECONDS, MOST_NAMED, IgnoredTriggers
from scheduling_srv.domain.job import JobRequest


class Hours:
    """A clock that counts hours."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now * LOG_EVERY_SECONDS


def peer() -> str:
    return "ipv4:10.0.0.1:5000"


def asked(**triggers: Any) -> JobRequest:
    return JobRequest("a", "t", "UTC", "", b"", b"", **triggers)


def counted(field: str) -> float:
    labels = {"transport": "grpc", "field": field}
    return REGISTRY.get_sample_value("scheduling_ignored_triggers_total", labels) or 0.0


def test_each_combination_says_what_counts() -> None:
    ignored, before = IgnoredTriggers("grpc"), (counted("when"), counted("now"))
    jobs = [
        asked(interval="1h"),
        asked(interval="1h", when="tomorrow"),
        asked(interval="1h", now=True),
        asked(when="tomorrow"),
        asked(interval="1h", when="tomorrow", now=True),
        asked(when="tomorrow", now=True),
        asked(now=True),
        asked(),
    ]
    with capture_logs() as logs:
        warning = ignored.note(jobs, peer)
    assert warning == (
        "items[1]: when is ignored, as interval is set."
        " items[2]: now is ignored, as interval is set."
        " items[4]: when and now are ignored, as interval is set."
        " items[5]: now is ignored, as when is set."
    )
    assert [(line["used"], line["ignored"]) for line in logs] == [
        ("interval", ["when"]),
        ("interval", ["now"]),
        ("interval", ["when", "now"]),
        ("when", ["now"]),
    ]
    assert (counted("when") - before[0], counted("now") - before[1]) == (2, 3)


def test_one_trigger_is_no_news() -> None:
    with capture_logs() as logs:
        assert IgnoredTriggers("grpc").note([asked(now=True), asked(interval="1h")], peer) == ""
    assert logs == []


def test_a_combination_is_logged_once_an_hour_and_always_told() -> None:
    hours, both = Hours(), asked(interval="1h", now=True)
    ignored = IgnoredTriggers("kafka", hours)
    with capture_logs() as logs:
        for now in (0.0, 0.5, 0.99, 1.0):
            hours.now = now
            assert ignored.note([both] * 1000, peer)
    assert len(logs) == 2


def test_a_warning_is_short_and_plain_ascii() -> None:
    """It travels in metadata, which takes no other text and is bounded."""
    jobs = [asked(interval="1h", now=True) for _ in range(10_000)]
    for job in jobs:
        job.id = "\u00e9" * 100
    warning = IgnoredTriggers("grpc").note(jobs, peer)
    assert warning.isascii()
    assert warning.count("items[") == MOST_NAMED
    assert warning.endswith("The same holds for 9995 more.")
    assert len(warning) < 500


def test_the_log_names_the_caller_the_type_and_the_job() -> None:
    """An operator could not tell whose jobs they were; an id was quoted twice."""
    both = asked(interval="1h", now=True)
    named, unnamed = IgnoredTriggers("grpc"), IgnoredTriggers("grpc")
    with capture_logs() as logs:
        named.note([both], peer)
        both.id = ""
        unnamed.note([both], peer)
    about = [{name: line.get(name) for name in ("caller", "type", "job")} for line in logs]
    assert about == [
        {"caller": peer(), "type": "t", "job": "a"},
        {"caller": peer(), "type": "t", "job": None},
    ]
