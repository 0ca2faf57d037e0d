"""The catalog of components: their computed styles in both themes, compared with those of the last review.

Pixels are not compared, since fonts, antialiasing and native controls differ between machines. Colors, sizes of
texts, borders, padding and the height of one line are equal everywhere, and change only with the style sheets. After
such a change, look at the page, then run the test with CWZ_UPDATE_SNAPSHOT=<folder>: it writes components.json, and
screenshots of the page in both themes and widths to the folder.
"""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE

SNAPSHOT = Path(__file__).with_name("components.json")
WIDE = {"width": 1440, "height": 900}
# Colors, and the box. Text wraps elsewhere with another font, so heights are those of elements with one line.
READ_STYLES = """() => Object.fromEntries(Array.from(document.querySelectorAll("[data-sample]"), (sample) => {
  const element = sample.firstElementChild, style = getComputedStyle(element);
  const isLine = element.matches("button, .button, input:not([type=file]), select, .badge, progress");
  return [sample.dataset.sample, {
    colors: [style.color, style.backgroundColor, style.borderBottomColor, style.outlineStyle, style.opacity].join(", "),
    box: [style.padding, style.borderWidth, style.borderRadius, style.fontSize, style.fontWeight, style.cursor,
      isLine ? `${Math.round(element.getBoundingClientRect().height)} high` : style.display].join("; "),
  }];
}))"""


def test_components_look_as_they_were_seen(page: Page) -> None:
    folder = os.environ.get("CWZ_UPDATE_SNAPSHOT")
    found: dict[str, dict[str, str]] = {}
    page.set_viewport_size(WIDE)
    for theme in ("light", "dark"):
        page.goto(f"/dev/components?theme={theme}")
        for name, styles in page.evaluate(READ_STYLES).items():
            found.setdefault(name, {"box": styles["box"]})[theme] = styles["colors"]
        for viewport in (PHONE, WIDE) if folder else ():
            page.set_viewport_size(viewport)
            page.screenshot(path=Path(folder) / f"components-{theme}-{viewport['width']}.png", full_page=True)
    if folder:
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert len(found) > 80
    assert found == json.loads(SNAPSHOT.read_text())


@pytest.mark.slow
def test_density_of_tables_is_remembered(page: Page) -> None:
    page.set_viewport_size(WIDE)
    page.goto("/dev/components")
    switch, cell = page.locator("[data-density-switch]"), page.locator("[data-sample=table] td").first
    height = cell.evaluate("cell => cell.getBoundingClientRect().height")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    assert cell.evaluate("cell => cell.getBoundingClientRect().height") < height
    page.reload()
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
def test_tabs_that_do_not_fit_scroll_to_the_current_one(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/dev/components")
    tabs = page.locator("[data-sample=tabs-scrolled] .tabs")
    tabs.scroll_into_view_if_needed()
    expect(tabs.get_by_role("link", name="Settings")).to_be_in_viewport(ratio=1)
    expect(tabs.get_by_role("link", name="Images")).not_to_be_in_viewport()
    assert tabs.evaluate("tabs => tabs.clientHeight < 2 * tabs.querySelector('a').clientHeight")


@pytest.mark.slow
def test_select_shows_what_is_chosen_under_the_pointer(page: Page) -> None:
    page.goto("/dev/components")
    select = page.locator("[data-sample=select] select")
    select.hover()
    expect(select).to_have_attribute("title", select.locator("option:checked").inner_text())
    select.select_option(index=1)
    page.locator("h1").hover()
    select.hover()
    expect(select).to_have_attribute("title", select.locator("option:checked").inner_text())
