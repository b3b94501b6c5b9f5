"""What replicas hear of a shard that another one owns."""

from typing import Any

import pytest

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.follow import Follower
from scheduling_srv.app.replies import ShardState


@pytest.mark.parametrize("compared", [True, False])
async def test_only_what_was_compared_with_kafka_answers_calls(*, compared: bool) -> None:
    """Redis was started again, and may have lost what Kafka has: its numbers say nothing yet."""

    class Shard:
        async def state(self) -> ShardState:
            return ShardState(True, "i", "", "i:anew", 7, 7, compared=compared)

    shard: Any = Shard()
    announcements = Announcements()
    announcements.published("i:before", 9)
    await Follower(shard, shard, announcements, []).look_once()
    expected = ("i:anew", 7) if compared else ("i:before", 9)
    assert (announcements.lineage, announcements.number) == expected
