"""Lists of scheduling.v1: random lives of a shard against a naive model, and the edges."""

import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.spread import jitter_ms
from scheduling_srv.adapters.redis import job_index
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.job_index import RedisJobIndex
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.app.ports import ListedJob, WriteGroup, WriteMode
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.app.requests import job_listing
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.job_views import listed_view
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.domain.job import RANKS, Priority, TriggerKind, generate_id
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.position_record import Position
from tests.harness.given import Store
from tests.harness.names import Names
from tests.store.model import Living, Model, Spec
from tests.store.shard import DAY, HOUR, NOW, Shard, at_once, cron, every, once
from tests.store.test_model import ANSWER, PASS, RARE, STAGE, Life, Step, Write

MADE = "Zz9AAbbCCddEE01f"
"""Looks like an id that the service makes."""
DERIVED = "~qS7u0000000001"
IDS = ["a", "ab", "abc", "b", "ba", MADE, DERIVED, "é"]
TYPES, CREATORS = ["t", "t", "u"], ["", "ann", "bob"]
PREFIXES = ["", "", "a", "ab", "b", "Z", MADE, "~", DERIVED, "c"]
UNINDEXED = {MADE, DERIVED}
INDEXED = 2
"""The format that has the indexes."""
SECTIONS = {"held": 1, "due": 2, "under way": 6}


class Upgrade(NamedTuple):
    """A replica raises the format; the owner indexes so many pieces."""

    pieces: int


class Look(NamedTuple):
    wanted: JobFilter
    order: ListOrder
    limit: int


LABELS = [(), (), (("env", "a"),), (("env", "b"),), (("env", "a"), ("x.org/tier", ""))]
FILTERS = st.builds(
    JobFilter,
    labels=st.sampled_from([{}, {}, {}, *map(dict, LABELS)]),
    type=st.sampled_from(["", *TYPES, "v"]),
    creator=st.sampled_from(CREATORS),
    id_prefix=st.sampled_from(PREFIXES),
    states=st.sampled_from([frozenset[JobState](), *map(frozenset, ([s] for s in JobState))]),
    due_from=st.sampled_from([None, None, None, NOW + 1]),
    due_until=st.sampled_from([None, None, None, NOW + 2000]),
)
LOOK = st.builds(Look, FILTERS, st.sampled_from(ListOrder), st.sampled_from([1, 2, 1000]))
SPECS = st.builds(
    Spec,
    id=st.sampled_from(IDS),
    kind=st.sampled_from([kind for kind in TriggerKind if kind is not TriggerKind.ENDING]),
    due=st.sampled_from([-300, 0, 0, 1, 700, 2000]),
    type=st.sampled_from(TYPES),
    priority=st.sampled_from([Priority.NORMAL, *Priority]),
    parallel=st.sampled_from([0, 1, 1, 2]),
    attempts=st.integers(0, 2),
    delay=st.sampled_from([0, 700]),
    interval=st.sampled_from([300, 1000]),
    creator=st.sampled_from(CREATORS),
    labels=st.sampled_from(LABELS),
)
WRITE = st.builds(
    Write,
    st.sampled_from([WriteMode.CREATE, WriteMode.UPSERT, WriteMode.UPDATE]),
    st.lists(SPECS, min_size=1, max_size=4, unique_by=lambda spec: spec.id),
    st.integers(0, 1),
)
STEPS: st.SearchStrategy[Step | Upgrade | Look] = st.one_of(
    WRITE, STAGE, ANSWER, PASS, RARE, LOOK, LOOK, LOOK, st.builds(Upgrade, st.integers(0, 2))
)


class Place(NamedTuple):
    """Where a job stands in the list by next due time."""

    section: int
    ms: int
    rank: int
    seq: int


def own_runs(model: Model, job: Living) -> list[Any]:
    return [each for each in model.waiting if each.job is job]


def state_of(model: Model, job: Living) -> JobState:
    waiting = own_runs(model, job)
    if any(each.job is job for each in model.running.values()):
        return JobState.RUNNING
    first = min((each for each in waiting if each.attempt > 1 or each.kept), default=None, key=age)
    if any(each.held for each in waiting if each.attempt == 1 and not each.kept):
        return JobState.HELD
    if first:
        return JobState.HELD if first.held else JobState.RETRYING
    return JobState.WAITING


def age(run: Any) -> tuple[Any, ...]:
    """The order of runs of one job that wait by themselves."""
    return (run.kept, run.nominal, run.attempt)


