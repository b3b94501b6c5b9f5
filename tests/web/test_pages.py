"""The admin pages in a real browser: every page, every action."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, Response, Route, expect

from scheduling_client import Filter, Job, Payload, RetryPolicy, at, cron, every
from scheduling_client.api.errors import NotFound
from tests.harness.waiting import eventually
from tests.web.conftest import DESKTOP, PHONE, Site

MOST_PAGE_BYTES = 150_000
JOB, PAUSED, ATTACK = "nightly-report", "backup", '"><img src=x onerror=alert(1)>'
SCRIPT = "</pre><script>alert(1)</script>"
PAGES = (
    "/",
    "/upcoming",
    "/runs",
    "/runs?show=failed",
    "/jobs",
    "/jobs?type=none-of-them",
    f"/job?id={JOB}",
    f"/job?id={PAUSED}",
    f"/job?id={quote(ATTACK)}",
    f"/job/why?id={JOB}",
    f"/job/edit?id={JOB}",
    f"/job/new?copy={JOB}",
    "/job/new",
    "/sign-in",
    "/events",
    "/system",
    "/dead-letters",
    "/dead-letters?event=none",
)


@pytest.fixture(scope="module", autouse=True)
def _jobs(deployment: Site) -> None:
    """Jobs of many kinds, which no test changes."""
    with deployment.client() as client:
        client.create(
            "report",
            cron("30 2 * * *", timezone="Europe/Berlin"),
            id=JOB,
            creator="analytics",
            labels={"team": "data"},
            payload=Payload.of_json({"format": "pdf"}),
            retry=RetryPolicy(attempts=3, delay=timedelta(seconds=30)),
        )
        client.create("backup", cron("0 3 * * *"), id=PAUSED, payload=Payload(bytes(40), "binary"))
        client.pause(PAUSED, note="The disk is being replaced", by="anna")
        client.create(
            "<b>bold</b>",
            every("1 day"),
            id=ATTACK,
            creator="<i>me</i>",
            payload=Payload(SCRIPT.encode(), "<u>type</u>"),
        )
        for number in range(60):
            client.create("herd", cron("0 * * * *"), id=f"herd-{number:02}")


@pytest.fixture
def fresh(site: Site, request: pytest.FixtureRequest) -> Iterator[Job]:
    """A job that the test may change."""
    name = f"own {request.node.name} ü/?&"
    with site.client() as client:
        yield client.create(
            "own", cron("0 5 * * *"), id=name, payload=Payload.of_json({"a": 1}), creator="tests"
        )
        client.delete(name)


def path_of(job: Job) -> str:
    return f"/job?id={quote(job.id)}"


def stored(site: Site, job_id: str) -> Job:
    with site.client() as client:
        return client.get(job_id)


def assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    shown = [
        (each["id"], each["help"], [node["html"] for node in each["nodes"]])
        for each in found.response["violations"]
    ]
    assert shown == []


# --- Every page ---


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["light-desktop", "dark-phone"]
)
def test_a_page_is_accessible_and_fits(
    site: Site, path: str, size: tuple[int, int], dark: bool
) -> None:
    with site.visit(path, size=size, dark=dark) as page:
        expect(page.locator("h1")).to_have_count(1)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0]
        assert_accessible(page)


@pytest.mark.parametrize(
    "path", ["/", "/jobs", f"/job?id={JOB}", "/events", "/system", "/dead-letters"]
)
def test_the_other_two_combinations_are_accessible(site: Site, path: str) -> None:
    for size, dark in ((DESKTOP, True), (PHONE, False)):
        with site.visit(path, size=size, dark=dark) as page:
            assert_accessible(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_light_and_loads_nothing_from_elsewhere(site: Site, path: str) -> None:
    loaded: list[Response] = []
    with site.visit("/sign-in") as page:
        page.on("response", lambda response: loaded.append(response))  # noqa: PLW0108 - it is asked for its attributes
        page.goto(site.base + path)
        page.wait_for_load_state("load" if path == "/events" else "networkidle")
        assert all(each.url.startswith(site.base) for each in loaded)
        # Streams have no length. On a slow machine a page has renewed itself by now.
        sizes = {each.url: int(each.headers.get("content-length", 0)) for each in loaded}
        assert sum(sizes.values()) < MOST_PAGE_BYTES


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_without_javascript(site: Site, path: str) -> None:
    with site.visit(path, scripts=False) as page:
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("main")).not_to_be_empty()
    if path.startswith("/job?id=nightly"):
        with site.visit(path, scripts=False) as page:
            expect(page.get_by_text("at 02:30 every day").first).to_be_visible()
            expect(page.get_by_text("UTC").first).to_be_visible()


def test_texts_of_callers_are_shown_and_not_obeyed(site: Site) -> None:
    for path in ("/jobs?order=oldest", f"/job?id={quote(ATTACK)}", f"/job/edit?id={quote(ATTACK)}"):
        with site.visit(path) as page:
            expect(page.locator("main img, main b, main i, main u")).to_have_count(0)
            assert page.evaluate("document.scripts.length") == 2
    with site.visit(f"/job?id={quote(ATTACK)}") as page:
        expect(page.locator("h1")).to_have_text(ATTACK)
        expect(page.locator("pre.payload")).to_have_text(SCRIPT)
    with site.visit(f"/jobs?type={quote('<script>alert(1)</script>')}") as page:
        expect(page.get_by_text("No job has type <script>alert(1)</script>")).to_be_visible()


def test_a_job_that_is_not_there(site: Site) -> None:
    with site.visit("/job?id=nope") as page:
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        site.take_fault(page, "404")


# --- Reading ---


def test_filters_are_kept_in_the_address(site: Site) -> None:
    with site.visit("/jobs") as page:
        page.get_by_label("Type").fill("report")
        page.get_by_label("Labels").fill("team=data")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"type=report.*label=team%3Ddata"))
        expect(page.locator("tbody tr")).to_have_count(1)
        page.reload()
        expect(page.get_by_label("Type")).to_have_value("report")
        page.get_by_role("link", name="Clear").click()
        expect(page.locator("tbody tr")).to_have_count(50)


@pytest.mark.parametrize("wanted", ["state=paused", f"id={PAUSED}", "state=paused&type=backup"])
def test_each_condition_filters(site: Site, wanted: str) -> None:
    with site.visit(f"/jobs?{wanted}") as page:
        expect(page.locator("tbody th .id")).to_have_text([PAUSED])


def test_pages_of_a_list_are_stable_while_jobs_come(site: Site, fresh: Job) -> None:
    with site.visit("/jobs?type=herd&order=oldest") as page:
        seen = page.locator("tbody th .id").all_inner_texts()
        expect(page.get_by_text("60 jobs with type herd")).to_be_visible()
        page.get_by_role("link", name="Next page").click()
        page.wait_for_url(re.compile("after="))
        seen += page.locator("tbody th .id").all_inner_texts()
        assert seen == [f"herd-{number:02}" for number in range(60)]
        page.get_by_role("link", name="First page").click()
        expect(page.get_by_role("link", name="herd-00")).to_be_visible()


def test_times_are_in_the_zone_of_the_viewer(site: Site) -> None:
    with site.visit(f"/job?id={JOB}", zone="Asia/Kolkata") as page:
        # Not the one of the day on which the clock skips that time.
        row = page.locator(".times tbody tr", has_text="02:30:00").first
        berlin, here, utc = row.locator("td").all_inner_texts()
        assert "02:30:00" in berlin
        instant = datetime.strptime(utc, "%a %d %b %Y, %H:%M:%S Z").replace(tzinfo=UTC)
        assert f"{instant + timedelta(hours=5, minutes=30):%H:%M:%S}" in here
        exact = row.locator("time").first.get_attribute("title")
        assert exact == f"{instant:%Y-%m-%dT%H:%M:%S}.000Z (UTC)"
        expect(page.locator("footer")).to_contain_text(re.compile("Asia/(Kolkata|Calcutta)"))


def test_a_crowd_stands_out(site: Site) -> None:
    with site.visit("/upcoming") as page:
        expect(page.get_by_text("60 jobs are due within the minute")).to_be_visible()
        expect(page.locator("rect.crowd")).to_have_count(1)


def test_a_list_that_is_looked_at_follows_the_jobs(site: Site) -> None:
    with site.visit("/jobs?type=late") as page, site.client() as client:
        expect(page.get_by_text("No job matches")).to_be_visible()
        client.create("late", at("in 3 hours"), id="late-comer")
        expect(page.get_by_role("link", name="late-comer")).to_be_visible()
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Not live")).to_be_visible()
        client.delete("late-comer")


def test_the_keyboard_suffices(site: Site) -> None:
    with site.visit("/") as page:
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.goto(f"{site.base}/jobs")
        page.keyboard.press("/")
        expect(page.get_by_label("Type")).to_be_focused()
        page.keyboard.type("report")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("type=report"))
        page.get_by_role("link", name=JOB).focus()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/job\?"))
        page.get_by_text("Pause …", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Pause this job")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Pause this job")).to_be_hidden()
        expect(page.get_by_text("Pause …", exact=True)).to_be_focused()


def test_runs_are_shown_with_their_state(site: Site) -> None:
    with site.client() as client:
        client.create("soon", at("in 1 second"), id="soon")
        with site.visit("/runs?show=running&type=soon") as page:
            expect(page.get_by_role("link", name="soon").first).to_be_visible()
            expect(page.locator("tbody .state.running")).to_have_count(1)
        with site.visit("/job?id=soon") as page:
            expect(page.get_by_role("heading", name="Last runs")).to_be_visible()
        client.delete("soon")


# --- Acting ---


def test_a_form_shows_the_next_runs_while_it_is_filled_in(site: Site) -> None:
    with site.visit("/job/new") as page:
        page.get_by_label("Type", exact=False).first.fill("made")
        page.get_by_label("Id empty: one is made").fill("made-by-hand")
        page.get_by_label("When").fill("30 2 * * *")
        page.get_by_label("Time zone").fill("Europe/Berlin")
        expect(page.locator("#preview")).to_contain_text("at 02:30 every day")
        expect(page.locator("#preview tbody tr:not(.remark)")).to_have_count(10)
        page.get_by_label("When").fill("30 2 * *")
        expect(page.locator("#preview .problem")).to_be_visible()
        page.get_by_label("When").fill("*/5 * * * *")
        page.get_by_label("Content JSON or text").fill('{"n": 1}')
        page.get_by_text("Retries", exact=True).click()
        page.get_by_label("Attempts in all").fill("4")
        page.get_by_role("button", name="Create the job").click()
        expect(page.get_by_text("The job was created.")).to_be_visible()
    job = stored(site, "made-by-hand")
    assert (job.spec.retry.attempts, job.spec.payload[0].value) == (4, b'{"n": 1}')
    with site.client() as client:
        client.delete(job.id)


def test_faults_stand_at_their_fields(site: Site) -> None:
    with site.visit("/job/new") as page:
        page.get_by_label("Type", exact=False).first.fill("made")
        page.get_by_label("When").fill("never")
        page.get_by_text("Begin, end and delays").click()
        page.get_by_label("Jitter").fill("long")
        page.get_by_role("button", name="Create the job").click()
        expect(page.locator("#fault-jitter")).to_contain_text("is not a duration")
        page.get_by_label("Jitter").fill("")
        page.get_by_role("button", name="Create the job").click()
        expect(page.locator("#fault-schedule")).to_be_visible()
        expect(page.get_by_label("When")).to_have_attribute("aria-invalid", "true")
        assert_accessible(page)
        for _ in range(2):
            site.take_fault(page, "400")


def test_an_edit_changes_only_what_was_edited(site: Site, fresh: Job) -> None:
    with site.visit(path_of(fresh)) as page:
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("When").fill("0 6 * * *")
        page.get_by_role("button", name="Save the changes").click()
        expect(page.get_by_text("The job was changed.")).to_be_visible()
    job = stored(site, fresh.id)
    assert job.spec.schedule is not None
    assert job.spec.schedule.text == "0 6 * * *"
    assert (job.spec.payload, job.spec.creator) == (fresh.spec.payload, fresh.spec.creator)


def test_an_edit_of_a_job_that_was_changed_meanwhile_is_refused(site: Site, fresh: Job) -> None:
    with site.visit(f"/job/edit?id={quote(fresh.id)}") as page:
        with site.client() as client:
            client.update(fresh.id, creator="other")
        page.get_by_label("Creator").fill("mine")
        page.get_by_role("button", name="Save the changes").click()
        expect(page.get_by_text("The job was changed since you opened this form.")).to_be_visible()
        site.take_fault(page, "409")
    assert stored(site, fresh.id).spec.creator == "other"


def test_a_copy_has_everything_but_the_id(site: Site) -> None:
    with site.visit(f"/job?id={PAUSED}") as page:
        page.get_by_role("link", name="Copy").click()
        expect(page.get_by_text("It is kept as it is.")).to_be_visible()
        page.get_by_label("Id empty: one is made").fill("copied")
        page.get_by_role("button", name="Create the job").click()
        expect(page.locator("h1")).to_have_text("copied")
    copied, original = stored(site, "copied"), stored(site, PAUSED)
    assert copied.spec.payload == original.spec.payload
    assert copied.spec.schedule == original.spec.schedule
    assert copied.pause is None
    with site.client() as client:
        client.delete("copied")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_job_is_paused_with_a_note_resumed_and_deleted(
    site: Site, fresh: Job, scripts: bool
) -> None:
    with site.visit(path_of(fresh), scripts=scripts) as page:
        page.get_by_text("Pause …", exact=True).click()
        page.locator("form[action='/job/pause'] input[name=note]").fill("because")
        page.get_by_role("button", name="Pause this job").click()
        expect(page.get_by_text("The job is paused.")).to_be_visible()
        expect(page.locator(".note q")).to_have_text("because")
        pause = stored(site, fresh.id).pause
        assert pause is not None
        assert (pause.note, pause.by) == ("because", "link")
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("The pause of the job has ended.")).to_be_visible()
        assert stored(site, fresh.id).pause is None
        page.get_by_text("Delete …", exact=True).click()
        page.get_by_label("Yes, delete it").check()
        page.get_by_role("button", name="Delete this job").click()
        expect(page.get_by_text(f"The job {fresh.id} was deleted.")).to_be_visible()
    with site.client() as client, pytest.raises(NotFound):
        client.get(fresh.id)


def test_a_type_is_paused_and_resumed(site: Site, fresh: Job) -> None:
    with site.visit(path_of(fresh)) as page:
        page.get_by_text("Pause type own …").click()
        page.get_by_role("button", name="Pause type own").click()
        expect(page.get_by_text("The type own is paused.")).to_be_visible()
        with site.client() as client:
            assert "own" in client.paused_types()
            page.get_by_role("button", name="Resume type own").click()
            expect(page.get_by_text("The pause of the type own has ended.")).to_be_visible()
            assert "own" not in client.paused_types()


def test_selected_jobs_are_changed_after_a_question(site: Site) -> None:
    with site.visit("/jobs?type=herd&order=oldest") as page, site.client() as client:
        page.get_by_label("Select herd-03").check()
        page.get_by_label("Select herd-05").check()
        expect(page.locator("[data-picked]")).to_have_text("(2)")
        page.get_by_role("button", name="Pause …").click()
        expect(page.get_by_role("heading", name="Pause 2 jobs?")).to_be_visible()
        assert_accessible(page)
        page.get_by_role("button", name="Pause 2 jobs").click()
        expect(page.get_by_text("2 jobs were paused.")).to_be_visible()
        assert {job.id for job in client.list(Filter(type="herd")) if job.pause} == {
            "herd-03",
            "herd-05",
        }
        client.resume("herd-03", "herd-05")


def test_a_renewal_that_comes_late_keeps_what_was_selected(site: Site) -> None:
    """It was asked for before the page was in use."""
    with site.visit("/jobs?type=herd&order=oldest") as page:
        renewals: list[Route] = []

        def hold(route: Route) -> None:
            renewals.append(route)

        def is_under_way() -> bool:
            page.wait_for_timeout(10)  # events of the browser come during a call
            return bool(renewals)

        page.route("**/jobs?type=herd*", hold)
        eventually(is_under_way, what="a renewal")
        page.get_by_label("Select herd-03").check()
        page.evaluate(
            "addEventListener('htmx:afterRequest', () => { document.body.dataset.ended = true; })"
        )
        renewals[0].continue_()
        expect(page.locator("body[data-ended]")).to_have_count(1)
        expect(page.get_by_label("Select herd-03")).to_be_checked()


def test_all_jobs_that_match_are_changed_after_a_count_and_a_question(site: Site) -> None:
    with site.client() as client:
        for number in range(70):
            client.create("bulk", every("1 day"), id=f"bulk-{number}")
    with site.visit("/jobs?type=bulk") as page, site.client() as client:
        for action, done in (("Pause", "paused"), ("Resume", "resumed")):
            page.get_by_label("all that match the filter (70)").check()
            page.get_by_role("button", name=f"{action} …").click()
            expect(page.get_by_role("heading", name=f"{action} 70 jobs?")).to_be_visible()
            expect(page.get_by_text("All jobs with type bulk.")).to_be_visible()
            page.get_by_role("button", name=f"{action} 70 jobs").click()
            expect(page.get_by_text(f"70 jobs were {done}.")).to_be_visible()
            paused = sum(job.pause is not None for job in client.list(Filter(type="bulk")))
            assert paused == (70 if done == "paused" else 0)
        page.get_by_label("all that match the filter (70)").check()
        page.get_by_role("button", name="Delete …").click()
        page.get_by_label("Yes, delete 70 jobs").check()
        page.get_by_role("button", name="Delete 70 jobs").click()
        expect(page.get_by_text("70 jobs were deleted.")).to_be_visible()
        assert [*client.list(Filter(type="bulk"))] == []
        assert client.get(JOB).id == JOB


# --- Who may act ---


def test_without_signing_in_jobs_are_shown_and_nothing_is_offered(site: Site) -> None:
    for path in ("/jobs", f"/job?id={JOB}"):
        with site.visit(path, signed_in=False) as page:
            expect(page.get_by_role("link", name="Sign in")).to_be_visible()
            expect(page.locator("main form[method=post]")).to_have_count(0)


def test_the_link_signs_in_once_and_is_replaced(site: Site) -> None:
    link = site.link
    with site.visit("/", signed_in=False) as page:
        page.goto(link)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        (cookie,) = page.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        page.goto(link)
        expect(page.get_by_text("The link is not valid")).to_be_visible()
        site.take_fault(page, "401")
    assert site.link != link
