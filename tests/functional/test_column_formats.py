"""Formats of columns: shown and changed on the page of columns, over the API, and in the workspace settings."""

import re
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

import cwz_web
from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import Scope
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory
from tests.functional.test_feeds import FeedUser, user

__all__ = ["user"]

STYLES = Path(cwz_web.__file__).parent / "static" / "components.css"
ROWS = b'sku,preis,ab\n1,"1.234",03/04/2024\n2,"12,50",03/14/2024\n3,"7,00",05/06/2024\n'


def automatic(page: Any) -> dict[str, str]:
    """Return what counts for each control if nothing is chosen."""
    selects = {select["name"]: select.option.text for select in page.html.select(".formats select")}
    return selects | {field["name"]: field["placeholder"] for field in page.html.select(".formats input")}


def test_formats_are_shown_and_changed(user: FeedUser) -> None:
    columns = user.upload_draft("shop.csv", ROWS)
    assert automatic(columns) == {
        "decimal.1": "Automatic (1.234,56)",
        "currency.1": "such as EUR",
        "locale.1": "such as de",
        "date_order.2": "Automatic (Month first)",
        "locale.2": "such as de",
    }
    page = user.run_jobs(user.save_columns(columns, currency__1="eur", date_order__2="dmy").follow())
    columns = page.click("Columns")
    assert columns.html.find("input", {"name": "currency.1"})["value"] == "EUR"
    chosen = columns.html.find("select", {"name": "date_order.2"}).find("option", selected=True)
    assert chosen["value"] == "dmy"
    assert automatic(columns)["decimal.1"] == "Automatic (1.234,56)"


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"currency__1": "euro"}, "is not a currency"), ({"locale__1": "klingon"}, "is not a locale")],
)
def test_invalid_format_is_rejected_and_kept(user: FeedUser, fields: dict[str, str], message: str) -> None:
    columns = user.upload_draft("shop.csv", ROWS)
    form = next(form for form in columns.forms.values() if "keep.0" in form.fields)
    [(name, value)] = fields.items()
    form[name.replace("__", ".")] = value
    page = form.submit(status=422)
    assert message in page.text
    assert page.html.find("input", {"name": name.replace("__", ".")})["value"] == value


def test_settings_have_a_locale_and_a_currency(app: TestApp, make: Factory) -> None:
    user = FeedUser(app, make, Role.ADMIN)
    settings = user.app.get(f"/w/{user.space.slug}/settings")
    assert settings.html.find(id="retention").find_next("td").text == "Until they are deleted"
    form = next(form for form in settings.forms.values() if "second_factor_required" in form.fields)
    form["locale"], form["currency"] = "de-AT", "chf"
    saved = form.submit().follow()
    assert saved.html.find("input", {"name": "locale"})["value"] == "de_AT"
    assert saved.html.find("input", {"name": "currency"})["value"] == "CHF"
    form = next(form for form in saved.forms.values() if "second_factor_required" in form.fields)
    form["currency"] = "XXQ"
    assert "is not a currency" in form.submit(status=422).text
    columns = user.upload_draft("shop.csv", ROWS)
    assert automatic(columns)["currency.1"] == "CHF"


def test_times_are_in_the_time_zone_of_the_workspace(app: TestApp, make: Factory) -> None:
    user = FeedUser(app, make, Role.ADMIN)
    make.feed(user.space)
    settings = user.app.get(f"/w/{user.space.slug}/settings")
    form = next(form for form in settings.forms.values() if "second_factor_required" in form.fields)
    form["time_zone"] = "Mars/Olympus"
    assert "Choose a time zone from the list" in form.submit(status=422).text
    form["time_zone"] = "Asia/Tokyo"
    form.submit(status=303)
    assert user.app.get(settings.request.path).html.find(id="time_zone")["value"] == "Asia/Tokyo"
    page = user.app.get(user.feeds)
    assert re.search(r'<time datetime="[^"]+\+09:00" title="[^"]+ JST">', page.text)
    assert user.app.get(f"{user.feeds}/connect").html.find(id="time_zone")["value"] == "Asia/Tokyo"
    assert "+09:00" not in user.app.get("/account").text


def test_fields_of_the_settings_are_not_hidden_as_empty(app: TestApp, make: Factory) -> None:
    """A field without a child is `:empty`, whatever its value is."""
    user = FeedUser(app, make, Role.ADMIN)
    settings = user.app.get(f"/w/{user.space.slug}/settings")
    hidden = re.findall(r"^(\S.*):empty \{ display: none; \}$", STYLES.read_text(), re.MULTILINE)
    assert "div#currency" in hidden
    assert [field for rule in hidden for field in settings.html.select(rule) if field.name == "input"] == []


