"""Actions on the admin pages: who may do them, that they go on, and that they may be repeated."""

import html
import re
import shlex
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from scheduling_client.cli.app import build
from scheduling_client.wire.job_pb2 import JobDone
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import DeadLetter
from scheduling_srv.domain.run import RunBulkCall, RunFilter
from scheduling_srv.domain.run_control import BackfillCall, RunCall
from scheduling_srv.entrances.web.edit_pages import SENT_AGAIN_SECONDS
from scheduling_srv.entrances.web.job_form import EMPTY
from scheduling_srv.entrances.web.rendering import HERE, environment
from scheduling_srv.entrances.web.run_pages import Asked
from tests.unit.test_web import closed
from tests.unit.web_guest import LETTER, Guest


async def signed_in(name: str = "anna") -> tuple[Guest, dict[str, str]]:
    """A guest, and the token of its forms."""
    guest = Guest(closed())
    await guest.sign_in(name)
    return guest, {"form_token": await guest.form_token()}


def calls_of(guest: Guest, kind: type[Any]) -> list[Any]:
    """The calls of a kind that the service got."""
    return [each[0] for each in guest.app.called if each and isinstance(each[0], kind)]


async def test_a_job_is_run_now_once_however_often_its_form_is_sent() -> None:
    guest, token = await signed_in()
    assert 'action="/job/run"' in (await guest.get("/job?id=a")).text
    for _ in range(2):
        answer = await guest.post("/job/run", {"id": "a", "request_id": "r", **token})
        assert "A+run+was+started" in answer.headers["location"]
    calls = calls_of(guest, RunCall)
    assert {call.request_id for call in calls} == {"r"}
    assert {tuple(call.bulk.selection) for call in calls} == {("a",)}


async def test_a_backfill_asks_first_in_the_zone_of_the_job() -> None:
    guest, token = await signed_in()
    fields = {"id": "a", "from": "2027-01-31T08:00", "until": "2027-02-01T08:00", "most": "3"}
    asked = await guest.post("/job/backfill", {**fields, **token})
    assert "Run 3 occurrences of a?" in asked.text
    fields["request_id"] = "r"
    done = await guest.post("/job/backfill/do", {**fields, **token})
    assert "3+runs+were+added" in done.headers["location"]
    counted, begun = calls_of(guest, BackfillCall)
    assert (counted.dry_run, begun.dry_run, begun.request_id) == (True, False, "r")
    assert begun.limit == 3


@pytest.mark.parametrize(
    "wrong", [{"from": "soon"}, {"until": "2027-01-31T08:00"}, {"until": ""}, {"id": ""}]
)
async def test_a_backfill_that_cannot_be_read_is_refused(wrong: dict[str, str]) -> None:
    guest, token = await signed_in()
    fields = {"id": "a", "from": "2027-01-31T08:00", "until": "2027-02-01T08:00", "most": "3"}
    assert (await guest.post("/job/backfill/do", {**fields, **token, **wrong})).status == 400
    assert not calls_of(guest, BackfillCall)


async def test_runs_are_cancelled_after_a_count_and_a_question() -> None:
    guest, token = await signed_in()
    fields = {"action": "cancel", "scope": "matching", "type": "t", **token}
    asked = await guest.post("/runs/bulk", fields)
    assert "Cancel 1 run?" in asked.text
    assert "All runs with type t." in asked.text
    assert (await guest.post("/runs/bulk/do", fields)).status == 400, "the box is not ticked"
    done = await guest.post("/runs/bulk/do", {**fields, "sure": "yes"})
    assert "1+run+was+cancelled" in done.headers["location"]
    calls = calls_of(guest, RunBulkCall)
    assert [call.dry_run for call in calls] == [True, False]
    assert [call.selection for call in calls] == [RunFilter(type="t")] * 2


def test_runs_with_an_error_have_ended_and_are_not_cancelled() -> None:
    assert "cancel" not in Asked(error="boom").offered
    assert "cancel" in Asked().offered


async def test_selected_runs_of_a_job_lead_back_to_it() -> None:
    guest, token = await signed_in()
    fields = {"action": "cancel", "job": "a b", "run": "a b/1/2", "at": "job", "sure": "yes"}
    done = await guest.post("/runs/bulk/do", {**fields, **token})
    assert done.headers["location"].startswith("/job?id=a+b&said=")


