"""Pages while more runs are due than go out at once: later, shared, and never of another guest."""

import asyncio
import re
import time

import pytest

from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.entrances.web import courtesy
from tests.harness.waiting import PATIENCE_SECONDS
from tests.unit.test_web import OPEN, closed, signed_in
from tests.unit.web_guest import Guest

SENTENCE = "More runs are due than go out at once."


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "ASKED_SECONDS", 0.02)
    monkeypatch.setattr(courtesy, "RENEWED_SECONDS", 0.2)


async def behind(guest: Guest) -> Guest:
    guest.is_behind = True
    return guest


async def test_it_waits_until_the_runs_have_gone_out() -> None:
    runs = iter([True, True, False])
    async with asyncio.timeout(PATIENCE_SECONDS):
        await GivingWay(lambda: next(runs)).wait(1_000)


async def test_a_page_is_answered_however_long_runs_wait() -> None:
    guest = await behind(Guest(OPEN))
    began = time.monotonic()
    assert (await guest.get("/jobs")).status == 200
    asked = time.monotonic() - began
    renewed = (await guest.get("/runs", hx_request="true")).status
    assert renewed == 200
    assert time.monotonic() - began - asked >= 0.2, "renewals wait longer"


async def test_nothing_is_kept_while_no_run_waits() -> None:
    guest = Guest(OPEN)
    await guest.get("/jobs")
    once = len(guest.app.called)
    await guest.get("/jobs")
    assert len(guest.app.called) == 2 * once
    assert SENTENCE not in (await guest.get("/")).text


async def test_a_guest_gets_the_same_page_again_while_runs_wait() -> None:
    guest = await behind(Guest(OPEN))
    first = await guest.get("/jobs", hx_request="true")
    once = len(guest.app.called)
    again = await guest.get("/jobs", hx_request="true")
    assert len(guest.app.called) == once
    assert again.text == first.text
    assert again.headers == first.headers
    await guest.get("/jobs?type=t")
    assert len(guest.app.called) > once, "another address is another page"
    assert SENTENCE in (await guest.get("/")).text
    guest.is_behind = False
    await guest.get("/jobs")
    guest.is_behind = True
    called = len(guest.app.called)
    await guest.get("/jobs")
    assert len(guest.app.called) > called, "what was kept is old"


async def test_a_part_of_a_page_is_not_taken_for_the_page() -> None:
    guest = await behind(Guest(OPEN))
    part = (await guest.get("/job/why?id=a", hx_request="true")).text
    whole = (await guest.get("/job/why?id=a")).text
    assert "<html" in whole
    assert "<html" not in part
    assert (await guest.get("/job/why?id=a", hx_request="true")).text == part


async def test_a_guest_sees_the_effect_of_an_action_at_once() -> None:
    guest = await behind(await signed_in())
    await guest.get("/jobs")
    called = len(guest.app.called)
    token = await guest.form_token()
    await guest.post("/job/pause", {"id": "a", "form_token": token})
    await guest.get("/jobs")
    assert len(guest.app.called) > called + 1


async def test_errors_of_an_action_make_pages_anew_too() -> None:
    guest = await behind(await signed_in())
    await guest.get("/jobs")
    called = len(guest.app.called)
    assert (await guest.post("/job/pause", {"id": "a", "form_token": "x"})).status == 403
    await guest.get("/jobs")
    assert len(guest.app.called) > called


async def test_what_changes_nothing_leaves_pages_shared() -> None:
    """A guest who has not signed in, and a preview."""
    stranger = await behind(Guest(OPEN))
    await stranger.get("/jobs")
    called = len(stranger.app.called)
    assert (await stranger.post("/job/pause", {"id": "a"})).status == 403
    await stranger.get("/jobs")
    assert len(stranger.app.called) == called
    guest = await behind(await signed_in())
    await guest.get("/jobs")
    await guest.post("/job/preview", {"id": "a", "form_token": await guest.form_token()})
    called = len(guest.app.called)
    await guest.get("/jobs")
    assert len(guest.app.called) == called


@pytest.mark.parametrize("path", ["/job?id=a", "/job/new"])
async def test_each_form_names_a_request_of_its_own(path: str) -> None:
    guest = await behind(await signed_in())
    pages = [(await guest.get(path)).text for _ in range(2)]
    names = {re.findall('name="request_id" value="([^"]+)"', page)[0] for page in pages}
    assert len(names) == 2


async def test_guests_with_other_rights_share_nothing() -> None:
    """They share a replica, and look at the same address."""
    guest = await behind(Guest(closed()))
    tokens = []
    for name in ("anna", "anna", "tim"):
        assert (await guest.sign_in(name)).status == 303
        tokens.append(await guest.form_token())
        page = (await guest.get("/jobs")).text
        assert f">{name}</span>" in page
        assert [token in page for token in tokens] == [*[False] * (len(tokens) - 1), True]
    guest.cookies.clear()
    assert (await guest.get("/jobs")).status == 401


async def test_a_stream_is_not_shared() -> None:
    guest = await behind(Guest(OPEN))
    for _ in range(2):
        guest.stays = 1
        assert (await guest.get("/events/stream")).text.startswith("retry:")


async def test_a_fault_is_not_kept() -> None:
    guest = await behind(Guest(OPEN))
    assert (await guest.get("/runs?show=nothing")).status == 400
    assert (await guest.get("/runs?show=failed")).status == 200
