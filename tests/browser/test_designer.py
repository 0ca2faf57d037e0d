"""A card is built in the designer: with the mouse, and with the keyboard alone."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.installation import Installation


@pytest.fixture
def designer(page: Page, installation: Installation, csrf_token: str) -> Page:
    """The designer with a fresh template of its own, as the button Start from blank creates it."""
    form = {"csrf_token": csrf_token, "starter": "blank"}
    made = page.request.post("/w/demo/templates/new", form=form, headers={"Origin": installation.url}, max_redirects=0)
    page.goto(made.headers["location"].replace("/editor", "/design"))
    page.wait_for_load_state("networkidle")
    page.evaluate("window.notReloaded = true")
    return page


@pytest.fixture(autouse=True)
def no_more_templates(page: Page, installation: Installation, csrf_token: str) -> Iterator[None]:
    """The demo is left as other tests expect it: the templates that were made are deleted again."""
    yield
    for path in set(re.findall(r"/w/demo/templates/[0-9a-f-]{36}", page.request.get("/w/demo/templates").text())):
        shown = page.request.get(path).text()
        if "Product card" in shown:
            continue
        page.request.post(f"{path}/delete", form={"csrf_token": csrf_token}, headers={"Origin": installation.url})


def layers(page: Page) -> list[str]:
    return [link.inner_text().strip() for link in page.locator(".layer-head a").all()]


def image(page: Page) -> str:
    return page.locator("#stage-image").get_attribute("src") or ""


def value(page: Page, name: str) -> str:
    return page.locator(f".properties [name='{name}']").input_value()


@pytest.mark.slow
def test_design_with_mouse(designer: Page) -> None:
    page = designer
    page.locator("svg a").first.click()
    expect(page.locator("#p-text")).to_have_value("{{ title }}")
    before = image(page)
    page.locator("#p-text").fill("Autumn in the harbor")
    expect(page.locator("#stage-image")).not_to_have_attribute("src", before)
    expect(page.locator("#p-text")).to_be_focused()
    expect(page.get_by_text("Draft saved, not published")).to_be_visible()

    box = page.locator("#selected-layer rect.selected").bounding_box()
    assert box is not None
    start = (int(value(page, "x")), int(value(page, "width")))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2 + 12, steps=4)
    before = image(page)
    page.mouse.up()
    expect(page.locator("#stage-image")).not_to_have_attribute("src", before)
    assert int(value(page, "x")) > start[0]
    handle = page.locator('[data-handle="11"]').bounding_box()
    assert handle is not None
    page.mouse.move(handle["x"] + 2, handle["y"] + 2)
    page.mouse.down()
    page.mouse.move(handle["x"] - 60, handle["y"] + 2, steps=4)
    page.mouse.up()
    assert int(value(page, "width")) < start[1]

    page.get_by_label("Type of the new layer").select_option("shape")
    add = page.get_by_role("button", name="Add layer")
    box = add.bounding_box()
    assert box is not None
    assert box["height"] < 40, "its label is on one line"
    add.click()
    expect(page.locator("#p-shape")).to_be_visible()
    assert layers(page) == ["Shape", "Title"]
    page.locator(".layer-list li").nth(0).drag_to(page.locator(".layer-list li").nth(1))
    expect(page.locator(".layer-head a").first).to_have_text("Title")

    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Version 2 is published")).to_be_visible()
    assert page.evaluate("window.notReloaded"), "all of it happened in place"


@pytest.mark.slow
def test_design_with_keyboard_only(designer: Page) -> None:
    page = designer

    def press_on(name: str, key: str = "Enter") -> None:
        page.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press(key)

    page.get_by_label("Type of the new layer").focus()
    page.keyboard.type("Sta")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#p-stars")).to_be_visible()
    page.locator("#selected-layer").focus()
    x, width = int(value(page, "x")), int(value(page, "width"))
    before = image(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("#stage-image")).not_to_have_attribute("src", before)
    assert (int(value(page, "x")), int(value(page, "width"))) == (x + 11, width - 1)
    expect(page.locator("#selected-layer")).to_be_focused()
    press_on("Move Stars down")
    expect(page.locator(".layer-head a").first).to_have_text("Title")
    press_on("Duplicate Stars")
    expect(page.locator(".layer-head a").nth(1)).to_have_text("Stars 2")
    press_on("Undo")
    expect(page.locator(".layer-head a")).to_have_count(2)
    page.locator("#selected-layer, .layer-head a").first.focus()
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator(".layer-head a")).to_have_count(3)
    page.keyboard.press("Control+Z")
    expect(page.locator(".layer-head a")).to_have_count(2)


@pytest.mark.slow
def test_invalid_value_keeps_preview(designer: Page, console_errors: list[str]) -> None:
    page = designer
    page.get_by_role("link", name="Title", exact=True).first.click()
    before = image(page)
    page.locator("#p-size").fill("3")
    expect(page.locator("#size-error")).to_have_text("Enter at least 6")
    expect(page.locator("#p-size")).to_be_focused()
    assert image(page) == before
    page.locator("#p-size").fill("64")
    expect(page.locator("#size-error")).to_have_count(0)
    expect(page.locator("#stage-image")).not_to_have_attribute("src", before)
    assert all("422" in error for error in console_errors)
    console_errors.clear()


@pytest.mark.slow
def test_late_response_does_not_overwrite_newer_change(designer: Page) -> None:
    """The first answer is held back until a second change is on its way."""
    page = designer
    page.get_by_role("link", name="Title", exact=True).first.click()
    expect(page.locator("#p-text")).to_be_visible()
    held = []

    def hold(route: object) -> None:
        held.append(route)
        if len(held) == 1:
            page.wait_for_timeout(600)
        route.continue_()  # type: ignore[attr-defined]

    page.route("**/design?*", lambda route: hold(route) if route.request.method == "POST" else route.continue_())
    page.locator("#p-text").fill("First")
    page.wait_for_timeout(250)
    page.locator("#p-text").fill("Second and last")
    expect(page.locator(".toolbar")).to_contain_text("Draft saved")
    page.wait_for_timeout(1200)
    page.unroute("**/design?*")
    expect(page.locator("#p-text")).to_have_value("Second and last")
    page.reload()
    expect(page.locator("#p-text")).to_have_value("Second and last")
