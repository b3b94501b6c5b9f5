"""Checks of the properties of scheduling.v1: each fault is told, with its field."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.domain import labels
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.properties import Properties, Timing, check_properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap

HOUR, DAY = 3_600_000, 86_400_000
HOURLY = Timing(first=HOUR, shortest_gap=HOUR)
ONCE = Timing(first=HOUR, shortest_gap=None)
FULL = Properties(
    start=0,
    end=DAY,
    max_runs=5,
    start_deadline=1,
    jitter=HOUR - 1,
    max_delay=1,
    random_share=1.0,
    overlap=Overlap.ONE,
    missed=MissedRule(window=None, latest=True),
    completion_timeout=1,
    labels={"app": "a", "example.org/team": ""},
    unique_key="x" * 255,
)


@pytest.mark.parametrize(
    ("asked", "timing"),
    [(Properties(), HOURLY), (Properties(), ONCE), (FULL, HOURLY), (Properties(jitter=DAY), ONCE)],
)
def test_what_is_accepted(asked: Properties, timing: Timing) -> None:
    check_properties(asked, timing)


@pytest.mark.parametrize(
    ("asked", "timing", "field"),
    [
        (Properties(start=1), ONCE, "start_time"),
        (Properties(end=1), ONCE, "end_time"),
        (Properties(max_runs=1), ONCE, "max_runs"),
        (Properties(end=HOUR - 1), HOURLY, "end_time"),
        (Properties(max_runs=1 << 32), HOURLY, "max_runs"),
        (Properties(jitter=HOUR), HOURLY, "jitter"),
        (Properties(jitter=-1), ONCE, "jitter"),
        (Properties(start_deadline=0), HOURLY, "start_deadline"),
        (Properties(start_deadline=101 * 365 * DAY), HOURLY, "start_deadline"),
        (Properties(max_delay=-1), HOURLY, "retry.max_delay"),
        (Properties(completion_timeout=0), HOURLY, "completion_timeout"),
        (Properties(missed=MissedRule(0, latest=True)), HOURLY, "missed.window"),
        (Properties(random_share=1.1), HOURLY, "retry.random_share"),
        (Properties(random_share=float("nan")), HOURLY, "retry.random_share"),
        (Properties(labels={"": "x"}), HOURLY, "labels"),
        (Properties(unique_key="x" * 256), HOURLY, "unique_key"),
        (Properties(unique_key="\n"), HOURLY, "unique_key"),
    ],
)
def test_what_is_refused(asked: Properties, timing: Timing, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_properties(asked, timing)
    assert [violation.field for violation in raised.value.violations] == [field]
    assert str(raised.value) == raised.value.violations[0].description


def test_all_faults_are_told() -> None:
    asked = replace(FULL, jitter=DAY, random_share=-1.0, labels={"a b": "-", "/x": ""})
    with pytest.raises(InvalidRequest) as raised:
        check_properties(asked, HOURLY)
    fields = [violation.field for violation in raised.value.violations]
    assert fields == ["jitter", "retry.random_share", "labels", "labels", "labels"]


LETTERS = string.ascii_letters + string.digits
TEXTS = st.text(alphabet=LETTERS + "-_./ä ", max_size=70)


def naive_name(text: str) -> bool:
    if not 1 <= len(text) <= 63:
        return False
    return text[0] in LETTERS and text[-1] in LETTERS and not set(text) - {*LETTERS, *"-_."}


def naive_prefix(text: str) -> bool:
    small = set(string.ascii_lowercase + string.digits)
    return len(text) <= 253 and all(
        part and part[0] in small and part[-1] in small and not set(part) - {*small, "-"}
        for part in text.split(".")
    )


@given(TEXTS)
def test_names(text: str) -> None:
    assert labels.is_name(text) == naive_name(text)
    assert labels.is_prefix(text) == naive_prefix(text)


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_labels(given_labels: dict[str, str]) -> None:
    def is_right(key: str, value: str) -> bool:
        *prefix, name = key.rsplit("/", 1)
        return (
            naive_name(name) and all(map(naive_prefix, prefix)) and (not value or naive_name(value))
        )

    right = all(is_right(key, value) for key, value in given_labels.items())
    assert (list(labels.faults(given_labels)) == []) == right


def test_as_many_labels_as_allowed() -> None:
    assert list(labels.faults({f"l{number}": "" for number in range(32)})) == []
    assert list(labels.faults({f"l{number}": "" for number in range(33)})) == [
        "A job has at most 32 labels, not 33."
    ]


@pytest.mark.parametrize("text", ["a" * 64, "a\n", "-a", "a-", "", "ä"])
def test_texts_that_are_no_names(text: str) -> None:
    assert not labels.is_name(text)
