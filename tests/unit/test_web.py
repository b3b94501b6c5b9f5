"""Who may read the admin pages, and who may act (docs/decisions/0034)."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scheduling_client.api.jobs import Outcome, Run
from scheduling_srv.adapters.credentials.caller_file import hash_of
from scheduling_srv.adapters.credentials.credentials import AllCredentials
from scheduling_srv.app.access.accounts import Account
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.door import Door
from scheduling_srv.domain.errors import StoreNotReady, StoreUnavailable
from scheduling_srv.domain.job_view import JobPage
from scheduling_srv.entrances.web import application, why_pages
from scheduling_srv.entrances.web.application import ACTING, FOR_ADMINS, READING
from scheduling_srv.entrances.web.forms import LARGEST_BYTES
from scheduling_srv.entrances.web.guests import AGAIN_SECONDS, KEY_SECONDS, Guests, Ways
from scheduling_srv.entrances.web.link import Link
from scheduling_srv.entrances.web.rendering import HERE
from scheduling_srv.entrances.web.sessions import SESSION_SECONDS, Sessions
from tests.harness.tokens import write_callers
from tests.unit.web_guest import PEOPLE, Guest, Key, People

OPEN = Ways(Key(), open_to_read=True)


def closed() -> Ways:
    """With credentials."""
    return Ways(Key(), accounts=People(*PEOPLE))


async def signed_in(name: str = "anna") -> Guest:
    guest = Guest(closed())
    assert (await guest.sign_in(name)).status == 303
    return guest


# --- Reading ---


@pytest.mark.parametrize("path", [*READING])
async def test_with_credentials_each_page_asks_to_sign_in(path: str) -> None:
    guest = Guest(closed())
    answer = await guest.get(f"{path}?id=a")
    assert answer.status == 401
    assert "<h1>Sign in</h1>" in answer.text
    assert not guest.app.called


@pytest.mark.parametrize("path", [*READING])
async def test_without_credentials_loopback_may_read(path: str) -> None:
    status = (await Guest(OPEN).get(f"{path}?id=0:1")).status
    assert status == (401 if path in FOR_ADMINS else 200)


@pytest.mark.parametrize("host", ["evil.example:8080", "10.1.2.3", "localhost.evil.example", ""])
async def test_a_name_that_another_site_has_rebound_reads_nothing(host: str) -> None:
    guest = Guest(OPEN)
    answer = await guest.get("/jobs", host=host)
    assert answer.status == 403
    assert not guest.app.called


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "app.localhost"])
async def test_names_of_this_host_read(host: str) -> None:
    assert (await Guest(OPEN).get("/jobs", host=host)).status == 200


async def test_without_credentials_other_hosts_read_nothing() -> None:
    assert (await Guest(Ways(Key())).get("/jobs")).status == 401


async def test_the_files_of_pages_are_open_and_kept() -> None:
    answer = await Guest(closed()).get("/static/pages.css")
    assert answer.status == 200
    assert "immutable" in answer.headers["cache-control"]
    assert (await Guest(closed()).get("/static/nothing.css")).status == 404
    assert (await Guest(closed()).get("/static/..%2Fvisit.py")).status == 404


@pytest.mark.parametrize("path", ["/", "/jobs", "/sign-in", "/nope", "/static/pages.js"])
async def test_every_answer_has_the_policy(path: str) -> None:
    headers = (await Guest(OPEN).get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    if not path.startswith("/static"):
        assert headers["cache-control"] == "no-store"


def test_no_template_has_inline_code_or_another_site() -> None:
    templates = [*(HERE / "templates").iterdir()]
    assert templates
    for path in templates:
        text = path.read_text()
        for word in (
            "style=",
            "<style",
            "onclick",
            "onload",
            "javascript:",
            "|safe",
            "http://",
            "https://",
        ):
            assert word not in text, f"{path.name}: {word}"
        assert "<script>" not in text


async def test_payloads_are_hidden_if_they_must_be() -> None:
    answer = await Guest(OPEN, masks_payloads=True).get("/job?id=a")
    assert "Payloads are hidden" in answer.text
    assert "payload-head" not in answer.text


# --- Signing in ---


async def test_a_token_signs_in() -> None:
    guest = Guest(closed())
    answer = await guest.post("/sign-in", {"token": "anna", "next": "/jobs?type=x"})
    assert (answer.status, answer.headers["location"]) == (303, "/jobs?type=x")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "anna" in (await guest.get("/jobs")).text


async def test_a_session_by_the_file_of_callers_lasts_long(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    write_callers(path, {"name": "anna", "role": "operator", "tokens": [hash_of("secret")]})
    guest = Guest(Ways(Key(), accounts=AllCredentials(path, None)))
    cookie = (await guest.sign_in("secret")).headers["set-cookie"]
    assert f"Max-Age={SESSION_SECONDS};" in cookie
    assert (await guest.get("/jobs")).status == 200


async def test_a_password_signs_in() -> None:
    guest = Guest(closed())
    wrong = await guest.post("/sign-in", {"name": "anna", "password": "wrong"})
    assert (wrong.status, "set-cookie" in wrong.headers) == (401, False)
    assert guest.lines[-1]["outcome"] == "UNAUTHENTICATED"
    right = await guest.post("/sign-in", {"name": "anna", "password": "right"})
    assert right.status == 303


async def test_attempts_are_limited() -> None:
    guest = Guest(closed())
    found = [(await guest.sign_in("wrong")).status for _ in range(6)]
    assert found[0] == 401
    assert found[-1] == 429
    assert (await guest.sign_in("anna")).status == 429


@pytest.mark.parametrize(
    "following",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "//[",
        "",
    ],
)
async def test_signing_in_leads_to_pages_of_ours_only(following: str) -> None:
    answer = await Guest(closed()).post("/sign-in", {"token": "anna", "next": following})
    assert answer.headers["location"] == "/"


async def test_a_caller_who_is_removed_is_out_at_once() -> None:
    people = People(*PEOPLE)
    guest = Guest(Ways(Key(), accounts=people))
    await guest.sign_in("anna")
    assert (await guest.get("/jobs")).status == 200
    people.known["anna"] = Account(PEOPLE[0], frozenset({"another"}))
    assert (await guest.get("/jobs")).status == 401
    del people.known["anna"]
    assert (await guest.get("/jobs")).status == 401


async def test_a_role_that_is_taken_away_counts_at_once() -> None:
    people = People(*PEOPLE)
    guest = Guest(Ways(Key(), accounts=people))
    await guest.sign_in("anna")
    people.known |= People(Caller("anna", Role.READER)).known
    answer = await guest.post("/job/pause", {"id": "a", "form_token": await guest.form_token()})
    assert answer.status == 403
    assert not guest.app.called


async def test_cookies_that_are_forged_or_over_are_none() -> None:
    now = [0.0]
    sessions = Sessions(bytes(32), lambda: now[0])
    cookie, lasts = sessions.cookie("anna", "caller", "mark")
    session = sessions.read(cookie)
    assert session is not None
    assert session.name == "anna"
    for forged in (
        cookie[1:],
        cookie[:-2],
        cookie.replace(".", ""),
        "",
        ".",
        "a.b",
        "ü.ü",
        "x" * 9_000,
    ):
        assert sessions.read(forged) is None
    assert Sessions(bytes(31) + b"x", lambda: now[0]).read(cookie) is None
    now[0] = lasts
    assert sessions.read(cookie) is None


async def test_a_link_works_once(tmp_path: Path) -> None:
    path = tmp_path / "link"
    ways = Ways(Key(), link=Link(path, "http://localhost:8080"), open_to_read=True)
    assert path.stat().st_mode & 0o777 == 0o600
    link = path.read_text().strip().removeprefix("http://localhost:8080")
    guest, other = Guest(ways), Guest(ways)
    assert (await guest.get(link)).status == 303
    assert (await other.get(link)).status == 401
    assert path.read_text().strip() != f"http://localhost:8080{link}"
    answer = await guest.post("/job/pause", {"id": "a", "form_token": await guest.form_token()})
    assert answer.status == 303


# --- Proxies ---


def behind_proxy() -> Ways:
    return Ways(
        Key(), accounts=People(*PEOPLE), header="x-user", proxies=[ip_network("10.0.0.0/8")]
    )


async def test_the_header_of_a_proxy_counts() -> None:
    answer = await Guest(behind_proxy(), peer="10.1.1.1").get("/jobs", x_user="anna")
    assert answer.status == 200
    assert "anna" in answer.text


async def test_the_header_of_others_does_not_count() -> None:
    assert (await Guest(behind_proxy(), peer="11.1.1.1").get("/jobs", x_user="anna")).status == 401


async def test_a_name_that_the_file_does_not_have_is_refused() -> None:
    assert (await Guest(behind_proxy(), peer="10.1.1.1").get("/jobs", x_user="eve")).status == 403


async def test_attempts_behind_a_proxy_are_those_of_the_host_that_it_names() -> None:
    guest = Guest(behind_proxy(), peer="10.1.1.1")
    for forged in range(6):
        named = f"1.1.1.{forged}, 2.2.2.2"
        await guest.post("/sign-in", {"token": "wrong"}, x_forwarded_for=named)
    fields = {"token": "anna"}
    assert (await guest.post("/sign-in", fields, x_forwarded_for="2.2.2.2")).status == 429
    assert (await guest.post("/sign-in", fields, x_forwarded_for="2::2")).status == 303
    assert guest.lines[-1]["peer"] == "2.2.2.2:0"


@pytest.mark.parametrize(
    ("peer", "named"), [("11.1.1.1", "2.2.2.2"), ("10.1.1.1", ""), ("10.1.1.1", "2.2.2.2, x\ny")]
)
async def test_else_the_peer_is_that_of_the_connection(peer: str, named: str) -> None:
    guest = Guest(behind_proxy(), peer=peer)
    await guest.post("/sign-in", {"token": "wrong"}, x_forwarded_for=named)
    assert guest.lines[-1]["peer"] == f"{peer}:50000"


# --- Acting ---


@pytest.mark.parametrize("path", [*ACTING])
async def test_no_action_without_signing_in(path: str) -> None:
    for ways in (OPEN, closed()):
        guest = Guest(ways)
        assert (await guest.post(path, {"id": "a", "type": "t", "form_token": "x"})).status == 403
        assert not guest.app.called


@pytest.mark.parametrize("path", [*ACTING])
async def test_no_action_without_the_token_of_the_session(path: str) -> None:
    other = await signed_in()
    for token in ("", "x", "ü", await other.form_token()):
        guest = await signed_in()
        assert (await guest.post(path, {"id": "a", "form_token": token})).status == 403
        assert not guest.app.called


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
)
async def test_no_action_from_another_site(headers: dict[str, str]) -> None:
    guest = await signed_in()
    fields = {"id": "a", "form_token": await guest.form_token()}
    assert (await guest.post("/job/pause", fields, **headers)).status == 403
    assert not guest.app.called
    assert (await guest.post("/job/pause", fields, origin="http://localhost:8080")).status == 303


async def test_readers_read_and_do_not_act() -> None:
    guest = await signed_in("rita")
    answer = await guest.get("/job?id=a")
    assert answer.status == 200
    assert "/job/pause" not in answer.text
    before = len(guest.app.called)
    refused = await guest.post("/job/pause", {"id": "a", "form_token": await guest.form_token()})
    assert refused.status == 403
    assert "needs the role operator" in refused.text
    assert len(guest.app.called) == before


async def test_the_audit_log_tells_who_did_what() -> None:
    guest = await signed_in()
    token = await guest.form_token()
    await guest.post("/job/pause", {"id": "a", "note": "why", "form_token": token})
    line = guest.lines[-1]
    assert (line["caller"], line["outcome"]) == ("anna", "OK")
    assert line["method"] == "/scheduling.v1.JobService/PauseJobs"
    call, note, by = guest.app.called[-1]
    assert (call.selection, note, by) == (["a"], "why", "anna")


async def test_a_delete_needs_the_box_to_be_ticked() -> None:
    guest = await signed_in()
    token = await guest.form_token()
    for path in ("/job/delete", "/jobs/bulk/do"):
        fields = {"id": "a", "job": "a", "action": "delete", "form_token": token}
        assert (await guest.post(path, fields)).status == 400
        assert not guest.app.called


async def test_forms_that_are_too_large_or_of_another_kind_are_refused() -> None:
    guest = await signed_in()
    token = await guest.form_token()
    large = {"id": "a", "note": "x" * LARGEST_BYTES, "form_token": token}
    assert (await guest.post("/job/pause", large)).status == 413
    json = await guest.post("/job/pause", {"id": "a"}, content_type="application/json")
    assert json.status == 400
    assert not guest.app.called


async def test_a_bulk_call_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling_srv.entrances.web.service.BULK_SECONDS", 0.0)
    guest = await signed_in()
    guest.app.more = "token of the next step"
    fields = {
        "action": "pause",
        "scope": "matching",
        "type": "t",
        "form_token": await guest.form_token(),
        "done": "5",
        "after": "token",
    }
    answer = await guest.post("/jobs/bulk/do", fields)
    assert "7 jobs paused so far" in answer.text, "5 and 2 of this step"
    call, *_ = guest.app.called[-1]
    assert (call.selection.type, call.token, call.dry_run) == ("t", "token", False)


async def test_failed_runs_are_tried_again_after_a_count_and_a_question() -> None:
    guest = await signed_in()
    fields = {"scope": "matching", "show": "failed", "type": "t", "error": "why"}
    fields["form_token"] = await guest.form_token()
    fields["action"] = "retry"
    asked = await guest.post("/runs/bulk", fields)
    assert "Retry 1 run?" in asked.text
    done = await guest.post("/runs/bulk/do", fields)
    assert "1+run+was+tried+again" in done.headers["location"]
    counted, called = guest.reads.called
    assert (counted.dry_run, called.dry_run) == (True, False)
    assert (called.selection.type, called.selection.error) == ("t", "why")


# --- Faults ---


class FailingKey(Key):
    is_away = False
    reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        if self.is_away:
            raise StoreUnavailable("Redis does not answer.")
        return await super().read()


async def test_errors_are_pages_and_escaped() -> None:
    guest = Guest(OPEN)
    guest.app.error = StoreNotReady("<script>alert(1)</script>")
    answer = await guest.get("/jobs")
    assert answer.status == 503
    assert "&lt;script&gt;alert(1)" in answer.text


@pytest.mark.parametrize("path", ["/jobs?type=x", "/nope", "/sign-in?next=//["])
@pytest.mark.parametrize("host", ["localhost:8080", "[", "[x]", "a:b"])
async def test_addresses_that_cannot_be_read_are_no_faults_of_ours(path: str, host: str) -> None:
    for ways in (OPEN, closed()):
        assert (await Guest(ways).get(path, host=host)).status in (200, 401, 403, 404)


async def test_a_fault_of_ours_shows_only_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(OPEN)
    guest.app.error = LookupError("a secret")
    answer = await guest.get("/jobs")
    assert answer.status == 500
    assert "a secret" not in answer.text


async def test_without_the_key_of_the_sessions_nothing_is_shown() -> None:
    class Away(Key):
        async def read(self) -> bytes:
            raise StoreNotReady("Redis does not answer.")

    answer = await Guest(Ways(Away(), open_to_read=True)).get("/jobs")
    assert (answer.status, answer.text) == (503, "Not available now: Redis does not answer.\n")


async def test_the_known_key_of_the_sessions_is_kept_while_redis_is_away() -> None:
    now, key = [0.0], FailingKey()
    guests = Guests(Ways(key), lambda: now[0])
    known = await guests.sessions()
    key.is_away = True
    now[0] = KEY_SECONDS
    assert await guests.sessions() is known
    assert await guests.sessions() is known
    assert key.reads == 2, "the next request does not ask again at once"
    key.is_away, key.key = False, bytes(31) + b"x"
    now[0] += AGAIN_SECONDS
    assert await guests.sessions() is not known
    assert key.reads == 3


async def test_the_first_page_shows_the_health_alone_while_jobs_cannot_be_read() -> None:
    guest = Guest(OPEN)
    guest.app.error = StoreUnavailable("Redis does <not> answer.")
    guest.app.is_well = False
    answer = await guest.get("/")
    assert answer.status == 200, "htmx shows no page of another status"
    assert "Due jobs are not being emitted." in answer.text
    assert "<li>Redis does not answer." in answer.text
    assert "Jobs cannot be listed now: Redis does &lt;not&gt; answer." in answer.text
    assert "All is well" in (await Guest(OPEN).get("/")).text


def test_every_page_reads_or_acts() -> None:
    assert not set(READING) & set(ACTING)
    assert application.GET == ("GET",)


async def test_a_door_s_token_reads_without_a_form() -> None:
    people = People(*PEOPLE)

    class Credentials:
        async def verify(self, token: str):
            proven = await people.prove(token)
            return proven.caller, 60.0

        def of_certificate(self, names):
            raise AssertionError

    door = Door(Credentials(), open_health=True)
    guest = Guest(Ways(Key(), door=door, accounts=people))
    assert (await guest.get("/jobs", authorization="Bearer anna")).status == 200
    assert (await guest.get("/jobs", authorization="Bearer eve")).status == 401


# --- Callers who are limited to types or creators ---


async def test_a_limited_caller_reads_and_is_offered_no_more() -> None:
    guest = await signed_in("tim")
    for path in ("/", "/jobs", "/job?id=a", "/runs", "/upcoming", "/events"):
        answer = await guest.get(path)
        assert answer.status == 200
        assert "You see jobs of types t only." in answer.text
        assert 'href="/system"' not in answer.text
    assert "running" not in (await guest.get("/")).text, "counts are those of all jobs"
    assert (await guest.get("/system")).status == 403


async def test_a_limited_operator_is_offered_what_it_may_do() -> None:
    """Limited to creators: pauses of types, all runs and events are not for it."""
    guest = await signed_in("tom")
    assert 'href="/job/new"' in (await guest.get("/jobs")).text
    page = (await guest.get("/job?id=a")).text
    assert 'action="/job/run"' in page
    for path in ("/type/pause", "/runs", "/events", "/system", "/dead-letters"):
        assert f'action="{path}"' not in page
        assert f'href="{path}"' not in page
    fields = {"id": "a", "form_token": await guest.form_token()}
    assert (await guest.post("/job/pause", fields)).status == 303


async def test_the_form_of_a_limited_operator_has_the_names_that_it_may_use() -> None:
    guest = await signed_in("tom")
    form = (await guest.get("/job/new")).text
    assert 'name="creator" value="c"' in form
    assert 'name="type" value=""' in form
    assert "one of t, v" in form


# --- Why ---


async def test_a_reader_asks_why_a_job_ran_or_did_not() -> None:
    guest = await signed_in("rita")
    form = re.findall(
        r"<form[^>]*/job/why.*?</form>", (await guest.get("/job?id=a")).text, re.DOTALL
    )
    assert len(form) == 1
    assert 'name="at"' in form[0]
    answer = await guest.get("/job/why?id=a&at=2027-01-31T08:00")
    assert "<li>Nothing is known.</li>" in answer.text
    assert 'value="2027-01-31T08:00:00"' in answer.text
    assert guest.reads.explained == [("a", 1_801_382_400_000)]
    part = await guest.get("/job/why?id=a", hx_request="true")
    assert part.text.startswith("<ul")
    assert guest.reads.explained[1] == ("a", None)


async def test_a_time_that_is_none_leaves_the_form() -> None:
    guest = await signed_in()
    answer = await guest.get("/job/why?id=a&at=soon")
    assert (answer.status, "write it like 2027-01-31T08:00" in answer.text) == (200, True)
    assert 'action="/job/why"' in answer.text
    assert guest.reads.explained == []
    assert (await guest.get("/job/why")).status == 400


def test_the_latest_time_without_a_run_is_suggested() -> None:
    now = datetime(2027, 1, 31, tzinfo=UTC)
    runs = [
        Run(run_id="", job_id="a", nominal_time=now - timedelta(hours=hours), outcome=outcome)
        for hours, outcome in ((1, Outcome.DONE), (2, Outcome.SKIPPED), (3, Outcome.MISSED))
    ]
    assert why_pages.suggested(runs, now) == now - timedelta(hours=2)
    assert why_pages.suggested(runs[:1], now) == now
    assert why_pages.field_of(now, ZoneInfo("Asia/Tokyo")) == "2027-01-31T09:00:00"


async def test_each_of_them_has_an_overview_of_its_own() -> None:
    guest = await signed_in("anna")
    assert "held by a limit" in (await guest.get("/")).text
    await guest.sign_in("tim")
    assert "held by a limit" not in (await guest.get("/")).text


# --- Empty states ---


@pytest.mark.parametrize("path", ["/jobs", "/runs"])
async def test_a_list_without_a_page_before_it_leads_to_none(path: str) -> None:
    guest = await signed_in()
    assert "First page" not in (await guest.get(path)).text
    assert "First page" in (await guest.get(f"{path}?after=token")).text


async def test_an_empty_list_teaches_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = await signed_in()

    async def nothing(*_asked: object) -> JobPage:
        return JobPage([], "", 0)

    monkeypatch.setattr(guest.app, "list", nothing)
    assert "There are no jobs yet" in (await guest.get("/jobs")).text
    assert "This was the last page" in (await guest.get("/jobs?after=token")).text
    assert "No job matches" in (await guest.get("/jobs?type=t")).text