def place_of(model: Model, job: Living) -> Place:
    is_once = job.spec.kind is TriggerKind.ONCE
    runs = [
        each for each in own_runs(model, job) if is_once or (each.attempt == 1 and not each.kept)
    ]
    if not runs:
        return Place(SECTIONS["under way"], 0, 0, job.seq)
    (run,) = runs
    if run.held:
        return Place(SECTIONS["held"], run.nominal, 0, job.seq)
    return Place(SECTIONS["due"], run.due, RANKS[job.spec.priority], job.seq)


def due_of(model: Model, job: Living) -> int | None:
    place = place_of(model, job)
    return None if place.section == SECTIONS["under way"] else place.ms


def matches(model: Model, job: Living, wanted: JobFilter) -> bool:
    due, spec = due_of(model, job), job.spec
    if wanted.due_from is not None and (due is None or due < wanted.due_from):
        return False
    if wanted.due_until is not None and (due is None or due >= wanted.due_until):
        return False
    return (
        wanted.type in {"", spec.type}
        and wanted.creator in {"", spec.creator}
        and spec.id.startswith(wanted.id_prefix)
        and wanted.labels.items() <= dict(spec.labels).items()
        and (not wanted.states or state_of(model, job) in wanted.states)
    )


def expected(model: Model, look: Look, *, indexed: bool) -> list[Living]:
    shown = [job for job in model.jobs.values() if job.spec.kind is not TriggerKind.NOW]
    wanted = [job for job in shown if matches(model, job, look.wanted)]
    if look.wanted.id_prefix and indexed:
        prefix = look.wanted.id_prefix
        named = [job for job in model.jobs.values() if job.spec.id.startswith(prefix)]
        named = [
            job
            for job in named
            if job.spec.id not in UNINDEXED and job.spec.kind is not TriggerKind.NOW
        ]
        if named:
            wanted = [job for job in wanted if job.spec.id not in UNINDEXED]
        else:
            wanted = [job for job in wanted if job.spec.id == prefix]
        return sorted(wanted, key=lambda job: job.spec.id.encode())
    if look.order is ListOrder.NEXT_DUE:
        return sorted(wanted, key=lambda job: place_of(model, job))
    return sorted(wanted, key=lambda job: job.seq, reverse=look.order is ListOrder.NEWEST)


async def walk(listing: JobListing, look: Look) -> tuple[list[ListedJob], int | None]:
    """All pages, one after the other, and the total."""
    found, token, total = list[ListedJob](), "", None
    while True:
        page = await listing.page(look.wanted, look.order, look.limit, token)
        assert len(page.jobs) <= look.limit
        total = total if token else page.total
        found += page.jobs
        token = page.next_token
        if not token:
            return found, total


def ids(jobs: Sequence[ListedJob]) -> list[str]:
    return [each.job.id.decode() for each in jobs]


def listing_of(*shards: Shard) -> JobListing:
    return JobListing([index_of(shard) for shard in shards])


def hurried(shard: Shard) -> JobListing:
    """Its time for a page is over with the first call."""
    return JobListing([index_of(shard)], monotonic=itertools.count().__next__)


def index_of(shard: Shard) -> RedisJobIndex:
    return RedisJobIndex(shard.client, shard.namespace, shard.jobs.shard)


async def upgrade(shard: Shard, pieces: int = 1_000) -> bool:
    """As the start of a replica and the owner do; returns whether all is indexed."""
    await shard.schedule.note_format(INDEXED)
    await shard.raw("DEL", "lease")
    await shard.own()
    for _ in range(pieces):
        if not await index_of(shard).index_older(shard.token):
            return True
    return False


