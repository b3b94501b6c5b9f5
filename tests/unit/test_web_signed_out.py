"""Signing out of the admin pages: the session ends, not only the cookie of one browser."""

import asyncio

import pytest

from scheduling_srv.domain.errors import StoreUnavailable
from scheduling_srv.entrances.web import signed_out, tails
from scheduling_srv.entrances.web.guests import Ways
from scheduling_srv.entrances.web.sessions import Session
from scheduling_srv.entrances.web.signed_out import SignedOut
from tests.unit.test_web_events import event
from tests.unit.web_guest import PEOPLE, Answer, Guest, Key, People


class Shared:
    """Implements `SignedOutStore`."""

    def __init__(self) -> None:
        self.ids = dict[str, int]()
        self.asked = 0
        self.is_away = False

    async def add(self, session: str, until: int) -> None:
        self._check()
        self.ids[session] = until

    async def has(self, session: str) -> bool:
        self.asked += 1
        self._check()
        return session in self.ids

    def _check(self) -> None:
        if self.is_away:
            raise StoreUnavailable("Redis does not answer.")


class Replicas:
    """Two of them, and a browser that has signed in at the first one."""

    def __init__(self) -> None:
        self.shared = Shared()
        ways = [Ways(Key(), self.shared, accounts=People(*PEOPLE)) for _ in range(2)]
        self.here, self.there = map(Guest, ways)

    async def sign_in(self) -> str:
        """The cookie."""
        await self.here.sign_in("anna")
        self.there.cookies |= self.here.cookies
        return self.here.cookies["scheduling-session"]

    async def sign_out(self) -> Answer:
        token = await self.here.form_token()
        return await self.here.post("/sign-out", {"form_token": token})


async def test_a_copied_cookie_opens_nothing_after_signing_out() -> None:
    replicas = Replicas()
    cookie = await replicas.sign_in()
    token = await replicas.here.form_token()
    assert (await replicas.there.get("/jobs")).status == 200
    await replicas.sign_out()
    for guest in (replicas.here, replicas.there):
        guest.cookies["scheduling-session"] = cookie
        assert (await guest.get("/jobs")).status == 401
        assert (await guest.post("/job/pause", {"id": "a", "form_token": token})).status == 403
    asked = replicas.shared.asked
    await replicas.there.get("/jobs")
    assert replicas.shared.asked == asked, "a session that has ended stays so"


async def test_another_session_of_the_same_caller_goes_on() -> None:
    replicas = Replicas()
    await replicas.sign_in()
    await replicas.there.sign_in("anna")
    await replicas.sign_out()
    assert (await replicas.there.get("/jobs")).status == 200


async def test_signing_out_ends_open_streams() -> None:
    replicas = Replicas()
    cookie = await replicas.sign_in()
    guest = replicas.here
    guest.stays = 9
    stream = asyncio.create_task(guest.get("/events/stream"))
    while not guest.told.wanted:  # noqa: ASYNC110 - until it watches
        await asyncio.sleep(0)
    await replicas.sign_out()
    guest.cookies["scheduling-session"] = cookie
    tail = next(iter(guest.site.tails._tails.values()))
    tail.add(_gathered())
    answer = await asyncio.wait_for(stream, 10)
    assert "event: refused\ndata: You are signed out." in answer.text
    assert "job-7" not in answer.text


def _gathered() -> tails.Gathered:
    gathered = tails.Gathered()
    gathered.add([event(7)])
    return gathered


async def test_without_redis_who_signs_out_is_told_how_far_it_counts() -> None:
    replicas = Replicas()
    cookie = await replicas.sign_in()
    replicas.shared.is_away = True
    answer = await replicas.sign_out()
    assert "Others+may+still+accept" in answer.headers["location"]
    assert 'scheduling-session=""' in answer.headers["set-cookie"]
    replicas.here.cookies["scheduling-session"] = cookie
    assert (await replicas.here.get("/jobs")).status == 401
    asked = replicas.shared.asked
    for _ in range(3):
        assert (await replicas.there.get("/jobs")).status == 200, "pages show the outage"
    assert replicas.shared.asked == asked + 1, "a store that is away is not asked each time"


async def test_what_a_replica_knows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_out, "MOST_KNOWN", 3)
    known = SignedOut(None, lambda: 0.0)
    monkeypatch.setattr(known, "_clock", lambda: 10.0)
    for name, until in (("over", 10), ("a", 20), ("b", 20), ("c", 20), ("d", 20)):
        await known.end(Session("anna", "caller", "", until, name))
    assert [name for name in ("over", "a", "b", "c", "d") if known.knows(name)] == ["b", "c", "d"]
