"""The use cases: what both transports call (docs/contract.md)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app import deadline
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.ports import Page, Receipt, Refusal, Source, WriteGroup, WriteMode, Written
from scheduling_srv.app.requests.jobs import LONG_READS, PAGE, READ_CALLS, Jobs, refused
from scheduling_srv.domain.errors import (
    AlreadyExists,
    InvalidRequest,
    NotAnnounced,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    StaleRevision,
    TooLarge,
)
from scheduling_srv.domain.job import JobRequest, NewJob, ReadQuery, StoredJob
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.job_record import HEADER
from tests.harness.virtual_time import VIRTUAL_TIME
from tests.store.shard import at_once, once, one_shard


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000


def asked(job_id: str, **changes: Any) -> JobRequest:
    fields = {"type": "t", "timezone": "UTC", "creator": "", "data": b"", "rest": b"", "now": True}
    return JobRequest(id=job_id, **{**fields, **changes})


def stored(job: NewJob, seq: int) -> StoredJob:
    record = seq.to_bytes(6, "little") + job.record[6:]
    assert len(record) > HEADER.size
    return StoredJob(job.id.encode(), record)


class World:
    """The store and the clock; everything is published when `published` says so."""

    def __init__(self, *, announce: bool = True, **rules: Any) -> None:
        self.refusal: Refusal | None = None
        self.written: list[WriteGroup] = []
        self.deleted: list[Sequence[str]] = []
        self.cleared = 0
        self.held: list[StoredJob] = []
        self.pages: list[tuple[str, bool, str, int]] = []
        self.announcements = Announcements()
        self.announcements.published("i", 5)
        self.receipt = Receipt("i", 5)
        world: Any = self
        store = one_shard(world, world, self.announcements, wait=announce)
        self.jobs = Jobs(store, world, Rules(**rules))

    def now(self) -> int:
        return NOW

    async def write(
        self, groups: Sequence[WriteGroup], now: int, source: Source | None = None
    ) -> Written:
        self.written += groups
        return Written(self.receipt, [self.refusal] * len(groups))

    async def delete(
        self, ids: Sequence[str], now: int, source: Source | None = None, within: object = None
    ) -> tuple[Receipt, int]:
        self.deleted.append(ids)
        return self.receipt, len(ids)

    async def clear(
        self, now: int, source: Source | None = None, entries: Any = (), *, announced: bool
    ) -> Receipt:
        assert announced
        self.cleared += 1
        return self.receipt

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        found = {job.id.decode(): job for job in self.held}
        return [found.get(each) for each in ids[:2]]

    async def read(self, query: ReadQuery) -> tuple[int, list[StoredJob]]:
        total, pages = await self.jobs.read(query)
        return total, [job async for page in pages for job in page]

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        self.pages.append((creator, descending, cursor, limit))
        start = int(cursor or 0)
        jobs = self.held[start : start + limit]
        return Page(len(self.held), str(start + len(jobs)) if jobs else "", jobs)


async def test_the_answer_holds_what_was_stored() -> None:
    world = World()
    first, second = await world.jobs.create([asked("a"), asked("")])
    (group,) = world.written
    assert group.mode is WriteMode.CREATE
    assert first == StoredJob(b"a", group.jobs[0].record)
    assert second.id.decode() == group.jobs[1].id != ""


@pytest.mark.parametrize("how", ["create", "update", "upsert"])
async def test_an_empty_list_is_refused(how: str) -> None:
    world = World()
    with pytest.raises(InvalidRequest, match=f"Missing items in {how} request."):
        await getattr(world.jobs, how)([])
    assert world.written == []


async def test_faults_come_before_the_store() -> None:
    world = World()
    with pytest.raises(InvalidRequest, match="Job type not specified."):
        await world.jobs.upsert([asked("a"), asked("b", type="")])
    assert world.written == []


async def test_an_update_names_its_jobs() -> None:
    world = World()
    with pytest.raises(InvalidRequest, match="Job id not specified.") as caught:
        await world.jobs.update([asked("a"), asked("")])
    assert caught.value.violations[0].field == "items[1].id"


@pytest.mark.parametrize(
    ("reason", "kind", "sentence"),
    [
        ("exists", AlreadyExists, "A job with the id b already exists."),
        ("missing", NotFound, "There is no job with the id b."),
    ],
)
async def test_a_refusal_names_the_job(reason: str, kind: type[Exception], sentence: str) -> None:
    world = World()
    world.refusal = Refusal(reason, 1)
    with pytest.raises(kind, match=sentence) as caught:
        await world.jobs.create([asked("a"), asked("b")])
    violation = caught.value.violations[0]  # type: ignore[attr-defined]
    assert tuple(violation) == ("items[1].id", f"Item 1: {sentence}")


async def test_a_call_is_answered_when_its_change_is_announced() -> None:
    world = World()
    world.receipt = Receipt("i", 8)
    calls = [
        asyncio.create_task(world.jobs.create([asked("a")])),
        asyncio.create_task(world.jobs.delete(["a"])),
        asyncio.create_task(world.jobs.delete_all()),
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    world.announcements.published("i", 8)
    await asyncio.gather(*calls)


async def test_a_call_that_cannot_wait_longer_says_that_the_change_is_stored() -> None:
    world = World()
    world.receipt = Receipt("i", 8)
    with (
        deadline.within(0.01),
        pytest.raises(NotAnnounced, match="is stored and will be announced"),
    ):
        await world.jobs.create([asked("a")])
    assert len(world.written) == 1


async def test_a_setting_answers_when_it_is_stored() -> None:
    world = World(announce=False)
    world.receipt = Receipt("i", 8)
    await world.jobs.create([asked("a")])


async def test_a_receipt_from_a_store_that_forgot_is_no_success() -> None:
    world = World()
    world.receipt = Receipt("i", 4)
    with pytest.raises(OutcomeUnknown):
        await world.jobs.create([asked("a")])


async def test_delete_needs_to_be_told_what() -> None:
    world = World(max_items=2)
    with pytest.raises(InvalidRequest, match="No arguments provided for delete operation"):
        await world.jobs.delete([])
    with pytest.raises(TooLarge):
        await world.jobs.delete(["a", "b", "c"])
    await world.jobs.delete(["a", "b"])
    await world.jobs.delete_all()
    assert (world.deleted, world.cleared) == ([["a", "b"]], 1)


async def test_reading_all_goes_page_by_page() -> None:
    world = World()
    world.held = [stored(once(str(number)), number) for number in range(2 * PAGE + 5)]
    assert await world.read(ReadQuery()) == (2 * PAGE + 5, world.held)


async def test_long_reads_take_turns() -> None:
    """Each holds an answer in memory; short ones wait for nobody, and who goes gives its turn."""
    world = World()
    world.held = [stored(once(str(number)), number) for number in range(PAGE + 1)]
    begun = [(await world.jobs.read(ReadQuery())).pages for _ in range(LONG_READS + 1)]
    for pages in begun:
        assert len(await anext(pages)) == PAGE
    for pages in begun[:-1]:
        assert len(await anext(pages)) == 1
    late = asyncio.ensure_future(anext(begun[-1]))
    assert len((await world.read(ReadQuery(limit=PAGE)))[1]) == PAGE
    assert not late.done()
    await begun[0].aclose()
    assert len(await late) == 1


async def test_sixty_reads_at_once_make_two_calls_at_a_time() -> None:
    """In order, one page each: the owner's calls wait for no more than these."""
    world = World()
    world.held = [stored(once(str(number)), number) for number in range(5)]
    going, most, served = 0, 0, []

    async def page(creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        nonlocal going, most
        going, most = going + 1, max(most, going + 1)
        await asyncio.sleep(0)
        going -= 1
        served.append(creator)
        return Page(5, "", world.held[:limit])

    world.page = page  # type: ignore[method-assign]
    answers = await asyncio.gather(*(world.read(ReadQuery(str(n))) for n in range(60)))
    assert answers == [(5, world.held)] * 60
    assert most == READ_CALLS
    assert served == [str(n) for n in range(60)]


async def test_a_read_that_is_not_served_before_its_deadline_is_told_so() -> None:
    world = World()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def page(creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        del creator, descending, cursor, limit
        begun.set()
        await go_on.wait()
        return Page(0, "", ())

    world.page = page  # type: ignore[method-assign]
    slow = [asyncio.create_task(world.read(ReadQuery())) for _ in range(READ_CALLS)]
    await begun.wait()
    with deadline.within(0.01), pytest.raises(Overloaded, match="Too many Reads are under way"):
        await world.read(ReadQuery())
    go_on.set()
    assert await asyncio.gather(*slow) == [(0, [])] * READ_CALLS


async def test_a_limit_reads_no_more_than_it_has_to() -> None:
    world = World()
    world.held = [stored(once(str(number)), number) for number in range(PAGE + 50)]
    total, jobs = await world.read(ReadQuery("me", (), True, PAGE + 10))
    assert (total, len(jobs)) == (PAGE + 50, PAGE + 10)
    assert world.pages == [("me", True, "", PAGE), ("me", True, str(PAGE), 10)]


async def test_reading_by_ids_shows_what_exists_in_order_of_creation() -> None:
    """Without `now` jobs, each once; the creator restricts as well."""
    world = World()
    mine, other, hidden = (
        stored(once("mine", creator="me"), 2),
        stored(once("other", creator="mes"), 1),
        stored(at_once("now", creator="me"), 3),
    )
    world.held = [mine, other, hidden]
    ids = ["mine", "ghost", "other", "mine", "now"]
    assert await world.read(ReadQuery(ids=ids)) == (2, [other, mine])
    assert await world.read(ReadQuery(ids=ids, descending=True)) == (2, [mine, other])
    assert await world.read(ReadQuery(ids=ids, limit=1)) == (2, [other])
    assert await world.read(ReadQuery("me", ids)) == (1, [mine])


async def test_reading_too_much_by_ids_is_refused() -> None:
    world = World()
    world.held = [stored(once(str(number)), number) for number in range(5)]
    ids = [job.id.decode() for job in world.held]
    world.jobs.most_bytes = sum(len(job.record) for job in world.held)
    assert len((await world.read(ReadQuery(ids=ids)))[1]) == 5
    world.jobs.most_bytes -= 1
    with pytest.raises(TooLarge):
        await world.read(ReadQuery(ids=ids))


async def test_reading_too_many_ids_is_refused() -> None:
    with pytest.raises(TooLarge):
        await World(max_items=2).jobs.read(ReadQuery(ids=["1", "2", "3"]))


def test_a_stale_revision_is_no_missing_job() -> None:
    job = NewJob("a", NOW, b"")
    fault = refused([job], Refusal("stale", 0), NOW)
    assert isinstance(fault, StaleRevision)
    assert fault.violations[0].field == "revision"
