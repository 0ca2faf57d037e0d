"""Paths: each has one meaning for proxies, traversal and prefix checks, and none is answered with a server error.

The paths are the URL of every view, from Pyramid's registry, changed in every way below.
"""

from urllib.parse import unquote_to_bytes

import pytest
from pyramid.router import Router
from webob import Request, Response
from webtest import TestApp

from cwz_web.resources.application import Root
from cwz_web.resources.base import Area, Resource, area_of, find_area
from cwz_web.web import request as request_module
from cwz_web.web.request_validation import METHODS
from tests.factories import Factory, sign_in
from tests.functional.test_access import SampleWorkspace, all_pages

# Between two segments of a path: what proxies and traversal read in two ways.
AMBIGUOUS = ["//", "/./", "/../", "/%2e/", "/%2E%2e/", "/%252e%252e/", "/%2f/", "/%2f..%2f", "/..%2f", "/x/../"]
UNUSUAL = ["/%00/", "/%ff/", "/%c0%ae%c0%ae/", "/%ed%a0%80/", "/%0d%0aX:1/", "/\\..\\/", "/@@", "/;a=b/", "/*/", "/'/"]
AT_THE_END = ["//", "/.", "/..", "/%2e%2e", "/%2f", "/./", "/../"]


@pytest.fixture(scope="module")
def wsgi(wsgi_paid: Router) -> Router:
    """With billing, so its pages exist."""
    return wsgi_paid


@pytest.fixture
def paths(wsgi: Router, make: Factory) -> list[str]:
    """The path of every view, of a static file, and of files that do not exist."""
    sample = SampleWorkspace(make)
    views = {sample.path(page).partition("?")[0] for page in all_pages(wsgi)}
    return sorted(views | {"/static/1/app/app.js", "/robots.txt", "/nothing"})


def send(app: TestApp, method: str, path: str, **environ: str) -> Response:
    """Send a path as it is: WebTest would normalize it."""
    request = Request.blank("/", method=method, environ=environ)
    request.environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")  # as waitress does
    return request.get_response(app.app)


def changed(paths: list[str], inside: list[str], at_the_end: list[str]) -> list[str]:
    """Return every path with a change at its end, and at its first and its last slash; all changes occur."""
    found = []
    for number, path in enumerate(path for path in paths if path != "/"):
        found.append(inside[number % len(inside)].join(path.split("/", 1)))
        found.append(inside[(number + 1) % len(inside)].join(path.rsplit("/", 1)))
        found.append(path + at_the_end[number % len(at_the_end)])
    return sorted(set(found))


def test_ambiguous_paths_lead_nowhere(app: TestApp, paths: list[str]) -> None:
    hostile = changed(paths, AMBIGUOUS, AT_THE_END)
    assert len(hostile) > 400
    for path in hostile:
        response = send(app, "GET", path)
        assert response.status_int == (401 if path.startswith("/v1/") else 404), path
        assert response.headers["Content-Security-Policy"]


@pytest.mark.slow
def test_paths_and_methods_cause_no_server_error(app: TestApp, make: Factory, paths: list[str]) -> None:
    sign_in(app, make.account())
    cookie = "; ".join(f"{name}={value}" for name, value in app.cookies.items())
    unusual = changed(paths, UNUSUAL, ["/", "/more", ".json", "/%ff", "/%00"])
    methods = sorted(METHODS - {"GET"})
    # Ambiguous paths are refused before anything depends on them, so that a quarter is enough: each change occurs.
    for number, path in enumerate([*unusual, *changed(paths, AMBIGUOUS, AT_THE_END)[::4]]):
        method = "GET" if number % 2 else methods[number // 2 % len(methods)]
        assert send(app, method, path, HTTP_COOKIE=cookie).status_int < 500, f"{method} {path}"


@pytest.mark.slow
def test_prefix_and_resource_agree(app: TestApp, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a resource is looked up, its area is known by the path: the two cannot differ."""
    areas = {}

    def record(resource: Resource) -> Area:
        areas[resource.request.raw_path] = area_of(resource)
        return areas[resource.request.raw_path]

    monkeypatch.setattr(request_module, "area_of", record)
    for path in {*paths, *changed(paths, UNUSUAL, ["/more"])}:
        send(app, "GET", path)
    assert len(areas) > 300
    assert {path: find_area(Root, path) for path in areas} == areas


@pytest.mark.parametrize("path", ["/signin/", "/w/", "/w/demo/", "/docs/api/?x=1", "/%5Cevil/"])
def test_page_with_a_slash_at_its_end_redirects(app: TestApp, path: str) -> None:
    path, _, query = path.partition("?")
    response = send(app, "GET", path, QUERY_STRING=query)
    target = path.removesuffix("/") + (f"?{query}" if query else "")
    assert (response.status_int, response.headers["Location"]) == (308, f"http://localhost{target}")
    assert send(app, "POST", path).status_int == 404


@pytest.mark.parametrize("path", ["/robots.txt/", "/favicon.ico/", "/i/x.png/", "/v1/feeds/", "/static/1/app/app.js/"])
def test_files_and_the_api_have_no_slash_at_their_end(app: TestApp, path: str) -> None:
    assert send(app, "GET", path).status_int == (401 if path.startswith("/v1/") else 404)


def test_view_selector_is_an_ordinary_segment(app: TestApp) -> None:
    assert send(app, "GET", "/@@signup").status_int == 404
