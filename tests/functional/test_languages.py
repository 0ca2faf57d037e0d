"""The language of pages: that of the account, or that of the browser."""

import json
import re

import pytest
from sqlalchemy import select
from webtest import TestApp
from webtest.response import TestResponse

from cwz_web.accounts.models import Account
from cwz_web.i18n import load_language
from cwz_web.runs.models import RunItem
from tests.factories import Factory, sign_in
from tests.mailbox import Mailbox
from tests.rendering import work

# The date of the title of each `time` element, as English, German and French write it.
DATES = {"en": r"\d+ [A-Z]\w+ \d{4},", "de": r"\d+\. [A-Z]\w+ \d{4},", "fr": r"\d+ [a-zéû]+ \d{4},"}


@pytest.fixture
def account(app: TestApp, make: Factory) -> Account:
    account = make.account()
    sign_in(app, account)
    return account


def find_account(make: Factory, email: str) -> Account:
    with make.database.transaction() as db:
        return db.scalars(select(Account).where(Account.email == email)).one()


def language_of(page: TestResponse) -> str:
    return str(page.html.html["lang"])


def choose_language(app: TestApp, tag: str) -> TestResponse:
    form = app.get("/account").forms[1]
    form["locale"].force_value(tag)
    return form.submit(status="*")


def sign_up(app: TestApp, email: str) -> None:
    form = app.get("/signup").forms[0]
    form["name"], form["email"], form["password"] = "Ada", email, "violet harbour 93 teapots"
    assert email in form.submit().text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de-AT"),
        ("de-LI", "de"),
        ("ja,fr-BE;q=0.5,en;q=0.1", "fr-BE"),
        ("en-AU,de;q=0.9", "en"),
        ("en-US", "en-US"),
        ("ja", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        (";;q=", "en"),
        ("", "en"),
    ],
)
def test_visitors_see_pages_in_the_language_of_their_browser(app: TestApp, header: str, language: str) -> None:
    page = app.get("/signin", headers={"Accept-Language": header})
    assert (language_of(page), page.html.html["dir"]) == (language, "ltr")


@pytest.mark.parametrize("header", ["de" + "-a" * 60_000, "de," * 30_000 + "de", "de;" + " " * 2000 + "q=1"])
def test_header_that_no_browser_sends_is_not_parsed(app: TestApp, header: str) -> None:
    """The first one would take seven seconds."""
    for path in ("/signin", "/nothing", "/signin/", "/v1/feeds"):
        page = app.get(path, headers={"Accept-Language": header}, status="*")
        assert page.content_type != "text/html" or language_of(page) == "en"


@pytest.mark.parametrize("tag", ["en", "de", "fr"])
def test_names_that_look_like_messages_are_shown_as_typed(app: TestApp, make: Factory, tag: str) -> None:
    name = "%(name)s 5% {target} <script>"
    workspace = make.workspace(name=name)
    template = make.template(workspace, name=name)
    sign_in(app, make.member(workspace, name=name, locale=tag))
    path = f"/w/{workspace.slug}/templates"
    form = next(form for form in app.get(f"{path}/{template.id}").forms.values() if form.action.endswith("/tags"))
    form["tags"] = name
    page = form.submit().follow()
    pages = [page, app.get(path), app.get(f"/w/{workspace.slug}/audit"), app.get(f"/w/{workspace.slug}/search?q=%25")]
    for page in pages:
        assert language_of(page) == tag
        assert "%(name)s 5% {target} &lt;script&gt;" in page.text
        assert "<script>" not in page.text
    assert name in page.html.main.text


