"""Runs that Kafka has already are not sent again (docs/decisions/0005)."""

from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.replies import Taken
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.entry_groups import VOID
from scheduling_srv.formats.outbox_entries import QUEUED

OTHER = b"C"


def run(nominal: int) -> bytes:
    return b"Q" + QUEUED.pack(TriggerKind.ONCE, 7, nominal, 1, 9, 1, 0, 2, 1)[1:] + b"a\x01t\x00"


def test_they_become_nothing() -> None:
    known = KnownRuns()
    known.begin({12: b"a/9/5/1", 13: b"a/9/6/1"})
    taken = known.leave_out(Taken(10, [run(4), run(5), run(6), run(7)], 4))
    assert taken.entries == [run(4), VOID, VOID, run(7)]


def test_an_entry_that_is_another_run_is_sent() -> None:
    """Whatever has gone wrong: no run is lost."""
    known = KnownRuns()
    known.begin({11: b"a/9/5/1", 12: b""})
    taken = known.leave_out(Taken(10, [run(4), OTHER], 2))
    assert taken.entries == [run(4), OTHER]


def test_those_that_are_trimmed_are_forgotten() -> None:
    known = KnownRuns()
    known.begin({11: b"a/9/5/1"})
    known.forget(10)
    assert known.leave_out(Taken(10, [run(5)], 1)).entries == [VOID]
    known.forget(11)
    assert known.leave_out(Taken(10, [run(5)], 1)).entries == [run(5)]
