"""Calls about dead letters: how many of them read Kafka at once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from scheduling_srv.app.requests.dead_letters import READS, DeadLetterCalls
from scheduling_srv.domain.dead_letter import LetterCall, LetterFilter, LetterId
from scheduling_srv.domain.errors import LetterNotFound
from scheduling_srv.formats.kafka_records import Extent, LogRecord


class Log:
    """A topic without records, which counts those that read it."""

    def __init__(self) -> None:
        self.reading = self.most = 0

    async def topic_id(self) -> str:
        await self.extents()
        return "id"

    async def extents(self) -> Sequence[Extent]:
        self.reading += 1
        self.most = max(self.most, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return []

    async def read(self, _extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        yield []


async def test_few_calls_read_at_once() -> None:
    log = Log()
    unused: Any = None
    calls = DeadLetterCalls(log, unused, unused, unused, {})
    wanted = LetterFilter()
    call = LetterCall(wanted, dry_run=True, token="")
    found = await asyncio.gather(
        *(calls.list(wanted, 10, "") for _ in range(5)),
        *(calls.get(LetterId(0, number)) for number in range(5)),
        *(calls.replay(call) for _ in range(5)),
        *(calls.hide(call) for _ in range(5)),
        return_exceptions=True,
    )
    faults = [type(each) for each in found if isinstance(each, Exception)]
    assert (len(found), faults) == (20, [LetterNotFound] * 5)
    assert log.most == READS
