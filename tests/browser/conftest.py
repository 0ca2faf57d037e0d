"""A real Chromium against a real installation. The machine's Chromium is found by scripts/get_chromium.py."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

from tests.installation import ROOT, Installation

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Without the details of passed rules, and without fetching style sheets a second time.
RUN_AXE = "axe.run({resultTypes: ['violations'], preload: false}).then(result => result.violations)"
Theme = Literal["light", "dark"]
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
    """Return the path that `make test` found, or the one on the PATH."""
    recorded = ROOT / ".venv" / ".chromium"
    path = recorded.read_text() if recorded.exists() else shutil.which("chromium")
    assert path, "run `make test` once, or install Chromium"
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """Errors and warnings on the console. A test that expects some clears the list."""
    return []


@pytest.fixture
def context(browser: Browser, installation: Installation, console_errors: list[str]) -> Iterator[BrowserContext]:
    """A fresh browser context; an error or a warning on the console fails the test."""

    def record(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            console_errors.append(message.text)

    context = browser.new_context(base_url=installation.url, viewport=DESKTOP)
    context.set_default_timeout(15_000)
    context.on("console", record)
    context.on("weberror", lambda error: console_errors.append(str(error.error)))
    yield context
    context.close()
    assert console_errors == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page that is signed in to the demo workspace."""
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="Explore the demo").click()
    page.wait_for_url("**/w/demo")
    return page


@pytest.fixture
def find_defects(context: BrowserContext, installation: Installation) -> Callable[..., list[object]]:
    """Visit pages once each and return what axe finds in a theme, and pages wider than a phone or a desktop."""

    def visit(paths: Iterable[str], *, signed_in: bool = True, theme: Theme = "light") -> list[object]:
        # axe is injected past the page's own Content-Security-Policy, which would refuse it.
        visitor = context.browser.new_context(  # type: ignore[union-attr]
            bypass_csp=True,
            storage_state=context.storage_state() if signed_in else None,
            base_url=installation.url,
            viewport=DESKTOP,
            color_scheme=theme,
        )
        page, defects = visitor.new_page(), []
        for path in paths:
            page.goto(path)
            page.evaluate(AXE)
            for violation in page.evaluate(RUN_AXE):
                nodes = [node["html"][:160] for node in violation["nodes"]]
                defects.append((path, theme, violation["id"], nodes))
            for viewport in (PHONE, DESKTOP):
                page.set_viewport_size(viewport)
                overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if overflow > 0:
                    defects.append((path, viewport["width"], f"{overflow} px wider than the window"))
        visitor.close()
        return defects

    return visit
