"""A database that stops: every page and API request gets an error response of ours, and recovers with the database."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr
from webob import Request
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import migrate
from cwz_web.web.services import Services
from tests.conftest import change_settings, url_of
from tests.factories import PASSWORDS, Factory, sign_in
from tests.functional.test_access import SampleWorkspace, all_pages
from tests.functional.test_paths import send


class Site(NamedTuple):
    """An application with a database of its own."""

    server: EmbeddedPostgres
    services: Services
    app: TestApp


@pytest.fixture
def site(shared_services: Services, tmp_path: Path) -> Iterator[Site]:
    server = EmbeddedPostgres(tmp_path / "pg")
    server.start()
    owner, app, render = (url_of(server, role, "cwz") for role in ("cwz_owner", "cwz_app", "cwz_render"))
    migrate(owner, app, render)
    settings = change_settings(shared_services.settings, {"database.url": SecretStr(app)})
    services = dataclasses.replace(Services.start(settings), passwords=PASSWORDS)
    yield Site(server, services, TestApp(create_app(services)))
    services.close()
    server.stop()


def test_pages_say_that_the_database_is_unavailable(site: Site) -> None:
    make = Factory(site.services)
    sample = SampleWorkspace(make)
    sign_in(site.app, make.member(sample.space))
    cookie = "; ".join(f"{name}={value}" for name, value in site.app.cookies.items())
    bearer = f"Bearer {make.key(sample.space)}"
    pages = all_pages(site.app.app)
    site.server.stop()
    statuses = {}
    for page in pages:
        path = sample.path(page).partition("?")[0]
        response = send(site.app, page.method, path, HTTP_COOKIE=cookie, HTTP_AUTHORIZATION=bearer)
        statuses[page] = response.status_int
        assert response.headers["Content-Security-Policy"], page
        assert response.headers["X-Request-Id"], page
        if response.status_int == 503:
            assert response.headers["Retry-After"] == "30", page
            assert "The database is unavailable" in response.text, page
    assert not {
        page: status for page, status in statuses.items() if status not in (200, 204, 303, 400, 401, 403, 404, 422, 503)
    }
    assert len([status for status in statuses.values() if status == 503]) > len(pages) / 2
    assert site.app.get("/healthz").json == {"status": "ok"}
    assert Request.blank("/nothing").get_response(site.app.app).status_int == 404
    site.server.start()
    assert site.app.get(f"/w/{sample.space.slug}").status_int == 200
