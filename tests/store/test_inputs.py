"""The listener's positions: each record is applied once, in order (docs/contract.md)."""

import json

import pytest

from scheduling_srv.app.ports import Answer, Refusal, Source, WriteGroup, WriteMode
from scheduling_srv.app.positions import InputPosition, Place, Start
from scheduling_srv.domain.errors import StaleSource
from tests.store.shard import HOUR, NOW, PARTITION, Shard, kinds_of, once


def group(offset: int, *ids: str, mode: WriteMode = WriteMode.CREATE) -> WriteGroup:
    return WriteGroup(mode, [once(job_id, NOW + HOUR) for job_id in ids], offset)


async def test_a_change_stores_the_position_behind_it(shard: Shard) -> None:
    """In the same call: there is no moment with one and not the other."""
    await shard.jobs.write([group(5, "a")], NOW, shard.source(5))
    assert await shard.position() == 6
    await shard.jobs.delete(["a"], NOW, shard.source(6))
    assert await shard.position() == 7
    await shard.jobs.complete([Answer(1, False)], NOW, shard.source(7, 9))
    assert await shard.position() == 10
    await shard.jobs.append([b"Exyz"], NOW, shard.source(10))
    assert await shard.position() == 11
    await shard.restores.begin("{}", NOW, shard.source(11))
    assert await shard.position() == 12
    await shard.jobs.append([], NOW, Source(PARTITION, 12, 20, shard.lineage))
    assert await shard.position() == 20


async def test_positions_are_those_of_each_partition(shard: Shard) -> None:
    """With odd names as well."""
    names = ["a:0", "a:1", "topic with {braces}:0"]
    for offset, name in enumerate(names):
        await shard.jobs.append([], NOW, shard.source(offset, partition=name))
    lineage, positions = await shard.jobs.positions()
    assert lineage == shard.lineage
    assert {name: at.next for name, at in positions.items()} == {
        "a:0": 1,
        "a:1": 2,
        "topic with {braces}:0": 3,
    }


@pytest.mark.parametrize("what", ["write", "delete", "complete", "append", "restore"])
@pytest.mark.parametrize("why", ["applied", "incarnation"])
async def test_a_record_out_of_turn_changes_nothing(shard: Shard, what: str, why: str) -> None:
    """Somebody else had the partition meanwhile, or the store was rebuilt."""
    await shard.create(once("old"))
    (run,) = await shard.drain(NOW)
    await shard.jobs.append([], NOW, shard.source(5))
    source = shard.source(5)
    if why == "incarnation":
        source = Source(PARTITION, 6, 7, "another")
    before = await shard.raw("HGETALL", "meta")
    with pytest.raises(StaleSource):
        if what == "write":
            await shard.jobs.write([group(5, "a")], NOW, source)
        elif what == "delete":
            await shard.jobs.delete(["old"], NOW, source)
        elif what == "complete":
            await shard.jobs.complete([Answer(run.instance, False)], NOW, source)
        elif what == "append":
            await shard.jobs.append([b"E"], NOW, source)
        else:
            await shard.restores.begin("{}", NOW, source)
    assert await shard.raw("HGETALL", "meta") == before
    assert await shard.ids() == ["old"]
    assert await shard.position() == 6
    assert await shard.restores.pending() == []


async def test_records_may_be_skipped(shard: Shard) -> None:
    """Unknown keys and transaction markers leave gaps, which are no faults."""
    await shard.jobs.append([], NOW, shard.source(1))
    await shard.jobs.write([group(40, "a")], NOW, shard.source(2, 40))
    assert await shard.position() == 41


async def test_a_store_that_went_back_is_not_led_on(shard: Shard) -> None:
    """It forgot what came between: the consumer has to read that again."""
    await shard.jobs.append([], NOW, shard.source(1))
    with pytest.raises(StaleSource):
        await shard.jobs.append([], NOW, shard.source(3))
    assert await shard.position() == 2


async def test_a_refused_record_ends_the_call_before_it(shard: Shard) -> None:
    """What came before is applied, with its position; what comes after has not been looked at."""
    await shard.create(once("old"))
    groups = [group(5, "a"), group(6, "b", "c"), group(8, "d", "old"), group(9, "e")]
    written = await shard.jobs.write(groups, NOW, shard.source(5, 9))
    assert written.refusals == [None, None, Refusal("exists", 1)]
    assert await shard.position() == 7
    assert await shard.ids() == ["old", "a", "b", "c"]


async def test_a_refused_first_record_stores_no_position(shard: Shard) -> None:
    """The reason and the position come together, by `append`."""
    await shard.jobs.append([], NOW, shard.source(4))
    written = await shard.jobs.write(
        [group(5, "ghost", mode=WriteMode.UPDATE), group(6, "a")], NOW, shard.source(5, 6)
    )
    assert written.refusals == [Refusal("missing", 0)]
    assert await shard.position() == 5
    await shard.jobs.append([b"E"], NOW, shard.source(5))
    assert await shard.position() == 6


async def test_the_position_is_announced_behind_its_change(shard: Shard) -> None:
    """A marker at the end of the call says it: a prefix of the outbox tells what was applied."""
    await shard.jobs.write([group(5, "a"), group(6, "b")], NOW, shard.source(5, 6))
    entries = await shard.entries()
    assert [entry[:1] for entry in entries] == [b"G", b"C", b"C", b"M"]
    assert json.loads(entries[-1][1:])["inputs"] == {PARTITION: "7"}


async def test_set_position_begins_anew(shard: Shard) -> None:
    """Also backwards: the topic was made anew."""
    await shard.jobs.append([], NOW, shard.source(100))
    start = Start(PARTITION, 101, InputPosition(3, NOW, "id"))
    await shard.jobs.set_positions([start], shard.lineage, NOW)
    assert await shard.position() == 3
    (marker,) = [entry for entry in await shard.entries() if b'"3"' in entry]
    assert marker.startswith(b"M")


async def test_large_offsets_are_exact(shard: Shard) -> None:
    """Up to what a double can count."""
    offset = 2**53 - 2
    await shard.jobs.append([], NOW, shard.source(offset))
    assert await shard.position() == offset + 1


async def test_offsets_are_shown_as_decimal_text(shard: Shard) -> None:
    """Where operators look (docs/contract.md)."""
    await shard.jobs.show_offsets({Place("jobs", 0): 12, Place("jobs", 3): 12})
    for name in ("jobs", "jobs:3"):
        key = f"{shard.jobs.client_id}:{name}"
        assert await shard.client.execute("GET", key) == b"12"
        await shard.client.execute("DEL", key)


async def test_restores_are_kept_until_they_end(shard: Shard) -> None:
    """In order; the end and its response are one step, and end only one."""
    numbers = []
    for offset in range(11):
        await shard.restores.begin(f"request {offset}", NOW, shard.source(offset))
    pending = await shard.restores.pending()
    assert [request for _, request in pending] == [f"request {offset}" for offset in range(11)]
    numbers = [number for number, _ in pending]
    await shard.entries()
    await shard.restores.end(shard.token, numbers[0], b"Eone")
    await shard.restores.end(shard.token, numbers[0], b"Eone")
    assert kinds_of(await shard.entries()) == "E"
    for number in numbers[1:]:
        await shard.restores.end(shard.token, number, b"E")
    assert await shard.restores.pending() == []
