"""The live tail of events on the admin pages: calm, bounded, escaped, and resumed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from scheduling_client.api.events import EventFilter
from scheduling_client.api.jobs import Payload
from scheduling_srv.app.access.callers import ANONYMOUS
from scheduling_srv.app.watching.watcher import MOST_WAITING, Watcher
from scheduling_srv.domain.errors import LogUnavailable, Overloaded, StartError
from scheduling_srv.domain.event import Event, EventKind
from scheduling_srv.entrances.web import tails
from scheduling_srv.entrances.web.payloads import Payloads
from scheduling_srv.entrances.web.service import Visitor
from scheduling_srv.entrances.web.streams import (
    MOST_OF_A_VIEWER,
    MOST_STREAMS,
    EventStream,
    Places,
    message,
)
from scheduling_srv.entrances.web.tails import MOST_ROWS
from tests.unit.test_web import OPEN, closed
from tests.unit.web_guest import ATTACK, Guest

HERE = Visitor(ANONYMOUS, "127.0.0.1:1")


def event(number: int, reason: str = "", by: str = "") -> Event:
    return Event(f"e-{number}", EventKind.FAILED, 1500, f"job-{number}", "t", reason=reason, by=by)


async def streamed(guest: Guest, path: str = "/events/stream", messages: int = 2) -> str:
    """The text of the first messages of a stream; it begins with how to reconnect."""
    guest.stays = messages
    answer = await guest.get(path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    return answer.text


async def test_events_are_streamed_as_rows_and_escaped() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(1, reason=f"{ATTACK}\r\nevent: fault\rdata: x\n\nid: 7", by=ATTACK)]
    text = await streamed(guest)
    assert text.startswith("retry: 3000\n\n")
    assert "event: rows\n" in text
    assert "job-1" in text
    assert "<script>" not in text
    assert "\r" not in text
    assert "\nevent: fault" not in text, "a text cannot begin a field of its own"
    assert "\nid: 7" not in text


async def test_a_burst_becomes_a_few_rows_and_their_number() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(number) for number in range(95)]
    text = await streamed(guest)
    assert text.count('class="event"') == MOST_ROWS
    assert "job-94" in text
    assert f"{95 - MOST_ROWS} more in this second" in text


async def test_viewers_of_one_filter_share_a_watcher() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(1)]
    for _ in range(3):
        assert "job-1" in await streamed(guest)
    assert len(guest.told.wanted) == 1
    await streamed(guest, "/events/stream?type=t&kind=failed")
    assert [each.type for each in guest.told.wanted] == ["", "t"]
    assert guest.told.wanted[1].kinds == {EventKind.FAILED}


async def test_the_page_has_the_latest_events_and_goes_on_after_them() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(1)]
    name = (await streamed(guest)).partition("id: ")[2].partition("\n")[0]
    page = await guest.get("/events")
    assert "job-1" in page.text
    assert f'data-last="{name}"' in page.text
    tail = next(iter(guest.site.tails._tails.values()))
    tail.add(_gathered(event(2)))
    text = await streamed(guest, f"/events/stream?after={name}")
    assert "job-2" in text
    assert "job-1" not in text
    assert "job-1" in await streamed(guest, "/events/stream?after=other.9")


def _gathered(*events: Event) -> tails.Gathered:
    gathered = tails.Gathered()
    gathered.add(events)
    return gathered


@pytest.mark.parametrize(("fault", "kind"), [(LogUnavailable, "away"), (Overloaded, "fault")])
async def test_a_fault_is_a_message(fault: type[Exception], kind: str) -> None:
    guest = Guest(OPEN)
    guest.told.fault = fault(ATTACK)  # type: ignore[assignment]
    text = await streamed(guest)
    assert f"event: {kind}\ndata: <script>" in text, "a text, which the browser shows as such"


async def test_a_tail_that_falls_behind_begins_anew_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tails, "EVERY_SECONDS", 0.01)
    guest = Guest(OPEN)
    guest.told.events = [event(number) for number in range(MOST_WAITING + 1)]
    watching = guest.told.watcher

    @asynccontextmanager
    async def once_too_slow(*asked: Any) -> AsyncGenerator[Watcher]:
        async with watching(*asked) as watcher:
            guest.told.events = [event(2_000)]
            yield watcher

    monkeypatch.setattr(guest.told, "watcher", once_too_slow)
    async with asyncio.timeout(10), guest.site.tails.joined(HERE, EventFilter()) as tail:
        while not tail.pieces or tail.pieces[-1].left_out != tails.LOST:
            await tail.after(len(tail.pieces), 1.0)
        assert "job-2000" in {each.job_id for each in tail.pieces[-1].events}
    assert len(guest.told.wanted) == 2


async def test_filters_that_are_none_are_refused() -> None:
    for path in ("/events?kind=none", "/events/stream?kind=none", "/events?label=x"):
        assert (await Guest(OPEN).get(path)).status == 400


async def test_streams_are_bounded_in_all_and_for_each_session() -> None:
    places = Places()
    with ExitStack() as held:
        for _ in range(MOST_OF_A_VIEWER):
            held.enter_context(places.place("anna"))
        with pytest.raises(Overloaded, match="close one"):
            held.enter_context(places.place("anna"))
        for _ in range(MOST_STREAMS - MOST_OF_A_VIEWER):
            held.enter_context(places.place(""))
        with pytest.raises(Overloaded, match="this replica"):
            held.enter_context(places.place("rita"))
    with places.place("anna"):
        pass


async def test_the_page_of_one_stream_too_many_is_told() -> None:
    guest = Guest(OPEN)
    with ExitStack() as held:
        for _ in range(MOST_STREAMS):
            held.enter_context(guest.site.places.place(""))
        assert "event: fault\ndata: 32 pages follow" in await streamed(guest)
    guest.told.events = [event(1)]
    assert "job-1" in await streamed(guest)


async def test_filters_that_are_watched_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(tails, "EVERY_SECONDS", 0.01)
    guest = Guest(OPEN)
    joined = guest.site.tails.joined
    async with asyncio.timeout(10):
        for number in range(tails.MOST_TAILS):
            async with joined(HERE, EventFilter(type=f"t{number}")):
                pass
        with pytest.raises(Overloaded):
            async with joined(HERE, EventFilter(type="one more")):
                pass
        await asyncio.gather(*guest.site.tails._tasks)
        async with joined(HERE, EventFilter(type="one more")):
            pass


async def test_who_may_not_read_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.event_pages.AGAIN_SECONDS", 0.0)
    guest = Guest(closed())
    await guest.sign_in("rita")
    guest.told.events = [event(1)]
    real = guest.guests.identify
    seen = []

    async def identify(request):
        found = await real(request)
        seen.append(found)
        return found if len(seen) == 1 else found._replace(may_read=False)

    monkeypatch.setattr(guest.guests, "identify", identify)
    text = await streamed(guest, messages=5)
    assert "You are signed out." in text
    assert "job-1" not in text


async def test_a_browser_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.streams.TAKEN_SECONDS", 0.01)
    reasons: list[str] = []

    class Connection:
        def last(self) -> None: ...

        def give_up(self, reason: str) -> None:
            reasons.append(reason)

    async def messages():
        yield message("rows", "x")

    async def receive():
        return await asyncio.Event().wait()

    async def send(sent) -> None:
        if sent["type"] == "http.response.body":
            await asyncio.Event().wait()

    await EventStream(messages())({"state": {"connection": Connection()}}, receive, send)
    assert "not taken" in reasons[0]


# --- Payloads of protobuf ---


def write_descriptors(path: Path) -> FileDescriptorProto:
    """One message, `shop.Order`, with a text of two letters."""
    file = FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    message_ = file.message_type.add(name="Order")
    message_.field.add(
        name="order_no",
        number=1,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return file


def test_a_payload_is_decoded_by_its_descriptor(tmp_path: Path) -> None:
    write_descriptors(tmp_path / "set")
    payloads = Payloads.of_file(tmp_path / "set")
    value = b"\n\x02<b"
    (shown,) = payloads.shown([Payload(value, "type.googleapis.com/shop.Order")])
    assert (shown.kind, json.loads(shown.text)) == ("protobuf", {"order_no": "<b"})
    for unknown in ("type.googleapis.com/shop.Nothing", "payload", ""):
        (shown,) = payloads.shown([Payload(b"\xff\x00", unknown)])
        assert shown.kind == "bytes"
    (shown,) = payloads.shown([Payload(b"\xff", "shop.Order")])
    assert (shown.kind, shown.text[:10]) == ("bytes", "000000  ff"), "it is no such message"


@pytest.mark.parametrize("content", [None, b"no descriptors"])
def test_a_file_that_is_no_set_of_descriptors_ends_the_start(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "set"
    if content:
        path.write_bytes(content)
    with pytest.raises(StartError, match="SCHEDULING_PAGES_DESCRIPTORS"):
        Payloads.of_file(path)


def test_a_set_without_an_import_ends_the_start(tmp_path: Path) -> None:
    file = write_descriptors(tmp_path / "set")
    file.dependency.append("missing.proto")
    (tmp_path / "set").write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    with pytest.raises(StartError, match="include_imports"):
        Payloads.of_file(tmp_path / "set")
