"""Long lists give the event loop back, and are cut into items as protobuf would read them."""

import asyncio
from collections.abc import Awaitable
from itertools import pairwise
from typing import TypeVar

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from scheduling_client.schedules.cron import _parse
from scheduling_client.wire import job_pb2 as jobs
from scheduling_srv.app import lists
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.lists import Ahead
from scheduling_srv.app.ports import Receipt, WriteMode
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats import messages
from scheduling_srv.formats.items import SIZED, Malformed, fields
from scheduling_srv.formats.job_record import HEADER
from scheduling_srv.runtime import time_slice
from scheduling_srv.runtime.time_slice import SLICE_MS, SharedSlice
from tests.harness.virtual_time import VIRTUAL_TIME
from tests.store.shard import one_shard


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
MANY = 10_000
Result = TypeVar("Result")


class Clock:
    """Counts how often it is asked."""

    asked = 0

    def now(self) -> int:
        self.asked += 1
        return NOW + self.asked


async def with_turns(work: Awaitable[Result]) -> tuple[Result, int]:
    """What `work` returns, and how many turns others had meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(count())
    try:
        return await work, turns
    finally:
        others.cancel()


def cron_list() -> bytes:
    texts = (f"{i % 60} {i // 60 % 24} {1 + i // 1440 % 28} * *" for i in range(MANY))
    items = [jobs.Job(type="t", data=jobs.Data(creator="c"), interval=text) for text in texts]
    return jobs.JobList(items=items).SerializeToString()


async def test_ten_thousand_cron_texts_give_the_loop_back_and_are_judged_by_one_instant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_slice, "SLICE_MS", 0.0)  # however fast the machine is
    _parse.cache_clear()
    clock = Clock()
    service = Jobs(one_shard(None, clock), clock, Rules())
    requests, while_reading = await with_turns(messages.read_job_list(cron_list()))
    group, while_checking = await with_turns(service.prepare(WriteMode.CREATE, requests))
    stored = [StoredJob(job.id.encode(), job.record) for job in group.jobs]
    answer, while_writing = await with_turns(messages.write_items(stored, None))
    assert len(jobs.JobList.FromString(answer).items) == MANY
    assert clock.asked == 1
    assert min(while_reading, while_checking, while_writing) >= MANY / 100


async def test_lists_of_clients_share_one_slice_in_a_round_of_the_loop() -> None:
    now, slices = 0.0, 0

    async def work() -> None:
        nonlocal now, slices
        time_slice = SharedSlice(lambda: now)
        for _ in range(3):
            slices += 1
            now += SLICE_MS / 1000
            await time_slice.yield_if_used()

    tasks = [asyncio.create_task(work()) for _ in range(20)]
    await asyncio.sleep(0)
    before = []
    while not all(task.done() for task in tasks):
        before.append(slices)
        await asyncio.sleep(0)
    assert slices == 60
    assert max(later - earlier for earlier, later in pairwise(before)) <= 1


async def test_a_long_list_with_too_many_items_is_refused_before_it_is_read() -> None:
    raw = b"\x0a\x00" * 16_000_000  # as many as a request of the largest size may hold
    with pytest.raises(TooLarge, match="more than 10000 items"):
        await messages.read_job_list(raw)


async def test_a_long_list_with_too_large_an_item_is_refused_before_it_is_read() -> None:
    payloads = b"\x1a\x00" * 500_000
    job = jobs.Job(type="t", data=jobs.Data.FromString(payloads))
    raw = jobs.JobList(items=[job]).SerializeToString()
    with pytest.raises(InvalidRequest, match="Item 0: Job is larger than 900000 bytes") as caught:
        await messages.read_job_list(raw)
    assert caught.value.violations[0].field == "items[0].data"


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ("0801", "items of io.restorecommerce.job.JobList has a wrong wire type"),
        ("1200", "total_count of io.restorecommerce.job.JobList has a wrong wire type"),
        ("0a035a01ff", "cannot be read as io.restorecommerce.job.JobList"),
        ("0affffff7f", "cannot be read as io.restorecommerce.job.JobList"),
        ("9b06", "cannot be read as io.restorecommerce.job.JobList"),
        ("00", "cannot be read as io.restorecommerce.job.JobList"),
    ],
)
async def test_a_long_list_that_is_malformed(start: str, sentence: str) -> None:
    raw = bytes.fromhex(start) + cron_list()
    with pytest.raises(InvalidRequest, match=sentence):
        await messages.read_job_list(raw, limit=MANY + 1)


async def test_a_long_list_is_read_as_a_short_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    group = bytes.fromhex("9b06") + b"\x08\x01" + bytes.fromhex("9c06")  # of a later version
    raw = group + cron_list() + b"\x10\x05"
    long = await messages.read_job_list(raw, b"trace")
    monkeypatch.setattr(messages, "LONG_LIST_BYTES", len(raw))
    assert long == await messages.read_job_list(raw, b"trace")


@given(st.binary(max_size=40))
def test_fields_are_found_where_protobuf_finds_them(raw: bytes) -> None:
    try:
        found = [raw[each.start : each.end] for each in fields(raw) if each[:2] == (1, SIZED)]
    except Malformed:
        with pytest.raises(DecodeError):
            jobs.JobList.FromString(raw)
        return
    try:
        items = jobs.JobList.FromString(raw).items
    except DecodeError:  # an item is no job, which `fields` does not look at
        return
    assert [jobs.Job.FromString(item) for item in found] == list(items)


@pytest.mark.parametrize("size", [0, 1])
async def test_an_answer_is_joined(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LONG_ANSWER_BYTES", size)
    record = bytes(6) + HEADER.pack(0, 0, 0, 0, 0, 0)[6:]
    piece = await messages.write_items([StoredJob(b"a", record)], None)
    assert await messages.join((piece, b"\x10\x01")) == piece + b"\x10\x01"


async def test_a_list_waits_until_few_of_its_pieces_are_ahead_of_kafka() -> None:
    announcements = Announcements()
    announcements.published("a", 1)
    ahead = Ahead(announcements, 2)
    await ahead.note(Receipt("a", 2))
    second = asyncio.create_task(ahead.note(Receipt("a", 3)))
    await asyncio.sleep(0)
    assert not second.done()
    announcements.published("a", 2)
    await second


async def test_a_list_waits_once_for_a_kafka_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "KAFKA_PATIENCE_SECONDS", 0.01)
    ahead = Ahead(Announcements(), 1)
    await ahead.note(Receipt("a", 1))
    monkeypatch.setattr(lists, "KAFKA_PATIENCE_SECONDS", 1_000_000)
    await asyncio.wait_for(ahead.note(Receipt("a", 2)), 10)
