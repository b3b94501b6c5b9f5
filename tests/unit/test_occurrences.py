"""A worker does each run once, whatever Kafka hands it twice."""

from pathlib import Path

import pytest

from scheduling_client import Occurrences, Outcome, occurrence_id
from scheduling_client.occurrences import SWEEP_SECONDS

DAY = 86_400.0


class Work:
    def __init__(self, fault: Exception | None = None) -> None:
        self.done = 0
        self.fault = fault

    def __call__(self) -> None:
        self.done += 1
        if self.fault:
            raise self.fault


class Clock:
    time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def test_a_copy_is_answered_as_the_first_was_and_not_done_again() -> None:
    work = Work()
    with Occurrences() as occurrences:
        assert occurrences.once("job/1/0/1", work) == Outcome(None, repeated=False)
        assert occurrences.once("job/1/0/1", work) == Outcome(None, repeated=True)
    assert work.done == 1


def test_a_failed_run_stays_failed_and_its_retry_is_another_run() -> None:
    work = Work(ValueError("no paper"))
    with Occurrences() as occurrences:
        assert occurrences.once("job/1/0/1", work) == Outcome("no paper")
        assert occurrences.once("job/1/0/1", work) == Outcome("no paper", repeated=True)
        assert occurrences.once("job/1/0/2", work) == Outcome("no paper")
    assert work.done == 2


def test_an_error_without_words_has_its_name() -> None:
    with Occurrences() as occurrences:
        assert occurrences.once("a", Work(KeyError())).error == "KeyError"


def test_what_ends_the_process_is_not_an_outcome() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with Occurrences() as occurrences:
        with pytest.raises(KeyboardInterrupt):
            occurrences.once("a", interrupted)
        assert occurrences.outcome("a") is None


def test_runs_without_an_id_are_done_whenever_they_come() -> None:
    work = Work()
    with Occurrences() as occurrences:
        assert not occurrences.once("", work).repeated
        assert not occurrences.once("", work).repeated
    assert work.done == 2


def test_a_restart_remembers(tmp_path: Path) -> None:
    work = Work()
    for _ in range(2):
        with Occurrences(tmp_path / "worker.sqlite") as occurrences:
            occurrences.once("a", work)
    assert work.done == 1


def test_two_workers_share_a_file(tmp_path: Path) -> None:
    path, work = tmp_path / "worker.sqlite", Work()
    with Occurrences(path) as one, Occurrences(path) as other:
        one.once("a", work)
        assert other.once("a", work).repeated
    assert work.done == 1


def test_what_is_older_than_kafka_keeps_is_forgotten() -> None:
    clock = Clock()
    with Occurrences(keep=DAY, now=clock) as occurrences:
        occurrences.note("old")
        clock.time += DAY - 1
        occurrences.note("new")
        assert occurrences.outcome("old")
        clock.time += SWEEP_SECONDS + 1
        occurrences.note("newer")
        assert occurrences.outcome("old") is None
        assert occurrences.outcome("new")


def test_the_last_note_counts() -> None:
    with Occurrences() as occurrences:
        occurrences.note("a", "no paper")
        occurrences.note("a")
        assert occurrences.outcome("a") == Outcome(None, repeated=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("event-id", b"1"), ("occurrence-id", b"j/1/0/1")], "j/1/0/1"),
        ([("occurrence-id", "j/1/0/1")], "j/1/0/1"),
        ({"occurrence-id": b"j\xc3\xa9/1/0/1"}, "jé/1/0/1"),
        ([("occurrence-id", None)], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_id_among_the_headers(headers: object, expected: str) -> None:
    assert occurrence_id(headers) == expected  # type: ignore[arg-type]
