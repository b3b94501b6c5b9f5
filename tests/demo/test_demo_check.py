"""The demonstration's own check, tried on histories that are broken on purpose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from examples.demo import check
from examples.demo.events import Event

START = 1_700_000_000_000
Change = Callable[[Event], Event | None]


def run(job_type: str, schedule_type: str, nominal: int, *ends: str) -> list[Event]:
    """A run with an attempt for each of its ends."""
    events, due = [], nominal
    for attempt, end in enumerate(ends, 1):
        one = Event(
            "queued", due + 5, due + 9, job_type, job_type, next(numbers), attempt, nominal, due,
            schedule_type=schedule_type,
        )  # fmt: skip
        answer = replace(one, what=end, at=due + 10, seen=due + 11, due=0)
        events += [one, answer]
        due = answer.at + 500 * 2 ** (attempt - 1)
    return events


numbers = count(1)


def created(job_type: str) -> Event:
    return Event("created", START, START, job_type, job_type)


def deleted(job_type: str) -> Event:
    return Event("deleted", START + 9_000, START + 9_000, job_type, job_type)


def first_start() -> list[Event]:
    return [
        *(created(each) for each in ("remind", "print", "heartbeat")),
        *run("greet", "NOW", START, "done"),
        *run("print", "ONCE", START, "failed", "failed", "done"),
        *run("remind", "ONCE", START + 5_000, "done"),
        *run("heartbeat", "RECURR", START + 2_000, "done"),
        *run("heartbeat", "RECURR", START + 4_000, "done"),
        deleted("print"),
        deleted("remind"),
    ]


def second_start() -> list[Event]:
    return run("heartbeat", "RECURR", START + 6_000, "done")


def verdict(
    first: Sequence[Event],
    second: Sequence[Event],
    kept: Sequence[str] = ("heartbeat",),
    codes: Sequence[int] = (0, 0, 0, 0),
) -> list[str]:
    """The claims that do not hold."""
    verdicts = check.Verdicts()
    check.check_first_start(first, verdicts)
    check.check_second_start(first, second, kept, verdicts)
    check.check_never_early([*first, *second], verdicts)
    check.check_exits(codes, verdicts)
    assert verdicts.all_good == all(good for good, _, _ in verdicts.rows)
    return [claim for good, claim, _ in verdicts.rows if not good]


def changed(events: Sequence[Event], change: Change) -> list[Event]:
    return [after for event in events if (after := change(event)) is not None]


def without(what: str, job_type: str) -> Change:
    return lambda event: None if (event.what, event.job_type) == (what, job_type) else event


def test_a_good_history_passes() -> None:
    assert verdict(first_start(), second_start()) == []


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (without("created", "remind"), "created: one event"),
        (without("deleted", "print"), "deleted: one-time jobs"),
        (without("done", "greet"), "answered: the others"),
        (without("failed", "print"), "retried: fails twice"),
        (without("queued", "remind"), "queued: so many runs"),
        (lambda event: replace(event, schedule_type="RECCUR"), "queued: now, once, once"),
        (lambda event: replace(event, at=event.due - 1), "queued never early"),
    ],
)
def test_a_broken_first_start_is_seen(change: Change, claim: str) -> None:
    failed = verdict(changed(first_start(), change), second_start())
    assert any(each.startswith(claim) for each in failed), failed


def test_a_run_that_comes_twice_or_not_at_all_is_seen() -> None:
    claim = "kept over a restart: in phase, no run lost, none twice"
    again = run("heartbeat", "RECURR", START + 4_000, "done")
    later = run("heartbeat", "RECURR", START + 8_000, "done")
    assert verdict(first_start(), [*again, *second_start()]) == [claim]
    assert verdict(first_start(), later) == [claim]
    assert verdict(first_start(), []) == [claim]


def test_a_restart_that_begins_anew_is_seen() -> None:
    failed = verdict(first_start(), [created("heartbeat"), *second_start()], kept=())
    assert failed == [
        "kept over a restart: the recurring job, same id",
        "kept over a restart: not announced again",
    ]


def test_a_process_that_had_to_be_killed_is_seen() -> None:
    assert verdict(first_start(), second_start(), codes=(0, -9, 0, 0)) == [
        "stopped: all processes ended by themselves, exit code 0"
    ]
