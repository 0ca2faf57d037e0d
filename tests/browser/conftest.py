"""A real Chromium against a real installation. The machine's Chromium is found by scripts/get_chromium.py."""

import shutil
from collections.abc import Callable, Iterable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.installation import ROOT, Installation

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
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


@pytest.fixture
def axe(context: BrowserContext, installation: Installation) -> Callable[..., list[object]]:
    """What axe finds on pages: everything in light, and what colors can change in dark as well."""

    def look(paths: Iterable[str], *, visitor: bool = False) -> list[object]:
        # axe is injected past the page's own Content-Security-Policy, which would refuse it.
        looking = context.browser.new_context(  # type: ignore[union-attr]
            bypass_csp=True,
            storage_state=None if visitor else context.storage_state(),
            base_url=installation.url,
            viewport={"width": 1280, "height": 900},
        )
        tab, found = looking.new_page(), []
        for path in paths:
            tab.goto(path)
            tab.evaluate(AXE)
            for scheme, rules in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
                tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                for violation in tab.evaluate(f"axe.run({rules}).then(result => result.violations)"):
                    found.append((path, scheme, violation["id"], [node["html"][:160] for node in violation["nodes"]]))
            tab.emulate_media(color_scheme="light")
        looking.close()
        return found

    return look
