"""Response headers, invalid requests and error pages."""

import re
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from webob import Request
from webtest import TestApp

from cwz_web.imaging.encoders import Format
from cwz_web.web.headers import NON_PAGE_CSP
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Role
from tests.factories import Factory, record_queries, sign_in


def test_page_has_security_headers(app: TestApp) -> None:
    page = app.get("/signin")
    policy = page.headers["Content-Security-Policy"]
    [nonce] = re.findall(r"'nonce-([^']+)'", policy)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "private, no-store"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page.headers["X-Request-Id"].startswith("req_")
    for script in page.html.find_all("script"):
        assert script["nonce"] == nonce
        assert script["src"]
        assert not script.text
    assert page.html.body["hx-nonce"] == nonce
    assert not page.html.find_all(style=True)
    assert not page.html.find_all("style")


def test_each_response_has_its_own_nonce(app: TestApp) -> None:
    assert (
        app.get("/signin").headers["Content-Security-Policy"] != app.get("/signin").headers["Content-Security-Policy"]
    )


def test_error_response_has_security_headers(app: TestApp) -> None:
    for path in ("/nothing-here", "/v1/nothing-here"):
        answer = app.get(path, status="*")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Request-Id"]


def policies(app: TestApp, make: Factory) -> list[str]:
    """Return the Content-Security-Policy of a response of each kind."""
    template = make.template(make.workspace())
    url = make.services.signed_urls.on_demand_image(template.workspace_id, template.id, Format.PNG, {})
    paths = ["/", "/signin", "/nothing", "/v1/feeds", "/healthz", "/docs/api", "/favicon.ico", "/v1/openapi.json", url]
    return [app.get(path, status="*").headers["Content-Security-Policy"] for path in paths] + [NON_PAGE_CSP]


def test_no_policy_allows_a_base_or_frames(app: TestApp, make: Factory) -> None:
    for policy in policies(app, make):
        for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "):
            assert directive in policy


@pytest.mark.parametrize("path", ["/verify", "/reset", "/email", "/invitation", "/unsubscribe", "/nothing", "/signin"])
def test_page_with_a_token_sends_no_referrer(app: TestApp, path: str) -> None:
    assert app.get(f"{path}?token={'a' * 64}", status="*").headers["Referrer-Policy"] == "no-referrer"
    assert app.get(f"{path}?a=1", status="*").headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 422), ("cross-site", 400), ("same-site", 400), (None, 400)]
)
def test_form_without_origin_is_accepted_from_our_pages_only(app: TestApp, site: str | None, status: int) -> None:
    """A page without referrer sends `Origin: null`."""
    token = app.get("/signin").forms[0]["csrf_token"].value
    headers = {"Origin": "null"} | ({"Sec-Fetch-Site": site} if site else {})
    app.post(
        "/signin", {"csrf_token": token, "email": "a@example.org", "password": "x"}, headers=headers, status=status
    )


def test_sign_out_clears_what_the_browser_keeps(app: TestApp, make: Factory) -> None:
    sign_in(app, make.account())
    form = next(form for form in app.get("/account").forms.values() if form.action.endswith("/signout"))
    answer = form.submit(status=303)
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "Clear-Site-Data" not in app.get("/signin").headers


def test_page_of_a_workspace_is_not_cached(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    assert app.get(f"/w/{space.slug}").headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["/%ff", "/w/%c3%28", "/signin?next=%ff", "/signin?%ff=1", "/w/%00", "/signin?a=%00"])
def test_invalid_utf8_in_the_url_is_rejected(app: TestApp, path: str) -> None:
    answer = Request.blank(path).get_response(app.app)  # WebTest's cookie jar fails for such a path
    assert answer.status_int == 400
    assert "include this request ID" in answer.text


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO"])
def test_unknown_method_is_rejected(app: TestApp, method: str) -> None:
    assert TestApp(app.app, lint=False).request("/signin", method=method, status="*").status_int == 405


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test", "localhost:81", "localhost@evil.test"])
def test_foreign_host_is_rejected_and_not_repeated(app: TestApp, host: str) -> None:
    answer = app.get("/w/demo", headers={"Host": host}, status="*")
    assert answer.status_int == 400
    assert "evil" not in str(answer.headers) + answer.text
    assert app.get("/healthz", headers={"Host": "10.0.0.7:8080"}).status_int == 200


