"""The live tail of events on the admin pages: calm, bounded, escaped, and resumed."""

import asyncio
import html
import json
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
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
from scheduling_srv.domain.errors import LogUnavailable, Overloaded, SchedulingError, StartError
from scheduling_srv.domain.event import Event, EventKind
from scheduling_srv.entrances.web import tails
from scheduling_srv.entrances.web.payloads import LONGEST_READ, MOST_SHOWN, Payloads
from scheduling_srv.entrances.web.rendering import environment
from scheduling_srv.entrances.web.service import Visitor
from scheduling_srv.entrances.web.streams import (
    MOST_OF_A_VIEWER,
    MOST_STREAMS,
    EventStream,
    Places,
    message,
)
from scheduling_srv.entrances.web.tails import MOST_ROWS
from tests.harness.waiting import PATIENCE_SECONDS
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
    guest.told.events = [
        event(1, reason=f"{ATTACK}\r\nevent: refused\rdata: x\n\nid: 7", by=ATTACK)
    ]
    text = await streamed(guest)
    assert text.startswith("retry: 3000\n\n")
    assert "event: rows\n" in text
    assert "job-1" in text
    assert "<script>" not in text
    assert "\r" not in text
    assert "\nevent: refused" not in text, "a text cannot begin a field of its own"
    assert "\nid: 7" not in text


async def test_a_burst_becomes_a_few_rows_and_their_number() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(number) for number in range(95)]
    text = await streamed(guest)
    assert text.count('class="event"') == MOST_ROWS
    assert "job-94" in text
    assert f"{95 - MOST_ROWS} more in this second" in text


async def test_rows_are_rendered_once_for_all_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []

    def counting() -> Any:
        rendered.append("a piece")
        return environment()

    monkeypatch.setattr(tails, "environment", counting)
    guest = Guest(OPEN)
    guest.told.events = [event(1)]
    for _ in range(3):
        assert "job-1" in await streamed(guest)
    assert len(rendered) == 1


async def test_events_that_were_passed_over_are_counted() -> None:
    gathered = tails.Gathered()
    gathered.add([event(1)], passed=4_000)
    gathered.add([event(2)])
    tail = tails.Tail()
    tail.add(gathered)
    assert "4,000 more in this second" in tail.pieces[0].rows


async def test_only_the_tail_of_all_events_is_a_glance() -> None:
    """The others may show a few of very many."""
    for path, glances in (("", True), ("?type=t", False), ("?kind=failed", False)):
        guest = Guest(OPEN)
        guest.told.events = [event(1)]
        await streamed(guest, f"/events/stream{path}")
        assert guest.told.glances == [glances]


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


LOST_ROW = "Some events before this are not shown."


async def test_a_viewer_of_another_tail_is_told_that_events_are_missing() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(1)]
    assert LOST_ROW not in await streamed(guest)
    mark = next(iter(guest.site.tails._tails.values())).mark
    for name in ("other.9", "other", f"{mark}.{'9' * 5_000}", f"{mark}.²"):
        text = await streamed(guest, f"/events/stream?after={name}", messages=3)
        assert text.index(LOST_ROW) < text.index("job-1"), name
        assert f"id: {mark}.0\n" in text, "it goes on after the row that tells it"


async def test_a_viewer_who_was_away_for_long_is_told_that_events_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tails, "MOST_KEPT", 2)
    tail = tails.Tail()
    for number in range(1, 6):
        tail.add(_gathered(event(number)))
    pieces = await tail.after(tail.place_of(f"{tail.mark}.1"), 0)
    assert [(each.number, each.left_out) for each in pieces] == [(3, tails.LOST), (4, 0), (5, 0)]
    for name in ("", f"{tail.mark}.3"):
        pieces = await tail.after(tail.place_of(name), 0)
        assert [each.number for each in pieces] == [4, 5], "nothing is missing"
    assert tail.place_of(f"{tail.mark}.99") == 5


async def test_the_last_id_of_a_browser_counts_more_than_the_address_of_its_begin() -> None:
    guest = Guest(OPEN)
    guest.told.events = [event(1)]
    name = (await streamed(guest)).partition("id: ")[2].partition("\n")[0]
    next(iter(guest.site.tails._tails.values())).add(_gathered(event(2)))
    path = f"/events/stream?after={name.partition('.')[0]}.0"
    assert "job-1" in await streamed(guest, path)
    guest.stays = 2
    text = (await guest.get(path, last_event_id=name)).text
    assert "job-2" in text
    assert "job-1" not in text


@pytest.mark.parametrize("fault", [LogUnavailable("Kafka <b> is away."), Overloaded("Too <b>.")])
async def test_a_page_whose_events_cannot_be_watched_says_why(fault: SchedulingError) -> None:
    guest = Guest(OPEN)
    guest.told.fault = fault
    page = await guest.get("/events")
    assert f'role="alert">{html.escape(str(fault))}' in page.text
    assert "hidden>No event since" in page.text
    assert ("data-stream=" in page.text) is isinstance(fault, LogUnavailable)


