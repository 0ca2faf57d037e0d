"""Design rules, in a real browser: what a rule takes is said while it is typed, and dragging puts rules in order."""

import re

from playwright.sync_api import Page, expect


def add_rule(page: Page, campaign: str, name: str, expression: str) -> None:
    page.goto(f"{campaign}/rule")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Edit as an expression").click()
    page.get_by_label("Expression").fill(expression)
    expect(page.locator("#rule-count")).to_contain_text(re.compile(r"Takes [1-7] of 8 rows"))
    page.get_by_role("button", name="Save rule").click()
    page.wait_for_url("**#rule-*")


def test_rules_are_counted_while_typed_and_ordered_by_dragging(page: Page, console_errors: list[str]) -> None:
    page.goto("/w/demo/campaigns/new")
    page.get_by_label("Name", exact=True).fill("Dragged")
    page.get_by_role("button", name="Create campaign").click()
    page.wait_for_url(re.compile("/campaigns/[0-9a-f-]{36}$"))
    campaign = page.url
    add_rule(page, campaign, "Cheap", "price < 30")
    add_rule(page, campaign, "Dear", "price > 50")
    names = page.locator(".rule-list h3")
    expect(names).to_have_text(["Cheap", "Dear", "All rows"])
    page.locator(".rule-list > li").nth(1).drag_to(page.locator(".rule-list > li").nth(0))
    expect(names).to_have_text(["Dear", "Cheap", "All rows"])
    page.goto(f"{campaign}/settings")
    page.get_by_label("Type “Dragged” to confirm").fill("Dragged")
    page.get_by_role("button", name="Delete campaign").click()
    page.wait_for_url("**/campaigns")
    assert console_errors == []
