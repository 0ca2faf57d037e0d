"""Every page, visited once: no axe violation, and no page wider than its window.

All pages share one palette, so the colors of the dark theme are checked on a page of each kind: forms, lists, items and
the designer. Of pages that come from one template, such as the forms of storage providers, one is visited.

`make test` visits the catalog of components, whose samples are what pages consist of, and a page of each kind;
`make test-slow` visits the others.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE

MAIN_PUBLIC_PAGES = ["/", "/signup", "/dev/components"]
MAIN_WORKSPACE_PAGES = ["", "/feeds", "/feeds/new", "/runs/new", "/images", "/members"]
PUBLIC_PAGES = ["/docs", "/signin", "/security", "/changelog", "/forgot", "/verify?token=x"]
PUBLIC_PAGES += ["/invitation?token=x", "/dev/mail"]
ACCOUNT_PAGES = ["/account", "/account/delete", "/account/second-factor", "/account/prove", "/w", "/w/new", "/ops"]
WORKSPACE_PAGES = ["/templates", "/templates/new", "/templates/starter?name=launch", "/uploads", "/feeds/connect"]
WORKSPACE_PAGES += ["/runs", "/members/leave", "/audit?check=1", "/api", "/keys", "/requests", "/webhooks", "/billing"]
WORKSPACE_PAGES += ["/settings", "/setup", "/exports", "/delete", "/brand"]
WORKSPACE_PAGES += ["/storage", "/storage/new", "/storage/new?provider=s3"]
DARK_PAGES = {"/w/demo/templates", "/w/demo/runs/new", "/w/demo/members", "/w/demo/storage", "/w/demo/keys"}


def in_demo(paths: list[str]) -> list[str]:
    return [f"/w/demo{path}" for path in paths]


def first_link(html: str, collection: str) -> str:
    """Return the path of the first item on one of the demo workspace's lists."""
    [path, *_] = re.findall(rf"/w/demo/{collection}/[0-9a-f-]{{36}}", html)
    return path


def test_main_public_pages(find_defects: Callable[..., list[object]]) -> None:
    assert find_defects(MAIN_PUBLIC_PAGES, signed_in=False, dark={"/signup", "/dev/components"}) == []


def test_main_pages_of_a_workspace(page: Page, find_defects: Callable[..., list[object]]) -> None:
    names = ("feeds", "templates", "runs")
    feed, template, run = [first_link(page.request.get(f"/w/demo/{name}").text(), name) for name in names]
    design = f"{template}/design?layer=Title"
    paths = [*in_demo(MAIN_WORKSPACE_PAGES), feed, f"{feed}/columns", template, run, design]
    assert find_defects(paths, dark={"/w/demo", run, design}) == []


@pytest.mark.slow
def test_public_pages(find_defects: Callable[..., list[object]]) -> None:
    assert find_defects(PUBLIC_PAGES, signed_in=False) == []


@pytest.mark.slow
def test_account_and_workspace_pages(find_defects: Callable[..., list[object]]) -> None:
    assert find_defects([*ACCOUNT_PAGES, *in_demo(WORKSPACE_PAGES)], dark=DARK_PAGES) == []
    assert find_defects(sorted(DARK_PAGES - set(in_demo(WORKSPACE_PAGES))), dark=DARK_PAGES) == []


@pytest.mark.slow
def test_item_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    names = ("feeds", "templates", "images", "storage")
    found = [first_link(page.request.get(f"/w/demo/{name}").text(), name) for name in names]
    feed, template, image, connection = found
    paths = [image, connection, feed, *(f"{feed}/{tab}" for tab in ("imports", "changes", "source", "settings"))]
    paths += [f"{template}/{tab}" for tab in ("document", "unsigned-urls", "usage", "api", "versions", "design")]
    assert find_defects([*paths, "/docs/api", "/nothing-here"], dark={feed}) == []


def select_layer(editor: Page) -> None:
    expect(editor.locator("#save-state")).to_have_text("Saved")
    editor.locator("[data-name=Title]").click()
    expect(editor.locator("#properties h2").first).to_have_text("Title")


def open_panel(name: str) -> Callable[[Page], object]:
    return lambda editor: (editor.get_by_role("tab", name=name).click(), editor.wait_for_load_state("networkidle"))


def open_sheet(editor: Page) -> None:
    editor.set_viewport_size(PHONE)
    editor.locator("#panels-toggle").click()


@pytest.mark.parametrize(
    "steps",
    [
        [select_layer, open_panel("Elements")],
        pytest.param([select_layer, *map(open_panel, ("Uploads", "Data")), open_sheet], marks=pytest.mark.slow),
    ],
    ids=["layer", "panels"],
)
def test_editor(
    page: Page, find_defects: Callable[..., list[tuple[Any, ...]]], steps: list[Callable[[Page], object]]
) -> None:
    path = f"{first_link(page.request.get('/w/demo/templates').text(), 'templates')}/editor"
    defects = find_defects([path], dark={path}, steps=steps)
    # The row of a container has its name, and the rows of the layers in it.
    assert [each for each in defects if each[2] != "label-content-name-mismatch"] == []
