"""Every page, visited once: no axe violation, and no page wider than its window.

All pages share one palette, so the dark theme is checked on a page of each kind: forms, lists, items and the designer.
"""

import re
from collections.abc import Callable

from playwright.sync_api import Page

PUBLIC_PAGES = ["/", "/pricing", "/security", "/privacy", "/terms", "/signin", "/signup", "/forgot", "/verify?token=x"]
PUBLIC_PAGES += ["/invitation?token=x", "/dev/mail"]
ACCOUNT_PAGES = ["/account", "/account/delete", "/account/second-factor", "/account/prove", "/w", "/w/new"]
WORKSPACE_PAGES = ["", "/templates", "/templates/new", "/fonts", "/feeds", "/feeds/new", "/feeds/connect", "/runs"]
WORKSPACE_PAGES += ["/runs/new", "/images", "/keys", "/webhooks", "/members", "/members/leave", "/audit?check=1"]
WORKSPACE_PAGES += ["/settings", "/setup", "/exports", "/delete"]
WORKSPACE_PAGES += ["/storage", "/storage/new", "/storage/new?provider=s3", "/storage/new?provider=gcs"]
DARK_PAGES = ["/signup", "/w/demo", "/w/demo/templates", "/w/demo/runs/new", "/w/demo/members", "/w/demo/storage"]
DARK_PAGES += ["/w/demo/keys"]


def first_link(page: Page, collection: str) -> str:
    """Return the path of the first item on one of the demo workspace's lists."""
    [path, *_] = re.findall(rf"/w/demo/{collection}/[0-9a-f-]{{36}}", page.request.get(f"/w/demo/{collection}").text())
    return path


def test_public_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    assert find_defects(PUBLIC_PAGES, signed_in=False) == []


def test_account_and_workspace_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    assert find_defects([*ACCOUNT_PAGES, *(f"/w/demo{path}" for path in WORKSPACE_PAGES)]) == []


def test_dark_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    items = [first_link(page, name) for name in ("feeds", "runs")]
    design = f"{first_link(page, 'templates')}/design?layer=Title"
    assert find_defects([*DARK_PAGES, *items, design], theme="dark") == []


def test_item_pages(page: Page, find_defects: Callable[..., list[object]]) -> None:
    feed, template, run = (first_link(page, name) for name in ("feeds", "templates", "runs"))
    paths = [
        feed,
        f"{feed}/columns",
        run,
        template,
        f"{template}/document",
        f"{template}/unsigned-urls",
        f"{template}/versions",
    ]
    paths += [f"{template}/design", f"{template}/design?layer=Title", "/docs/api", "/nothing-here"]
    assert find_defects(paths) == []
