"""Every page, visited once: no axe violation, and no page wider than its window.

All pages share one palette, so the colors of the dark theme are checked on a page of each kind: forms, lists, items and
the designer. Of pages that come from one template, such as the forms of storage providers, one is visited.
"""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE

PUBLIC_PAGES = ["/", "/security", "/changelog", "/docs", "/signin", "/signup", "/forgot", "/verify?token=x"]
PUBLIC_PAGES += ["/invitation?token=x", "/dev/mail", "/dev/components"]
ACCOUNT_PAGES = ["/account", "/account/delete", "/account/second-factor", "/account/prove", "/w", "/w/new"]
WORKSPACE_PAGES = [
    "",
    "/templates",
    "/templates/new",
    "/templates/starter?name=launch",
    "/uploads",
    "/feeds",
    "/feeds/new",
    "/feeds/connect",
    "/runs",
]
WORKSPACE_PAGES += ["/runs/new", "/images", "/members", "/members/leave", "/audit?check=1"]
WORKSPACE_PAGES += ["/api", "/keys", "/requests", "/webhooks"]
WORKSPACE_PAGES += ["/settings", "/setup", "/exports", "/delete"]
WORKSPACE_PAGES += ["/brand", "/storage", "/storage/new", "/storage/new?provider=s3"]
DARK_PAGES = ["/w/demo", "/w/demo/templates", "/w/demo/runs/new", "/w/demo/members", "/w/demo/storage"]
DARK_PAGES += ["/w/demo/keys"]


def first_link(html: str, collection: str) -> str:
    """Return the path of the first item on one of the demo workspace's lists."""
    [path, *_] = re.findall(rf"/w/demo/{collection}/[0-9a-f-]{{36}}", html)
    return path


def test_public_pages(find_defects: Callable[..., list[object]]) -> None:
    assert find_defects(PUBLIC_PAGES, signed_in=False, dark={"/signup", "/dev/components"}) == []


def test_account_and_workspace_pages(find_defects: Callable[..., list[object]]) -> None:
    assert find_defects([*ACCOUNT_PAGES, *(f"/w/demo{path}" for path in WORKSPACE_PAGES)], dark=DARK_PAGES) == []


def test_item_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    names = ("feeds", "templates", "runs", "images", "storage")
    found = [first_link(page.request.get(f"/w/demo/{name}").text(), name) for name in names]
    feed, template, run, image, connection = found
    design = f"{template}/design?layer=Title"
    paths = [image, connection, feed]
    paths += [*(f"{feed}/{tab}" for tab in ("imports", "changes", "source", "settings", "columns"))]
    paths += [run, template, f"{template}/document", f"{template}/unsigned-urls"]
    paths += [
        f"{template}/usage",
        f"{template}/api",
        f"{template}/versions",
        f"{template}/design",
        design,
        "/docs/api",
        "/nothing-here",
    ]
    assert find_defects(paths, dark={feed, run, design}) == []


def test_editor(page: Page, find_defects: Callable[..., list[tuple[Any, ...]]]) -> None:
    template = first_link(page.request.get("/w/demo/templates").text(), "templates")

    def select_layer(editor: Page) -> None:
        expect(editor.locator("#save-state")).to_have_text("Saved")
        editor.locator("[data-name=Title]").click()
        expect(editor.locator("#properties h2").first).to_have_text("Title")

    def open_panel(name: str) -> Callable[[Page], object]:
        return lambda editor: (editor.get_by_role("tab", name=name).click(), editor.wait_for_load_state("networkidle"))

    def open_sheet(editor: Page) -> None:
        editor.set_viewport_size(PHONE)
        editor.locator("#panels-toggle").click()

    steps = [select_layer, *map(open_panel, ("Elements", "Uploads", "Data")), open_sheet]
    path = f"{template}/editor"
    defects = find_defects([path], dark={path}, steps=steps)
    # The row of a container has its name, and the rows of the layers in it.
    assert [each for each in defects if each[2] != "label-content-name-mismatch"] == []
