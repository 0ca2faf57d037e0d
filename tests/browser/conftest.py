"""A real Chromium against a real installation. The machine's Chromium is found by scripts/get_chromium.py."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.installation import ROOT, Installation

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """The path that `make test` found; by hand, the one on the PATH."""
    noted = ROOT / ".venv" / ".chromium"
    path = noted.read_text() if noted.exists() else shutil.which("chromium")
    assert path, "run `make test` once, or install Chromium"
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What pages said on the console. A test that expects some clears it."""
    return []


@pytest.fixture
def context(browser: Browser, installation: Installation, complaints: list[str]) -> Iterator[BrowserContext]:
    """A browser that has been nowhere; a page that complains on the console fails the test."""

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    context = browser.new_context(base_url=installation.url, viewport={"width": 1280, "height": 900})
    context.on("console", note)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page that is signed in to the demo."""
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="Look around in the demo").click()
    page.wait_for_url("**/w/demo")
    return page