@dataclass
class ListedLife(Life):
    """A life that is looked at through lists."""

    upgraded: bool = False
    indexed: bool = False
    listing: JobListing = field(init=False)

    def __post_init__(self) -> None:
        self.listing = listing_of(self.shard)

    async def do(self, step: Step | Upgrade | Look) -> None:
        match step:
            case Upgrade(pieces):
                self.upgraded = True
                self.indexed = await upgrade(self.shard, pieces) or self.indexed
            case Look():
                await self.look(step)
            case _:
                await super().do(step)

    async def write(self, mode: WriteMode, asked: list[Spec], version: int) -> None:
        if not self.upgraded:  # an earlier format has no labels
            asked = [replace(spec, labels=()) for spec in asked]
        await super().write(mode, asked, INDEXED if self.upgraded else version)

    async def look(self, look: Look) -> None:
        if look.wanted.states and not self.indexed:
            return  # an older version has not noted which runs are open
        found, total = await walk(self.listing, look)
        wanted = expected(self.model, look, indexed=self.indexed)
        assert ids(found) == [job.spec.id for job in wanted]
        if self.indexed:
            assert [each.state for each in found] == [state_of(self.model, job) for job in wanted]
        assert [each.due for each in found] == [due_of(self.model, job) for job in wanted]
        assert total in {None, len(wanted)}
        if look.order is not ListOrder.NEXT_DUE:
            count = await self.listing.count(look.wanted)
            assert count == total or MADE.startswith(look.wanted.id_prefix)
        if self.indexed and _is_one_index(look.wanted) and look.order is not ListOrder.NEXT_DUE:
            assert total == len(wanted)


def _is_one_index(wanted: JobFilter) -> bool:
    narrow = wanted.states or wanted.due_from or wanted.due_until
    indexes = (wanted.type, wanted.creator, wanted.id_prefix, *wanted.labels)
    return not narrow and sum(map(bool, indexes)) <= 1


async def live(url: str, steps: list[Step | Upgrade | Look]) -> None:
    client = RedisClient(url)
    try:
        shard = await Shard.of(client, Names.unique().namespace).open()
        await shard.raw("HSET", "meta", "format", INDEXED - 1)
        shard.rule(completion_timeout=7000, catch_up_window=1000 * DAY)
        life = ListedLife(shard)
        for step in steps:
            await life.do(step)
        await upgrade(shard)
        await shard.delete(*IDS)
        await shard.forget_runs(life.now)
        assert await shard.drain(life.now + DAY) == []
        await shard.publish()
        assert set(await shard.keys()) <= {"inputs", "meta"}
        await shard.raw("DEL", "meta", *[shard.jobs.base + name for name in ("inputs", "lease")])
    finally:
        await client.close()


@given(steps=st.lists(STEPS, min_size=20, max_size=60))
def test_lists_are_those_of_a_naive_model(
    valkey: Store, steps: list[Step | Upgrade | Look]
) -> None:
    run: Callable[..., None] = uvloop.run
    run(live(valkey.url, steps))


# --- Edges ----------------------------------------------------------------------------------------


@pytest.fixture
async def older(shard: Shard) -> Shard:
    """A shard of the format before."""
    await shard.raw("HSET", "meta", "format", INDEXED - 1)
    return shard


@pytest.fixture
async def indexed(shard: Shard) -> Shard:
    """A shard of the format that has the indexes."""
    await upgrade(shard)
    return shard


async def page_of(shard: Shard, limit: int = 1_000, **wanted: Any) -> tuple[list[str], int | None]:
    found, total = await walk(
        listing_of(shard), Look(JobFilter(**wanted), ListOrder.CREATED, limit)
    )
    return ids(found), total


@pytest.mark.parametrize("seed", range(3))
async def test_prefixes_are_those_of_a_simple_list(indexed: Shard, seed: int) -> None:
    """However buckets were split, and whatever is left of them."""
    rng = random.Random(seed)
    shard, living = indexed, set[str]()
    for number in range(4):
        texts = [
            f"{rng.choice('abé')}{rng.randrange(10 ** rng.choice((1, 3)))}" for _ in range(300)
        ]
        new = [*{*texts, *(f"run-{number}-{n:04}" for n in range(200))} - living]
        for start in range(0, len(new), 90):
            await shard.create(*(once(job_id) for job_id in new[start : start + 90]))
        living |= {*new}
        doomed = [job_id for job_id in living if rng.random() < rng.choice((0.2, 0.97))]
        await shard.delete(*doomed)
        living -= {*doomed}
    for prefix in ("a", "a1", "é", "run", "run-2-01", "s", "b999"):
        wanted = sorted((each for each in living if each.startswith(prefix)), key=str.encode)
        found, total = await page_of(shard, rng.choice((1, 7, 1000)), id_prefix=prefix)
        assert (found, total) == (wanted, len(wanted))
    await shard.delete(*living)
    assert await shard.keys() == ["meta", "outbox"]


async def test_ids_that_grow_fill_their_buckets(indexed: Shard) -> None:
    await indexed.create(*(once(f"order-{number:05}") for number in range(1_000)))
    assert await indexed.raw("ZCARD", "names") == 1_000 // 127 + 1


