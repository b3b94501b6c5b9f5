"""Bugs that campaigns and fuzz must find: each is planted into a replica before it starts.

The product knows nothing of them; `chaos.replica` plants what CHAOS_BUG names. The tests are
tests/chaos/test_seeded.py and tests/chaos/test_fuzz.py.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chaos.seeded_lua import replace_in_scripts
from chaos.seeded_v1 import BUGS_V1
from scheduling_srv.adapters.kafka import consumer, due_time, history, producer
from scheduling_srv.adapters.kafka.history import KafkaHistory
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.app.health import progress
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.hold import Hold, Released
from scheduling_srv.app.owner.publisher import OutboxPublisher
from scheduling_srv.app.replies import Cursor
from scheduling_srv.domain import validation
from scheduling_srv.domain.errors import SchedulingError
from scheduling_srv.entrances import grpc_bounds
from scheduling_srv.formats import announcer
from scheduling_srv.formats.kafka_records import Record
from scheduling_srv.formats.layouts import QUEUES
from scheduling_srv.formats.outbox_entries import nominal_time
from scheduling_srv.formats.position_record import Position

HASTE_MS = 60
"""Milliseconds."""
STALL_SECONDS, STALL_PERIOD = 12.0, 20.0


def no_position_record() -> None:
    """Nobody finds out how far the outbox was published; Redis is believed."""

    async def last_position(_history: KafkaHistory) -> Position | None:
        return None

    KafkaHistory.last_position = last_position  # type: ignore[method-assign, assignment]


def trim_before_commit() -> None:
    """The outbox forgets what is about to be published."""
    publish_once = Emitter.publish_once

    async def trimming(emitter: Emitter, token: str) -> int:
        publisher: Any = emitter.publisher
        if not isinstance(publisher.publisher, _TrimFirst):
            publisher.publisher = _TrimFirst(emitter, publisher, token)
        return await publish_once(emitter, token)

    Emitter.publish_once = trimming  # type: ignore[method-assign, assignment]


class _TrimFirst:
    def __init__(self, emitter: Emitter, publisher: OutboxPublisher, token: str) -> None:
        self.real, self.token = publisher.publisher, token
        self.emitter, self.publisher = emitter, publisher

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        ready = list(records)
        cursor = Cursor(position.number, self.publisher.lineage)
        await self.emitter.outbox.take(self.token, cursor, self.emitter.clock.now())
        await self.real.publish(ready, position, due)


def no_fencing() -> None:
    """Each producer has a transactional id of its own: nobody shuts the old one out.

    Nor is its open transaction waited for: that alone would keep the promise.
    """
    properties = producer.TransactionalPublisher._properties  # noqa: SLF001

    def unfenced(publisher: producer.TransactionalPublisher, slot: int) -> dict[str, Any]:
        made = properties(publisher, slot)
        return {**made, "transactional.id": f"{made['transactional.id']}-{secrets.token_hex(4)}"}

    def hasty(reader: Any, *_: object) -> None:
        reader.ended = True

    producer.TransactionalPublisher._properties = unfenced  # type: ignore[assignment, method-assign]  # noqa: SLF001
    history._Reader._note = hasty  # type: ignore[assignment, method-assign]  # noqa: SLF001


def lease_without_epoch() -> None:
    """Whoever has ever had the lease passes for its owner, until it asks for more time."""
    real = "return holder == token"
    replace_in_scripts(real, "return true", known="stage", spared="renew")


def woken_early() -> None:
    """Staging believes that it is later than it is: retries, whose entries do not say when."""
    stage = RedisSchedule.stage

    async def hasty(schedule: RedisSchedule, token: str, now: int, *rest: Any) -> Any:
        return await stage(schedule, token, now + HASTE_MS, *rest)

    RedisSchedule.stage = hasty  # type: ignore[method-assign, assignment]


def never_held() -> None:
    """What is staged ahead of its time goes at once."""
    Hold.release = lambda _hold, entries: Released(len(entries), 0)  # type: ignore[assignment, method-assign]


def stamped_in_time() -> None:
    """The same, and its time stamps deny it."""

    def release(_hold: Hold, entries: Sequence[bytes]) -> Released:
        return Released(len(entries), max(map(nominal_time, filter(_is_run, entries)), default=0))

    Hold.release = release  # type: ignore[assignment, method-assign]
    due_time.until_due = lambda _clock, _due: False  # type: ignore[assignment]


def _is_run(entry: bytes) -> bool:
    return entry[0] in QUEUES


def random_occurrence_id() -> None:
    """A run that is sent again has another name."""

    def by_chance(
        job_id: bytes, _seq: int, nominal: int, attempt: int, _mark: bytes = b""
    ) -> bytes:
        return b"%b/%d/%d/%d" % (job_id, random.getrandbits(40), nominal, attempt)

    announcer.occurrence_id = by_chance  # type: ignore[assignment, attr-defined]


def updates_begin_anew() -> None:
    """An Update forgets when the old job was due."""
    replace_in_scripts("kept = keep(id, old, new, due, now)", "kept = nil", known="write")


def time_from_staging() -> None:
    """The completion timeout begins before Kafka has the run."""
    real = "return note and read_note(note) or 0"
    replace_in_scripts(real, "return 0", known="expire")


def blind_health() -> None:
    """Staging stops for twelve seconds out of twenty, and health believes that all is well."""
    stage, began = RedisSchedule.stage, time.monotonic()

    async def stalling(schedule: RedisSchedule, *rest: Any) -> Any:
        phase = (time.monotonic() - began) % STALL_PERIOD
        if phase > STALL_PERIOD - STALL_SECONDS:
            await asyncio.sleep(STALL_PERIOD - phase)
        return await stage(schedule, *rest)

    RedisSchedule.stage = stalling  # type: ignore[method-assign, assignment]
    progress.judge = lambda *_: progress.Findings()


def header_names_unread() -> None:
    """A header whose name is not UTF-8 ends the process, as confluent-kafka would."""
    consumer.__dict__["headers_of"] = lambda message: list(message.headers() or ())


def numbers_unchecked() -> None:
    """Any priority and any backoff will do."""
    validation._check_numbers = lambda _request: None  # type: ignore[assignment]  # noqa: SLF001


def garbage_unknown() -> None:
    """A request for the health that cannot be read is UNKNOWN, with a traceback in the log."""
    grpc_bounds.FAULTS = (SchedulingError,)  # type: ignore[assignment]


BUGS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        no_position_record,
        trim_before_commit,
        no_fencing,
        lease_without_epoch,
        woken_early,
        never_held,
        stamped_in_time,
        random_occurrence_id,
        blind_health,
        updates_begin_anew,
        time_from_staging,
        header_names_unread,
        numbers_unchecked,
        garbage_unknown,
        *BUGS_V1,
    )
}


def plant(names: str) -> None:
    """Put the bugs in, which have commas between them. Raises KeyError for one that is unknown."""
    for name in names.split(","):
        BUGS[name]()
