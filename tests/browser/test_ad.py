"""An ad that a designer builds from blank with the mouse and the keyboard, and its image."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import pyvips
from playwright.sync_api import Page, expect

from tests.browser.test_editor import Editor, read_pixels
from tests.installation import Installation


class Designer:
    """What a user does in the editor of a new template, without reading or writing its document."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.goto("/w/demo/templates/new")
        page.get_by_role("button", name="Start from blank").click()
        page.wait_for_url("**/editor")
        self.path = page.url.removesuffix("/editor")
        self.is_saved()

    def is_saved(self) -> None:
        expect(self.page.locator("#save-state")).to_have_text("Saved")
        self.page.wait_for_load_state("networkidle")

    def open_panel(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def place(self, title: str, x: float, y: float) -> None:
        """Drag an item of a panel onto the stage, to a part of its width and height."""
        item = self.page.get_by_title(title, exact=True).locator("visible=true").bounding_box()
        stage = self.page.locator("#stage").bounding_box()
        assert item is not None
        assert stage is not None
        mouse = self.page.mouse
        mouse.move(item["x"] + 20, item["y"] + 12)
        mouse.down()
        mouse.move(item["x"] + 60, item["y"] + 12)
        mouse.move(stage["x"] + stage["width"] * x, stage["y"] + stage["height"] * y, steps=3)
        mouse.up()
        self.is_saved()


@pytest.fixture
def designer(page: Page, installation: Installation, csrf_token: str) -> Iterator[Designer]:
    """A new template in the demo, which is deleted again."""
    designer = Designer(page)
    yield designer
    form = {"csrf_token": csrf_token}
    page.request.post(f"{designer.path}/delete", multipart=form, headers={"Origin": installation.url})


def test_ad_is_built_from_blank_and_rendered_as_shown(designer: Designer, installation: Installation) -> None:
    page = designer.page
    page.locator("#feed").select_option(label="Harbour Goods, autumn")
    page.locator("#width").fill("1080")
    page.locator("#height").fill("1080")
    page.locator("#background-type").select_option("linear")
    designer.is_saved()
    designer.open_panel("Data")
    designer.place("Add Image", 0.65, 0.35)
    designer.open_panel("Elements")
    designer.place("Add Price and old price", 0.4, 0.8)
    designer.place("Add Discount badge", 0.75, 0.8)
    # The first product is not reduced, the second one is.
    designer.open_panel("Layers")
    badge = page.locator("[data-name=Badge]")
    expect(badge).to_have_class(re.compile("is-hidden"))
    page.locator("#row-next").click()
    expect(badge).not_to_have_class(re.compile("is-hidden"))
    page.locator("#stage").press("Escape")
    page.get_by_role("button", name="Story").click()
    expect(page.locator("#size")).to_have_value("story")
    designer.is_saved()
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#version")).to_have_text("Version 2")

    page.locator("#feed").select_option("")  # the image has the default values, which a reload keeps
    editor = Editor(page, designer.path)
    texts: list[Any] = [span["text"] for span in editor.layer("Price")["spans"]]
    assert texts == ["{{ price }} ", "{{ old_price }}"]
    assert editor.layer("Badge")["show_if"]["field"] == "discount"
    answer = httpx.post(
        f"{installation.url}/v1/images",
        headers={"Authorization": f"Bearer {installation.demo_details['api_key']}", "Accept": "image/png"},
        json={"template": designer.path.rpartition("/")[2], "format": "png"},
    )
    image = pyvips.Image.new_from_buffer(answer.content, "").numpy()
    apart = np.abs(read_pixels(editor)[..., :3].astype(int) - image[..., :3]).max(axis=2)
    assert np.mean(apart <= 1) >= 0.999