async def test_many_ids_with_a_prefix_are_not_counted(indexed: Shard) -> None:
    await indexed.create(*(once(f"order-{number:05}") for number in range(1_200)))
    found, total = await page_of(indexed, id_prefix="order-")
    assert (len(found), total) == (1_200, None)


async def test_ids_that_the_service_makes_are_in_no_bucket(indexed: Shard) -> None:
    """But for one in a hundred, which looks as if a caller had given it, if a caller sends it."""
    made = [generate_id() for _ in range(1_000)]
    await indexed.jobs.write([WriteGroup(WriteMode.CREATE, [*map(once, made[:500])])], NOW)
    assert await indexed.raw("EXISTS", "names") == 0
    await indexed.create(*map(once, made[500:]))
    named = sum(
        [
            await indexed.raw("ZCARD", f"named:{bound.decode()}")
            for bound in await indexed.raw("ZRANGE", "names", 0, -1)
        ]
    )
    assert named < 50
    for job_id in made[::100]:
        assert await page_of(indexed, id_prefix=job_id) == ([job_id], 1)
    await indexed.delete(*made)
    assert await indexed.keys() == ["meta", "outbox"]


async def test_types_that_look_alike_are_told_apart(indexed: Shard) -> None:
    """An entry holds one byte of a type's hash; so many types share some of them."""
    kinds = [f"type-{number}" for number in range(700)]
    for start in range(0, len(kinds), 100):
        names = kinds[start : start + 100]
        await indexed.create(*(once(f"of-{name}", type=name) for name in names))
    for name in kinds[::70]:
        assert await page_of(indexed, type=name) == ([f"of-{name}"], 1)


async def test_a_label_of_few_jobs_costs_no_looks_at_the_others(indexed: Shard) -> None:
    """Nor do those that have another label as well."""
    both = Properties(labels={"env": "a", "tier": "x"})
    one = Properties(labels={"env": "a"})
    await indexed.create(*(once(f"a{n}", properties=both if n == 5 else one) for n in range(1_000)))
    before = await reads(indexed)
    assert await page_of(indexed, labels={"env": "a", "tier": "x"}) == (["a5"], None)
    assert await page_of(indexed, labels={"tier": "x"}) == (["a5"], 1)
    assert await reads(indexed) - before < 40
    assert await page_of(indexed, labels={"tier": "y"}) == ([], 0)


async def test_an_update_of_2018_keeps_the_labels_and_finds_the_job_by_them(
    indexed: Shard,
) -> None:
    await indexed.create(once("a", NOW + DAY, properties=Properties(labels={"env": "a"})))
    await indexed.update(once("a", NOW + HOUR, type="u", notes=Note.KEEP_MORE))
    assert await page_of(indexed, labels={"env": "a"}) == (["a"], 1)
    await indexed.update(once("a", NOW + HOUR, type="u"))
    assert await page_of(indexed, labels={"env": "a"}) == ([], 0)


async def test_a_rare_type_is_found_in_a_few_blocks(indexed: Shard) -> None:
    """The index of the type says where it is, and its tag which records are read."""
    await indexed.create(*(once(f"a{n}", type="rare" if n == 5 else "often") for n in range(1_000)))
    before = await reads(indexed)
    assert await page_of(indexed, type="rare") == (["a5"], 1)
    assert await reads(indexed) - before < 30


async def reads(shard: Shard) -> int:
    """Calls of HGET by all scripts."""
    text = (await shard.client.execute("INFO", "commandstats")).decode()
    return int(re.search(r"cmdstat_hget:calls=(\d+)", text)[1])  # type: ignore[index]


@pytest.mark.parametrize("order", ListOrder)
@pytest.mark.parametrize(
    ("name", "most"), [("MOST_READS", 50), ("MOST_LOOKS", 50), ("PAGE_BYTES", 10_000)]
)
async def test_a_page_ends_with_its_budget(
    indexed: Shard, monkeypatch: pytest.MonkeyPatch, order: ListOrder, name: str, most: int
) -> None:
    """Also if no job matches; the next page goes on."""
    monkeypatch.setattr(job_index, name, most)
    await indexed.create(*(once(f"a{n:03}", NOW + n) for n in range(500)), once("b", NOW + 250))
    listing, wanted = hurried(indexed), JobFilter(due_from=NOW + 250, due_until=NOW + 251)
    pages, token = list[list[str]](), ""
    while not pages or token:
        before = await reads(indexed)
        page = await listing.page(wanted, order, 1_000, token)
        assert await reads(indexed) - before < 200
        pages.append(ids(page.jobs))
        token = page.next_token
    assert len(pages) > 2
    assert sorted(each for page in pages for each in page) == ["a250", "b"]


