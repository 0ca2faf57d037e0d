"""The pages of campaigns: the list, a new one, its rules, its calendar and its settings, without scripts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from webtest import TestApp

from cwz_web.campaigns import campaign_list
from cwz_web.campaigns.joins import Join
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.progress import advance_steps, plan_campaign
from cwz_web.campaigns.publications import publish
from cwz_web.campaigns.rules import DesignRule
from cwz_web.db.session import lock_name
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.runs.auto_runs import find_auto_run, start_auto_run
from cwz_web.runs.models import Run
from cwz_web.views import campaign_rules
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, record_queries, sign_in
from tests.rendering import work

ROWS = b"sku,title,brand,price\n1,Red,Acme,10\n2,Blue,Zenith,20\n3,Green,Acme,30\n4,Gray,Other,40\n"


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    return space


@pytest.fixture
def feed(make: Factory, space: Workspace) -> Feed:
    return make.feed(space, ROWS, name="Products")


@pytest.fixture
def template(make: Factory, space: Workspace) -> Template:
    return make.template(space, name="Card")


def path(space: Workspace, *segments: object) -> str:
    return "/".join([f"/w/{space.slug}/campaigns", *map(str, segments)])


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(found.text.split()) for found in page.html.select(selector)]


def form_of(page: Any, action: str, number: int | None = None) -> Any:
    return next(
        form
        for form in page.forms.values()
        if form.action.endswith(action) and (number is None or form["number"].value == str(number))
    )


def only_campaign(make: Factory, space: Workspace) -> Campaign:
    with make.database.transaction(space.id) as db:
        return db.query(Campaign).one()


def rules_of(make: Factory, campaign: Campaign) -> list[DesignRule]:
    rules: list[DesignRule] = make.reload(campaign).design_rules
    return rules


NAME = "tbody th a"


def test_list(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = app.get(path(space))
    assert "No campaigns yet" in empty.text
    assert empty.click("New campaign", index=0).status_int == 200
    first = make.campaign(feed, template)
    make.publication(first)
    with record_queries(make.database) as queries:
        page = app.get(path(space))
    few = len(queries)
    assert "1 to review" in page.text
    assert "Nothing yet" in page.text
    make.publication(make.campaign(feed, template))
    with record_queries(make.database) as queries:
        app.get(path(space))
    assert len(queries) == few
    assert texts(app.get(path(space) + "?search=prod"), NAME) == ["Ads", "Ads"]
    assert "No campaigns match" in app.get(path(space) + "?search=nothing").text
    monkeypatch.setattr(campaign_list, "CAMPAIGN_PAGE", 1)
    assert texts(app.get(path(space)).click("Next page"), NAME) == ["Ads"]


def test_new_campaign(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    page = app.get(path(space, "new"))
    form = page.forms["campaign-form"]
    assert form["name"].value == "Products"
    assert form["design.0.map.title"].value == "title", "the mapping is guessed"
    form["name"] = "Autumn sale"
    form["format.png"] = True
    page = form.submit().follow()
    assert texts(page, "h1") == ["Autumn sale"]
    assert "Takes 4 of 4 rows" in page.text
    campaign = only_campaign(make, space)
    assert [output["format"] for output in campaign.outputs] == ["jpg", "png"]
    (rule,) = campaign.design_rules
    assert rule.designs[0].template == template.id
    assert rule.designs[0].mapping["title"] == "title"


def test_the_photo_column_is_found_by_its_name(
    app: TestApp, make: Factory, space: Workspace, template: Template
) -> None:
    make.feed(space, b"sku,title,Image link\n1,One,none\n")
    app.get(path(space, "new")).forms["campaign-form"].submit()
    assert only_campaign(make, space).photo_column == "Image link"


def test_the_form_of_a_new_campaign_follows_the_chosen_feed(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    other = make.feed(space, b"id,name\n1,One\n", name="Events")
    form = app.get(path(space, "new")).forms["campaign-form"]
    form["feed"] = str(other.id)
    page = form.submit("change", value="update")
    assert page.status_int == 200
    assert page.forms["campaign-form"]["design.0.map.title"].value == "name"
    answer = app.post(path(space, "new"), form.submit_fields() + [("change", "update")], headers={"HX-Request": "true"})
    assert "<h1>" not in answer.text
    assert not make.count(Campaign, space.id)


def test_errors_of_a_new_campaign(app: TestApp, space: Workspace, feed: Feed, template: Template) -> None:
    form = app.get(path(space, "new")).forms["campaign-form"]
    form["name"] = ""
    page = form.submit(status=422)
    assert texts(page, "#name-error") == ["Enter a value"]


def test_without_a_template_a_campaign_needs_one(app: TestApp, space: Workspace, feed: Feed) -> None:
    assert "Create a template first" in app.get(path(space, "new")).text


def test_a_run_becomes_a_campaign(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    run = make.run(feed, template)
    with make.database.transaction(space.id) as db:
        start_auto_run(db, db.merge(run))
    page = app.get(f"/w/{space.slug}/runs/{run.id}?tab=automation")
    page = form_of(page, "/campaign").submit().follow()
    assert "The campaign follows the feed" in page.text
    campaign = only_campaign(make, space)
    assert campaign.is_active
    assert campaign.policy["auto_publish"]
    assert campaign.outputs == run.outputs
    assert campaign.design_rules[0].designs[0].mapping == run.mapping
    assert "Preparing a publication" in page.text
    with make.database.transaction(space.id) as db:
        assert find_auto_run(db, feed, template.id) is None


def test_prepare_pause_and_follow(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    page = app.get(path(space, campaign.id))
    assert "4 images to render" in page.text
    page = form_of(page, "/prepare").submit().follow()
    assert "Preparing a publication" in page.text
    assert make.reload(campaign).is_requested
    page = form_of(page, "/resume").submit().follow()
    assert make.reload(campaign).is_active
    page = form_of(page, "/pause").submit().follow()
    assert "The campaign is paused" in page.text
    assert not make.reload(campaign).is_active
    status = app.get(path(space, campaign.id, "status"), headers={"HX-Request": "true"})
    assert "<h1>" not in status.text


def test_publications_tab(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template)
    assert "No publications yet" in app.get(path(space, campaign.id, "publications")).text
    publication = make.publication(campaign)
    page = app.get(path(space, campaign.id, "publications"))
    assert texts(page, "tbody th") == ["Publication 1"]
    assert "Needs review" in page.text
    assert f"publications/{publication.id}" in page.text
    assert "It is served once a publication is public" in page.text
    form = next(form for form in page.forms.values() if "column" in form.fields)
    form["column"] = "title"
    shown = texts(form.submit(), "#output-feed code")[0]
    assert "column=title" in shown
    assert app.get(shown, status=404).content_type == "application/problem+json"
    with make.database.transaction(space.id) as db:
        publish(db, db.merge(campaign), db.merge(publication))
    page = app.get(path(space, campaign.id, "publications"))
    assert app.get(texts(page, "#output-feed code")[0]).content_type == "text/csv"
    assert "Schedule or API" in page.text


def add_rule(app: TestApp, space: Workspace, campaign: Campaign, name: str, brand: str) -> Any:
    """Add a rule for the rows of a brand with the form, and return the page of the rules."""
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form = form.submit("change", value="add-group").forms["campaign-form"]
    form["name"] = name
    form["row.0.0.field"] = "brand"
    form = form.submit("change", value="update").forms["campaign-form"]
    form["row.0.0.operator"] = "equal"
    form["row.0.0.value"] = brand
    return form.submit().follow()


def test_rules_take_rows_in_their_order(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    page = add_rule(app, space, campaign, "Acme", "Acme")
    assert texts(page, ".rule-counts strong") == ["Takes 2 of 4 rows", "Takes 2 of 4 rows"]
    assert texts(page, ".rule-facts dd") == ["brand is Acme", "All other rows"]
    page = add_rule(app, space, campaign, "Acme too", "acme")
    assert texts(page, ".rule h3") == ["Acme", "Acme too", "All rows"]
    assert texts(page, ".rule-counts strong") == ["Takes 2 of 4 rows", "Takes 0 of 4 rows", "Takes 2 of 4 rows"]
    second = rules_of(make, campaign)[1].number
    page = form_of(page, "/move-rule", second).submit().follow()
    assert texts(page, ".rule h3") == ["Acme too", "Acme", "All rows"]
    page = form_of(page, "/toggle-rule", second).submit().follow()
    assert texts(page, ".rule-counts strong") == ["Takes 0 of 4 rows", "Takes 2 of 4 rows", "Takes 2 of 4 rows"]
    assert "Disabled" in page.text
    page = form_of(page, "/duplicate-rule", second).submit().follow()
    assert texts(page, ".rule h3") == ["Acme too 2", "Acme too", "Acme", "All rows"]
    page = form_of(page, "/delete-rule", second).submit().follow()
    assert texts(page, ".rule h3") == ["Acme too 2", "Acme", "All rows"]
    assert "Deleted the rule “Acme too”" in page.text
    page = form_of(page, "/restore-rule").submit().follow()
    assert texts(page, ".rule h3") == ["Acme too 2", "Acme too", "Acme", "All rows"]
    assert rules_of(make, campaign)[1].number == second
    numbers = [design.number for rule in rules_of(make, campaign) for design in rule.designs]
    assert len(set(numbers)) == 4


def test_the_last_rule_stays(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template)
    page = add_rule(app, space, campaign, "Acme", "Acme")
    token = form_of(page, "/prepare")["csrf_token"].value
    last = rules_of(make, campaign)[-1].number
    for action in ("delete-rule", "toggle-rule"):
        values = {"number": str(last), "csrf_token": token}
        assert "stays" in app.post(path(space, campaign.id, action), values, status=422).text
    for place in ("0", "40"):
        values = {"number": str(last), "csrf_token": token, "place": place}
        app.post(path(space, campaign.id, "move-rule"), values, status=422)
    first = str(rules_of(make, campaign)[0].number)
    app.post(path(space, campaign.id, "move-rule"), {"number": first, "csrf_token": token, "place": "40"})
    assert rules_of(make, campaign)[-1].number == last
    form = app.get(f"{path(space, campaign.id, 'rule')}?number={last}").forms["campaign-form"]
    assert "window" not in form.fields
    form["name"] = "The rest"
    assert "The rest" in form.submit().follow().text


def test_the_form_of_a_rule_keeps_what_was_saved(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template, time_zone="Europe/Zurich")
    other = make.template(space, name="Other")
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form = form.submit("change", value="to-text").forms["campaign-form"]
    form["name"] = "Weekend"
    form["expression"] = 'price > 15 && (same(brand, "Acme") || same(brand, "Zenith"))'
    form["window"] = "weekly"
    form["from_day"], form["from_time"] = "4", "18:00"
    form["until_day"], form["until_time"] = "0", "06:00"
    form["begin"] = "2026-10-24T00:00"
    form = form.submit("change", value="add-design").forms["campaign-form"]
    form["design.0.label"], form["design.1.label"] = "A", "B"
    form["design.1.weight"] = "3"
    form["design.1.template"] = str(other.id)
    page = form.submit().follow()
    assert "price is more than 15 and (brand is Acme or brand is Zenith)" in page.text
    assert "Every week from Friday 18:00 until Monday 06:00" in page.text
    assert "From 24 October 2026, 00:00" in page.text
    assert "B, 75%" in page.text
    rule = rules_of(make, campaign)[0]
    assert rule.window is not None
    assert rule.window.begin is not None
    assert rule.window.begin.isoformat() == "2026-10-23T22:00:00+00:00"
    assert [design.template for design in rule.designs] != [template.id, template.id]
    form = app.get(f"{path(space, campaign.id, 'rule')}?number={rule.number}").forms["campaign-form"]
    assert form["row.1.1.value"].value == "Zenith", "the expression is shown as rows"
    assert form["begin"].value == "2026-10-24T00:00"
    form.submit().follow()
    again = rules_of(make, campaign)[0]
    assert again == rule.model_copy(update={"condition": again.condition})
    assert again.condition == '(price > 15) && (same(brand, "Acme") || same(brand, "Zenith"))'
    form["design.1.template"] = "photo"
    form.submit().follow()
    assert rules_of(make, campaign)[0].designs[1].template is None
    form.submit("change", value="remove-design:0").forms["campaign-form"].submit().follow()
    assert [design.number for design in rules_of(make, campaign)[0].designs] == [rule.designs[1].number]


INVALID_RULES = [
    ({"name": ""}, "name"),
    ({"window": "dates"}, "end"),
    ({"window": "dates", "begin": "2026-11-02T00:00", "end": "2026-11-01T00:00"}, "end"),
    ({"window": "weekly", "from_time": "18:00"}, "until_time"),
    ({"window": "weekly", "from_time": "18:00", "until_time": "18:00", "until_day": "4"}, "until_time"),
    ({"expression": "nothing > 3"}, "expression"),
    ({"expression": "price >"}, "expression"),
]


def test_errors_of_a_rule(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template)
    opened = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    for values, field in INVALID_RULES:
        form = opened.submit("change", value="to-text").forms["campaign-form"]
        form["name"] = "Sale"
        for name, value in values.items():
            form[name] = value
        page = form.submit(status=422)
        assert page.html.find(id=f"{field}-error"), (values, page.text)
    assert page.html.find(id=field) is None or page.html.find(id=field).get("aria-invalid") == "true"
    assert len(rules_of(make, campaign)) == 1


def test_a_row_of_a_condition_without_a_value_is_an_error_beside_it(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form = form.submit("change", value="add-group").forms["campaign-form"]
    form["name"], form["row.0.0.operator"] = "Sale", "equal"
    page = form.submit(status=422)
    assert texts(page, "[id='row.0.0.error']") == ["Enter a value"]


def test_rows_that_cannot_be_decided_are_a_finding(
    app: TestApp, make: Factory, space: Workspace, template: Template
) -> None:
    feed = make.feed(space, b"sku,title,price\n1,One,10\n2,Two,20\n3,Three,about 5\n4,Four,40\n")
    campaign = make.campaign(feed, template)
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form = form.submit("change", value="to-text").forms["campaign-form"]
    form["name"], form["expression"] = "Cheap", "amount(price) < 15"
    page = form.submit().follow()
    assert "Takes 1 of 4 rows" in page.text
    assert "Could not be decided for 1 row" in page.text


def test_calendar(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template, time_zone="Europe/Zurich")
    page = app.get(path(space, campaign.id, "calendar"))
    assert "No rule has a window" in page.text
    for name, begin, end in (
        ("Black Friday", "2026-11-27T00:00", "2026-12-01T00:00"),
        ("Advent", "2026-11-29T00:00", "2026-12-24T00:00"),
    ):
        form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
        form["name"], form["window"] = name, "dates"
        form["begin"], form["end"] = begin, end
        form.submit().follow()
    page = app.get(path(space, campaign.id, "rule")).click("Ads", index=0)
    page = app.get(path(space, campaign.id, "calendar") + "?month=2026-11")
    assert texts(page, "#month") == ["November 2026"]
    assert texts(page, ".calendar td li")[:2] == ["Black Friday from 00:00", "Black Friday"]
    assert "4 rows get another design" in page.text
    assert "“Black Friday” and “Advent” are both open from 29 November 2026, 00:00: for 4 rows" in page.text
    following = page.click("Next month")
    assert texts(following, ".when-list span")[0] == "“Black Friday” ends"
    assert texts(following.click("Previous month"), "#month") == ["November 2026"]
    app.get(path(space, campaign.id, "calendar") + "?month=nonsense", status=422)


def settings_form(app: TestApp, space: Workspace, campaign: Campaign, action: str = "/settings") -> Any:
    return form_of(app.get(path(space, campaign.id, "settings")), action)


def test_settings(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    stock = make.feed(space, b"sku,quantity\n1,5\n2,0\n", name="Stock")
    campaign = make.campaign(feed, template)
    form = settings_form(app, space, campaign)
    form["name"], form["time_zone"], form["photo_column"] = "Autumn", "Europe/Zurich", "title"
    form["format.webp"] = True
    form["auto_publish"], form["max_findings"], form["approvals"] = True, "0", "2"
    form["hold_refused_images"] = True
    form["join.0.feed"], form["join.0.name"] = str(stock.id), "stock"
    page = form.submit().follow()
    assert "The settings are saved" in page.text
    saved = make.reload(campaign)
    assert (saved.name, saved.time_zone, saved.photo_column) == ("Autumn", "Europe/Zurich", "title")
    assert [output["format"] for output in saved.outputs] == ["jpg", "webp"]
    assert (saved.policy["auto_publish"], saved.policy["max_findings"], saved.policy["approvals"]) == (True, 0, 2)
    assert (saved.policy["hold_refused_images"], saved.policy["hold_channel_errors"]) == (True, False)
    assert saved.joins == [{"feed": str(stock.id), "column": "", "name": "stock"}]
    rule = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    rule = rule.submit("change", value="to-text").forms["campaign-form"]
    rule["name"], rule["expression"] = "Sold out", "stock_quantity == 0"
    page = rule.submit().follow()
    assert "Takes 1 of 4 rows" in page.text
    form = settings_form(app, space, campaign)
    form["join.0.feed"] = ""
    page = form.submit(status=422)
    assert "The rule “Sold out” cannot be evaluated then" in page.text
    assert make.reload(campaign).joins, "nothing is saved"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "Enter a value"),
        ("time_zone", "Nowhere", "Choose a time zone from the list, for example Europe/Berlin"),
        ("max_changed_percent", "101", "Enter at most 100"),
        ("max_missing", "", "Enter a whole number"),
    ],
)
def test_errors_of_settings(
    app: TestApp,
    make: Factory,
    space: Workspace,
    feed: Feed,
    template: Template,
    field: str,
    value: str,
    message: str,
) -> None:
    form = settings_form(app, space, make.campaign(feed, template))
    form[field] = value
    assert texts(form.submit(status=422), f"#{field}-error") == [message]


def test_rows_of_a_campaign(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template)
    form = settings_form(app, space, campaign, "/rows")
    form["rows"], form["text"], form["column"] = "text", "acme", "brand"
    form.submit().follow()
    assert "Takes 2 of 2 rows" in app.get(path(space, campaign.id)).text
    form = settings_form(app, space, campaign, "/rows")
    form["rows"], form["keys"] = "keys", "1\n4\n9"
    page = form.submit(status=422)
    assert texts(page, "#keys-error") == ["The feed has no row with 1 of these keys: 9. Remove it from the list"]
    form["keys"] = ""
    form["file"] = ("keys.csv", b"\xef\xbb\xbf1,Red\r\n4,Gray\r\n3\r\n")
    page = form.submit().follow()
    assert "The list has 3 keys." in page.text
    assert make.reload(campaign).selection == {"keys": ["1", "4", "3"]}
    assert "Takes 3 of 3 rows" in app.get(path(space, campaign.id)).text
    form = settings_form(app, space, campaign, "/rows")
    form["rows"] = "all"
    form.submit().follow()
    assert make.reload(campaign).selection == {}


def test_delete(app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template) -> None:
    campaign = make.campaign(feed, template)
    form = settings_form(app, space, campaign, "/delete")
    form["confirm"] = "Another"
    page = form.submit(status=422)
    assert texts(page, "#confirm-error") == ["Type the name of the campaign to delete it"]
    form["confirm"] = "Ads"
    page = form.submit().follow()
    assert "No campaigns yet" in page.text
    assert page.html.select_one("[data-notice] form")["action"] == path(space, "restore")
    app.get(path(space, campaign.id), status=404)
    page = app.get(path(space) + "?state=deleted")
    assert texts(page, "tbody th") == ["Ads"]
    page = form_of(page, "/restore").submit().follow()
    assert texts(page, "h1") == ["Ads"]
    assert "Restored “Ads”. It is paused." in page.text
    assert texts(app.get(path(space)), NAME) == ["Ads"]


def rule_count(app: TestApp, campaign: Campaign, form: Any) -> str:
    """Return what the form of a rule says that it takes."""
    url = form.action.removesuffix("/rule") + "/rule-count"
    return " ".join(app.post(url, form.submit_fields()).html.text.split())


def test_form_of_a_rule_says_what_it_takes(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = make.campaign(feed, template)
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form["design.0.template"] = str(template.id)
    assert rule_count(app, campaign, form) == "Takes 4 of 4 rows 4 images to render."
    form = form.submit("change", value="to-text").forms["campaign-form"]
    form["expression"] = 'brand == "Acme"'
    assert rule_count(app, campaign, form) == "Takes 2 of 4 rows 2 images to render."
    form["window"], form["end"] = "dates", "2020-01-01T10:00"
    assert rule_count(app, campaign, form) == "Takes 2 of 4 rows in its window 2 images to render."
    form["window"], form["expression"] = "always", "brand =="
    assert "Takes" not in rule_count(app, campaign, form)
    form["expression"] = "nothing == 1"
    assert "The feed has no column “nothing”" in rule_count(app, campaign, form)
    form["name"], form["expression"] = "Acme", 'brand == "Acme"'
    form.submit().follow()
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    assert rule_count(app, campaign, form).startswith("Takes 2 of 4 rows"), "the first rule takes the others"
    assert len(rules_of(make, campaign)) == 2, "nothing is saved"
    for step in advance_steps(make.services.quotas)[1:]:
        with make.database.transaction(space.id) as db:
            stored = db.get_one(Campaign, (space.id, campaign.id))
            stored.is_requested = True
            step(db, stored)
    with make.database.transaction(space.id) as db:
        runs = list(db.scalars(select(Run)))
    for run in runs:
        work(make, run)
    with make.database.transaction(space.id) as db:
        for step in advance_steps(make.services.quotas):
            step(db, db.get_one(Campaign, (space.id, campaign.id)))
    number = rules_of(make, campaign)[0].number
    form = app.get(path(space, campaign.id, "rule") + f"?number={number}").forms["campaign-form"]
    assert rule_count(app, campaign, form) == "Takes 2 of 4 rows All of their images exist."
    url = form.action.removesuffix("/rule") + "/rule-count"
    assert len(app.post(url, form.submit_fields()).html.select("img")) == 2
    monkeypatch.setattr("cwz_web.campaigns.rule_counts.MAX_MATCHED", 3)
    monkeypatch.setattr("cwz_web.campaigns.rule_counts.SAMPLED", 2)
    found = rule_count(app, campaign, form)
    assert "Takes about" in found
    assert "Estimated from a sample of 2 rows." in found


def test_rows_are_counted_later_while_a_job_works(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    with make.database.transaction(space.id) as db:
        lock_name(db, f"campaign {campaign.id}")
        assert "Counting the rows of each rule…" in app.get(path(space, campaign.id)).text
    assert "Takes 4 of 4 rows" in app.get(path(space, campaign.id)).text


def test_campaign_of_a_deleted_feed_is_restored_after_it(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    with make.database.transaction(space.id) as db:
        db.get_one(Campaign, (space.id, campaign.id)).deleted_at = datetime.now(UTC)
        db.get_one(Feed, (space.id, feed.id)).deleted_at = datetime.now(UTC)
    page = form_of(app.get(path(space) + "?state=deleted"), "/restore").submit(status=422)
    assert "The feed “Products” of this campaign was deleted" in page.text


def test_findings_of_joined_feeds_are_shown(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    stock = make.feed(space, b"sku,quantity\n1,5\n2,0\n", name="Stock")
    make.import_rows(stock, b"sku,quantity\n1,5\n2,0\n2,7\n")
    campaign = make.campaign(feed, template, joins=[Join(feed=stock.id, name="stock").model_dump(mode="json")])
    page = app.get(path(space, campaign.id))
    assert texts(page, "#join-findings + ul li") == [
        "“Stock” has no row for 2 rows of the campaign, such as 3, 4. Its columns are empty there.",
        "The last import of “Stock” skipped 1 row, since an earlier one has its key: 2.",
    ]
    publication = make.publication(campaign)
    page = app.get(path(space, campaign.id, "publications", publication.id, "check"))
    assert len(texts(page, "#join-findings + ul li")) == 2


def test_size_that_a_template_lacks_is_an_error_of_the_rule(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    with make.database.transaction(space.id) as db:
        outputs = [{**output, "size": "story"} for output in campaign.outputs]
        db.get_one(Campaign, (space.id, campaign.id)).outputs = outputs
    form = app.get(path(space, campaign.id, "rule")).forms["campaign-form"]
    form["name"] = "Sale"
    page = form.submit(status=422)
    assert "The template “Card” of the rule “Sale” lacks the size “story”" in page.text


def test_deleting_a_template_names_the_campaigns_that_use_it(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    here = f"/w/{space.slug}/templates/{template.id}"
    usage = app.get(f"{here}/usage")
    assert texts(usage, "#campaigns ~ ul a") == ["Ads"]
    page = form_of(usage, "/delete").submit().follow()
    assert "The campaign Ads uses it, and prepares nothing until you restore it." in page.text
    assert page.html.select_one(f".banner a[href='{path(space, campaign.id)}']")


def test_members_who_only_view_cannot_change_campaigns(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    sign_in(app, make.member(space, Role.SUPPORT))
    for tab in ("", "publications", "calendar", "settings"):
        page = app.get(path(space, campaign.id, *filter(None, [tab])))
        assert "Prepare publication" not in page.text
    assert "New campaign" not in app.get(path(space)).text
    app.get(path(space, campaign.id, "rule"), status=403)


def test_a_deleted_template_is_a_problem(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    with make.database.transaction(space.id) as db:
        db.merge(template).deleted_at = datetime.now(UTC)
    page = app.get(path(space, campaign.id))
    assert "The template of the rule “All rows” was deleted. Restore it, or choose another one" in page.text
    assert "Deleted template" in page.text
    assert "Takes 4 of 4 rows" in page.text


def test_rules_show_images_that_exist(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template
) -> None:
    campaign = make.campaign(feed, template)
    assert not app.get(path(space, campaign.id)).html.select(".row-thumbs")
    form_of(app.get(path(space, campaign.id)), "/prepare").submit()
    for _ in range(2):
        for step in advance_steps(make.services.quotas):
            with make.database.transaction(space.id) as db:
                step(db, db.get_one(Campaign, (space.id, campaign.id)))
        with make.database.transaction(space.id) as db:
            runs = list(db.scalars(select(Run).where(Run.campaign_id == campaign.id, Run.finished_at.is_(None))))
        for run in runs:
            assert "All rows" in texts(app.get(path(space, campaign.id)), ".progress p")[0]
            work(make, run)
    page = app.get(path(space, campaign.id))
    assert "All images of the next publication exist" in page.text
    assert len(page.html.select(".row-thumbs img")) == 4
    assert "Needs review" in page.text


def test_rows_of_large_feeds_are_counted_by_a_job(
    app: TestApp, make: Factory, space: Workspace, feed: Feed, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_rules, "MAX_ROWS_AT_ONCE", 3)
    campaign = make.campaign(feed, template)
    page = app.get(path(space, campaign.id))
    assert "Counting the rows of each rule" in page.text
    assert "Takes" not in page.text
    part = app.get(path(space, campaign.id), headers={"HX-Request": "true"})
    assert "<h1>" not in part.text
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'campaigns.advance'")) == 1
    with make.database.transaction(space.id) as db:
        plan_campaign(db, db.get_one(Campaign, (space.id, campaign.id)))
    page = app.get(path(space, campaign.id))
    assert "Takes 4 of 4 rows" in page.text
    assert "4 images to render" not in page.text
    assert "4 images to render" in page.click("Count the images to render").text
