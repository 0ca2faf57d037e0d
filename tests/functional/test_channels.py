"""The pages of channels, without scripts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from webtest import TestApp

from cwz_web.campaigns.models import Campaign
from cwz_web.channels import editing
from cwz_web.channels.models import Channel, FeedFetch
from cwz_web.storage.connections import get_default_connection
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.factories import Factory, sign_in

ROWS = b"sku,title,brand,price\n1,Red,Acme,10\n2,Blue,Zenith,20\n3,Green,Acme,30\n4,Gray,Other,40\n"


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    return space


@pytest.fixture
def campaign(make: Factory, space: Workspace) -> Campaign:
    return make.campaign(make.feed(space, ROWS, name="Products"), make.template(space, name="Card"))


def path(space: Workspace, campaign: Campaign, *segments: object) -> str:
    return "/".join([f"/w/{space.slug}/campaigns/{campaign.id}/channels", *map(str, segments)])


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(found.text.split()) for found in page.html.select(selector)]


def form_of(page: Any, action: str) -> Any:
    return next(form for form in page.forms.values() if form.action.endswith(action))


def only_channel(make: Factory, space: Workspace) -> Channel:
    with make.database.transaction(space.id) as db:
        return db.query(Channel).one()


def test_new_channel_gets_suggested_fields(app: TestApp, make: Factory, space: Workspace, campaign: Campaign) -> None:
    empty = app.get(path(space, campaign))
    assert "No channels yet" in empty.text
    form = form_of(empty.click("Add channel"), "/channels/new")
    form["name"] = ""
    assert "Enter a value" in form.submit(status=422).text
    form["name"], form["preset"] = "Shop", "generic"
    fields = form.submit(status=303).follow()
    assert "The channel is added" in fields.text
    names = [found["value"] for found in fields.html.select(".channel-field-name input")]
    assert names == ["sku", "title", "brand", "price", "image_url", ""]
    channel = only_channel(make, space)
    assert (channel.name, channel.connection_id, len(channel.token)) == ("Shop", None, 24)
    [line] = texts(app.get(path(space, campaign)), "tbody tr")
    assert line.startswith("Shop Generic CSV Not yet")


def test_fields_are_added_moved_removed_and_saved(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    channel = make.channel(campaign)
    form = form_of(app.get(path(space, campaign, channel.id, "fields")), "/fields")
    form["f.1.name"], form["f.1.source"], form["f.1.text"] = "brand", "constant", "Acme"
    added = form.submit("change", value="add")
    moved = form_of(added, "/fields")
    moved["f.2.name"], moved["f.2.source"] = "image", "image:0"
    page = moved.submit("change", value="up:2")
    assert [found["value"] for found in page.html.select(".channel-field-name input")] == ["id", "image", "brand"]
    again = form_of(page, "/fields")
    again["gzip"], again["format"] = "yes", "jsonl"
    shown = again.submit(status=303).follow()
    assert texts(shown, "tbody tr") == ["id Key of the row", "image Image Default, JPEG", "brand Fixed text Acme"]
    saved = make.reload(channel)
    assert (saved.is_gzipped, saved.format) == (True, "jsonl")
    removed = form_of(app.get(path(space, campaign, channel.id, "fields")), "/fields").submit(
        "change", value="remove:0"
    )
    assert [found["value"] for found in removed.html.select(".channel-field-name input")] == ["image", "brand", ""]
    assert len(make.reload(channel).fields) == 3
    actions = [entry.action for entry in audit(make, space)]
    assert actions.count("channel.change") == 1


def audit(make: Factory, space: Workspace) -> list[AuditEntry]:
    with make.database.transaction(space.id) as db:
        return list(db.query(AuditEntry))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"f.1.name": "x", "f.1.source": "column:none"}, "The feed has no column “none”"),
        ({"f.1.name": "x", "f.1.source": "constant"}, "Enter a text"),
        ({"f.1.name": "x", "f.1.source": "image:7"}, "The rows have no such image"),
        ({"f.1.name": "id", "f.1.source": "key"}, "Each field can be there once"),
        ({"f.1.name": "", "f.1.source": "key"}, "Enter the name of the field"),
        ({"f.1.name": "x", "f.1.source": "secret"}, "Choose an option"),
        ({"f.1.name": "x" * 201, "f.1.source": "key"}, "at most 200 characters"),
        ({"f.1.name": "x", "f.1.source": "constant", "f.1.text": "x" * 2001}, "Enter at most 2000 characters"),
    ],
)
def test_invalid_fields_are_named_and_kept(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign, field: dict[str, str], message: str
) -> None:
    channel = make.channel(campaign)
    form = form_of(app.get(path(space, campaign, channel.id, "fields")), "/fields")
    for name, value in field.items():
        form.fields[name][0].force_value(value) if name.endswith("source") else form.__setitem__(name, value)
    form["name"] = "Other"
    page = form.submit(status=422)
    assert message in page.html.select_one(".channel-field .error").text
    assert page.html.select_one("#name")["value"] == "Other"
    assert make.reload(channel).name == "Shop"


def test_more_than_200_fields_are_refused(app: TestApp, make: Factory, space: Workspace, campaign: Campaign) -> None:
    channel = make.channel(campaign)
    page = path(space, campaign, channel.id, "fields")
    values = {"csrf_token": token(app, space), "name": "Shop", "format": "csv", "on_missing": "last"}
    for number in range(201):
        values |= {f"f.{number}.name": f"x{number}", f"f.{number}.source": "key"}
    assert "at most 200 fields" in app.post(page, values, status=422).text
    assert len(make.reload(channel).fields) == 1
    app.get(page, status=200)


def test_connection_of_another_workspace_is_refused(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    form = form_of(app.get(path(space, campaign, "new")), "/channels/new")
    form["name"] = "Shop"
    other = make.workspace()
    with make.database.transaction(other.id) as db:
        form["connection"].force_value(str(get_default_connection(db, other.id).id))
    assert "does not exist any more" in form.submit(status=422).text


def test_unknown_connection_in_the_form_of_fields_is_refused(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    channel = make.channel(campaign)
    form = form_of(app.get(path(space, campaign, channel.id, "fields")), "/fields")
    form["connection"].force_value(str(uuid4()))
    assert "does not exist any more" in form.submit(status=422).text


def test_deleted_channel_can_be_restored(app: TestApp, make: Factory, space: Workspace, campaign: Campaign) -> None:
    channel = make.channel(campaign)
    notice = form_of(app.get(path(space, campaign, channel.id)), "/delete").submit(status=303).follow()
    assert "No channels yet" in notice.text
    app.get(path(space, campaign, channel.id), status=404)
    restored = form_of(notice, "/restore").submit(status=303).follow()
    assert texts(restored, "h1") == ["Shop"]
    app.post(path(space, campaign, "restore"), {"csrf_token": token(app, space), "channel": channel.id}, status=422)


def token(app: TestApp, space: Workspace) -> str:
    return str(app.get(f"/w/{space.slug}/campaigns").html.select_one("[name=csrf_token]")["value"])


def test_channels_of_other_campaigns_and_workspaces_are_not_found(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    other, foreign = make.campaign(make.feed(space, ROWS), make.template(space)), make.workspace()
    theirs = make.channel(make.campaign(make.feed(foreign, ROWS), make.template(foreign)))
    mine = make.channel(other)
    for unknown in (mine.id, theirs.id, uuid4(), "x"):
        app.get(path(space, campaign, unknown), status=404)
    app.get(path(space, other, mine.id), status=200)
    app.post(path(space, campaign, "restore"), {"csrf_token": token(app, space), "channel": theirs.id}, status=422)


def test_number_of_channels_is_limited(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "MAX_CHANNELS", 1)
    make.channel(campaign)
    form = form_of(app.get(path(space, campaign, "new")), "/channels/new")
    form["name"] = "Second"
    assert "at most 1 channels" in form.submit(status=422).text


def test_channel_is_not_restored_beyond_the_limit(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = make.channel(campaign)
    app.post(path(space, campaign, channel.id, "delete"), {"csrf_token": token(app, space)}, status=303)
    make.channel(campaign, name="Other")
    monkeypatch.setattr(editing, "MAX_CHANNELS", 1)
    values = {"csrf_token": token(app, space), "channel": channel.id}
    page = app.post(path(space, campaign, "restore"), values, status=422)
    assert "at most 1 channels" in page.text
    assert make.reload(channel).deleted_at is not None


def test_members_without_permission_can_only_look(
    app: TestApp, make: Factory, campaign: Campaign, space: Workspace
) -> None:
    channel = make.channel(campaign)
    sign_in(app, make.member(space, Role.SUPPORT))
    assert "Edit fields" not in app.get(path(space, campaign, channel.id)).text
    app.get(path(space, campaign, channel.id, "fields"), status=403)


def test_preview_shows_the_first_rows_and_names_errors(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    channel = make.channel(campaign)
    page = app.get(path(space, campaign, channel.id, "fields"))
    assert texts(page, "#channel-preview tbody tr") == ["id 123"]
    form = form_of(page, "/fields")
    form["f.1.name"], form["f.1.source"], form["f.1.text"] = "label", "expression", 'brand + " " + upper(title)'
    shown = form.submit("change", value="preview")
    assert texts(shown, "#channel-preview tbody tr")[1] == "label Acme REDZenith BLUEAcme GREEN"
    form["f.1.text"] = "brand +"
    broken = form.submit("change", value="preview")
    assert texts(broken, "#channel-preview .error")[0] == "label: The expression is not complete"
    assert "is not complete" in form.submit(status=422).html.select_one(".channel-field .error").text
    form["f.1.text"] = "margin * 2"
    assert "no column “margin”" in form.submit(status=422).html.select_one(".channel-field .error").text
    assert len(make.reload(channel).fields) == 1


def test_page_shows_what_was_written_found_and_fetched(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    channel = make.channel(campaign)
    page = app.get(path(space, campaign, channel.id))
    assert "It is written once a publication is public." in page.text
    found = {"field": "price", "kind": "unclear", "reason": "is not a price", "example": "x"}
    finding = found | {"rows": 2, "keys": ["a/b"]}
    report = {"rows": 4, "held": {"image": 1}, "findings": [finding], "digest": "0" * 64, "size": 2000}
    with make.database.transaction(space.id) as db:
        own = db.get_one(Channel, (space.id, channel.id))
        own.report, own.written_at, own.size, own.error_message = report, datetime.now(UTC), 2000, "The storage is full"
        fetch = {"workspace_id": space.id, "campaign_id": campaign.id, "source_id": channel.id, "family": "meta"}
        db.add(FeedFetch(**fetch, minute=datetime.now(UTC) - timedelta(hours=3), fetches=5, size=9000))
    page = app.get(path(space, campaign, channel.id))
    assert "The storage is full" in page.html.select_one(".problem").text
    assert "1 row left out: No approved image" in " ".join(page.text.split())
    assert page.html.select_one(".finding-groups a")["href"].endswith("/row?key=a%2Fb")
    assert "Meta fetched it" in page.text
    [line] = texts(app.get(path(space, campaign)), "tbody tr")
    assert "Meta, " in line
    assert "/i/channels/" in page.text
    assert "Example: x" in page.text
    notice = form_of(page, "/write").submit(status=303).follow()
    assert "The feed will be written again in a moment." in notice.text
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'")) == 1


@pytest.mark.parametrize(("provider", "stays"), [("local", False), ("s3", True)])
def test_page_says_where_the_feed_stays_available(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign, provider: str, stays: bool
) -> None:
    with make.database.transaction(space.id) as db:
        connection = get_default_connection(db, space.id)
        connection.provider = provider
    channel = make.channel(campaign, connection_id=connection.id)
    page = app.get(path(space, campaign, channel.id))
    assert "the feed is replaced as a whole" in page.text
    assert ("stays available when ConnectWyze is offline" in page.text) is stays


def test_page_says_what_the_platform_wants_otherwise_of_images(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    form = form_of(app.get(path(space, campaign, "new")), "/channels/new")
    form["name"], form["preset"] = "Ads", "google"
    form.submit(status=303)
    channel = only_channel(make, space)
    found = {each.name: (each.source, each.value) for each in channel.mappings}
    assert found["id"] == ("column", "sku")
    assert found["image_link"] == ("image", "0")
    assert {"title", "brand", "price"} <= found.keys()
    page = app.get(path(space, campaign, channel.id))
    assert texts(page, ".badge.error") == ["Too few pixels", "Overlay not allowed"]
    assert "Google Merchant Center takes at least 500 × 500 in “image_link”" in page.text


def test_overlay_that_the_platform_refuses_is_named_and_solved(
    app: TestApp, make: Factory, space: Workspace, campaign: Campaign
) -> None:
    form = form_of(app.get(path(space, campaign, "new")), "/channels/new")
    form["name"], form["preset"] = "Google", "google"
    form.submit(status=303)
    channel = only_channel(make, space)
    with make.database.transaction(space.id) as db:
        own = db.get_one(Channel, (space.id, channel.id))
        own.fields = [{"name": "image_link", "source": "image", "value": "0"}]
    page = app.get(path(space, campaign, channel.id))
    assert "Overlay not allowed" in page.text
    solved = form_of(page, "/remedy").submit(status=303).follow()
    assert "Overlay not allowed" not in solved.text
    sources = {field["name"]: field["source"] for field in make.reload(channel).fields}
    assert sources["image_link"] == "photo"
    again = {"csrf_token": token(app, space), "number": "9"}
    app.post(path(space, campaign, channel.id, "remedy"), again, status=422)


def test_what_designs_show_can_be_corrected(app: TestApp, make: Factory, space: Workspace, campaign: Campaign) -> None:
    form = form_of(app.get(path(space, campaign, "new")), "/channels/new")
    form["name"], form["preset"] = "Google", "google"
    form.submit(status=303)
    channel = only_channel(make, space)
    with make.database.transaction(space.id) as db:
        own = db.get_one(Channel, (space.id, channel.id))
        own.fields = [{"name": "image_link", "source": "image", "value": "0"}]
    designs = form_of(app.get(path(space, campaign, channel.id)), "/designs")
    assert designs["design.1.text"].checked
    for name in list(designs.fields):
        if name and name.startswith("design."):
            designs[name] = False
    corrected = designs.submit(status=303).follow()
    assert "Overlay not allowed" not in corrected.text
    assert make.reload(campaign).carried == {"1": []}
    designs = form_of(corrected, "/designs")
    designs["design.1.text"] = True
    assert "Overlay not allowed" in designs.submit(status=303).follow().text
