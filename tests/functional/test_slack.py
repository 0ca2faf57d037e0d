"""Slack, served by a loopback server: connecting, choosing a channel, posts, errors, disconnecting."""

import dataclasses
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner
from pyramid.router import Router
from sqlalchemy import text
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.app import create_app
from cwz_web.campaigns.models import PublicationChange
from cwz_web.campaigns.notifications import notify_held
from cwz_web.cli import keys as keys_command
from cwz_web.crypto import KeyRing
from cwz_web.jobs import SLACK_QUEUE
from cwz_web.notify.models import SlackLink
from cwz_web.notify.slack import (
    CHANNEL_CLOSED,
    REMOVED_IN_SLACK,
    Slack,
    SlackRejectedError,
    decrypt_slack_token,
    find_slack_link,
    save_slack_link,
)
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs import slack_messages
from cwz_web.runs.models import Run
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.settings import Secrets
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, record_queries, sign_in
from tests.jobs import run_jobs
from tests.slack_server import TOKEN, SlackServer

assert slack_messages.post  # importing it declares the job


@pytest.fixture(scope="module")
def shared_slack_server() -> Iterator[SlackServer]:
    server = SlackServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_slack_services(shared_services: Services, shared_slack_server: SlackServer) -> Services:
    slack = Slack(
        "client",
        "a-secret",
        f"{shared_slack_server.url}/api/",
        "https://slack.com/oauth/v2/authorize",
        "http://localhost",
    )
    return dataclasses.replace(shared_services, slack=slack)


@pytest.fixture(scope="module")
def wsgi(shared_slack_services: Services) -> Router:
    return create_app(shared_slack_services)


@pytest.fixture
def server(shared_slack_server: SlackServer) -> SlackServer:
    shared_slack_server.reset()
    return shared_slack_server


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def admin(app: TestApp, make: Factory, space: Workspace) -> Account:
    admin = make.member(space)
    sign_in(app, admin)
    return admin


def go_to_slack(app: TestApp, space: Workspace) -> str:
    """The state with which the browser went."""
    query = parse_qs(urlsplit(app.get(f"/w/{space.slug}/slack/connect", status=303).location).query)
    assert query["redirect_uri"] == ["http://localhost/slack/callback"]
    assert query["scope"] == ["chat:write,chat:write.public,channels:read"]
    return query["state"][0]


def connect(app: TestApp, space: Workspace, channel: str = "C1") -> Any:
    state = go_to_slack(app, space)
    assert app.get(f"/slack/callback?code=good-code&state={state}", status=303).location.endswith("done=connected")
    form = choice(app, space)
    form["channel"] = channel
    return form.submit(status=303)


def choice(app: TestApp, space: Workspace) -> Any:
    return next(form for form in app.get(f"/w/{space.slug}/slack").forms.values() if "channel" in form.fields)


def link_of(make: Factory, space: Workspace) -> SlackLink | None:
    with make.database.transaction(space.id) as db:
        return find_slack_link(db, space.id)


def work(services: Services) -> None:
    context: dict[str, object] = {
        "database": services.database,
        "slack": services.slack,
        "ring": services.ring,
        "signed_urls": services.signed_urls,
    }
    run_jobs(services.settings.database.url.get_secret_value(), SLACK_QUEUE, context)


def happen(services: Services, space: Workspace, what: Event = Event.QUOTA_REACHED, **about: Any) -> None:
    with services.database.transaction(space.id) as db:
        emit(db, space.id, what, about or {"percent": 80})
    work(services)