async def test_a_retry_of_many_runs_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.service.BULK_SECONDS", 0.0)
    guest, token = await signed_in()
    guest.reads.more = "token of the next step"
    fields = {"action": "retry", "scope": "matching", "show": "failed", **token}
    before = {"done": "5", "refused": "2", "after": "token"}
    answer = await guest.post("/runs/bulk/do", {**fields, **before})
    assert "6 runs tried again so far" in answer.text, "5 and 1 of this step"
    assert "2 runs could not be." in answer.text
    assert 'name="after" value="token of the next step"' in answer.text
    assert "data-go-on" in answer.text
    assert guest.reads.called[-1].token == "token"


async def test_a_run_of_many_jobs_keeps_its_name_from_form_to_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.service.BULK_SECONDS", 0.0)
    guest, token = await signed_in()
    guest.app.more = "next"
    fields = {"action": "run", "scope": "matching", "type": "t", "request_id": "r", **token}
    answer = await guest.post("/jobs/bulk/do", fields)
    assert "1 job started so far" in answer.text
    assert 'name="request_id" value="r"' in answer.text
    (call,) = guest.app.called[-1]
    assert (call.request_id, call.bulk.dry_run, call.bulk.selection.type) == ("r", False, "t")


async def test_a_job_is_created_once_however_often_its_form_is_sent() -> None:
    guest, token = await signed_in()
    page = (await guest.get("/job/new")).text
    name = re.findall(r'name="request_id" value="([^"]+)"', page)[0]
    fields = {**EMPTY, "type": "t", "schedule": "0 8 * * *", "request_id": name, **token}
    for change in ({}, {}, {"schedule": "0 9 * * *"}):
        answer = await guest.post("/job/create", {**fields, **change})
        assert "The+job+was+created" in answer.headers["location"]
    asked = [(call[0][0].request.id, call[1]) for call in guest.app.called if call[1:]]
    first, repeated, changed = asked
    assert first == repeated
    assert not {*first} & {*changed}, "another form that has the same name"


async def test_a_job_that_runs_at_once_is_created_once_however_often_its_form_is_sent() -> None:
    """The service knows its request for 15 minutes: an older form asks first."""
    guest, token = await signed_in()
    page = (await guest.get("/job/new")).text
    mark = dict(re.findall(r'name="(request_id|opened)" value="([^"]+)"', page))
    fields = {**EMPTY, "type": "t", "kind": "now", **mark, **token}
    for _ in range(2):
        answer = await guest.post("/job/create", fields)
        assert "A+run+of" in answer.headers["location"]
    (first, named), (repeated, again) = [
        (call[0][0].request.id, call[1]) for call in guest.app.called if call[1:]
    ]
    assert (first, named) == (repeated, again)
    assert first
    assert named
    guest.app.called.clear()
    old = {**fields, "opened": str(int(mark["opened"]) - SENT_AGAIN_SECONDS - 1)}
    answer = await guest.post("/job/create", old)
    assert (answer.status, "may have been sent" in answer.text) == (400, True)
    assert mark["request_id"] not in answer.text
    assert guest.app.called == []


async def test_a_form_with_a_fault_keeps_its_name() -> None:
    guest, token = await signed_in()
    fields = {**EMPTY, "type": "t", "schedule": "0 8 * * *", "labels": "x"}
    fields |= {"request_id": "r", "opened": "9999999999", **token}
    for page in ("/job/create", "/job/preview"):
        assert 'name="request_id" value="r"' in (await guest.post(page, fields)).text


@pytest.mark.parametrize(
    ("action", "fields", "did", "said"),
    [
        ("/job/delete", {"sure": "yes"}, Progress(1, 1, ""), "The job a was deleted."),
        ("/job/delete", {"sure": "yes"}, Progress(0, 0, ""), "There was no job a."),
        ("/job/resume", {}, Progress(1, 1, ""), "The pause of the job has ended."),
        ("/job/resume", {}, Progress(1, 0, ""), "The job was not paused."),
        ("/type/resume", {}, True, "The pause of the type t has ended."),
        ("/type/resume", {}, False, "The type t was not paused."),
    ],
)
async def test_an_action_says_no_more_than_it_did(
    monkeypatch: pytest.MonkeyPatch, action: str, fields: dict[str, str], did: object, said: str
) -> None:
    guest, token = await signed_in()

    async def answer(_asked: object) -> object:
        return did

    name = action.rpartition("/")[2] if action.startswith("/job/") else "resume_type"
    monkeypatch.setattr(guest.app, name, answer)
    done = await guest.post(action, {"id": "a", "type": "t", **fields, **token})
    assert parse_qs(urlsplit(done.headers["location"]).query)["said"] == [said]


