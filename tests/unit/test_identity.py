"""For how long records are applied without a question about their topic."""

from collections.abc import Mapping, Sequence

import pytest

from scheduling_srv.app.inputs.identity import (
    LONGEST_TRUST_SECONDS,
    TRUST_SECONDS,
    VERIFY_SECONDS,
    Identity,
)
from scheduling_srv.domain.errors import StaleSource

POSITION = 50


class Broker:
    """Answers after a while, by a clock of its own."""

    def __init__(self, took: float) -> None:
        self.took = took
        self.time = 1_000.0
        self.topic_id = "one"
        self.identity = Identity(self.ask, lambda: self.time)
        self.identity.begin({"jobs": "one"}, self.time)

    async def ask(self, topics: Sequence[str]) -> Mapping[str, str]:
        self.time += self.took
        return dict.fromkeys(topics, self.topic_id)


@pytest.mark.parametrize(
    ("took", "trusted"),
    [
        (0.001, TRUST_SECONDS),
        (0.005, 0.1),
        (0.5, LONGEST_TRUST_SECONDS),
        (30, LONGEST_TRUST_SECONDS),
    ],
)
async def test_a_slow_answer_is_trusted_for_a_moment_only(took: float, trusted: float) -> None:
    """50 of 60 records of a topic that was made anew were lost on a busy machine."""
    broker = Broker(took)
    await broker.identity.verify({"jobs"})
    assert broker.identity.trusted(POSITION) == pytest.approx(trusted, abs=0.001)


async def test_a_far_position_is_trusted_for_longer() -> None:
    """No partition grows to it sooner."""
    broker = Broker(0.001)
    await broker.identity.verify({"jobs"})
    assert broker.identity.trusted(10_000_000) == pytest.approx(10 + TRUST_SECONDS)
    assert broker.identity.trusted(10**12) == VERIFY_SECONDS


async def test_the_age_counts_from_the_question() -> None:
    """What a broker knew when it was asked may be over when it answers."""
    broker = Broker(0.5)
    await broker.identity.verify({"jobs"})
    assert broker.identity.age() == pytest.approx(0.5)


async def test_a_topic_that_was_made_anew_is_told() -> None:
    broker = Broker(0.001)
    broker.topic_id = "two"
    with pytest.raises(StaleSource):
        await broker.identity.verify({"jobs"})