def test_no_translation_ends_the_script_of_messages(app: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "</script><script>x()</script><!--"
    monkeypatch.setitem(load_language("de").scripts, "Copied", text)  # type: ignore[arg-type]
    page = app.get("/signin", headers={"Accept-Language": "de"})
    assert json.loads(page.html.find("script", {"data-messages": True}).text)["Copied"] == text
    assert "x()" not in [script.text for script in page.html("script")]


def test_browser_without_a_language_gets_english(app: TestApp) -> None:
    assert language_of(app.get("/signin")) == "en"


@pytest.mark.parametrize("tag", ["en", "de", "fr"])
def test_chosen_language_is_that_of_the_pages(app: TestApp, make: Factory, account: Account, tag: str) -> None:
    choose_language(app, tag).follow(status=200)
    assert find_account(make, account.email).locale == tag
    page = app.get("/account")
    assert language_of(page) == tag
    assert page.forms[1]["locale"].value == tag
    assert re.match(DATES[tag], page.html.time["title"])
    assert json.loads(app.get("/account/export").text)["account"]["locale"] == tag


def test_language_names_itself(app: TestApp, account: Account) -> None:
    options = {
        option["value"]: (option.get("lang"), option.text.strip()) for option in app.get("/account").html("option")
    }
    assert options["fr-CA"] == ("fr-CA", "français (Canada)")
    assert options["de"] == ("de", "Deutsch")


@pytest.mark.parametrize("tag", ["ja", "de_AT", "DE", "de'"])
def test_unknown_language_is_refused(app: TestApp, make: Factory, account: Account, tag: str) -> None:
    page = choose_language(app, tag)
    assert page.status_int == 422
    assert page.html.find(id="locale-error").text == "Choose an option"
    assert find_account(make, account.email).locale is None


def test_rejected_form_keeps_the_chosen_language(app: TestApp, make: Factory, account: Account) -> None:
    form = app.get("/account").forms[1]
    form["name"], form["locale"] = "", "fr"
    page = form.submit(status=422)
    assert page.forms[1]["locale"].value == "fr"
    assert find_account(make, account.email).locale is None


def test_language_of_the_account_wins_over_that_of_the_browser(app: TestApp, account: Account) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    assert language_of(app.get("/account")) == "de"
    page = choose_language(app, "fr-CH").follow()
    assert language_of(page) == "fr-CH"
    assert language_of(app.get("/w")) == "fr-CH"
    assert language_of(app.get("/security")) == "fr-CH", "also on public pages"
    assert language_of(choose_language(app, "").follow()) == "de", "the browser's again"


@pytest.mark.parametrize(("header", "locale"), [("fr-CA,fr;q=0.9", "fr-CA"), ("en", "en"), ("ja", None), ("", None)])
def test_sign_up_stores_the_language_of_the_browser(
    app: TestApp, make: Factory, mailbox: Mailbox, header: str, locale: str | None
) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = header
    sign_up(app, "ada@example.org")
    assert find_account(make, "ada@example.org").locale == locale
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    app.get(mailbox.link("ada@example.org")).forms[0].submit(status=303)
    assert find_account(make, "ada@example.org").locale == locale
    assert language_of(app.get("/account")) == (locale or "de")


def test_sign_up_changes_only_the_language_of_an_unverified_account(app: TestApp, make: Factory) -> None:
    known = make.account(email="ada@example.org", locale="de")
    unverified = make.account(email="bob@example.org", locale="de", verified_at=None)
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "fr"
    for account in (known, unverified):
        sign_up(app, account.email)
    assert find_account(make, known.email).locale == "de"
    assert find_account(make, unverified.email).locale == "fr"


def test_public_pages_write_dates_and_figures_as_the_language_does(app: TestApp) -> None:
    pages = {tag: app.get("/", headers={"Accept-Language": tag}).html.find("main").text for tag in ("en", "de", "fr")}
    assert {tag for tag, text in pages.items() if re.search(r"\d,\d ms", text)} == {"de", "fr"}
    assert {tag for tag, text in pages.items() if re.search(r"\d\. [A-Z]\w+ \d{4}", text)} == {"de"}
    assert {tag for tag, text in pages.items() if re.search(r"\d\.\d ms", text)} == {"en"}


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("/changelog", "h1 + [lang=en]"),
        ("/security", "h2[lang=en] + .claims summary[lang=en]"),
        ("/security", "h2[lang=en] + ul[lang=en]"),
        ("/docs", "main[lang=en]"),
        ("/docs/api", "main[lang=en]"),
        ("/", ".starter-wall p[lang=en]"),
    ],
)
def test_contents_in_english_say_so(app: TestApp, path: str, selector: str) -> None:
    page = app.get(path, headers={"Accept-Language": "de"})
    assert language_of(page) == "de"
    assert page.html.select(selector)


@pytest.mark.parametrize("path", ["nothing", "feeds/00000000-0000-7000-8000-000000000000", "members/unknown"])
def test_missing_page_of_a_workspace_is_in_the_locale_of_the_account(app: TestApp, make: Factory, path: str) -> None:
    space = make.workspace()
    sign_in(app, make.member(space, locale="de"))
    page = app.get(f"/w/{space.slug}/{path}", headers={"Accept-Language": "fr"}, status=404)
    assert language_of(page) == "de"


@pytest.mark.parametrize(
    ("tag", "finding", "filtered"),
    [
        ("de", "Image hat kein Bild: Der Wert ist ein Pfad ohne Host.", "Image hat kein Bild"),
        ("en", "Image has no image: the value is a path without a host.", "Image has no image"),
    ],
)
def test_findings_of_a_run_are_in_the_language_of_the_reader(
    app: TestApp, make: Factory, tag: str, finding: str, filtered: str
) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title,photo\n1,One,/photos/1.jpg\n")
    run = work(make, make.run(feed, make.template(space), {"title": "title", "image": "photo"}), last_try=True)
    with make.database.transaction(space.id) as db:
        [[stored]] = db.scalars(select(RunItem.findings))
    assert stored["message"].startswith("has no image: the value is a path without a host.")
    sign_in(app, make.member(space, locale=tag))
    path = f"/w/{space.slug}/runs/{run.id}"
    page = app.get(f"{path}?tab=findings")
    assert finding in page.html.main.get_text(" ", strip=True)
    assert filtered in page.click(href="code=photo_missing").html.find(class_="chips").text
    assert finding in app.get(f"/w/{space.slug}/feeds/{feed.id}/row?key=1").html.main.get_text(" ", strip=True)


def test_import_is_explained_in_the_language_of_the_reader(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"# shop\nsku,title\n" + b"".join(b"%d,One\n" % number for number in range(1500)))
    assert make.reload(feed).notes == ["1 line above the header was skipped"]
    sign_in(app, make.member(space, locale="de"))
    path = f"/w/{space.slug}/feeds/{feed.id}"
    assert "1 Zeile über der Kopfzeile wurde übersprungen" in app.get(path).html.find(class_="notes").text
    make.import_to_review(feed)
    text = app.get(path).html.find(class_="problem").text
    assert "Der Import würde 1.499 von 1.500 Zeilen entfernen, mehr als 50 %." in text
