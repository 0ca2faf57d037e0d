"""Cross-site request forgery: requests without a valid token, or from another site."""

import pytest
from webtest import TestApp

from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, sign_in

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
