"""A real Chromium against a real installation. The machine's Chromium is found by scripts/get_chromium.py."""

import re
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    StorageState,
    ViewportSize,
    sync_playwright,
)

from tests.conftest import ONE_RENDER_PROCESS
from tests.installation import ROOT, Installation, bundle_scripts, free_port
from tests.slack_server import SlackServer
from tests.stripe_server import SECRET_KEY, WEBHOOK_SECRET, StripeServer

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
RUN_AXE = "options => axe.run(options).then(result => result.violations)"
# Without the details of passed rules, and without fetching style sheets a second time.
AXE_OPTIONS = {"resultTypes": ["violations"], "preload": False}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
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


@pytest.fixture(scope="session")
def stripe() -> Iterator[StripeServer]:
    server = StripeServer()
    server.pages = dict.fromkeys(server.pages, server.url)
    yield server
    server.close()


@pytest.fixture(scope="session")
def slack() -> Iterator[SlackServer]:
    server = SlackServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def installation(
    tmp_path_factory: pytest.TempPathFactory, seed: Path, stripe: StripeServer, slack: SlackServer
) -> Iterator[Installation]:
    """One for all browser tests, in which plans are sold and Slack can be added; tests leave the demo as it was."""
    bundle_scripts()
    installation = Installation(tmp_path_factory.mktemp("serve"), seed)
    installation.set(
        {
            "CWZ_STRIPE_SECRET_KEY": SECRET_KEY,
            "CWZ_STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "CWZ_SLACK_CLIENT_SECRET": "a-client-secret",
        },
        **{
            "billing.stripe_api": stripe.url,
            "billing.stripe_pages": stripe.url,
            **ONE_RENDER_PROCESS,
            "plan.free.connections": "2",  # the demo has one, and a page adds another
            "slack.client_id": "client",
            "slack.api": f"{slack.url}/api/",
            "slack.authorize": f"{slack.url}/oauth/v2/authorize",
            "worker.metrics_address": f"127.0.0.1:{free_port()}",
            "worker.render_metrics_address": f"127.0.0.1:{free_port()}",
        },
    )
    installation.start()
    yield installation
    installation.stop()


@pytest.fixture(scope="session")
def demo_session(browser: Browser, installation: Installation) -> StorageState:
    """The cookies of a browser that is signed in to the demo workspace."""
    with browser.new_context(base_url=installation.url) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_role("button", name="Explore the demo").click()
        page.wait_for_url("**/w/demo")
        return context.storage_state()


@pytest.fixture(scope="session")
def csrf_token(browser: Browser, installation: Installation, demo_session: StorageState) -> str:
    """The token of the forms of that session."""
    with browser.new_context(base_url=installation.url, storage_state=demo_session) as context:
        token = re.search(r'name="csrf_token" value="([^"]+)"', context.request.get("/w/demo/webhooks").text())
    assert token is not None
    return token[1]


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
def page(context: BrowserContext, demo_session: StorageState) -> Page:
    """An empty page of a browser that is signed in to the demo workspace."""
    context.add_cookies(demo_session["cookies"])
    return context.new_page()


@pytest.fixture
def find_defects(
    browser: Browser, installation: Installation, demo_session: StorageState
) -> Callable[..., list[object]]:
    """Visit pages once each; return what axe finds, and pages wider than a phone or a desktop.

    axe checks all of its rules in the light theme, and the colors of the `dark` pages in the dark theme too. `steps`
    change a page after it is shown; it is checked after each.
    """

    def visit(
        paths: Iterable[str],
        *,
        signed_in: bool = True,
        dark: Container[str] = (),
        steps: Iterable[Callable[[Page], object]] = (lambda page: None,),
    ) -> list[object]:
        # axe is injected past the page's own Content-Security-Policy, which would refuse it.
        context = browser.new_context(
            bypass_csp=True,
            storage_state=demo_session if signed_in else None,
            base_url=installation.url,
            viewport=DESKTOP,
            reduced_motion="reduce",  # no color is in transition
        )
        # Not evaluated in each page: the browser compiles an init script once.
        context.add_init_script(AXE)
        page, defects = context.new_page(), []

        def run_axe(theme: str, options: dict[str, object]) -> None:
            for violation in page.evaluate(RUN_AXE, AXE_OPTIONS | options):
                nodes = [node["html"][:160] for node in violation["nodes"]]
                defects.append((path, theme, violation["id"], nodes))

        for path in paths:
            response = page.goto(path)
            if response is None or response.status not in (200, 404):
                defects.append((path, "not shown"))
            for step in steps:
                step(page)
                run_axe("light", {})
                if path in dark:
                    page.emulate_media(color_scheme="dark")
                    run_axe("dark", {"runOnly": ["color-contrast", "link-in-text-block"]})
                    page.emulate_media(color_scheme="light")
            for viewport in (PHONE, DESKTOP):
                page.set_viewport_size(viewport)
                overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if overflow > 0:
                    defects.append((path, viewport["width"], f"{overflow} px wider than the window"))
        context.close()
        return defects

    return visit
