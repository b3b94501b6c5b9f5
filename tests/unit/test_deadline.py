"""A use case answers before its caller stops waiting."""

from scheduling_srv.app.deadline import at_most, remaining, within


def test_without_a_deadline_there_is_all_the_time() -> None:
    assert remaining() is None
    assert at_most(20.0) == 20.0


def test_a_deadline_leaves_time_for_the_answer() -> None:
    with within(1.0):
        assert 0.8 < (remaining() or 0) <= 0.9
        assert at_most(20.0) <= 0.9
        assert at_most(0.1) == 0.1
    with within(100.0):
        assert 99.5 < (remaining() or 0) <= 99.75
    with within(0.0):
        assert remaining() == 0.0


def test_it_holds_for_its_own_call_only() -> None:
    with within(1.0):
        with within(None):
            assert remaining() is None
        assert remaining() is not None
    assert remaining() is None
