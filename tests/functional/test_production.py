"""Production: cookies for this host over TLS only, HSTS, no development pages."""

import dataclasses

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.web.services import Services
from tests.conftest import change_settings
from tests.factories import Factory, sign_in_with_form

URL = "https://images.example.org"


@pytest.fixture(scope="module")
def wsgi(shared_services: Services) -> Router:
    settings = change_settings(
        shared_services.settings, {"environment": "production", "url": URL, "mail.transport": "smtp"}
    )
    return create_app(dataclasses.replace(shared_services, settings=settings))


@pytest.fixture
def app(wsgi: Router, services: Services) -> TestApp:
    return TestApp(wsgi, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "images.example.org"})


def test_session_cookie_is_bound_to_host_and_tls(app: TestApp, make: Factory) -> None:
    form = app.get("/signin").forms[0]
    account = make.account()
    form["email"], form["password"] = account.email, "correct horse battery staple"
    answer = form.submit(status=303)
    [session] = [
        c for c in answer.headers.getall("Set-Cookie") if c.startswith("__Host-cwz_session=") and "Max-Age=0" not in c
    ]
    for part in ("secure", "httponly", "samesite=lax", "path=/"):
        assert part in session.lower()
    assert "domain" not in session.lower()
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")


def test_session_cookie_signs_in(app: TestApp, make: Factory) -> None:
    sign_in_with_form(app, make.account())
    assert app.get("/account").status_int == 200


def test_development_pages_do_not_exist(app: TestApp) -> None:
    for name in ("mail", "components", "states.css"):
        app.get(f"/dev/{name}", status=404)
    assert "demo" not in app.get("/signin").text.lower()


@pytest.mark.parametrize("path", ["/signin?next=%2Fw", "/nothing", "/w/demo", "/%5Cevil.test"])
def test_http_is_redirected(app: TestApp, path: str) -> None:
    page = app.get(path, extra_environ={"wsgi.url_scheme": "http"}, status=308)
    assert page.location == URL + path
    assert page.headers["Strict-Transport-Security"]
    app.post("/signin", {"email": "a"}, extra_environ={"wsgi.url_scheme": "http"}, status=400)
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("path", ["/v1/feeds", "/i/x.png", "/hooks/stripe"])
def test_api_over_http_is_rejected(app: TestApp, path: str) -> None:
    answer = app.get(path, extra_environ={"wsgi.url_scheme": "http"}, status=400)
    assert answer.json["detail"] == "Use https"


def test_health_checks_need_no_https(app: TestApp) -> None:
    app.get("/healthz", extra_environ={"wsgi.url_scheme": "http"}, status=200)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:6543", "evil.test", "images.example.org.evil.test"])
def test_foreign_host_is_rejected(app: TestApp, host: str) -> None:
    app.get("/signin", extra_environ={"HTTP_HOST": host}, status=400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "http://images.example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_cross_site_form_is_rejected(app: TestApp, headers: dict[str, str]) -> None:
    token = app.get("/signin").forms[0]["csrf_token"].value
    app.post("/signin", {"csrf_token": token, "email": "a@example.org", "password": "x"}, headers=headers, status=400)
    same_origin = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    app.post(
        "/signin", {"csrf_token": token, "email": "a@example.org", "password": "x"}, headers=same_origin, status=422
    )