def test_unknown_page_is_not_found(app: TestApp) -> None:
    page = app.get("/nothing", status=404)
    assert "Page not found" in page.text
    assert page.html.find("a", href="/")
    assert "Check the URL" in page.html.find("main").text


def test_missing_page_offers_to_sign_in(app: TestApp, make: Factory) -> None:
    sign_in_link = app.get("/nothing?x=1", status=404).html.main.find("a", string="Sign in")
    assert sign_in_link["href"] == "/signin?next=%2Fnothing%3Fx%3D1"
    sign_in(app, make.account())
    assert app.get("/nothing", status=404).html.main.find("a", string="Sign in") is None


def navigation(page: Any) -> dict[str, str]:
    """The links of an error page's navigation."""
    return {link.text: link["href"] for link in page.html.find("header").find("nav").find_all("a")}


def test_error_in_a_workspace_has_its_navigation(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    home = f"/w/{space.slug}"
    for path, status in ((f"{home}/nothing", 404), (f"{home}/members/nothing", 404), (f"{home}/settings", 403)):
        links = navigation(app.get(path, status=status))
        assert links[space.name] == home
        assert links["Templates"] == f"{home}/templates"


def test_error_page_does_not_reveal_workspaces_of_others(app: TestApp, make: Factory) -> None:
    own, foreign = make.workspace(), make.workspace()
    sign_in(app, make.member(own))
    pages = [app.get(path, status=404) for path in (f"/w/{foreign.slug}", f"/w/{foreign.slug}/feeds", "/w/no-such-one")]
    assert all(foreign.name not in page.text for page in pages)
    assert navigation(pages[0]) == navigation(pages[1]) == navigation(pages[2])
    assert navigation(pages[0])[own.name] == f"/w/{own.slug}"


def test_internal_error_reveals_no_detail(app: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("cwz_web.views.sign_in.empty_form", fail)
    page = app.get("/signin", status=500)
    assert "secret detail" not in page.text
    assert "Traceback" not in page.text
    assert page.headers["X-Request-Id"] in page.text


@pytest.mark.parametrize("path", ["/signin", "/v1/feeds", "/nothing"])
@pytest.mark.parametrize(("error", "status"), [(OperationalError("SELECT 1", {}, Exception()), 503), (KeyError(), 500)])
def test_failing_error_page_is_replaced_by_a_static_one(
    app: TestApp, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("cwz_web.views.sign_in.empty_form", fail)
    monkeypatch.setattr("cwz_web.views.errors._error_response", fail)
    monkeypatch.setattr("cwz_web.views.errors.problem_response", fail)
    answer = app.get(path, status=status)
    assert answer.headers.get("Retry-After") == ("30" if status == 503 else None)
    assert answer.headers["X-Request-Id"] in answer.text
    for name in ("Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"):
        assert answer.headers[name]
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_error_page_asks_neither_database_nor_session(app: TestApp, make: Factory, services: Services) -> None:
    sign_in(app, make.account())
    with record_queries(services.database) as queries:
        page = app.get("/nothing", status=404)
    assert queries == []
    assert not page.html.find("input", {"name": "csrf_token"})
    assert "X-CSRF-Token" not in page.text
    assert TestApp(app.app).get("/nothing", status=404).headers.get("Set-Cookie") is None


def test_unavailable_database_is_reported(app: TestApp, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("password=hidden connection refused"))

    monkeypatch.setattr(services.database.engine.pool, "connect", fail)
    page = app.get("/readyz", status=503)
    assert page.headers["Retry-After"] == "30"
    assert "password=hidden" not in page.text
    assert app.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"email=x"),
        ("multipart/form-data; boundary=", b"--x"),
        ("application/x-www-form-urlencoded", b"email=%ff"),
        ("application/x-www-form-urlencoded", b"email=\xff&\xff=1"),
        ("application/x-www-form-urlencoded", b"csrf_token=%00"),
        ("application/json", b"{}"),
        ("text/plain", b"email=x"),
    ],
)
def test_invalid_form_gets_an_error_page(app: TestApp, content_type: str, body: bytes) -> None:
    app.get("/signin")
    assert app.post("/signin", body, content_type=content_type, status=400).html.h1 is not None


