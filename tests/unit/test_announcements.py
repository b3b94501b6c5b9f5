"""Calls wait until their change is on Kafka."""

import asyncio

import pytest

from scheduling_srv.app import gathering as gathering_module
from scheduling_srv.app.announcements import MOST_GONE, MOST_REFUSED, Announcements, dump_news
from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.errors import FailedPrecondition, OutcomeUnknown
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


async def waiting(announcements: Announcements, *receipts: Receipt) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(announcements.wait(receipt)) for receipt in receipts]
    await asyncio.sleep(0)
    return tasks


async def done(tasks: list[asyncio.Task[None]]) -> list[bool]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_what_is_published_is_not_waited_for() -> None:
    announcements = Announcements()
    announcements.published("a", 5)
    await announcements.wait(Receipt("a", 5))
    assert not announcements.waiting


async def test_those_who_are_reached_go_on_whatever_their_order() -> None:
    announcements = Announcements()
    tasks = await waiting(announcements, *[Receipt("a", number) for number in (7, 3, 5, 5)])
    announcements.published("a", 5)
    assert await done(tasks) == [False, True, True, True]
    announcements.published("a", 6)
    assert await done(tasks) == [False, True, True, True]
    announcements.published("a", 9)
    assert await done(tasks) == [True] * 4


async def test_calls_that_have_given_up_are_forgotten() -> None:
    """Also while nothing is published: Kafka may be away for long."""
    announcements = Announcements()
    announcements.published("a", 1)
    (stays,) = await waiting(announcements, Receipt("a", 2))
    for _ in range(3 * MOST_GONE):
        (task,) = await waiting(announcements, Receipt("a", 2))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(announcements._waiting) <= MOST_GONE + 2
    announcements.published("a", 2)
    await stays


async def test_numbers_never_go_back() -> None:
    announcements = Announcements()
    announcements.published("a", 5)
    announcements.published("a", 3)
    await announcements.wait(Receipt("a", 4))


async def test_a_rebuilt_store_leaves_the_outcome_open() -> None:
    announcements = Announcements()
    announcements.published("a", 1)
    old, new = await waiting(announcements, Receipt("a", 5), Receipt("b", 7))
    announcements.published("b", 6)
    with pytest.raises(OutcomeUnknown):
        await old
    assert await done([new]) == [False]
    announcements.published("b", 7)
    await new


async def test_numbers_of_another_incarnation_say_nothing() -> None:
    """The receipt of a rebuilt store may come before the first word of that store."""
    announcements = Announcements()
    announcements.published("a", 1)
    tasks = await waiting(announcements, Receipt("b", 5), Receipt("a", 6))
    announcements.published("a", 100)
    assert await done(tasks) == [False, True]
    announcements.published("b", 5)
    assert await done(tasks) == [True, True]


async def test_a_receipt_below_what_was_published_comes_from_a_store_that_forgot() -> None:
    announcements = Announcements()
    announcements.published("a", 9)
    with pytest.raises(OutcomeUnknown):
        await announcements.wait(Receipt("a", 8), floor=9)
    await announcements.wait(Receipt("a", 9), floor=9)


async def test_who_gives_up_disturbs_nobody() -> None:
    announcements = Announcements()
    first, second = await waiting(announcements, Receipt("a", 2), Receipt("a", 2))
    first.cancel()
    await done([first])
    announcements.published("a", 2)
    await second
    tasks = await waiting(announcements, Receipt("a", 4))
    tasks[0].cancel()
    await done(tasks)
    announcements.published("b", 1)
    assert not announcements.waiting


async def test_calls_are_held_back_while_something_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But not for long: Kafka may be away."""
    monkeypatch.setattr(gathering_module, "PATIENCE_SECONDS", 600)
    gathering = Announcements().gathering
    await gathering.until_worthwhile()
    with gathering.under_way():
        held = asyncio.create_task(gathering.until_worthwhile())
        await asyncio.sleep(0)
        assert not held.done()
    await asyncio.wait_for(held, 30)
    monkeypatch.setattr(gathering_module, "PATIENCE_SECONDS", 0.01)
    with gathering.under_way():
        await asyncio.wait_for(gathering.until_worthwhile(), 30)


def test_a_refused_job_is_told_to_the_call_that_made_it() -> None:
    """Not to one that came before or after it, nor after the store was rebuilt."""
    announcements = Announcements()
    announcements.check(Receipt("a", 5), 0, ["x"])
    announcements.refused(dump_news("a", [(4, "x"), (5, "y")], "Too large."))
    with pytest.raises(FailedPrecondition, match=r"Too large\. Nothing"):
        announcements.check(Receipt("a", 5), 3, ["w", "x"])
    announcements.check(Receipt("a", 5), 3, ["w"])
    announcements.check(Receipt("a", 3), 0, ["x"])
    announcements.check(Receipt("a", 9), 4, ["x"])
    announcements.check(Receipt("b", 5), 3, ["x"])


def test_refused_jobs_are_forgotten() -> None:
    announcements = Announcements()
    for number in range(3 * MOST_REFUSED):
        announcements.refused(dump_news("a", [(number, f"j{number}")], "Too large."))
    assert len(announcements._refused) <= MOST_REFUSED + 1
