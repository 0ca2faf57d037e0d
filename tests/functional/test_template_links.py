"""Read-only links of templates: what they show without an account, how they end, and what they do not disclose."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from webtest import TestApp

from cwz_web.generation import template_links
from cwz_web.generation.drafts import save_draft
from cwz_web.generation.models import Template, TemplateLink
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.web.slow_requests import MAX_SHARED_IMAGES, MAX_SHARED_IMAGES_PER_NETWORK
from cwz_web.workspaces.deletion import tombstone_workspace
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.factories import Factory, sign_in, small_document


class Shared:
    """A template, a member who shares it, and a stranger with a browser of their own."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make, self.stranger = app, make, TestApp(app.app)
        self.space = make.workspace()
        document = small_document(sizes=[{"name": "story", "width": 90, "height": 160}])
        self.template = make.template(self.space, document=document)
        sign_in(app, make.member(self.space, Role.USER))
        self.here = f"/w/{self.space.slug}/templates/{self.template.id}"

    def post(self, path: str, status: int, **fields: str) -> Any:
        token = self.app.get(f"{self.here}/links").html.find("input", {"name": "csrf_token"})["value"]
        return self.app.post(f"{self.here}/{path}", {"csrf_token": token, **fields}, status=status)

    def create(self, **fields: str) -> str:
        """Create a link and return its path."""
        url = self.post("links", 200, **fields).html.find("code").text
        return str(url).removeprefix(self.make.services.settings.url)

    def links(self) -> list[TemplateLink]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(TemplateLink)))


@pytest.fixture
def shared(app: TestApp, make: Factory) -> Shared:
    return Shared(app, make)


def images(page: Any) -> list[str]:
    return [image["src"] for image in page.html.select(".shared img")]


@pytest.mark.usefixtures("bracketed_german")
def test_page_is_translated_and_the_sample_is_stored_in_english(shared: Shared) -> None:
    shared.app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    shared.create()
    page = shared.app.get(f"{shared.here}/links")
    assert page.html.find("td").text == "[Default values]"
    [link] = shared.links()
    assert link.sample == "Default values"
    assert 'aria-label="[Revoke link 1, [Default values]]"' in page.text


def test_link_shows_all_sizes_without_an_account_and_nothing_else(shared: Shared) -> None:
    path = shared.create()
    page = shared.stranger.get(path)
    assert page.html.h1.text == "Card"
    assert len(images(page)) == 2
    for source in images(page):
        image = shared.stranger.get(source)
        assert image.content_type == "image/jpeg"
        assert image.headers["Cache-Control"] == "private, no-store"
    assert shared.space.name not in page.text
    assert shared.space.slug not in page.text
    assert str(shared.template.id) not in page.text
    assert "Set-Cookie" not in page.headers


def test_headers_keep_link_out_of_caches_search_engines_frames_and_referrers(shared: Shared) -> None:
    path = shared.create()
    page = shared.stranger.get(path)
    for response in (page, shared.stranger.get(images(page)[0])):
        assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "ETag" not in response.headers
    assert page.html.find("meta", {"name": "robots"})["content"] == "noindex, nofollow"


def test_token_is_stored_as_digest_and_shown_once(shared: Shared) -> None:
    token = shared.create().partition("token=")[2]
    [link] = shared.links()
    assert len(token) == 64
    assert token not in str(vars(link))
    assert token not in shared.app.get(f"{shared.here}/links").text