@pytest.mark.parametrize("order", ListOrder)
async def test_a_page_is_full_beside_a_crowd_of_another_type(
    indexed: Shard, monkeypatch: pytest.MonkeyPatch, order: ListOrder
) -> None:
    """A call ends in the crowd, and the page goes on: a user sees no page of a few jobs."""
    monkeypatch.setattr(job_index, "MOST_LOOKS", 400)
    kinds = [*["few"] * 150, *["many"] * 1_500, *["few"] * 20, *["many"] * 1_500, *["few"] * 150]
    for start in range(0, len(kinds), 500):
        kind_of = enumerate(kinds[start : start + 500], start)
        await indexed.create(*(once(f"a{n:04}", NOW + n, type=kind) for n, kind in kind_of))
    still = JobListing([index_of(indexed)], monotonic=lambda: 0.0)
    few = JobFilter(type="few")
    assert len((await hurried(indexed).page(few, order, 200)).jobs) < 200
    page = await still.page(few, order, 200)
    assert len(page.jobs) == 200
    assert page.total == (None if order is ListOrder.NEXT_DUE else 320)
    rest = await still.page(few, order, 200, page.next_token)
    assert (len(rest.jobs), rest.next_token) == (120, "")
    numbers = [n for n, kind in enumerate(kinds) if kind == "few"]
    shown = [f"a{n:04}" for n in numbers]
    found = ids([*page.jobs, *rest.jobs])
    assert found == (shown[::-1] if order is ListOrder.NEWEST else shown)


async def test_a_page_of_large_jobs_does_not_go_on(
    indexed: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_index, "PAGE_BYTES", 1_000)
    monkeypatch.setattr(job_listing, "LARGE_BYTES", 3_000)
    await indexed.create(*(once(f"a{n}", payload=600) for n in range(20)))
    still = JobListing([index_of(indexed)], monotonic=lambda: 0.0)
    page = await still.page(JobFilter(), ListOrder.CREATED, 20)
    assert 4 <= len(page.jobs) <= 6
    assert page.next_token


async def test_jobs_of_one_instant_are_paged_in_order_of_creation(indexed: Shard) -> None:
    await indexed.create(*(once(f"a{n:04}", NOW) for n in range(2_000)))
    listing, found, token = listing_of(indexed), list[str](), ""
    while len(found) < 2_000:
        page = await listing.page(JobFilter(), ListOrder.NEXT_DUE, 100, token)
        found, token = found + ids(page.jobs), page.next_token
    assert found == [f"a{n:04}" for n in range(2_000)]


async def test_pages_stay_right_while_jobs_come_and_go(indexed: Shard) -> None:
    """A job that exists all the time is shown once."""
    await indexed.create(*(once(f"a{n:03}", NOW + HOUR + n) for n in range(300)))
    for order in ListOrder:
        listing, found, token, number = listing_of(indexed), list[str](), "", 0
        while not found or token:
            page = await listing.page(JobFilter(), order, 7, token)
            found, token, number = found + ids(page.jobs), page.next_token, number + 1
            await indexed.create(once(f"{order}-{number}", NOW + number * 7))
            if number > 1:
                await indexed.delete(f"{order}-{number - 1}")
        stayed = [each for each in found if each.startswith("a")]
        assert sorted(stayed) == [f"a{n:03}" for n in range(300)]


async def test_a_token_of_another_request_is_refused(indexed: Shard) -> None:
    await indexed.create(*(once(f"a{n}") for n in range(10)))
    listing = listing_of(indexed)
    page = await listing.page(JobFilter(), ListOrder.CREATED, 3)
    for wanted, order in (
        (JobFilter(type="t"), ListOrder.CREATED),
        (JobFilter(states=frozenset({JobState.PAUSED})), ListOrder.CREATED),
        (JobFilter(), ListOrder.NEWEST),
    ):
        with pytest.raises(InvalidRequest, match="belongs to another request"):
            await listing.page(wanted, order, 3, page.next_token)


