"""The unanswered runs of a job, which come into their index late, and the numbers of runs."""

import pytest

from scheduling_srv.adapters.redis.refusals import CallAgain
from scheduling_srv.adapters.redis.scripts import digest
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunFilter, RunId
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats.versions import WRITES
from tests.store.shard import HOUR, NOW, SECOND, Run, Shard, every, once
from tests.store.test_cancelling import cancel, named
from tests.store.test_job_index import page_of

LEFT = 200_000
"""Numbers that staging leaves."""
OLD = 1_000
"""Milliseconds after which runs come there while nothing is due."""
PIECE = 20_000
"""Numbers that one call for a reader looks at."""
LAST = 2**32 - 1


async def open_runs(shard: Shard) -> int:
    size: int = await shard.raw("ZCARD", "open")
    return size


async def stage(shard: Shard, *ids: str) -> list[Run]:
    await shard.create(*(once(each) for each in ids))
    runs = await shard.stage()
    assert [run.id for run in runs] == [*ids]
    return runs


async def look(shard: Shard, job_id: str) -> list[RunId]:
    found = await shard.runs.job_runs([job_id])
    return [run.id for run in found[job_id].open]


async def test_runs_are_in_the_index_once_somebody_looks(shard: Shard) -> None:
    first, second = await stage(shard, "a", "b")
    assert await open_runs(shard) == 0
    assert await look(shard, "a") == [named(first)]
    assert await open_runs(shard) == 2
    assert await look(shard, "b") == [named(second)]


async def test_runs_that_were_answered_before_never_come_there(shard: Shard) -> None:
    runs = await stage(shard, "a", "b")
    await shard.done(runs[0])
    assert await look(shard, "b") == [named(runs[1])]
    assert await open_runs(shard) == 1
    await shard.done(runs[1])
    assert await open_runs(shard) == 0


async def test_each_way_to_look_finds_them(shard: Shard) -> None:
    await stage(shard, "a")
    assert (await page_of(shard, states=frozenset({JobState.RUNNING})))[0] == ["a"]
    (run,) = await stage(shard, "b")
    found = await shard.runs.runs(RunFilter(job_id="b"), "", 10)
    assert [each.run.id for each in found.runs] == [named(run)]
    (run,) = await stage(shard, "c")
    assert await cancel(shard, named(run)) == 1


async def test_who_looks_after_a_burst_does_so_in_pieces(shard: Shard) -> None:
    (first,) = await stage(shard, "a")
    await shard.raw("HINCRBY", "meta", "instance", 2 * PIECE)
    (last,) = await stage(shard, "b")
    assert await look(shard, "a") == [named(first)]  # the server knows the script now
    await shard.raw("HSET", "meta", "opened", 0)
    scripts = shard.runs.scripts
    with pytest.raises(CallAgain):
        await shard.client.execute(
            "EVALSHA", digest("job_runs"), len(scripts.keys), *scripts.keys, 10, "a"
        )
    assert await shard.raw("HGET", "meta", "opened") == str(PIECE).encode()
    assert await look(shard, "b") == [named(last)]
    assert await look(shard, "a") == [named(first)]


async def test_a_cancellation_after_a_burst_changes_nothing_before_all_are_open(
    shard: Shard,
) -> None:
    runs = await stage(shard, "a", "b")
    await shard.raw("HINCRBY", "meta", "instance", 2 * PIECE)
    assert await cancel(shard, *(named(run) for run in runs)) == 2
    assert await open_runs(shard) == 0


async def test_runs_that_staging_decides_by_are_there_at_once(shard: Shard) -> None:
    await shard.create(every("a", SECOND, NOW, properties=Properties(overlap=Overlap.SKIP)))
    await shard.stage()
    assert await open_runs(shard) == 1


async def test_they_come_there_while_nothing_is_due(shard: Shard) -> None:
    await stage(shard, "a", "b")
    assert await shard.stage() == []
    assert await shard.stage(NOW + OLD - 1) == []
    assert await open_runs(shard) == 0
    assert await shard.stage(NOW + OLD) == []
    assert await open_runs(shard) == 2


async def test_those_that_come_meanwhile_wait_as_long(shard: Shard) -> None:
    await stage(shard, "a")
    assert await shard.stage() == []
    await stage(shard, "b")
    assert await shard.stage(NOW + OLD) == []
    assert await open_runs(shard) == 1
    assert await shard.stage(NOW + OLD) == []
    assert await shard.stage(NOW + 2 * OLD) == []
    assert await open_runs(shard) == 2