@pytest.mark.usefixtures("admin")
def test_admin_connects_slack_and_channel_receives_posts(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    happen(shared_slack_services, space)
    connect(app, space)
    link = link_of(make, space)
    assert link is not None
    assert (link.team, link.channel, link.error_message) == ("Harbour Goods", "alerts", None)
    assert TOKEN.encode() not in link.encrypted_token
    happen(shared_slack_services, space)
    [post] = server.posts()
    assert post["channel"] == "C1"
    assert "80 %" in post["text"]
    assert f"/w/{space.slug}/usage" in str(post["blocks"])
    form = choice(app, space)
    assert form["channel"].value == "C1"
    form["event.quota.reached"] = False
    form.submit(status=303)
    happen(shared_slack_services, space)
    assert len(server.posts()) == 1


def test_slack_link_is_queried_once_per_emit(make: Factory, space: Workspace) -> None:
    counts = []
    with make.database.transaction(space.id) as db:
        for images in (1, 100):
            with record_queries(make.database) as asked:
                emit(db, space.id, Event.IMAGE_CREATED, *({"id": str(number)} for number in range(images)))
            counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("admin")
def test_run_post_shows_first_images_and_link(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    connect(app, space)
    feed, template = make.feed(space, name="Autumn <!channel> *now*"), make.template(space)
    run = make.run(feed, template)
    image = make.image(template)
    with make.database.transaction(space.id) as db:
        db.execute(
            text("UPDATE run_items SET state = 'done', image_id = :image WHERE run_id = :run"),
            {"image": image.id, "run": run.id},
        )
        mine = db.get_one(Run, (space.id, run.id))
        mine.done = mine.total
        notify_run_finished(db, mine)
    work(shared_slack_services)
    [post] = server.posts()
    blocks = post["blocks"]
    assert [block["type"] for block in blocks] == ["section", "image", "image", "image", "actions"]
    said = blocks[0]["text"]["text"]
    assert "<!channel>" not in said
    assert "&lt;!channel&gt;" in said
    assert blocks[-1]["elements"][0]["url"] == f"http://localhost/w/{space.slug}/runs/{run.id}"
    app.get(blocks[1]["image_url"].removeprefix("http://localhost"), status="*")

    server.asked.clear()
    server.errors["chat.postMessage"] = ["invalid_blocks"]
    with make.database.transaction(space.id) as db:
        notify_run_finished(db, db.get_one(Run, (space.id, run.id)))
    work(shared_slack_services)
    assert [block["type"] for block in server.posts()[-1]["blocks"]] == ["section", "actions"]


@pytest.mark.usefixtures("admin")
def test_publication_post_shows_images_of_changed_rows(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    connect(app, space)
    template = make.template(space)
    campaign = make.campaign(make.feed(space), template)
    publication = make.publication(campaign)
    images = [str(make.image(template).id) for _ in range(5)]
    kinds = ("removed", "changed", "new", "changed", "new")
    with make.database.transaction(space.id) as db:
        for position, (kind, image) in enumerate(zip(kinds, images, strict=True)):
            change = PublicationChange(position=position, key=f"row {position}", kind=kind, images=[image])
            change.workspace_id, change.publication_id = space.id, publication.id
            db.add(change)
        notify_held(db, campaign, publication)
    work(shared_slack_services)
    [post] = server.posts()
    blocks = post["blocks"]
    assert [block["type"] for block in blocks] == ["section", "image", "image", "image", "actions"]
    assert [block["alt_text"] for block in blocks[1:4]] == ["row 1", "row 2", "row 3"]
    assert images[1] in blocks[1]["image_url"]
    assert "a publication waits for a decision. 0 new, 0 changed, 0 removed." in blocks[0]["text"]["text"]
    url = f"http://localhost/w/{space.slug}/campaigns/{campaign.id}/publications/{publication.id}"
    assert blocks[-1]["elements"][0]["url"] == url


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(
    ("code", "trouble"),
    [("token_revoked", REMOVED_IN_SLACK), ("account_inactive", REMOVED_IN_SLACK), ("is_archived", CHANNEL_CLOSED)],
)
def test_permanent_error_is_shown_and_not_retried(
    app: TestApp,
    make: Factory,
    server: SlackServer,
    space: Workspace,
    shared_slack_services: Services,
    code: str,
    trouble: str,
) -> None:
    connect(app, space)
    server.errors["chat.postMessage"] = [code]
    happen(shared_slack_services, space)
    link = link_of(make, space)
    assert link is not None
    assert link.error_message == trouble
    assert trouble in app.get(f"/w/{space.slug}/slack").text
    happen(shared_slack_services, space)
    assert len(server.posts()) == 1
    choice(app, space).submit(status=303)
    happen(shared_slack_services, space)
    assert len(server.posts()) == 2


@pytest.mark.usefixtures("admin")
def test_rejected_message_does_not_block_others(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    connect(app, space)
    server.errors["chat.postMessage"] = ["msg_too_long"]
    happen(shared_slack_services, space)
    happen(shared_slack_services, space)
    link = link_of(make, space)
    assert link is not None
    assert link.error_message is None
    assert len(server.posts()) == 2


@pytest.mark.usefixtures("admin")
def test_posts_are_retried_while_slack_is_unavailable(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services, app_url: str
) -> None:
    connect(app, space)
    choice_before = choice(app, space)
    server.status = 503
    happen(shared_slack_services, space)
    assert "Slack is not reachable" in app.get(f"/w/{space.slug}/slack").text
    assert "Slack is not reachable" in choice_before.submit(status=503).text
    page = app.get(f"/w/{space.slug}/slack")
    remove = next(form for form in page.forms.values() if form.action.endswith("/disconnect"))
    assert remove.submit(status=303).location.endswith("done=down")
    server.reset()
    with psycopg.connect(app_url) as connection:
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    work(shared_slack_services)
    assert len(server.posts()) == 1


@pytest.mark.usefixtures("admin")
def test_disconnecting_revokes_token(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    connect(app, space)
    page = app.get(f"/w/{space.slug}/slack")
    next(form for form in page.forms.values() if form.action.endswith("/disconnect")).submit(status=303)
    assert ("auth.revoke", {"authorization": f"Bearer {TOKEN}"}) in server.asked
    assert link_of(make, space) is None
    happen(shared_slack_services, space)
    assert not server.posts()


def test_callback_requires_session_that_started(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, admin: Account
) -> None:
    state = go_to_slack(app, space)
    for query in (
        "",
        f"code=good-code&state={state}x",
        f"code=good-code&state={state}&state={state}",
        "code=good-code",
    ):
        app.get(f"/slack/callback?{query}", status=404)
    # Another browser, with a URL the user was lured to.
    victim = TestApp(app.app)
    sign_in(victim, make.member(space))
    victim.get(f"/slack/callback?code=good-code&state={state}", status=404)
    # The same browser, in which another user has signed in.
    other = make.member(space)
    app.reset()
    sign_in(app, admin)
    state = go_to_slack(app, space)
    next(form for form in app.get(f"/w/{space.slug}").forms.values() if form.action == "/signout").submit()
    sign_in(app, other)
    app.get(f"/slack/callback?code=good-code&state={state}", status=404)
    assert not server.asked
    assert link_of(make, space) is None


def test_callback_requires_current_admin(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, admin: Account
) -> None:
    state = go_to_slack(app, space)
    with make.database.transaction(space.id) as db:
        db.execute(text("UPDATE memberships SET role = 'user' WHERE account_id = :id"), {"id": admin.id})
    app.get(f"/slack/callback?code=good-code&state={state}", status=404)
    assert link_of(make, space) is None


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("query", ["error=access_denied", "code=bad-code"])
def test_denied_authorization_changes_nothing(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, query: str
) -> None:
    state = go_to_slack(app, space)
    assert app.get(f"/slack/callback?{query}&state={state}", status=303).location.endswith("done=refused")
    assert link_of(make, space) is None


@pytest.mark.usefixtures("admin")
def test_foreign_channel_is_rejected(app: TestApp, make: Factory, server: SlackServer, space: Workspace) -> None:
    connect(app, space)
    form = choice(app, space)
    form["channel"].force_value("C-foreign")
    form.submit(status=422)
    link = link_of(make, space)
    assert link is not None
    assert link.channel_id == "C1"


@pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
def test_only_admins_see_slack_page(
    app: TestApp, make: Factory, server: SlackServer, space: Workspace, role: Role
) -> None:
    sign_in(app, make.member(space, role))
    for path in ("", "/connect"):
        app.get(f"/w/{space.slug}/slack{path}", status=403)


@pytest.mark.usefixtures("admin")
def test_key_rotation_reencrypts_token(
    app: TestApp,
    make: Factory,
    server: SlackServer,
    space: Workspace,
    shared_slack_services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(app, space)
    newest = b"N" * 16 + bytes(range(16))
    monkeypatch.setattr(Secrets, "key_ring", KeyRing([newest, bytes(range(32))]))
    with CliRunner().isolation():
        assert keys_command.rotate_keys(shared_slack_services.settings) == 0
    link = link_of(make, space)
    assert link is not None
    assert decrypt_slack_token(link, KeyRing([newest])) == TOKEN


def test_token_is_bound_to_its_workspace(
    make: Factory, server: SlackServer, space: Workspace, shared_slack_services: Services
) -> None:
    assert shared_slack_services.slack is not None
    installed = shared_slack_services.slack.install("good-code")
    with make.database.transaction(space.id) as db:
        link = save_slack_link(db, space.id, shared_slack_services.ring, installed, [])
        assert decrypt_slack_token(link, shared_slack_services.ring) == TOKEN
        stolen = SlackLink(workspace_id=uuid4(), encrypted_token=link.encrypted_token)
    with pytest.raises(SlackRejectedError):
        decrypt_slack_token(stolen, shared_slack_services.ring)
