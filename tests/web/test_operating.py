"""Events, the system, dead letters and runs in a real browser: what operators look at and do."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from scheduling_client import Payload, cron, every
from scheduling_client.api.jobs import JobSpec, RunFilter
from scheduling_srv.entrances.web.job_form import EMPTY
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.web.conftest import DESKTOP, PHONE, Site
from tests.web.test_pages import assert_accessible

ATTACK = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


@pytest.fixture(scope="module", autouse=True)
def _letters(deployment: Site) -> None:
    """Dead letters: records that cannot be read, with texts that are attacks."""
    for number in range(3):
        value = f"{ATTACK} {number}".encode()
        deployment.product.send("jobDone", value, headers={"note": ATTACK})
    deployment.product.reader.wait_for_all(
        lambda record: record.topic == deployment.product.names.dead_letter, 3, PATIENCE_SECONDS
    )


@pytest.fixture(autouse=True)
def _no_faults(site: Site) -> Iterator[None]:
    yield
    assert site.faults == []


# --- Events ---

RUNS_ON = "New events appear at the top."
"""The page says so while its stream is open."""


def test_events_appear_and_the_tail_pauses_while_the_page_is_not_looked_at(site: Site) -> None:
    with site.visit("/events?type=tail") as page, site.client() as client:
        state = page.locator("[data-stream-state]")
        expect(state).to_have_text(RUNS_ON)
        expect(state).to_have_attribute("role", "status")
        expect(page.get_by_text("Live", exact=True)).to_have_count(1)
        client.create("tail", every("1 day"), id=ATTACK)
        expect(page.locator("tbody th")).to_have_text([ATTACK])
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        expect(state).to_have_text("Paused while you are away")
        client.create("tail", every("1 day"), id="second")
        client.create("other", every("1 day"), id="of-another-type")
        expect(page.locator("tbody th")).to_have_text([ATTACK])
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(page.locator("tbody th")).to_have_text(["second", ATTACK])
        page.get_by_role("button", name="Live").click()
        expect(state).to_have_text("Stopped")
        for job_id in (ATTACK, "second", "of-another-type"):
            client.delete(job_id)
        assert_accessible(page)


FLOOD = 1_000


def test_of_a_flood_of_events_the_newest_are_shown_and_the_others_are_counted(site: Site) -> None:
    with site.visit("/events") as page, site.client() as client:
        expect(page.locator("[data-stream-state]")).to_have_text(RUNS_ON)
        spec = JobSpec(type="flood", schedule=every("1 day"))
        jobs = [*client.create_many([spec] * FLOOD)]

        def told() -> int:
            page.wait_for_timeout(10)  # the page is updated during a call
            gaps = page.locator("tr.gap").all_inner_texts()
            counts = [int(text.split()[0].replace(",", "")) for text in gaps]
            return page.locator("tr.event").count() + sum(counts)

        eventually(lambda: told() >= FLOOD, what=lambda: f"{told()} events")
        expect(page.locator("tr.gap").first).to_contain_text("more in this second")
        client.delete(*(job.id for job in jobs))


def test_a_stream_that_cannot_be_told_now_says_why(site: Site) -> None:
    away = "retry: 600000\n\nevent: unavailable\ndata: Kafka is <b>away.\n\n"
    with site.visit("/events?type=away") as page:
        state = page.locator("[data-stream-state]")
        expect(state).to_have_text(RUNS_ON)
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        page.route(
            "**/events/stream*",
            lambda route: route.fulfill(body=away, content_type="text/event-stream"),
        )
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(state).to_have_text("Kafka is <b>away. Trying again …")


def test_a_stream_that_was_answered_with_an_error_is_opened_again(site: Site) -> None:
    with site.visit("/events?type=reopened") as page:
        state = page.locator("[data-stream-state]")
        expect(state).to_have_text(RUNS_ON)
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        page.route("**/events/stream*", lambda route: route.fulfill(status=503))
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(state).to_have_text("The connection is lost. Trying again …")
        page.unroute("**/events/stream*")
        expect(state).to_have_text(RUNS_ON)
        site.take_fault(page, "503", repeated=True)  # a slow test lets it try again several times


def test_events_can_be_read_without_javascript(site: Site) -> None:
    path = "/events?type=plain"
    with site.visit(path, scripts=False) as page, site.client() as client:
        expect(page.get_by_text("Load the page again")).to_be_visible()
        client.create("plain", every("1 day"), id="plain-job")
        until = datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)
        while page.locator("tbody tr").count() == 0:
            assert datetime.now(UTC) < until
            page.reload()
        expect(page.locator("tbody th")).to_have_text(["plain-job"])
        client.delete("plain-job")


# --- Forms ---


def test_a_form_is_sent_once_and_can_be_sent_again_after_going_back(site: Site) -> None:
    with site.visit("/job/new") as page:
        page.route("**/job/create", lambda route: route.fulfill(status=204))  # the page stays
        page.locator("input[name=type]").fill("once")
        page.locator("select[name=kind]").select_option("now")
        button = page.get_by_role("button", name="Create the job")
        with page.expect_request("**/job/create"):
            button.click()
        expect(button).to_be_disabled()
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow'))")
        expect(button).to_be_enabled()


def test_a_form_that_is_sent_twice_without_javascript_runs_its_job_once(site: Site) -> None:
    """As a double click sends it. Nothing is left of the job but its run."""
    with site.visit("/job/new", scripts=False) as page, site.client() as client:
        hidden = ("form_token", "request_id", "opened")
        fields = {name: page.locator(f"form.edit [name={name}]").input_value() for name in hidden}
        for _ in range(2):
            answer = page.context.request.post(
                f"{site.base}/job/create", form={**EMPTY, **fields, "type": "twice", "kind": "now"}
            )
            assert answer.ok
            assert "A run of twice was emitted." in answer.text()
        ours = RunFilter(type="twice")
        (run,) = client.runs(ours)
        client.cancel(run.run_id)


# --- The system and dead letters ---


def test_the_system_shows_settings_with_their_source(site: Site) -> None:
    with site.visit("/system") as page:
        row = page.locator("tr", has_text="SCHEDULING_PAGES_LINK")
        expect(row).to_contain_text("environment")
        secret = page.locator("tr", has_text=re.compile("^SCHEDULING_REDIS_PASSWORD"))
        expect(secret).to_contain_text("hidden")
        expect(page.locator(".findings li").first).to_be_visible()
        expect(page.get_by_text(site.product.names.jobs, exact=True).first).to_be_visible()


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["light-desktop", "dark-phone"]
)
def test_a_dead_letter_is_shown_and_not_obeyed(
    site: Site, size: tuple[int, int], dark: bool
) -> None:
    with site.visit("/dead-letters", size=size, dark=dark) as page:
        page.locator("tbody th a").last.click()
        expect(page.locator("h1")).to_contain_text("Dead letter")
        expect(page.locator("pre.payload").last).to_contain_text(ATTACK)
        expect(page.locator("main img")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert_accessible(page)


def test_dead_letters_are_replayed_and_hidden_after_a_question(site: Site) -> None:
    with site.visit("/dead-letters") as page:
        page.locator("tbody th a").first.click()
        page.get_by_role("button", name="Replay …").click()
        expect(page.get_by_role("heading", name="Replay 1 dead letter?")).to_be_visible()
        assert_accessible(page)
        page.get_by_role("button", name="Replay 1 dead letter").click()
        expect(page.get_by_text("1 dead letter was replayed.")).to_be_visible()
        page.goto(f"{site.base}/dead-letters?event=jobDone")
        page.get_by_label("all that match the filter").check()
        page.get_by_role("button", name="Hide …").click()
        page.get_by_role("button", name=re.compile("^Hide ")).click()
        expect(page.get_by_text(re.compile("dead letters? (was|were) hidden"))).to_be_visible()


# --- Runs ---


def test_a_job_is_run_now_and_its_run_cancelled(site: Site) -> None:
    with site.client() as client:
        client.create("manual", cron("0 5 1 1 *"), id="manual", payload=Payload(b"x"))
        with site.visit("/job?id=manual") as page:
            page.get_by_role("button", name="Run now").click()
            expect(page.get_by_text("A run was started.")).to_be_visible()
            page.reload()
            expect(page.locator("td", has_text="manual").first).to_be_visible()
            page.get_by_label("all of this job that need it").check()
            page.get_by_role("button", name="Cancel …").click()
            expect(page.get_by_role("heading", name="Cancel 1 run?")).to_be_visible()
            page.get_by_label("Yes, cancel 1 run").check()
            page.get_by_role("button", name="Cancel 1 run").click()
            expect(page.get_by_text("1 run was cancelled.")).to_be_visible()
            expect(page.locator(".strip li.cancelled")).to_have_count(1)
            assert_accessible(page)
        client.delete("manual")


def test_a_backfill_asks_with_the_number_of_runs(site: Site) -> None:
    with site.client() as client:
        client.create("filled", cron("0 * * * *", timezone="Europe/Berlin"), id="filled")
        with site.visit("/job?id=filled") as page:
            page.get_by_text("Backfill …").click()
            page.get_by_label("From").fill("2026-01-31T08:00")
            page.get_by_label("Until").fill("2026-01-31T11:00")
            page.get_by_role("button", name="Count them …").click()
            expect(page.get_by_role("heading", name="Run 3 occurrences of filled?")).to_be_visible()
            page.get_by_role("button", name="Run 3 occurrences").click()
            expect(page.get_by_text("3 runs were added, 1 at a time.")).to_be_visible()
        client.delete("filled")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_job_tells_why_it_did_not_run(site: Site, scripts: bool, size: tuple[int, int]) -> None:
    name = f"why-{scripts}-{size[0]}"
    with site.client() as client:
        client.create("why", cron("0 5 * * *", timezone="Europe/Berlin"), id=name)
        with site.visit(f"/job?id={name}", scripts=scripts, size=size) as page:
            page.get_by_label("Due at").fill("2031-06-01T10:00:00")
            page.get_by_role("button", name="Explain").click()
            sentences = page.locator("#why li")
            expect(sentences.first).to_contain_text("10:00")
            expect(page.locator("h1")).to_have_text(
                name if scripts else f"Why {name} ran, or did not"
            )
            page.locator("#why a").last.click()
            expect(page.locator("h1")).to_contain_text("ran, or did not")
            expect(page.get_by_label("Due at")).to_have_value("2031-06-02T05:00")
            expect(sentences.first).to_contain_text("due")
            if scripts:
                assert_accessible(page)
            page.get_by_role("link", name="The job", exact=True).click()
            expect(page.get_by_role("heading", name="Why did it run, or not?")).to_be_visible()
        client.delete(name)


def test_a_strip_shows_how_the_last_runs_ended(site: Site) -> None:
    with site.client() as client:
        client.create("strip", cron("0 5 1 1 *"), id="strip")
        client.run_now("strip")
        site.product.failed(site.product.run("strip"), ATTACK)
        with site.visit("/job?id=strip") as page:
            cell = page.locator(".strip li.failed")
            expect(cell).to_have_count(1)
            expect(cell).to_contain_text("failed")
            expect(page.locator("td.error").first).to_have_text(ATTACK)
            assert_accessible(page)
        client.delete("strip")
