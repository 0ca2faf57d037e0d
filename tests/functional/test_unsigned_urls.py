"""Templates that are rendered for addresses without a signature: opened by admins, bounded by address."""

import pytest
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.models import Template
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.factories import Factory, sign_in


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space: Workspace = make.workspace()
    sign_in(app, make.member(space))
    return space


def test_admin_allows_and_denies_unsigned_urls(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space)
    page = app.get(f"/w/{space.slug}/templates/{template.id}").click("Unsigned URLs")
    assert page.html.find("h2").text == "Not allowed"
    address = f"/i/{template.id}.jpg?title=x"
    app.get(address, status=403)
    form = next(form for form in page.forms.values() if "unsigned.title" in form.fields)
    form["unsigned.title"] = True
    opened = form.submit("do", value="allow", status=303).follow()
    assert opened.html.find("h2").text == "Allowed"
    assert app.get(address).content_type == "image/jpeg"
    shown = opened.html.find("pre", {"aria-label": "Unsigned URL"}).text
    assert app.get(shown.partition("/i/")[2].join(["/i/", ""])).content_type == "image/jpeg"
    assert "image" in app.get(f"{address}&image=https://elsewhere.example/x.png", status=403).json["errors"]
    form = next(form for form in opened.forms.values() if "unsigned.title" in form.fields)
    assert form["unsigned.title"].checked
    form.submit("do", value="deny", status=303)
    app.get(address, status=403)
    with make.database.transaction(space.id) as db:
        actions = list(db.scalars(select(AuditEntry.action).order_by(AuditEntry.number)))
    assert actions[-2:] == ["template.allow_unsigned", "template.deny_unsigned"]


def test_unknown_parameters_cannot_be_allowed(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space)
    page = app.get(f"/w/{space.slug}/templates/{template.id}/unsigned-urls")
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    sent = {
        "csrf_token": token,
        "do": "allow",
        "unsigned.title": "on",
        "unsigned.nothing": "on",
        "unsigned._version": "on",
    }
    app.post(f"/w/{space.slug}/templates/{template.id}/unsigned-urls", sent, status=303)
    assert make.reload(template).unsigned_parameters == ["title"]
    app.post(f"/w/{space.slug}/templates/{template.id}/unsigned-urls", sent | {"do": "nonsense"}, status=422)


@pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
def test_only_admins_change_unsigned_urls(app: TestApp, make: Factory, role: Role) -> None:
    space = make.workspace()
    template = make.template(space)
    sign_in(app, make.member(space, role))
    app.get(f"/w/{space.slug}/templates/{template.id}/unsigned-urls", status=403)
    assert "Unsigned URLs" not in app.get(f"/w/{space.slug}/templates/{template.id}").text


def test_new_renders_are_limited_per_visitor_and_cached_ones_are_not(wsgi: Router, app: TestApp, make: Factory) -> None:
    template: Template = make.template(make.workspace())
    with make.database.transaction(template.workspace_id) as db:
        db.merge(template).unsigned_parameters = ["title"]
    one, other = ({"REMOTE_ADDR": f"203.0.113.{number}"} for number in (7, 8))
    for number in range(60):
        app.get(f"/i/{template.id}.jpg?title={number}", extra_environ=one)
        app.get(f"/i/{template.id}.jpg?title=0", extra_environ=other)
    refused = app.get(f"/i/{template.id}.jpg?title=61", extra_environ=one, status=429)
    assert int(refused.headers["Retry-After"]) > 0
    app.get(f"/i/{template.id}.jpg?title=7", extra_environ=one, status=200)
    app.get(f"/i/{template.id}.jpg?title=61", extra_environ=other, status=200)
    signed = make.services.signed_urls.on_demand_image(template.workspace_id, template.id, "jpg", {"title": "62"})
    app.get(signed, extra_environ=one, status=200)