@pytest.mark.parametrize("token", ["x", "é", "WyJ2MSJd", "W10", "bnVsbA", "A" * 100_000])
async def test_a_text_that_is_no_token_is_refused(indexed: Shard, token: str) -> None:
    with pytest.raises(InvalidRequest, match="page token"):
        await listing_of(indexed).page(JobFilter(), ListOrder.CREATED, 3, token)


async def test_jobs_are_shown_by_their_ids(indexed: Shard) -> None:
    """In the order of the request, each once; `now` jobs are no resources."""
    await indexed.create(once("a", NOW), every("b", HOUR), at_once("n"))
    await indexed.stage()
    listing = listing_of(indexed)
    found = await listing.show(["b", "ghost", "a", "n", "b"])
    assert [(*ids([each]), each.state, each.due) for each in found] == [
        ("b", JobState.WAITING, NOW + HOUR),
        ("a", JobState.RUNNING, None),
    ]


async def test_large_jobs_are_shown_in_pieces(
    indexed: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_index, "PAGE_BYTES", 1_000)
    await indexed.create(*(once(f"a{n}", payload=600) for n in range(10)))
    assert len(await listing_of(indexed).show([f"a{n}" for n in range(10)])) == 10


@pytest.mark.parametrize("types", [False, True])
async def test_paused_jobs_are_listed_in_every_order(indexed: Shard, *, types: bool) -> None:
    """Before and after their times have passed."""
    jobs = [once("a"), every("b", HOUR, NOW), once("c", NOW + HOUR), every("d", HOUR, type="u")]
    await indexed.create(*jobs)
    pauses = RedisPauses(indexed.client, indexed.namespace, 0)
    await pauses.pause(["t"] if types else ["a", "b", "c"], "{}", types=types)
    paused = frozenset({JobState.PAUSED})
    for _ in range(2):
        for order in ListOrder:
            found, _ = await walk(listing_of(indexed), Look(JobFilter(), order, 1))
            assert sorted(ids(found)) == ["a", "b", "c", "d"]
            found, _ = await walk(listing_of(indexed), Look(JobFilter(states=paused), order, 1))
            assert sorted(ids(found)) == ["a", "b", "c"]
        assert await indexed.drain(NOW) == []


