"""The listener's positions: each record is applied once, in order (docs/contract.md)."""

import json
from dataclasses import replace

import pytest

from scheduling_srv.app.ports import Refusal, Source, WriteGroup, WriteMode
from scheduling_srv.app.positions import Start
from scheduling_srv.domain.errors import StaleSource, TooMany
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.positions import InputPosition, Place
from tests.store.shard import HOUR, NOW, PARTITION, Shard, kinds_of, once


def group(offset: int, *ids: str, mode: WriteMode = WriteMode.CREATE) -> WriteGroup:
    return WriteGroup(mode, [once(job_id, NOW + HOUR) for job_id in ids], offset, named=ids)


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


async def test_a_position_has_the_time_stamp_and_the_topic(shard: Shard) -> None:
    """Under a key of its own: versions before decision 8 read the offset alone."""
    source = shard.source(5)._replace(stamp=NOW, topic_id="id-1")
    await shard.jobs.append([], NOW, source)
    _, positions = await shard.jobs.positions()
    assert positions == {PARTITION: InputPosition(6, NOW, "id-1")}
    assert await shard.raw("HGET", "inputs", PARTITION) == b"6"
    marker = json.loads((await shard.entries())[-1][1:])
    assert marker["inputs"] == {PARTITION: "6"}
    assert marker["origins"] == {PARTITION: f"6 {NOW} id-1"}


async def test_a_position_that_an_older_version_moved_has_no_identity(shard: Shard) -> None:
    """It moves the offset alone: what was known of the topic belongs to another offset."""
    await shard.jobs.append([], NOW, shard.source(5)._replace(stamp=NOW, topic_id="id-1"))
    await shard.raw("HSET", "inputs", PARTITION, "9")
    _, positions = await shard.jobs.positions()
    assert positions == {PARTITION: InputPosition(9)}
    await shard.jobs.append([], NOW, Source(PARTITION, 9, 10, shard.lineage, NOW, "id-1"))
    _, positions = await shard.jobs.positions()
    assert positions == {PARTITION: InputPosition(10, NOW, "id-1")}


async def test_records_of_several_partitions_are_one_call(shard: Shard) -> None:
    """All of them or none, and one marker says it."""
    names = [f"jobs:{number}" for number in range(3)]
    groups = [
        replace(group(5, "a"), partition=names[0]),
        replace(group(6, "b"), partition=names[1], stamp=NOW),
        replace(group(8, "c"), partition=names[0]),
    ]
    source = shard.source(5, 8, names[0])._replace(others=(shard.source(6, partition=names[1]),))
    await shard.jobs.write(groups, NOW, source)
    assert await shard.ids() == ["a", "b", "c"]
    assert await offsets(shard) == {names[0]: 9, names[1]: 7}
    markers = [entry for entry in await shard.entries() if entry[:1] == b"M"]
    assert [json.loads(each[1:])["inputs"] for each in markers] == [{names[0]: "9", names[1]: "7"}]
    stale = Source(names[0], 9, 10, shard.lineage, others=(shard.source(99, partition=names[1]),))
    with pytest.raises(StaleSource):
        await shard.jobs.complete([Answer(1, False)], NOW, stale)
    assert await offsets(shard) == {names[0]: 9, names[1]: 7}


async def test_a_refused_record_ends_the_call_for_all_partitions(shard: Shard) -> None:
    """Each is behind its last record that was applied."""
    await shard.create(once("old"))
    groups = [
        replace(group(5, "a"), partition="jobs:0"),
        replace(group(6, "b"), partition="jobs:1"),
        replace(group(6, "old"), partition="jobs:0"),
        replace(group(7, "c"), partition="jobs:1"),
    ]
    source = shard.source(5, 6, "jobs:0")._replace(others=(shard.source(6, 7, "jobs:1"),))
    written = await shard.jobs.write(groups, NOW, source)
    assert written.refusals == [None, None, Refusal("exists", 0)]
    assert await offsets(shard) == {"jobs:0": 6, "jobs:1": 7}


async def test_a_marker_says_only_what_has_moved(shard: Shard) -> None:
    """Thousands of partitions would be in each of them; the publisher knows the others."""
    await shard.jobs.append([], NOW, shard.source(1, partition="a:0"))
    await shard.jobs.append([], NOW, shard.source(2, partition="b:0"))
    await shard.create(once("now"))
    await shard.schedule.stage(shard.token, NOW, 10)
    markers = [json.loads(entry[1:]) for entry in await shard.entries() if entry[:1] == b"M"]
    assert [each.get("inputs") for each in markers] == [{"a:0": "2"}, {"b:0": "3"}, None]
    await shard.schedule.mark_inputs(shard.token, NOW)
    (marker,) = [json.loads(entry[1:]) for entry in await shard.entries()]
    assert marker["inputs"] == {"a:0": "2", "b:0": "3"}


async def test_thousands_of_partitions_are_positions_like_any_others(shard: Shard) -> None:
    """More than Lua's stack holds, and no marker holds more than its share."""
    names = [f"jobs:{number}" for number in range(9_000)]
    for first in range(0, len(names), 500):
        starts = [Start(name, None, InputPosition(3, NOW, "id")) for name in names[first:][:500]]
        await shard.jobs.set_positions(starts, shard.lineage, NOW)
    assert await offsets(shard) == dict.fromkeys(names, 3)
    await shard.jobs.append([], NOW, Source(names[0], 3, 4, shard.lineage))
    await shard.entries()
    await shard.schedule.mark_inputs(shard.token, NOW)
    markers = [json.loads(entry[1:]) for entry in await shard.entries()]
    assert max(len(each["inputs"]) for each in markers if "inputs" in each) == 500
    told = {name for each in markers for name in each.get("inputs", {})}
    assert told == {*names}


async def test_partitions_that_are_gone_are_forgotten(shard: Shard) -> None:
    """With what was shown of them; a position that has moved since is not one of them."""
    gone, other = Place("jobs", 7), Place("jobs", 8)
    for place in (gone, other):
        source = shard.source(3, partition=place.name)._replace(stamp=NOW, topic_id="id")
        await shard.jobs.append([], NOW, source)
    await shard.jobs.show_offsets({gone: 4, other: 4})
    with pytest.raises(StaleSource):
        await shard.jobs.forget({gone: 3}, shard.lineage, NOW)
    await shard.entries()
    await shard.jobs.forget({gone: 4}, shard.lineage, NOW)
    assert await offsets(shard) == {other.name: 4}
    assert await shard.raw("HKEYS", "origins") == [other.name.encode()]
    (marker,) = await shard.entries()
    assert json.loads(marker[1:])["gone"] == [gone.name]
    shown = [f"{shard.jobs.client_id}:jobs:{number}" for number in (7, 8)]
    assert await shard.client.execute("MGET", *shown) == [None, b"4"]
    await shard.client.execute("DEL", *shown)


async def offsets(shard: Shard) -> dict[str, int]:
    _, positions = await shard.jobs.positions()
    return {name: at.next for name, at in positions.items()}


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


async def test_the_number_of_pending_restores_is_bounded(shard: Shard) -> None:
    """One more changes nothing, not even the position of its partition."""
    for offset in range(3):
        await shard.restores.begin("{}", NOW, shard.source(offset), 3)
    before = await shard.raw("HGETALL", "meta")
    with pytest.raises(TooMany):
        await shard.restores.begin("{}", NOW, shard.source(3), 3)
    assert await shard.raw("HGETALL", "meta") == before
    assert await shard.restores.count() == 3
    await shard.restores.end(shard.token, "1", b"")
    await shard.restores.begin("{}", NOW, shard.source(3), 3)


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
