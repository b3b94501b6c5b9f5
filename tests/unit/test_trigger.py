"""What comes next, against the walk from one occurrence to the next."""

from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.recurrence import Every
from scheduling_srv.domain.job import Trigger, TriggerKind
from scheduling_srv.domain.trigger import CronText, StoredCron, recurrence

FIRST = 1_700_000_000_000
TEXT = CronText("*/5 * * * *", "UTC")


@given(period=st.integers(1, 50), distance=st.integers(-200, 1_000))
def test_an_interval_is_walked_in_phase(period: int, distance: int) -> None:
    every, instant = Every(FIRST, period), FIRST + distance
    walk = range(FIRST, FIRST + 2_000, period)
    assert every.next_after(instant) == next(at for at in walk if at > instant)
    before = [at for at in walk if at < instant]
    assert every.latest_before(instant, FIRST) == (before[-1] if before else FIRST)


@given(instant=st.integers(FIRST, FIRST + 86_400_000))
def test_matches_follow_each_other(instant: int) -> None:
    matches = StoredCron(TEXT)
    due = matches.next_after(instant)
    assert due is not None
    assert due % 300_000 == 0
    assert instant < due <= instant + 300_000
    assert matches.latest_before(due + 1, due) == due
    assert matches.latest_before(due + 300_001, due) == due + 300_000


def test_each_kind_has_its_occurrences() -> None:
    assert recurrence(Trigger(TriggerKind.INTERVAL, FIRST, 7), TEXT) == Every(FIRST, 7)
    assert recurrence(Trigger(TriggerKind.CRON, FIRST, 1), TEXT) == StoredCron(TEXT)
    assert recurrence(Trigger(TriggerKind.ONCE, FIRST), TEXT) is None
    assert recurrence(Trigger(TriggerKind.NOW, FIRST), TEXT) is None