async def test_a_clock_that_was_set_back_does_not_hold_them(shard: Shard) -> None:
    await stage(shard, "a")
    assert await shard.stage() == []
    await shard.raw("HSET", "meta", "old_numbers", f"{NOW + HOUR} 1")
    assert await shard.stage() == []
    assert await shard.stage(NOW + OLD) == []
    assert await open_runs(shard) == 1


async def test_staging_leaves_so_many_and_no_more(shard: Shard) -> None:
    await stage(shard, "a")
    await shard.raw("HINCRBY", "meta", "instance", LEFT - 2)
    await stage(shard, "b")
    assert await open_runs(shard) == 0
    await stage(shard, "c")
    assert await open_runs(shard) == 1, "it goes on from the oldest"


async def test_numbers_that_are_not_free_count_as_well(shard: Shard) -> None:
    """Else it would never reach the end while many runs are unanswered."""
    (run,) = await stage(shard, "a")
    taken = await shard.raw("HGET", "runs", str(run.instance))
    first = LEFT + 1
    for number in range(first, first + 2000):
        await shard.raw("HSET", "runs", str(number), taken)
    await shard.raw("HSET", "meta", "instance", first - 1, "unanswered_since", "0 another:1")
    (run,) = await stage(shard, "b")
    assert run.instance == first + 2000
    assert int(await shard.raw("HGET", "meta", "opened")) > 2 * 2000


async def test_runs_are_found_where_their_numbers_come_round(shard: Shard) -> None:
    await shard.raw("HSET", "meta", "instance", LAST - 1)
    runs = await stage(shard, "a", "b", "c")
    assert [run.instance for run in runs] == [LAST, 1, 2]
    for run in runs:
        assert await look(shard, run.id) == [named(run)]
    assert await shard.raw("HGET", "meta", "opened") == b"2"


async def test_format_1_has_no_such_index(shard: Shard) -> None:
    await shard.raw("HSET", "meta", "format", WRITES)
    await stage(shard, "a")
    await shard.stage()
    assert await open_runs(shard) == 0
    assert await shard.raw("HEXISTS", "meta", "opened") == 0


async def test_a_rebuild_forgets_how_far_one_has_looked(shard: Shard) -> None:
    await stage(shard, "a")
    assert await shard.stage() == []
    known = ("opened", "unanswered_since", "old_numbers")
    assert None not in await shard.raw("HMGET", "meta", *known)
    await shard.schedule.begin_rebuild(shard.token)
    assert await shard.raw("HMGET", "meta", *known) == [None, None, None]


# --- Numbers ------------------------------------------------------------------------------------


async def test_an_owner_that_saw_no_unanswered_run_looks_no_number_up(shard: Shard) -> None:
    first = await stage(shard, "a", "b")
    assert [run.instance for run in first] == [1, 2]
    assert await shard.raw("HGET", "meta", "unanswered_since") == f"0 {shard.token}".encode()
    await shard.done(*first)
    assert [run.instance for run in await stage(shard, "c")] == [3]
    assert await shard.raw("HGET", "meta", "unanswered_since") == f"0 {shard.token}".encode()


@pytest.mark.parametrize("since", [None, "0 another:1", f"{2**31 - 7} "])
async def test_any_other_owner_looks(shard: Shard, since: str | None) -> None:
    """Also after so many runs that their numbers might come round."""
    await stage(shard, "a", "b", "c")
    await shard.raw("HSET", "meta", "instance", 0)
    if since is None:
        await shard.raw("DEL", "lease")
        await shard.own("other")
    else:
        value = since + shard.token if since.endswith(" ") else since
        await shard.raw("HSET", "meta", "unanswered_since", value)
    assert [run.instance for run in await stage(shard, "d")] == [4]


async def test_it_begins_again_once_no_run_is_unanswered(shard: Shard) -> None:
    runs = await stage(shard, "a", "b")
    await shard.raw("HSET", "meta", "unanswered_since", "0 another:1")
    runs += await stage(shard, "c")
    assert await shard.raw("HGET", "meta", "unanswered_since") == b"0 another:1"
    await shard.done(*runs, now=NOW + HOUR)
    await stage(shard, "d")
    assert await shard.raw("HGET", "meta", "unanswered_since") == f"3 {shard.token}".encode()