def test_formats_over_the_api(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, ROWS)
    headers = {"Authorization": f"Bearer {make.key(space, Scope.ADMIN)}"}
    path = f"/v1/feeds/{feed.id}"
    _, price, date = app.get(path, headers=headers).json["columns"]
    nothing = {"locale": None, "decimal": None, "currency": None, "date_order": None}
    assert price == {"name": "preis", "type": "price", "format": nothing, "detected": nothing | {"decimal": "comma"}}
    assert date["detected"] == nothing | {"date_order": "mdy"}
    body = {"formats": {"preis": {"currency": "EUR", "locale": "de-DE"}}}
    _, price, _ = app.put_json(f"{path}/formats", body, headers=headers).json["columns"]
    assert price["format"] == nothing | {"currency": "EUR", "locale": "de_DE"}
    for wrong, where in [
        ({"formats": {"price": {}}}, "formats.price"),
        ({"formats": {"preis": {"decimal": "dot"}}}, "formats.preis.decimal"),
        ({"formats": {"preis": {"currency": "EURO"}}}, "formats.preis.currency"),
    ]:
        assert where in app.put_json(f"{path}/formats", wrong, headers=headers, status=422).json["errors"]


def test_formats_of_a_feed_without_a_file(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    headers = {"Authorization": f"Bearer {make.key(space, Scope.ADMIN)}"}
    path = f"/v1/feeds/{app.post_json('/v1/feeds', {'name': 'Own'}, headers=headers).json['id']}"
    items = [{"key": key, "data": {"sku": key, "price": "1.234"}} for key in ("a", "b")]
    app.post_json(f"{path}/items", {"items": items}, headers=headers)
    answer = app.put_json(f"{path}/formats", {"formats": {"price": {"decimal": "comma"}}}, headers=headers)
    assert answer.json["columns"][1]["format"]["decimal"] == "comma"
    assert answer.json["key"] == ["sku"]
    with make.database.transaction(space.id) as db:
        assert db.get_one(Workspace, space.id).value_format.locale is None
        assert db.query(Feed).one().item_count == 2


def test_currency_is_asked_once_at_the_review_of_columns(user: FeedUser) -> None:
    columns = user.upload_draft("shop.csv", b"sku,price_eur\n1,50\n2,1299.5\n")
    question = "Prices in “price_eur” do not name a currency. EUR is suggested because “price_eur” says so."
    assert question in text_of(columns)
    page = user.run_jobs(user.save_columns(columns).follow())
    assert "do not name a currency" not in page.text
    assert user.make.reload(feed_of(user)).currency == "EUR"
    assert user.save_columns(columns, currency="SEK").status_int == 303
    form = user.form(page.request.path, "/settings")
    assert form["currency"].value == "SEK"
    form["currency"] = ""
    form.submit(status=303)
    assert "do not name a currency" in text_of(user.app.get(page.request.path))


def test_currency_is_asked_before_a_run_of_a_feed_that_lacks_it(user: FeedUser) -> None:
    feed = user.make.feed(user.space, data=b"sku,price\n1,50\n")
    template = user.make.template(user.space)
    new_run = f"/w/{user.space.slug}/runs/new?feed={feed.id}&template={template.id}"
    asked = user.app.get(new_run)
    assert asked.text.index('id="feed_currency"') < asked.text.index('id="plan"'), "before the button that renders"
    named = user.make.feed(user.space, data=b"sku,price\n1,50 EUR\n")
    part = user.app.get(new_run.replace(str(feed.id), str(named.id)), headers={"HX-Request": "true"})
    assert part.html.find(id="currency").attrs == {"id": "currency", "hx-swap-oob": "outerMorph"}
    assert not part.html.find(id="currency").find(), "another feed replaces the question"
    form = next(form for form in asked.forms.values() if "feed_currency" in form.fields)
    plan = user.app.post(new_run, form.submit_fields())
    assert len(plan.html.find_all(attrs={"name": "feed_currency"})) == 1, "also with the plan, without scripts"
    form["feed_currency"], form["quality"] = "CHF", "70"
    path = f"{user.feeds}/{feed.id}/currency"
    page = user.app.post(path, form.submit_fields(), status=303).follow()
    assert "do not name a currency" not in page.text
    assert page.html.find("input", id="quality")["value"] == "70", "what was chosen is kept"
    assert user.actions[-1] == "feed.currency"
    assert user.make.reload(feed).currency == "CHF"
    user.app.post(path, {"csrf_token": form["csrf_token"].value, "feed_currency": "euro"}, status=422)


def feed_of(user: FeedUser) -> Feed:
    with user.make.database.transaction(user.space.id) as db:
        return db.query(Feed).one()


def text_of(page: Any) -> str:
    return " ".join(page.html.get_text(" ", strip=True).split())
