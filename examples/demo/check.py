"""The claims of the demo, each with the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from examples.demo.events import Event
from examples.demo.jobs import ATTEMPTS, HEARTBEAT, PERIOD_MS

ONE_TIME = ("greet", "remind", "print")
RUNS = {"greet": 1, "remind": 1, "print": ATTEMPTS}


@dataclass
class Verdicts:
    """The claims and their results."""

    rows: list[tuple[bool, str, str]] = field(default_factory=list)

    @property
    def all_good(self) -> bool:
        """Whether everything holds."""
        return all(good for good, _, _ in self.rows)

    def add(self, claim: str, seen: str, *, good: bool) -> None:
        """Note a claim and its evidence."""
        self.rows.append((good, claim, seen))


def of(events: Sequence[Event], what: str, job_type: str = "") -> list[Event]:
    """The events of a kind."""
    return [each for each in events if each.what == what and job_type in ("", each.job_type)]


def done(events: Sequence[Event], job_type: str) -> int:
    """How many runs are done."""
    return len(of(events, "done", job_type))


def one_time_jobs_are_over(events: Sequence[Event]) -> bool:
    """Whether nothing more is to come of them. Answers and deletions are on two topics."""
    deleted = [of(events, "deleted", each) for each in ("remind", "print")]
    return all(deleted) and all(done(events, each) for each in ONE_TIME)


def check_first_start(events: Sequence[Event], verdicts: Verdicts) -> None:
    """One start, with all jobs new."""
    created = sorted(event.job_type for event in of(events, "created"))
    verdicts.add(
        "created: one event for each stored job, none for a `now` job",
        ", ".join(created),
        good=created == sorted(("remind", "print", HEARTBEAT)),
    )
    types = [of(events, "queued", each)[:1] for each in (*ONE_TIME, HEARTBEAT)]
    spellings = [runs[0].schedule_type if runs else "none" for runs in types]
    verdicts.add(
        "queued: now, once, once, recurring",
        ", ".join(spellings),
        good=spellings == ["NOW", "ONCE", "ONCE", "RECURR"],
    )
    counts = {each: len(of(events, "queued", each)) for each in ONE_TIME}
    verdicts.add("queued: so many runs of each", _counts(counts), good=counts == RUNS)
    _check_answers(events, verdicts)
    deleted = sorted(event.job_type for event in of(events, "deleted"))
    verdicts.add(
        "deleted: one-time jobs after their last answer",
        ", ".join(deleted),
        good=deleted == ["print", "remind"],
    )


def _check_answers(events: Sequence[Event], verdicts: Verdicts) -> None:
    answers = [each.what for each in events if each.instance and each.job_type == "print"]
    wanted = ["queued", "failed", "queued", "failed", "queued", "done"]
    verdicts.add("retried: fails twice, then is done", " ".join(answers), good=answers == wanted)
    others = {each: len(of(events, "done", each)) for each in ("greet", "remind")}
    verdicts.add(
        "answered: the others once each", _counts(others), good=set(others.values()) == {1}
    )


def check_never_early(events: Sequence[Event], verdicts: Verdicts) -> None:
    """All runs of both starts, by Kafka's time stamps: a consumer sees a record later than that."""
    lead = [each.at - each.due for each in of(events, "queued")]
    late = sorted(each.late for each in of(events, "queued"))
    verdicts.add(
        "queued never early",
        f"{len(lead)} runs, the earliest {min(lead)} ms after it was due,"
        f" the median seen after {late[len(late) // 2]} ms",
        good=min(lead) >= 0,
    )


def check_second_start(
    first: Sequence[Event], second: Sequence[Event], kept: Sequence[str], verdicts: Verdicts
) -> None:
    """The same data directory again, and no job created."""
    verdicts.add(
        "kept over a restart: the recurring job, same id",
        ", ".join(kept) or "none",
        good=list(kept) == [HEARTBEAT],
    )
    created = of(second, "created")
    verdicts.add(
        "kept over a restart: not announced again", f"{len(created)} created", good=not created
    )
    runs = of(first, "queued", HEARTBEAT) + of(second, "queued", HEARTBEAT)
    times = [run.nominal for run in runs]
    steps = [after - before for before, after in pairwise(times)]
    good = bool(of(second, "queued", HEARTBEAT)) and set(steps) == {PERIOD_MS}
    verdicts.add(
        "kept over a restart: in phase, no run lost, none twice",
        f"{len(runs)} runs, {_counts({f'{step} ms': steps.count(step) for step in set(steps)})}",
        good=good,
    )


def check_exits(codes: Sequence[int], verdicts: Verdicts) -> None:
    """Everything ends when it is told to."""
    verdicts.add(
        "stopped: all processes ended by themselves, exit code 0",
        str(list(codes)),
        good=not any(codes),
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
