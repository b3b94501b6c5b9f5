"""A real Chromium without a screen. Tests install it if it is missing."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PACKAGES = ("chromium", "fonts-dejavu-core")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STEPS = "The tests of the admin pages need Chromium: apt-get install chromium, or set CHROMIUM."


def installed() -> Path:
    """Its path. Installs it with apt if that is allowed."""
    if path := _found():
        return path
    apt = shutil.which("apt-get")
    assert apt is not None, STEPS
    assert os.getuid() == 0, STEPS
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run([apt, "-qq", *words], check=True, env=environment, capture_output=True)
    path = _found()
    assert path is not None, STEPS
    return path


def _found() -> Path | None:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    paths = (shutil.which(name) for name in names if name)
    return next((Path(path) for path in paths if path), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """One browser, with a profile of its own that is gone afterwards."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=installed(), args=list(ARGUMENTS), headless=True
        )
        try:
            yield made
        finally:
            made.close()
