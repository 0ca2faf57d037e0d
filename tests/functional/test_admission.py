"""Senders of large bodies: an API key of a workspace, a member's session, or a render worker; no other client."""

from pyramid.router import Router
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.runs.protocol import sign
from cwz_web.web.admission import BodyAdmission, RequestHead, find_sender
from cwz_web.web.services import Services
from tests.factories import Factory, sign_in


def head(path: str, **headers: str) -> RequestHead:
    return RequestHead("POST", path, headers)


def test_api_key(wsgi: Router, make: Factory) -> None:
    space = make.workspace()
    bearer = f"Bearer {make.key(space)}"
    for path in ("/v1/feeds/1/imports", "/v1/images", "/v1"):
        assert find_sender(wsgi.registry, head(path, AUTHORIZATION=bearer)) == str(space.id)
    for headers in ({}, {"AUTHORIZATION": bearer[:-1]}, {"AUTHORIZATION": "Basic x"}, {"COOKIE": bearer}):
        assert find_sender(wsgi.registry, head("/v1/feeds/1/imports", **headers)) is None
    for path in ("/w/demo/feeds/new", "/i/x.png", "/hooks/stripe", "/signin", "/v1x", "/v1/../signin"):
        found = find_sender(wsgi.registry, head(path, AUTHORIZATION=bearer))
        assert found == (str(space.id) if path.startswith("/v1/") else None)


def test_session(app: TestApp, wsgi: Router, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    member = make.member(space)
    sign_in(app, member)
    cookie = f"cwz_session={app.cookies['cwz_session']}"
    assert find_sender(wsgi.registry, head(f"/w/{space.slug}/feeds/new", COOKIE=cookie)) == str(space.id)
    assert find_sender(wsgi.registry, head("/account", COOKIE=cookie)) == str(member.id)
    for path in (f"/w/{other.slug}/feeds/new", "/w/../feeds/new", "/w", "/v1/images", "/hooks/stripe"):
        assert find_sender(wsgi.registry, head(path, COOKIE=cookie)) is None, path
    for forged in (cookie[:-3], "cwz_session=x", "cwz_visitor=" + "a" * 43, ""):
        assert find_sender(wsgi.registry, head(f"/w/{space.slug}/feeds/new", COOKIE=forged)) is None
    with make.database.transaction() as db:
        end_all_sessions(db, db.get_one(Account, member.id))
    assert find_sender(wsgi.registry, head(f"/w/{space.slug}/feeds/new", COOKIE=cookie)) is None


def test_render_worker(wsgi: Router, services: Services) -> None:
    """Its messages have up to 16 MB where the storage cannot presign URLs."""
    secret = services.settings.secrets.render.get_secret_value()
    signed = {name.upper().replace("-", "_"): value for name, value in sign(secret, "{}").items()}
    assert find_sender(wsgi.registry, head("/hooks/render", **signed)) == signed["WEBHOOK_ID"]
    assert find_sender(wsgi.registry, head("/hooks/stripe", **signed)) is None
    for name in signed:
        if name != "WEBHOOK_SIGNATURE":  # of the body, which is checked later
            changed = signed | {name: signed[name][:-2] + "xx"}
            assert find_sender(wsgi.registry, head("/hooks/render", **changed)) is None
            left_out = {other: value for other, value in signed.items() if other != name}
            assert find_sender(wsgi.registry, head("/hooks/render", **left_out)) is None
    forged = sign(secret + "x", "{}")
    assert find_sender(wsgi.registry, head("/hooks/render", **forged)) is None


def test_lookup_runs_in_another_thread(wsgi: Router, make: Factory) -> None:
    admission = BodyAdmission(wsgi.registry)
    space = make.workspace()
    bearer = f"Bearer {make.key(space)}"
    assert admission.submit(head("/v1/images", AUTHORIZATION=bearer)).result() == str(space.id)