async def test_a_caller_who_is_limited_to_creators_reads_why_there_are_no_events() -> None:
    guest = Guest(closed())
    await guest.sign_in("tom")
    page = await guest.get("/events")
    assert "events do not tell who created their job" in page.text
    assert "data-stream=" not in page.text


def _gathered(*events: Event) -> tails.Gathered:
    gathered = tails.Gathered()
    gathered.add(events)
    return gathered


@pytest.mark.parametrize(
    ("fault", "kind"), [(LogUnavailable, "unavailable"), (Overloaded, "refused")]
)
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
    async def once_too_slow(*asked: Any, **options: Any) -> AsyncGenerator[Watcher]:
        async with watching(*asked, **options) as watcher:
            guest.told.events = [event(2_000)]
            yield watcher

    monkeypatch.setattr(guest.told, "watcher", once_too_slow)
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        guest.site.tails.joined(HERE, EventFilter()) as tail,
    ):
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
        assert "event: refused\ndata: 32 pages follow" in await streamed(guest)
    guest.told.events = [event(1)]
    assert "job-1" in await streamed(guest)


async def test_filters_that_are_watched_are_bounded() -> None:
    joined = Guest(OPEN).site.tails.joined
    async with AsyncExitStack() as held:
        for number in range(tails.MOST_TAILS - 1):
            await held.enter_async_context(joined(HERE, EventFilter(type=f"t{number}")))
        async with joined(HERE, EventFilter(type="last")):
            with pytest.raises(Overloaded):
                await held.enter_async_context(joined(HERE, EventFilter(type="one more")))
        await held.enter_async_context(joined(HERE, EventFilter(type="one more")))


async def test_a_filter_that_nobody_looks_at_takes_no_place_of_another() -> None:
    guest = Guest(OPEN)
    joined = guest.site.tails.joined
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        joined(HERE, EventFilter(type="looked at")) as kept,
    ):
        for number in range(2 * tails.MOST_TAILS):
            async with joined(HERE, EventFilter(type=f"t{number}")) as tail:
                await tail.begun()
        assert kept in guest.site.tails._tails.values()
        await asyncio.sleep(0)
        assert len(guest.site.tails._tails) == len(guest.site.tails._tasks) == tails.MOST_TAILS


async def test_a_tail_ends_after_a_while_without_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(tails, "EVERY_SECONDS", 0.01)
    guest = Guest(OPEN)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with guest.site.tails.joined(HERE, EventFilter()):
            pass
        await asyncio.gather(*guest.site.tails._tasks.values())
    assert not guest.site.tails._tails


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


async def test_a_payload_is_decoded_by_its_descriptor(tmp_path: Path) -> None:
    write_descriptors(tmp_path / "set")
    payloads = Payloads.of_file(tmp_path / "set")
    value = b"\n\x02<b"
    (shown,) = await payloads.shown([Payload(value, "type.googleapis.com/shop.Order")])
    assert (shown.kind, json.loads(shown.text)) == ("protobuf", {"order_no": "<b"})
    for unknown in ("type.googleapis.com/shop.Nothing", "payload", ""):
        (shown,) = await payloads.shown([Payload(b"\xff\x00", unknown)])
        assert shown.kind == "bytes"
    (shown,) = await payloads.shown([Payload(b"\xff", "shop.Order")])
    assert (shown.kind, shown.text[:10]) == ("bytes", "000000  ff"), "it is no such message"


async def test_payloads_are_read_in_a_thread_and_within_bounds(tmp_path: Path) -> None:
    write_descriptors(tmp_path / "set")
    payloads = Payloads.of_file(tmp_path / "set")
    threads = set[int]()
    decoded = payloads._decoded

    def noting(payload: Payload, room: int) -> Any:
        threads.add(threading.get_ident())
        return decoded(payload, room)

    payloads._decoded = noting  # type: ignore[method-assign]
    kind = "type.googleapis.com/shop.Order"
    message_ = b"\n\xe0\x5d" + b"x" * 12_000
    shown = await payloads.shown([Payload(message_, kind)] * (MOST_SHOWN + 5))
    assert [each.kind for each in shown[:4]] == ["protobuf"] * 2 + ["bytes", "not shown"]
    assert [each.cut for each in shown[:4]] == [False, False, True, True]
    assert len(shown) == MOST_SHOWN
    assert sum(len(each.text) for each in shown) < 2 * LONGEST_READ
    assert threads
    assert threading.get_ident() not in threads


async def test_a_text_is_cut_between_its_characters() -> None:
    text = "x" + "ä" * LONGEST_READ
    (shown,) = await Payloads().shown([Payload(text.encode(), "")])
    assert (shown.kind, shown.cut) == ("text", True)
    assert text.startswith(shown.text)
    (shown,) = await Payloads().shown([Payload(f'"{text}"'.encode(), "")])
    assert shown.kind == "text", "long JSON is shown as it came"
    (shown,) = await Payloads().shown([Payload(b"[1]", "")])
    assert (shown.kind, shown.text) == ("JSON", "[\n  1\n]")


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
