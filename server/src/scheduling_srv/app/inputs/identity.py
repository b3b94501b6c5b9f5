"""Whether topics are those that the positions belong to (docs/decisions/0008)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from scheduling_srv.domain.errors import StaleSource

VERIFY_SECONDS = 60.0
"""After so long a topic's identity is asked for again."""
TRUST_SECONDS = 0.05
"""So long nothing is asked again: deleting and creating a topic takes longer."""
TRUST_FACTOR = 20
"""The same in durations of the last answer: asking takes a twentieth of the time."""
LONGEST_TRUST_SECONDS = 0.2
"""The bound of both: on a busy machine an answer takes long, and a topic is made anew meanwhile."""
FASTEST_RECORDS = 1_000_000
"""Records a second that a partition may get at most."""


class Identity:
    """Of the topics that one consumer reads.

    librdkafka reads a topic that was made anew at its old offset, without a word, as soon as the
    new one is that long. `ask` returns the ids of topics that there are.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ask = ask
        self.monotonic = monotonic
        self.ids: Mapping[str, str] = {}
        self.asked = float("-inf")
        """When it was last known to hold, in monotonic seconds."""
        self.tried = float("-inf")
        self.took = 0.0
        """Seconds that the last answer took."""

    def begin(self, ids: Mapping[str, str], asked: float) -> None:
        """Positions belong to these topics, as of then."""
        self.ids, self.asked, self.tried = ids, asked, asked

    def doubt(self) -> None:
        """A broker may have been away: ask before anything else is applied."""
        self.asked = float("-inf")

    def is_due(self) -> bool:
        """Whether it is to be asked for although nothing was read."""
        return self.monotonic() - self.tried > VERIFY_SECONDS

    def age(self) -> float:
        """Seconds since it was last known to hold."""
        return self.monotonic() - self.asked

    def trusted(self, position: int) -> float:
        """Seconds within which no topic can be made anew and become as long as `position`."""
        least = min(max(TRUST_SECONDS, TRUST_FACTOR * self.took), LONGEST_TRUST_SECONDS)
        return min(VERIFY_SECONDS, least + position / FASTEST_RECORDS)

    async def verify(self, topics: Collection[str]) -> None:
        """Raises `StaleSource` when a topic is another one than before, or none at all."""
        began = self.tried = self.monotonic()
        found = await self.ask(sorted(topics))
        self.took = self.monotonic() - began
        for topic in topics:
            if found.get(topic) != self.ids.get(topic):
                raise StaleSource(f"The topic {topic} is not the one that was read.")
        self.asked = began
