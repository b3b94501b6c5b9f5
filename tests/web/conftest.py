"""One deployment, and one browser, for all tests of a module."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from scheduling_client import Client
from tests.e2e.conftest import deployed, watch
from tests.e2e.product import Product
from tests.harness import chromium
from tests.harness.given import Kafka, Store
from tests.harness.waiting import PATIENCE_SECONDS, eventually

DESKTOP, PHONE = (1280, 860), (390, 844)
PATIENCE_MS = PATIENCE_SECONDS * 1000
expect.set_options(timeout=PATIENCE_MS)


class Site:
    """The pages of a replica, and a browser that may be signed in."""

    def __init__(self, product: Product, browser: Browser, link: Path) -> None:
        self.product = product
        self.browser = browser
        self.link_file = link
        self.base = product.replicas[0].admin_url
        self.state: StorageState | None = None
        self.faults: list[str] = []
        """Errors on the console: violations of the policy are among them."""

    @property
    def link(self) -> str:
        return self.link_file.read_text().strip()

    def client(self) -> Client:
        """Of scheduling.v1."""
        return Client(self.product.replicas[0].address)

    @contextmanager
    def visit(
        self,
        path: str = "/",
        *,
        signed_in: bool = True,
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        scripts: bool = True,
        zone: str = "Europe/Berlin",
    ) -> Iterator[Page]:
        """A page. Nothing may be reported on its console, unless the test takes it away."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            locale="en-GB",
            timezone_id=zone,
            storage_state=self._state() if signed_in else None,
        )
        try:
            page = self._page(context)
            page.goto(self.base + path)
            yield page
        finally:
            context.close()
        assert self.faults == []

    def take_fault(self, page: Page, words: str, *, repeated: bool = False) -> None:
        """Wait for such an error on the console, and take it away; all of them if `repeated`."""
        eventually(lambda: self._found(page, words), what=lambda: f"{words} in {self.faults}")
        found = [each for each in self.faults if words in each]
        for each in found if repeated else found[:1]:
            self.faults.remove(each)

    def _found(self, page: Page, words: str) -> bool:
        page.wait_for_timeout(10)  # events of the browser come during a call
        return any(words in each for each in self.faults)

    def _page(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        return page

    def _note(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type}: {message.text} {message.location}")

    def _state(self) -> StorageState:
        if self.state is None:
            context = self.browser.new_context()
            context.new_page().goto(self.link, timeout=PATIENCE_MS)
            self.state = context.storage_state()
            context.close()
        return self.state


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as made:
        yield made


@pytest.fixture(scope="module")
def deployment(
    kafka: Kafka, valkey: Store, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("web")
    link = directory / "link"
    with deployed(directory, kafka, valkey, {"pages_link": str(link)}) as product:
        yield Site(product, browser, link)


@pytest.fixture
def site(request: pytest.FixtureRequest, deployment: Site) -> Site:
    watch(request, deployment.product)
    deployment.faults.clear()
    return deployment