async def test_a_delayed_job_is_shown_with_its_nominal_time(indexed: Shard) -> None:
    """It is listed by the time when it is due."""
    rules, first = Properties(jitter=HOUR // 2), NOW + 2_800_000  # on the hour
    jobs = {
        "interval": every("interval", HOUR, first, properties=rules),
        "once": once("once", first, properties=rules),
        "cron": cron("cron", "0 * * * *", first, properties=rules),
    }
    await indexed.create(*jobs.values())
    listing = listing_of(indexed)
    for each in await listing.show([*jobs]):
        name = each.job.id.decode()
        assert (each.due, each.nominal) == (first + jitter_ms(name, first, HOUR // 2), first)
        assert listed_view(each, 1).next_times == [first]
    (shown,) = await listing.show(["interval"])
    assert listed_view(shown, 2).next_times == [first, first + HOUR]
    for order in ListOrder:
        found, _ = await walk(listing, Look(JobFilter(), order, 9))
        assert [each.nominal for each in found] == [first] * 3
        dues = [each.due or 0 for each in found]
        assert order is not ListOrder.NEXT_DUE or dues == sorted(dues)


async def test_an_interval_whose_times_pass_in_a_pause_keeps_its_phase(indexed: Shard) -> None:
    await indexed.create(every("a", HOUR, NOW))
    pauses = RedisPauses(indexed.client, indexed.namespace, 0)
    await pauses.pause(["a"], "{}", types=False)
    (before,) = await listing_of(indexed).show(["a"])
    assert (before.due, before.nominal) == (NOW, NOW)
    assert await indexed.drain(NOW + 5) == []
    (after,) = await listing_of(indexed).show(["a"])
    assert (after.due, after.nominal) == (None, NOW)
    assert listed_view(before, 1).next_times == listed_view(after, 1).next_times == ()


@pytest.mark.parametrize("order", ListOrder)
async def test_pages_of_several_shards_are_merged(
    shard: Shard, names: Names, order: ListOrder
) -> None:
    other = await Shard.of(shard.client, names.namespace, number=1).open()
    due = {f"{n:03}": NOW + HOUR + n * 7919 % 200 for n in range(200)}
    for n, job_id in enumerate(due):
        await (shard, other)[n % 3 == 0].create(once(job_id, due[job_id]))
    look = Look(JobFilter(), order, 9)
    found, total = await walk(listing_of(shard, other), look)
    assert total == 200
    assert sorted(ids(found)) == sorted(due)
    if order is ListOrder.NEXT_DUE:
        assert ids(found) == sorted(due, key=due.__getitem__)
    elif order is ListOrder.CREATED:
        seqs = [job_record.seq(each.job.record) for each in found]
        assert seqs == sorted(seqs)


# --- A store of an earlier format -----------------------------------------------------------------


async def test_jobs_of_an_earlier_format_are_listed_before_and_while_they_are_indexed(
    older: Shard,
) -> None:
    """By type and by prefix; what changes meanwhile counts once."""
    shard = older
    await shard.create(*(once(f"old-{n:03}", NOW + DAY, type="tu"[n % 2]) for n in range(400)))
    await shard.update(once("old-001", NOW + DAY, type="t"))
    wanted = {"t": 201, "u": 199}

    async def check(prefixes: int = 200) -> None:
        for kind, count in wanted.items():
            found, total = await page_of(shard, 90, type=kind)
            assert len(found) == len({*found}) == count
            assert total in {None, count}
        found, _ = await page_of(shard, 90, id_prefix="old-2")
        assert len(found) == 100

    await check()
    assert not await upgrade(shard, 1)
    await check()
    await shard.upsert(once("old-003", NOW + DAY, type="t"), once("new", NOW + DAY, type="t"))
    await shard.delete("old-399")
    wanted |= {"t": 203, "u": 197}
    await check()
    assert await upgrade(shard)
    await check()
    assert await page_of(shard, type="u") == ([*(f"old-{n:03}" for n in range(5, 399, 2))], 197)
    assert await shard.raw("HEXISTS", "meta", "types_from") == 0


async def test_runs_of_an_earlier_format_are_open(older: Shard) -> None:
    shard = older
    await shard.create(*(every(f"a{n:03}", HOUR, NOW) for n in range(300)))
    runs = await shard.stage()
    assert await shard.raw("EXISTS", "open") == 0
    await upgrade(shard)
    assert await shard.raw("ZCARD", "open") == 300
    await shard.done(*runs[:100])
    assert await shard.raw("ZCARD", "open") == 200


async def test_a_rebuild_indexes_what_it_loads(indexed: Shard) -> None:
    await indexed.create(once("a", type="t"), once("b", type="u"))
    await indexed.schedule.begin_rebuild(indexed.token)
    record = once("c", NOW + HOUR, type="u").record
    job = RebuiltJob("c", (7).to_bytes(6, "little") + record[6:], NOW + HOUR)
    await indexed.schedule.load_jobs(indexed.token, [job])
    run = RebuiltRun("c", 7, NOW, 1, instance=5, start=NOW, type=b"u")
    await indexed.schedule.load_runs(indexed.token, [run])
    await indexed.schedule.initialise(indexed.token, Position(9, "second", at=NOW, seq=9), NOW)
    assert await page_of(indexed, type="u") == (["c"], 1)
    assert await page_of(indexed, type="t") == ([], 0)
    assert await page_of(indexed, id_prefix="c") == (["c"], 1)
    running = frozenset({JobState.RUNNING})
    assert await page_of(indexed, states=running) == (["c"], None)


async def test_a_store_that_is_upgraded_by_a_rebuild_is_indexed_after_it(older: Shard) -> None:
    """Kafka says which format the data has; the replica that loads it writes an earlier one."""
    shard = older
    await shard.schedule.begin_rebuild(shard.token)
    labelled = Properties(labels={"a": "b"})
    record = once("c", NOW + HOUR, type="u", properties=labelled).record
    job = RebuiltJob("c", (7).to_bytes(6, "little") + record[6:], NOW + HOUR)
    await shard.schedule.load_jobs(shard.token, [job])
    position = Position(9, "second", at=NOW, seq=9, format=INDEXED)
    await shard.schedule.initialise(shard.token, position, NOW)
    assert await page_of(shard, type="u") == (["c"], None)
    assert await upgrade(shard)
    assert await page_of(shard, type="u") == (["c"], 1)
    assert await page_of(shard, labels={"a": "b"}) == (["c"], 1)
    await shard.delete("c")
    for key in ("labels:a=b", "label:a=b", "type:u"):
        assert await shard.raw("EXISTS", key) == 0
