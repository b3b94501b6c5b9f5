"""The checker finds a replica that says SERVING while due runs make no progress."""

import pytest

from chaos.checker import violations
from chaos.history import CREATE, DELETE_ALL, INTERVAL, Ask, Fault, History, Quiet, Said
from tests.unit.chaos_story import T0, Story

SILENT_FROM, SILENT_UNTIL = 5_000, 20_000
METRONOME = Ask("metronome-1", INTERVAL, "metronome", id="m", period=1_000, priority=-15)


def history(*said: tuple[int, bool], silent_until: int = SILENT_UNTIL) -> History:
    """A metronome that is silent for a while, and what a replica said meanwhile."""
    story = Story()
    story.call(CREATE, 0, 10, METRONOME)
    story.created("metronome-1", 5)
    for nominal in range(1_005, 26_000, 1_000):
        late = 0 if not SILENT_FROM < nominal < silent_until else silent_until - nominal
        story.answer(story.run("metronome-1", nominal, nominal + late + 3), nominal + late + 9)
    story.call(DELETE_ALL, 26_100, 26_120)
    story.deleted("metronome-1", 26_110)
    made = story.history
    made.health = [Said(T0 + at, "replica-1", serving) for at, serving in said]
    made.quiet = Quiet(T0 + 27_000, T0 + 27_000, ())
    made.keys_left = []
    return made


def found(made: History) -> list[str]:
    return [each.text for each in violations(made) if each.category == "health"]


@pytest.mark.parametrize(
    "said",
    [
        [(100, True)],
        [(100, True), (13_000, False)],
        [(100, True), (9_000, False), (18_000, True)],
        [(100, True), *((at, at % 1_000 == 0) for at in range(13_500, 19_000, 500))],
        [(100, True), (10_500, False), (15_000, True), (15_300, False)],
    ],
    ids=["always", "too long", "too early again", "now and then", "for a moment"],
)
def test_serving_without_progress_is_found(said: list[tuple[int, bool]]) -> None:
    made = history(*said)
    assert [each.category for each in violations(made)] == ["health"]


@pytest.mark.parametrize(
    "said",
    [
        [],
        [(100, True), (10_500, False), (20_100, True)],
        [(20_100, True)],
        [(100, True), (10_500, False), (19_500, True)],
    ],
    ids=["never asked", "told in time", "only when it was back", "just before"],
)
def test_what_is_true_is_not_reported(said: list[tuple[int, bool]]) -> None:
    assert found(history(*said)) == []


def test_an_owner_that_recovers_may_meet_a_fault_before_its_first_record() -> None:
    made = history((100, True), (10_500, False), (15_000, True), (15_300, False))
    made.faults = [Fault("failover", "", T0 + 15_200, T0 + 17_000)]
    assert found(made) == []
    made.health[2:] = [Said(T0 + at, "replica-1", at == 15_000) for at in (15_000, 17_500)]
    assert len(found(made)) == 1


def test_a_short_silence_needs_no_word() -> None:
    assert found(history((100, True), silent_until=11_000)) == []


def test_nothing_is_due_when_all_is_deleted() -> None:
    made = history((100, True))
    made.calls[-1].begun, made.calls[-1].ended = T0 + 6_000, T0 + 6_010
    assert found(made) == []