# --- Hints ---

HINT = re.compile(r"(?:<code>|<pre[^>]*>)(scheduling [^<]*)<")


def test_each_command_that_pages_name_exists() -> None:
    texts = [each.read_text() for each in (HERE / "templates").iterdir()]
    hints = [html.unescape(each) for text in texts for each in HINT.findall(text)]
    assert len(hints) >= 4
    assert sum(len(re.findall(r"\bscheduling [a-z-]+ ", text)) for text in texts) == len(hints)
    app = build(whole=True)
    for hint in hints:
        _, *arguments = shlex.split(re.sub(r"{{.*?}}", "x", hint))
        app.parse_args(arguments, print_error=False, exit_on_error=False)


async def test_an_id_in_a_hint_is_quoted_for_the_shell() -> None:
    text = environment().from_string("{{ id|quoted }}").render(id="a; reboot")
    assert html.unescape(text) == "'a; reboot'"


# --- Dead letters and the system ---


@pytest.mark.parametrize("path", ["/dead-letters", "/dead-letter?id=0:42"])
async def test_only_admins_see_dead_letters(path: str) -> None:
    for name, status in (("anna", 403), ("rita", 403), ("root", 200)):
        guest, _ = await signed_in(name)
        answer = await guest.get(path)
        assert answer.status == status
        assert ('href="/dead-letters"' in answer.text) is (name == "root")


@pytest.mark.parametrize("action", ["replay", "hide"])
async def test_dead_letters_are_replayed_and_hidden_by_admins(action: str) -> None:
    guest, token = await signed_in("root")
    fields = {"action": action, "letter": "0:42", **token}
    assert (
        f"{action.capitalize()} 1 dead letter?"
        in (await guest.post("/dead-letters/bulk", fields)).text
    )
    done = await guest.post("/dead-letters/bulk/do", fields)
    assert "1+dead+letter+was" in done.headers["location"]
    assert [call.dry_run for call in guest.operated.called] == [True, False]
    assert guest.lines[-1]["caller"] == "root"
    other, token = await signed_in()
    assert (await other.post("/dead-letters/bulk/do", {**fields, **token})).status == 403
    assert not other.operated.called


async def test_a_replay_of_many_dead_letters_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.service.BULK_SECONDS", 0.0)
    guest, token = await signed_in("root")
    guest.operated.more = "next"
    fields = {"action": "replay", "scope": "matching", "reason": "R", "done": "4", **token}
    answer = await guest.post("/dead-letters/bulk/do", fields)
    assert "5 dead letters replayed so far" in answer.text
    assert 'name="reason" value="R"' in answer.text


@pytest.mark.parametrize("path", ["/system", "/dead-letters", "/dead-letter?id=0:42", "/"])
async def test_texts_of_others_are_escaped(path: str) -> None:
    guest, _ = await signed_in("root")
    answer = await guest.get(path)
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    assert "<b>" not in answer.text
    assert ("&lt;script&gt;alert(1)" in answer.text) is (path != "/")


async def test_secrets_of_settings_and_masked_records_are_not_shown() -> None:
    guest, _ = await signed_in("root")
    text = (await guest.get("/system")).text
    assert "SCHEDULING_REDIS_PASSWORD" in text
    masked = Guest(closed(), masks_payloads=True)
    await masked.sign_in("root")
    answer = await masked.get("/dead-letter?id=0:42")
    assert "Payloads are hidden" in answer.text
    assert "<pre" not in answer.text


async def test_a_long_record_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    guest, _ = await signed_in("root")
    command = JobDone(id=1, schedule_type="t" * 200_000)
    long = replace(LETTER, value=command.SerializeToString())

    async def get(_asked: object) -> DeadLetter:
        return long

    monkeypatch.setattr(guest.operated, "get", get)
    page = (await guest.get("/dead-letter?id=0:42")).text
    assert '<h3 class="payload-head">Decoded' in page
    assert "Cut here" in page
    assert len(page) < 60_000


async def test_the_overview_counts_dead_letters_for_admins() -> None:
    guest, _ = await signed_in("root")
    assert "<strong>1</strong> dead letters" in (await guest.get("/")).text
    guest, _ = await signed_in("anna")
    assert "dead letters" not in (await guest.get("/")).text
