"""Cross-site request forgery: requests without a valid token, or from another site."""

import re
from pathlib import Path

import pytest
from webtest import TestApp

from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, sign_in

TEMPLATES = Path(__file__).parent.parent.parent / "cwz_web" / "templates"
KEY = {"name": "x", "generate": "on"}


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


def token(app: TestApp) -> str:
    return str(app.get("/w").html.find("input", {"name": "csrf_token"})["value"])


def test_request_with_the_token_is_accepted(app: TestApp, space: Workspace) -> None:
    assert app.post(f"/w/{space.slug}/keys", KEY | {"csrf_token": token(app)}).status_int == 200
    assert app.post(f"/w/{space.slug}/keys", KEY, headers={"X-CSRF-Token": token(app)}).status_int == 200


@pytest.mark.parametrize("given", ["", "x", "ü", "0" * 64])
def test_request_without_the_token_is_rejected(app: TestApp, space: Workspace, given: str) -> None:
    assert app.post(f"/w/{space.slug}/keys", {"name": "x", "csrf_token": given}, status="*").status_int == 400


def test_token_of_another_session_is_rejected(app: TestApp, make: Factory, space: Workspace) -> None:
    stranger = TestApp(app.app)
    anonymous = stranger.get("/signin").forms[0]["csrf_token"].value
    sign_in(stranger, make.account())
    for foreign in (anonymous, token(stranger)):
        assert app.post(f"/w/{space.slug}/keys", {"name": "x", "csrf_token": foreign}, status="*").status_int == 400


def test_planted_visitor_cookie_is_not_a_token(app: TestApp) -> None:
    """Before sign-in, the token is derived from a cookie; the cookie alone is not the token."""
    app.set_cookie("cwz_visitor", "A" * 43)
    body = {"email": "a@example.org", "password": "x", "csrf_token": "A" * 43}
    assert app.post("/signin", body, status="*").status_int == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.test"},
        {"Origin": "https://evil.test", "Host": "evil.test"},
    ],
)
def test_cross_site_request_is_rejected_even_with_the_token(
    app: TestApp, space: Workspace, headers: dict[str, str]
) -> None:
    body = KEY | {"csrf_token": token(app)}
    assert app.post(f"/w/{space.slug}/keys", body, headers=headers, status="*").status_int == 400


def test_same_origin_request_is_accepted(app: TestApp, space: Workspace) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert app.post(f"/w/{space.slug}/keys", KEY | {"csrf_token": token(app)}, headers=headers).status_int == 200


def test_sign_in_needs_a_token(app: TestApp) -> None:
    assert app.post("/signin", {"email": "a@example.org", "password": "x"}, status="*").status_int == 400


def test_get_does_not_sign_out(app: TestApp, space: Workspace) -> None:
    assert app.get("/signout", status="*").status_int == 405
    assert app.get(f"/w/{space.slug}", status=200)


@pytest.mark.parametrize("page", ["new", "checks", "plan"])
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_token_in_a_query_is_in_no_url_of_the_page(
    app: TestApp, make: Factory, space: Workspace, page: str, headers: dict[str, str]
) -> None:
    """URLs are in logs, in the history and in referrers. Our scripts send the token in a header only."""
    feed, template, sent = make.feed(space), make.template(space), token(app)
    query = f"feed={feed.id}&template={template.id}&csrf_token={sent}"
    response = app.get(f"/w/{space.slug}/runs/{page}?{query}", headers=headers)
    assert {element.name for element in response.html.find_all(True) if sent in str(list(element.attrs.values()))} <= {
        "body",  # hx-headers
        "input",
    }
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_no_form_puts_the_token_into_a_url() -> None:
    """What `hx-get` sends, and a form with the method GET, is in the query of a URL."""
    texts = {path: path.read_text() for path in TEMPLATES.rglob("*.jinja2")}
    including = re.compile(r'<[^>]*hx-get=[^>]*hx-include="(?!{{ fields_of\()[^>]*>')
    assert {path.name: found for path, text in texts.items() if (found := including.findall(text))} == {}
    forms = re.compile(r'<form[^>]*(?:method="get"|hx-get)(?:(?!</form>).)*csrf', re.DOTALL)
    assert {path.name: found for path, text in texts.items() if (found := forms.findall(text))} == {}


def test_url_after_a_currency_has_no_token(app: TestApp, make: Factory, space: Workspace) -> None:
    feed, template, sent = make.feed(space), make.template(space), token(app)
    body = {"csrf_token": sent, "feed_currency": "EUR", "feed": str(feed.id), "template": str(template.id)}
    location = app.post(f"/w/{space.slug}/feeds/{feed.id}/currency", body, status=303).location
    assert str(template.id) in location
    assert sent not in location