def test_draft_link_follows_the_draft_and_version_link_does_not(shared: Shared) -> None:
    draft, fixed = shared.create(), shared.create(version="1")
    before = [shared.stranger.get(images(shared.stranger.get(path))[0]).body for path in (draft, fixed)]
    changed = small_document()
    changed["canvas"]["background"] = "#123456"
    with shared.make.database.transaction(shared.space.id) as db:
        template = db.get_one(Template, (shared.space.id, shared.template.id))
        save_draft(db, template, ImageTemplate.model_validate(changed), "background")
    after = [shared.stranger.get(images(shared.stranger.get(path))[0]).body for path in (draft, fixed)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_link_keeps_the_row_as_it_was(shared: Shared) -> None:
    feed = shared.make.feed(shared.space, b"sku,title\n1,First product\n2,Second product\n")
    shared.create(feed=str(feed.id), row="2")
    [link] = shared.links()
    assert link.sample == f"Row 2 of {feed.name}"
    assert link.values["title"] == "Second product"


@pytest.mark.parametrize("token", ["", "0" * 64, "x", "%00", "%27%20OR%201=1--", "A" * 5000])
def test_unknown_tokens_are_not_found(shared: Shared, token: str) -> None:
    shared.create()
    assert "Card" not in shared.stranger.get(f"/shared?token={token}", status=[400, 404]).text
    shared.stranger.get(f"/shared-image?token={token}", status=[400, 404])


def test_digest_of_a_token_is_no_token(shared: Shared) -> None:
    shared.create()
    [link] = shared.links()
    shared.stranger.get(f"/shared?token={link.digest}", status=404)


def test_expired_link_is_not_found_and_makes_room(shared: Shared) -> None:
    path = shared.create()
    source = images(shared.stranger.get(path))[0]
    with shared.make.database.transaction(shared.space.id) as db:
        db.execute(update(TemplateLink).values(expires_at=datetime.now(UTC)))
    shared.stranger.get(path, status=404)
    shared.stranger.get(source, status=404)
    shared.create()
    assert len(shared.links()) == 1


def test_revoked_link_is_not_found(shared: Shared) -> None:
    path = shared.create()
    source = images(shared.stranger.get(path))[0]
    [link] = shared.links()
    shared.post("revoke-link", 303, link=str(link.id))
    shared.stranger.get(path, status=404)
    shared.stranger.get(source, status=404)
    shared.post("revoke-link", 422, link=str(link.id))


def test_link_of_a_deleted_template_is_not_found_until_it_is_restored(shared: Shared) -> None:
    path = shared.create()
    shared.post("delete", 303)
    shared.stranger.get(path, status=404)
    assert "Restore it first" in shared.post("links", 422).text
    shared.post("restore", 303)
    shared.stranger.get(path)


def test_link_of_a_deleted_workspace_is_not_found(shared: Shared) -> None:
    path = shared.create()
    with shared.make.database.transaction(shared.space.id) as db:
        tombstone_workspace(db, db.get_one(Workspace, shared.space.id))
    shared.stranger.get(path, status=404)


def test_links_of_other_templates_and_workspaces_cannot_be_revoked(shared: Shared, app: TestApp) -> None:
    other = Shared(TestApp(app.app), shared.make)
    other.create()
    [theirs] = other.links()
    shared.post("revoke-link", 422, link=str(theirs.id))
    second = shared.make.template(shared.space, name="Second")
    shared.create()
    [ours] = shared.links()
    token = shared.app.get(f"{shared.here}/links").html.find("input", {"name": "csrf_token"})["value"]
    path = f"/w/{shared.space.slug}/templates/{second.id}/revoke-link"
    shared.app.post(path, {"csrf_token": token, "link": str(ours.id)}, status=422)
    assert (len(other.links()), len(shared.links())) == (1, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("days", "91"), ("days", "0"), ("version", "9"), ("version", "x"), ("row", "0"), ("feed", f"{UUID(int=1)}")],
)
def test_invalid_links_are_refused(shared: Shared, field: str, value: str) -> None:
    page = shared.post("links", 422, **{field: value})
    assert page.html.find(class_="error") is not None
    assert shared.links() == []


def test_lifetime_is_seven_days_by_default_and_ninety_at_most(shared: Shared) -> None:
    shared.create()
    shared.create(days="90")
    now = datetime.now(UTC)
    left = sorted(round((link.expires_at - now) / timedelta(days=1)) for link in shared.links())
    assert left == [7, 90]


def test_number_of_links_is_limited(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_links, "MAX_LINKS", 1)
    shared.create()
    assert "at most 1 links" in shared.post("links", 422).text


def test_links_are_in_the_activity_log_without_their_token(shared: Shared) -> None:
    token = shared.create(version="1").partition("token=")[2]
    [link] = shared.links()
    shared.post("revoke-link", 303, link=str(link.id))
    with shared.make.database.transaction(shared.space.id) as db:
        entries = list(db.scalars(select(AuditEntry).order_by(AuditEntry.number)))
    assert [entry.action for entry in entries] == ["template.share", "template.share_revoke"]
    assert entries[0].details["shows"] == "version 1"
    assert token not in str([entry.details for entry in entries])


def test_guesses_are_limited(shared: Shared) -> None:
    guesses = [f"/shared?token={number:064x}" for number in range(121)]
    statuses = [shared.stranger.get(guess, status="*").status_int for guess in guesses]
    assert statuses == [404] * 120 + [429]


def test_images_have_slots_of_their_own(shared: Shared) -> None:
    source = images(shared.stranger.get(shared.create()))[0]
    services = shared.make.services
    with ExitStack() as occupied:
        for number in range(MAX_SHARED_IMAGES):
            occupied.enter_context(services.shared_images.slot(number))
        assert shared.stranger.get(source, status=503).headers["Retry-After"]
        occupied.enter_context(services.slow_requests.slot(shared.space.id))  # others do not wait for these
    with ExitStack() as occupied:
        for _ in range(MAX_SHARED_IMAGES_PER_NETWORK):
            occupied.enter_context(services.shared_images.slot(("network", "203.0.113.6")))
        shared.stranger.get(source, status=503, extra_environ={"REMOTE_ADDR": "203.0.113.6"})
        shared.stranger.get(source, extra_environ={"REMOTE_ADDR": "203.0.113.7"})
    shared.stranger.get(source)
