"""The checker finds what it is there for: good histories pass, each way to break one is seen."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.e2e.checker import (
    Announcement,
    Answer,
    Checker,
    Observed,
    Outcome,
    Removal,
    Run,
    Step,
    Trigger,
    Write,
)

CREATED_AT, DUE, PERIOD, BACKOFF = 1000, 2000, 500, 100


@dataclass
class Scene:
    """A history and what came of it."""

    history: list[Step]
    observed: Observed

    def violations(self) -> list[str]:
        return Checker(self.history, self.observed).violations()


def run(tag: str, nominal: int, *, attempt: int = 1, late: int = 3, kind: str = "ONCE") -> Run:
    """Instance and offset follow from the rest, so that each run has its own."""
    job_id = tag.partition("#")[0]
    number = sum(tag.encode()) * 100_000 + nominal * 10 + attempt
    return Run(
        tag=tag,
        job_id=job_id,
        schedule_type=kind,
        occurrence=f"{tag}/{nominal}/{attempt}",
        nominal=nominal,
        attempt=attempt,
        instance=number,
        at=nominal + late,
        offset=(nominal + late) * 10,
    )


def answer(to: Run, *, failed: bool = False, after: int = 5) -> Answer:
    return Answer(to.instance, failed, to.at + after, to.offset + after)


def good() -> Scene:
    """One job of every kind, as it should be."""
    now = Write("now", "now#1", Trigger.NOW, CREATED_AT, CREATED_AT + 10)
    when = Write(
        "when", "when#1", Trigger.WHEN, CREATED_AT, CREATED_AT + 10, due=DUE,
        attempts=3, backoff=BACKOFF,
    )  # fmt: skip
    interval = Write(
        "interval", "interval#1", Trigger.INTERVAL, CREATED_AT, CREATED_AT + 10, period=PERIOD
    )
    stopped = replace(interval, job_id="stopped", tag="stopped#1")
    updated = [
        Write("updated", "updated#1", Trigger.WHEN, CREATED_AT, CREATED_AT + 10, due=DUE),
        Write("updated", "updated#2", Trigger.WHEN, 1500, 1510, due=9999),
    ]
    refused = Write(
        "refused", "refused#1", Trigger.NOW, CREATED_AT, CREATED_AT + 10, Outcome.REFUSED
    )
    unknown = Write("unknown", "unknown#1", Trigger.WHEN, CREATED_AT, due=DUE)
    now_run = run("now#1", CREATED_AT + 5, kind="NOW")
    first = run("when#1", DUE)
    second = replace(run("when#1", DUE, attempt=2), at=DUE + 200, offset=(DUE + 200) * 10)
    rounds = [run("interval#1", CREATED_AT + 4 + n * PERIOD, kind="RECURR") for n in range(1, 6)]
    some = [run("stopped#1", CREATED_AT + 4 + n * PERIOD, kind="RECURR") for n in (1, 2)]
    return Scene(
        [
            now, when, interval, stopped, *updated, refused,
            replace(unknown, outcome=Outcome.UNKNOWN),
            Removal("stopped", 2100, 2110),
        ],
        Observed(
            runs=[now_run, first, second, *rounds, *some],
            answers=[answer(now_run), answer(first, failed=True), answer(second)],
            announcements=[
                Announcement("when", "when#1", 1005),
                Announcement("interval", "interval#1", 1005),
                Announcement("stopped", "stopped#1", 1005),
                Announcement("updated", "updated#1", 1005),
                Announcement("updated", None, 1505),
                Announcement("updated", "updated#2", 1505),
                Announcement("stopped", None, 2105),
                Announcement("when", None, 2215),
            ],
            living={"interval", "updated"},
            complete_until=3600,
            recurring_until=3600,
        ),
    )  # fmt: skip


def test_a_good_history_passes() -> None:
    assert good().violations() == []


def test_an_unknown_write_may_have_been_applied() -> None:
    scene = good()
    queued = run("unknown#1", DUE)
    scene.observed.runs.append(queued)
    scene.observed.answers.append(answer(queued))
    scene.observed.announcements += [
        Announcement("unknown", "unknown#1", 1100),
        Announcement("unknown", None, 2010),
    ]
    assert scene.violations() == []


def test_a_run_that_was_late_may_be_overtaken_by_its_end() -> None:
    """Due at 2000, deleted from 2500 on: it may have come, but need not."""
    scene = good()
    late = Write("late", "late#1", Trigger.WHEN, CREATED_AT, CREATED_AT + 10, due=DUE)
    scene.history += [late, Removal("late", 2500, 2510)]
    scene.observed.announcements += [
        Announcement("late", "late#1", 1005),
        Announcement("late", None, 2505),
    ]
    assert scene.violations() == []
    scene.observed.runs.append(run("late#1", DUE, late=450))
    assert scene.violations() == []


Break = Callable[[Scene], object]


def find(scene: Scene, tag: str, nominal: int | None = None, attempt: int = 1) -> int:
    """The place of a run in the observation."""
    return next(
        place
        for place, each in enumerate(scene.observed.runs)
        if each.tag == tag and nominal in (None, each.nominal) and each.attempt == attempt
    )


def lose(tag: str, nominal: int | None = None, attempt: int = 1) -> Break:
    return lambda scene: scene.observed.runs.pop(find(scene, tag, nominal, attempt))


def change(tag: str, attempt: int = 1, **values: object) -> Break:
    def apply(scene: Scene) -> None:
        place = find(scene, tag, attempt=attempt)
        scene.observed.runs[place] = replace(scene.observed.runs[place], **values)  # type: ignore[arg-type]

    return apply


def add(extra: Run) -> Break:
    return lambda scene: scene.observed.runs.append(extra)


def announce(job_id: str, tag: str | None) -> Break:
    return lambda scene: scene.observed.announcements.append(Announcement(job_id, tag, 3000))


def keep_silent(job_id: str, tag: str | None) -> Break:
    def apply(scene: Scene) -> None:
        events = scene.observed.announcements
        events.remove(next(each for each in events if (each.job_id, each.tag) == (job_id, tag)))

    return apply


def copy(tag: str) -> Break:
    """The same run again, with another instance id."""

    def apply(scene: Scene) -> None:
        original = scene.observed.runs[find(scene, tag)]
        scene.observed.runs.append(
            replace(original, instance=original.instance + 7, offset=original.offset + 7)
        )

    return apply


def copy_renamed(tag: str) -> Break:
    """The same run again, under another occurrence id."""

    def apply(scene: Scene) -> None:
        copy(tag)(scene)
        scene.observed.runs[-1] = replace(scene.observed.runs[-1], occurrence="another")

    return apply


def same_instance(scene: Scene) -> None:
    one = scene.observed.runs[find(scene, "interval#1")]
    change("now#1", instance=one.instance)(scene)


def swap_announcements(scene: Scene) -> None:
    events = scene.observed.announcements
    events[3], events[5] = events[5], events[3]


BREAKS: dict[str, tuple[Break, str]] = {
    "a now run is lost": (lose("now#1"), "now#1.*never ran"),
    "a when run is lost": (
        lambda scene: [lose("when#1", attempt=2)(scene), lose("when#1")(scene)],
        "when#1.*never ran",
    ),
    "an interval run is lost": (lose("interval#1", 2504), "ran at 2004, then at 3004"),
    "the last interval run is lost": (lose("interval#1", 3504), "did not run after 3004"),
    "the first interval run is lost": (lose("interval#1", 1504), "ran first at 2004"),
    "a retry is lost": (lose("when#1", attempt=2), "not tried again"),
    "a run comes twice": (copy("when#1"), "occurrence when#1/2000/1 came 2 times"),
    "a run comes twice under another name": (copy_renamed("now#1"), "run .* came 2 times"),
    "an instance id is used twice": (same_instance, "instance .* came 2 times"),
    "a run is early": (change("when#1", at=DUE - 1), "1 ms before its time"),
    "a run is due too early": (
        change("when#1", nominal=DUE - 1, occurrence="x"),
        "was to be due at 2000",
    ),
    "an interval run is early": (change("interval#1", at=1503), "1 ms before its time"),
    "a run comes before it was asked for": (
        change("now#1", at=900, nominal=900, occurrence="x"),
        "before it was asked for",
    ),
    "an interval is out of phase": (
        change("interval#1", nominal=1505, at=1506, occurrence="x"),
        "ran at 1505, then at 2004",
    ),
    "nothing was asked for": (add(run("ghost#1", DUE)), "nobody asked for ghost#1"),
    "it has another id": (change("when#1", job_id="now"), "should be of"),
    "it has another schedule type": (change("when#1", schedule_type="NOW"), "should be of"),
    "a refused job runs": (
        add(run("refused#1", CREATED_AT + 5, kind="NOW")),
        "was refused, but applied",
    ),
    "a deleted job runs": (
        add(run("stopped#1", 2504, kind="RECURR")),
        "after its end was answered",
    ),
    "a deleted job runs late": (
        lambda scene: [
            lose("stopped#1", 2004)(scene),
            add(run("stopped#1", 2004, late=107, kind="RECURR"))(scene),
        ],
        "1 ms after its end was answered",
    ),
    "an updated job runs by its old trigger": (
        add(run("updated#1", DUE)),
        "after its end was answered",
    ),
    "an unknown job runs unannounced": (add(run("unknown#1", DUE)), "never announced"),
    "a job that succeeded runs again": (
        lambda scene: scene.observed.answers.__setitem__(
            1, replace(scene.observed.answers[1], failed=False)
        ),
        "nothing had failed",
    ),
    "a retry comes before its backoff": (
        change("when#1", attempt=2, at=DUE + 8 + BACKOFF - 1),
        "99 ms after the failure",
    ),
    "there is one attempt too many": (
        lambda scene: scene.history.__setitem__(
            1,
            replace(scene.history[1], attempts=1),  # type: ignore[arg-type]
        ),
        "one attempt too many",
    ),
    "a creation is not announced": (keep_silent("interval", "interval#1"), "never announced"),
    "a creation is announced twice": (announce("interval", "interval#1"), "announced 2 times"),
    "a now job is announced": (announce("now", "now#1"), "now#1.* was announced"),
    "a deletion is not announced": (keep_silent("stopped", None), "stopped lives, although"),
    "a deletion is announced twice": (announce("stopped", None), "in the order"),
    "a deletion by update is not announced": (keep_silent("updated", None), "in the order"),
    "the last answer deletes nothing": (
        keep_silent("when", None),
        "lives, although its last run was answered",
    ),
    "versions come in the wrong order": (swap_announcements, "but written as"),
    "a job is deleted without a reason": (announce("interval", None), "without a reason"),
    "a living job is not read": (
        lambda scene: scene.observed.living.remove("interval"),
        "Read says otherwise",
    ),
    "a deleted job is read": (
        lambda scene: scene.observed.living.add("stopped"),
        "Read says otherwise",
    ),
    "a stranger is read": (lambda scene: scene.observed.living.add("x"), "nobody asked for x"),
}


@pytest.mark.parametrize(("break_", "found"), BREAKS.values(), ids=BREAKS.keys())
def test_each_way_to_break_it_is_seen(break_: Break, found: str) -> None:
    scene = good()
    break_(scene)
    assert re.search(found, "\n".join(scene.violations()))


def test_only_the_first_answer_counts() -> None:
    scene = good()
    first = scene.observed.answers[1]
    scene.observed.answers.append(replace(first, failed=False, offset=first.offset + 1))
    assert scene.violations() == []
