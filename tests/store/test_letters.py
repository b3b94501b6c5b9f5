"""Notes about dead letters: each is replayed once, also after a rebuild."""

from collections.abc import Sequence

import pytest

from scheduling_srv.adapters.redis.letters import RedisLetters
from scheduling_srv.app.letter_ports import Noted, Replay
from scheduling_srv.domain.dead_letter import LetterId
from scheduling_srv.domain.errors import FormatTooOld, Overloaded
from scheduling_srv.formats import layouts
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import KEYED, event_entry
from tests.store.shard import NOW, Shard
from tests.store.test_refill import LOST, refill_of

TOPIC = "an-id"
ENTRY = event_entry(Topic.JOBS, b"createJobs", b"\x0a\x00", [("traceparent", b"t")])
"""Of a dead letter that is replayed."""


@pytest.fixture
def letters(shard: Shard) -> RedisLetters:
    return notes(shard)


def notes(shard: Shard, *, limit: int = 1_000) -> RedisLetters:
    return RedisLetters(shard.client, shard.namespace, 1, outbox_limit=limit, outbox_bytes=10**8)


def replays(*offsets: int, low: int = 0) -> list[Replay]:
    return [Replay(LetterId(0, offset), low, ENTRY) for offset in offsets]


def ids(*offsets: int) -> list[LetterId]:
    return [LetterId(0, offset) for offset in offsets]


def notes_in(entries: Sequence[bytes]) -> list[bytes]:
    """The keys of the notes among these entries."""
    found = []
    for entry in entries:
        if entry[0] == layouts.NOTE_REPLAYED:
            (size,) = KEYED.unpack_from(entry)
            found.append(entry[KEYED.size : KEYED.size + size])
    return found


async def test_a_letter_is_replayed_once(shard: Shard, letters: RedisLetters) -> None:
    done = await letters.replay(TOPIC, replays(4, 7))
    assert done.changed == 2
    again = await letters.replay(TOPIC, replays(7, 8))
    assert again.changed == 1
    entries = await shard.entries()
    assert [entry for entry in entries if entry[0] == layouts.HAPPENED] == [ENTRY] * 3
    keys = [f"\0replayed\x000:{offset} {TOPIC}".encode() for offset in (4, 7, 8)]
    assert notes_in(entries) == keys
    assert await letters.noted(TOPIC, ids(4, 5)) == [Noted(True, False), Noted(False, False)]
    assert await letters.noted("another", ids(4)) == [Noted(False, False)]


async def test_a_record_and_its_note_are_published_together(
    shard: Shard, letters: RedisLetters
) -> None:
    await letters.replay(TOPIC, replays(4))
    head, *rest = await shard.entries()
    assert (head[0], len(rest)) == (layouts.GROUP, 2)


async def test_notes_go_with_their_letters(shard: Shard, letters: RedisLetters) -> None:
    await letters.replay(TOPIC, replays(4, 7))
    await letters.replay(TOPIC, replays(9, low=5))
    assert [each.replayed for each in await letters.noted(TOPIC, ids(4, 7, 9))] == [
        *(False, True, True)
    ]
    tombstone = bytes((layouts.TOMBSTONE,)) + f"\0replayed\x000:4 {TOPIC}".encode()
    assert tombstone in await shard.entries()
    await letters.replay("another", replays(1))
    assert not any(each.replayed for each in await letters.noted(TOPIC, ids(7, 9)))


async def test_hidden_letters(shard: Shard, letters: RedisLetters) -> None:
    assert await letters.hide(TOPIC, ids(4, 5), NOW) == 2
    assert await letters.hide(TOPIC, ids(5, 6), NOW) == 1
    assert [each.hidden for each in await letters.noted(TOPIC, ids(4, 6, 7))] == [
        *(True, True, False)
    ]


async def test_format_1_keeps_no_notes(shard: Shard, letters: RedisLetters) -> None:
    await shard.raw("HSET", "meta", "format", 1)
    with pytest.raises(FormatTooOld):
        await letters.replay(TOPIC, replays(4))
    with pytest.raises(FormatTooOld):
        await letters.hide(TOPIC, ids(4), NOW)
    assert await shard.entries() == []


async def test_a_full_outbox_takes_no_replay(shard: Shard) -> None:
    full = notes(shard, limit=1)  # the marker of the beginning waits there
    with pytest.raises(Overloaded):
        await full.replay(TOPIC, replays(5))
    assert not (await full.noted(TOPIC, ids(5)))[0].replayed


async def test_a_rebuild_loads_the_notes(shard: Shard, letters: RedisLetters) -> None:
    assert await shard.schedule.load_replayed(shard.token, [f"0:4 {TOPIC}", f"2:9 {TOPIC}"]) == 2
    assert (await letters.replay(TOPIC, replays(4))).changed == 0
    assert (await letters.noted(TOPIC, [LetterId(2, 9)]))[0].replayed


async def test_a_lost_journal_gets_the_notes_again(shard: Shard, letters: RedisLetters) -> None:
    await letters.replay(TOPIC, replays(4))
    await shard.publish()
    await shard.entries()
    found = list[bytes]()
    while True:
        piece = await refill_of(shard).refill(shard.token, LOST, NOW, 1, 0)
        found += await shard.entries()
        if piece.state == "published":
            break
        await shard.publish()
    assert notes_in(found) == [f"\0replayed\x000:4 {TOPIC}".encode()]
