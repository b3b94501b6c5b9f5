"""When the journal counts as lost (docs/decisions/0013)."""

from collections.abc import Mapping

import pytest

from scheduling_srv.app.recovery import refill
from scheduling_srv.app.recovery.refill import Extent, Piece, Refill, Seen
from scheduling_srv.formats.kafka_records import Topic

pytestmark = pytest.mark.anyio

EMPTY, FILLED = Extent("id", 0, 0), Extent("id", 0, 7)
NEW, KNOWN = Seen(None, None, "", 0), Seen(FILLED, None, "", 7)


class Fake:
    """Redis, Kafka, the clock and the board: each look finds the next of `seen` and `extents`."""

    def __init__(self, *looks: tuple[Seen, Extent]) -> None:
        self.looks = list(looks)
        self.noted: list[Extent] = []
        self.refilled: list[Extent] = []

    async def logs_seen(self) -> Seen:
        return self.looks[0][0]

    async def extents(self, _shard: int) -> Mapping[Topic, Extent]:
        _, extent = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return {Topic.JOURNAL: extent}

    async def note_log(
        self, _token: str, _topic: Topic, extent: Extent, _now: int | None = None
    ) -> None:
        self.noted.append(extent)

    async def refill(self, _token: str, extent: Extent, *_numbers: int) -> Piece:
        self.refilled.append(extent)
        return Piece("published")

    def risk(self, *_what: object) -> None:
        """Nobody looks."""

    def now(self) -> int:
        return 0


async def look(*looks: tuple[Seen, Extent]) -> Fake:
    fake = Fake(*looks)
    await Refill(store=fake, logs=fake, shard=0, clock=fake, board=fake).run_once("token")
    return fake


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refill, "PUBLISH_SECONDS", 0.0)


async def test_an_empty_journal_of_a_new_deployment_is_noted() -> None:
    fake = await look((NEW, EMPTY))
    assert (fake.noted, fake.refilled) == ([EMPTY], [])


async def test_the_first_jobs_may_be_on_their_way_to_the_journal() -> None:
    """A client created them before the first look: they were in Redis and not on Kafka yet."""
    new = NEW._replace(living=7)
    fake = await look((new, EMPTY), (new, FILLED))
    assert (fake.noted, fake.refilled) == ([FILLED], [])


async def test_jobs_that_no_journal_holds_are_written_again() -> None:
    fake = await look((NEW._replace(living=7), EMPTY))
    assert (fake.noted, fake.refilled) == ([], [EMPTY])


@pytest.mark.parametrize("other", [Extent("other", 0, 9), Extent("id", 0, 3), Extent("id", 3, 9)])
async def test_another_log_is_filled(other: Extent) -> None:
    fake = await look((KNOWN, other))
    assert (fake.noted, fake.refilled) == ([], [other])