def test_cookie_is_found_among_invalid_ones(app: TestApp) -> None:
    """WebOb would parse half a megabyte without a cookie for an hour."""
    ours, other = "cwz_visitor=" + "a" * 43, "%41" * 170_000
    for sent in (ours, f"{other}; {ours}", f"{ours};{other}", f'cwz_visitor="{other}; {ours} ;a=b', f"\xff=1;{ours}"):
        page = Request.blank("/signin", {"HTTP_COOKIE": sent}).get_response(app.app)  # WebTest parses cookies, too
        assert (page.status_code, page.headers.get("Set-Cookie")) == (200, None)
    for sent in ("", other, f'cwz_visitor="{"a" * 43}"', f"cwz_visitor {ours}", ours + "\xe9"):
        page = Request.blank("/signin", {"HTTP_COOKIE": sent}).get_response(app.app)
        assert page.headers["Set-Cookie"].startswith("cwz_visitor=")


def test_form_with_too_many_fields_gets_an_error_page(app: TestApp) -> None:
    page = app.post("/signin", b"a=1&" * 10_001, {"Content-Type": "application/x-www-form-urlencoded"}, status=400)
    assert page.html.h1.text == "The form has too many fields, or field names that are too long"


@pytest.mark.usefixtures("bracketed_german")
def test_errors_are_in_the_language_of_the_browser(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = {"Accept-Language": "de"}
    form = {"Content-Type": "application/x-www-form-urlencoded", **german}
    before_views = app.post("/signin", b"a=1&" * 10_001, form, status=400)
    assert before_views.html.h1.text == "[The form has too many fields, or field names that are too long]"
    missing = app.get("/nothing", headers=german, status=404)
    assert missing.html.h1.text == "[Page not found]"
    assert "[Check the URL." in missing.text
    problem = app.get("/v1/templates", headers=german, status=401)
    assert problem.json["detail"].startswith("Send an API key")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("cwz_web.views.errors.render_to_response", fail)
    last_resort = app.get("/nothing", headers=german, status=500)
    assert (last_resort.html.html["lang"], last_resort.html.h1.text) == (
        "de",
        "[Something went wrong. The error was recorded]",
    )


def test_unknown_form_field_is_rejected(app: TestApp) -> None:
    form = app.get("/signup").forms[0]
    fields = dict(form.submit_fields()) | {"name": "Ada", "email": "ada@example.org", "verified_at": "2026-01-01"}
    assert "Unknown form field: verified_at" in app.post("/signup", fields, status=400).text


FAILING = """
import structlog
from cwz_web.logs import configure_logs
configure_logs(development=%s)
def fail(secret):
    raise ValueError("the message")
try:
    fail("canary" + "-5512")
except ValueError:
    structlog.get_logger().exception("request failed")
"""


@pytest.mark.parametrize("development", [True, False])
def test_a_traceback_in_the_log_shows_no_variable(development: bool) -> None:
    done = subprocess.run([sys.executable, "-c", FAILING % development], capture_output=True, text=True, check=True)
    assert ("the message" in done.stderr) == development
    assert "ValueError" in done.stderr
    assert "canary-5512" not in done.stderr


def test_healthz(app: TestApp) -> None:
    assert app.get("/healthz").json == {"status": "ok"}


def test_static_files_are_served_under_the_release(app: TestApp) -> None:
    page = app.get("/signin")
    for path in [link["href"] for link in page.html.find_all("link")] + [
        script["src"] for script in page.html.find_all("script")
    ]:
        assert app.get(path).status_int == 200
        assert re.match(r"/static/\d+\.\d+\.\d+/", path)
    assert app.get("/static/../settings.py", status="*").status_int == 404
    assert app.get(f"{page.html.find('script')['src']}/../../../package.json", status="*").status_int == 404
