"""Leaving: a workspace is exported, deleted, brought back, purged; and what stays of it."""

import io
import json
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.cli.demo import demo_facts
from cwz_web.db.base import Base
from cwz_web.feeds.models import Item
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.imaging.encoders import Format
from cwz_web.jobs import EXPORT_QUEUE, UPKEEP_QUEUE
from cwz_web.notify.tasks import EmailService
from cwz_web.ops.exports import (
    EXCLUDED_COLUMNS,
    EXCLUDED_TABLES,
    ExportManifest,
    IteratorFile,
    delete_expired_exports,
    request_export,
    run_export,
)
from cwz_web.ops.models import Export
from cwz_web.ops.purge import purge, purge_due
from cwz_web.ops.retention import RetentionPolicy
from cwz_web.ops.tasks import export as export_task
from cwz_web.storage.connections import NO_CONNECTION
from cwz_web.storage.contract import StorageUnreachableError
from cwz_web.web.services import Services
from cwz_web.workspaces.access import list_workspaces
from cwz_web.workspaces.account_deletion import delete_due_accounts
from cwz_web.workspaces.audit import Actor, find_chain_break
from cwz_web.workspaces.deletion import delete_workspace, list_deletions
from cwz_web.workspaces.models import AuditEntry, Membership, Role, Tombstone, Workspace
from tests.factories import Factory, api, jpeg, local_bucket, sign_in
from tests.jobs import run_jobs
from tests.mailbox import Mailbox, text_of
from tests.unit.db.test_row_security import fill


@dataclass
class Office:
    """A workspace with one of everything, its admin, and a browser in which the admin is signed in."""

    make: Factory
    app: TestApp
    space: Workspace
    admin: Account

    @property
    def path(self) -> str:
        return f"/w/{self.space.slug}"

    def delete(self, **fields: str) -> Any:
        form = last_form(self.app.get(f"{self.path}/delete"))
        form["confirm"] = self.space.name
        for name, value in fields.items():
            form[name] = value
        return form.submit()

    def age(self, days: int) -> None:
        """Let days pass since the deletion."""
        with self.make.database.transaction() as db:
            for stone in db.scalars(select(Tombstone)):
                stone.deleted_at -= timedelta(days=days)
                stone.purge_at -= timedelta(days=days)

    def rows(self) -> dict[str, int]:
        """How many rows each table has of the workspace, deleted or not."""
        with self.make.database.transaction(self.space.id, deleted=True) as db:
            tables = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
            found = {table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
        return {name: rows for name, rows in found.items() if rows}


def last_form(page: Any) -> Any:
    return list(page.forms.values())[-1]


def kept_image(make: Factory, services: Services, template: Template) -> Image:
    """An image that lies in the storage."""
    image = make.image(template)
    key = f"{template.workspace_id}/images/{image.digest}.jpg"
    with make.database.transaction(template.workspace_id) as db:
        image = db.get_one(Image, (template.workspace_id, image.id))
        image.key = key
    local_bucket(services).put(key, jpeg(), content_type="image/jpeg")
    return image


@pytest.fixture
def office(app: TestApp, make: Factory) -> Office:
    space = make.workspace()
    fill(make, space)
    admin = make.member(space)
    sign_in(app, admin)
    return Office(make, app, space, admin)


def test_deleting_asks_for_the_name(office: Office) -> None:
    page = office.app.get(f"{office.path}/delete")
    assert "for 14 days" in page.text
    form = last_form(page)
    form["confirm"] = "something else"
    refused = form.submit(status=422)
    assert f"Type {office.space.name} to confirm" in refused.html.find(id="confirm-error").text
    assert office.app.get(office.path).status_int == 200


def test_a_deleted_workspace_is_shut_at_once_for_people_programs_and_addresses(
    office: Office, make: Factory, services: Services, wsgi: Any
) -> None:
    app, key = office.app, make.key(office.space, Scope.ADMIN)
    template, feed = make.template(office.space), make.feed(office.space)
    image = kept_image(make, services, template)
    make.run(feed, template)
    member, anonymous = TestApp(wsgi), TestApp(wsgi)
    sign_in(member, make.member(office.space, Role.USER))
    signed_urls = SignedUrls(services.settings.secrets.signing.get_secret_value())
    signed = signed_urls.on_demand_image(office.space.id, template.id, Format.PNG, {"title": "x"})
    kept, table = signed_urls.image(image), signed_urls.output_feed(office.space, feed.id, template.id)

    def answers() -> list[int]:
        bearer = {"Authorization": f"Bearer {key}"}
        return [
            member.get(office.path, status="*").status_int,
            app.get(f"{office.path}/settings", status="*").status_int,
            anonymous.get("/v1/templates", headers=bearer, status="*").status_int,
            api(anonymous, key, {"template": template.slug}, status="*").status_int,  # type: ignore[arg-type]
            anonymous.get(signed, status="*").status_int,
            anonymous.get(kept, status="*").status_int,
            anonymous.get(table, status="*").status_int,
        ]

    assert answers() == [200] * 7
    there = office.delete()
    assert there.headers["Location"].endswith("/w?done=deleted")
    assert answers() == [404, 404, 401, 401, 404, 404, 404]
    with make.database.transaction() as db:
        for crossing in ("due_feeds()", "lost_chunks()", "lost_runs()"):
            found = db.scalars(text(f"SELECT workspace_id FROM {crossing}")).all()  # noqa: S608
            assert office.space.id not in found

    page = there.follow()
    assert "Workspace deleted." in page.text
    last_form(page).submit(status=303).follow(status=200)
    assert answers() == [200] * 7
    with make.database.transaction(office.space.id) as db:
        actions = db.scalars(select(AuditEntry.action).order_by(AuditEntry.number.desc()).limit(2)).all()
        assert actions == ["workspace.restore", "workspace.delete"]
        assert find_chain_break(db, office.space.id) is None


def test_only_its_admins_bring_a_workspace_back(office: Office, make: Factory, wsgi: Any) -> None:
    user, stranger = make.member(office.space, Role.USER), make.account()
    office.delete()
    for person in (user, stranger):
        browser = TestApp(wsgi)
        sign_in(browser, person)
        page = browser.get("/w")
        assert office.space.name not in page.text
        token = page.html.find("input", {"name": "csrf_token"})["value"]
        form = {"csrf_token": token, "workspace": str(office.space.id)}
        browser.post("/w/restore", form, status=303)
        browser.get(office.path, status=404)


def test_after_its_days_nobody_brings_it_back_although_the_purge_has_not_come_yet(office: Office) -> None:
    page = office.delete().follow()
    office.age(14)
    assert last_form(page).submit(status=303).headers["Location"].endswith("/w")
    office.app.get(office.path, status=404)


def test_one_that_can_not_be_purged_holds_up_no_other(
    office: Office, make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make.workspace()
    make.member(other)
    office.delete()
    with make.database.transaction(other.id) as db:
        actor = Actor(None, "test", "")
        delete_workspace(db, db.get_one(Workspace, other.id), actor, with_images=False)
    office.age(15)

    def one_fails(database: Any, providers: Any, stone: Tombstone) -> bool:
        if stone.id == office.space.id:
            raise OperationalError("", {}, Exception("the disk is full"))
        return purge(database, providers, stone)

    monkeypatch.setattr("cwz_web.ops.purge.purge", one_fails)
    assert purge_due(services.database, services.providers) == 1
    with services.database.transaction() as db:
        assert db.get_one(Tombstone, other.id).purged_at is not None


def test_the_demo_comes_back_by_itself_and_nothing_else_of_its_person_does(make: Factory, services: Services) -> None:
    facts, other = demo_facts(services), make.workspace()
    with make.database.transaction() as db:
        person = db.scalars(select(Account.id).where(Account.email == facts["email"])).one()
        [demo] = [access.workspace_id for access in list_workspaces(db, person)]
    with make.database.transaction(other.id) as db:
        db.add(Membership(workspace_id=other.id, account_id=person, role=Role.ADMIN))
    for workspace_id in (demo, other.id):
        with make.database.transaction(workspace_id) as db:
            workspace = db.get_one(Workspace, workspace_id)
            workspace.name = "Another name"
            delete_workspace(db, workspace, Actor(None, "test", ""), with_images=False)
    assert demo_facts(services) == facts
    with make.database.transaction() as db:
        assert [access.slug for access in list_workspaces(db, person)] == [facts["workspace"]]
        assert [deletion.workspace_id for deletion in list_deletions(db, person)] == [other.id]


def test_admins_hear_of_it_by_mail(office: Office, mailbox: Mailbox) -> None:
    office.delete()
    mail = mailbox.last(office.admin.email)
    assert mail["Subject"] == f"{office.space.name} was deleted"
    assert "restore it" in text_of(mail)


def test_after_its_days_nothing_is_left_but_a_report_that_names_nobody(
    office: Office, services: Services, make: Factory
) -> None:
    bucket = local_bucket(services)
    key = f"{office.space.id}/images/aa/image.jpg"
    bucket.put(key, b"an image", content_type="image/jpeg")
    other = f"{make.workspace().id}/images/aa/image.jpg"
    bucket.put(other, b"somebody else's", content_type="image/jpeg")
    office.delete()
    assert purge_due(services.database, services.providers) == 0
    office.age(14)
    before = office.rows()
    assert purge_due(services.database, services.providers) == 1
    assert set(office.rows()) == {"billing_records"}  # for the books: seven years
    with services.database.transaction() as db:
        stone = db.get_one(Tombstone, office.space.id)
        jobs = text("SELECT count(*) FROM procrastinate_jobs WHERE args->>'workspace_id' = :w")
        assert db.scalar(jobs, {"w": str(office.space.id)}) == 0
    assert stone.name == ""
    assert stone.purged_at is not None
    assert stone.report["rows"] == before
    assert stone.report["objects"] >= 1
    assert office.space.name not in json.dumps(stone.report)
    # It lay on this server, so it went; no one else's did.
    assert [found.key for found in bucket.list(f"{office.space.id}/")] == []
    assert bucket.get(other) == b"somebody else's"
    assert "Restore" not in office.app.get("/w").text
    assert purge_due(services.database, services.providers) == 0


@pytest.mark.parametrize(("ticked", "emptied"), [(True, 1), (False, 0)])
def test_a_storage_of_their_own_is_emptied_only_when_they_asked_for_it(
    office: Office, services: Services, monkeypatch: pytest.MonkeyPatch, ticked: bool, emptied: int
) -> None:
    sealed(office)
    office.delete(**({"with_images": "true"} if ticked else {}))
    office.age(14)
    bucket = FakeBucket(office.space)
    monkeypatch.setattr(services.providers, "open", lambda place: bucket)
    assert purge_due(services.database, services.providers) == 1
    assert len(bucket.deleted) == emptied


def test_a_storage_that_is_down_holds_the_purge_up_but_not_for_ever(
    office: Office, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(office)
    office.delete(with_images="true")
    office.age(14)

    def down(place: object) -> None:
        raise StorageUnreachableError("The storage does not answer")

    monkeypatch.setattr(services.providers, "open", down)
    before = office.rows()
    assert purge_due(services.database, services.providers) == 0
    assert office.rows() == before
    office.age(16)
    assert purge_due(services.database, services.providers) == 1
    with services.database.transaction() as db:
        assert db.get_one(Tombstone, office.space.id).report["storage_errors"] == ["local: The storage does not answer"]


def sealed(office: Office) -> None:
    """Let the connection be one with secrets of the customer's."""
    with office.make.database.transaction(office.space.id) as db:
        db.execute(text("UPDATE connections SET sealed = 'x'"))


class FakeBucket:
    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.deleted: list[str] = []

    def list(self, prefix: str) -> list[SimpleNamespace]:
        assert prefix == f"{self.space.id}/"
        return [SimpleNamespace(key=f"{prefix}one")]

    def delete_many(self, keys: Any) -> None:
        self.deleted += list(keys)


def test_an_account_that_goes_takes_its_workspace_along_and_leaves_tombstones(
    office: Office, make: Factory, services: Services
) -> None:
    alone = make.workspace()
    person = make.member(alone)
    with make.database.transaction() as db:
        db.execute(text("UPDATE accounts SET delete_at = now() WHERE id = :id"), {"id": person.id})
    with make.database.transaction() as db:
        assert delete_due_accounts(db) == 1
    assert purge_due(services.database, services.providers) == 1
    with make.database.transaction() as db:
        stones = {stone.id: stone for stone in db.scalars(select(Tombstone))}
        assert db.get(Account, person.id) is None
    assert (stones[person.id].kind, stones[alone.id].kind) == ("account", "workspace")
    assert stones[alone.id].purged_at is not None
    with make.database.transaction(alone.id, deleted=True) as db:
        assert db.get(Workspace, alone.id) is None


def worker_context(services: Services, **more: object) -> dict[str, object]:
    return {
        "database": services.database,
        "providers": services.providers,
        "email_service": EmailService.of(services.settings),
        "retention": RetentionPolicy.from_settings(services.settings),
        **more,
    }


def export(office: Office, services: Services, **fields: str) -> zipfile.ZipFile:
    """Order an export, make it, and download it as people do."""
    form = last_form(office.app.get(f"{office.path}/exports"))
    for name, value in fields.items():
        form[name] = value
    form.submit(status=303)
    assert export_task.queue == EXPORT_QUEUE
    run_jobs(services.settings.database.url.get_secret_value(), EXPORT_QUEUE, worker_context(services))
    page = office.app.get(f"{office.path}/exports")
    [link] = [a["href"] for a in page.html.select("table a")]
    answer = office.app.get(link)
    assert answer.content_type == "application/zip"
    return zipfile.ZipFile(io.BytesIO(answer.body))


def rows_of(found: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found.read(f"tables/{table}.jsonl").splitlines()]


def test_an_export_is_read_back_and_holds_every_row(office: Office, services: Services, make: Factory) -> None:
    bucket = local_bucket(services)
    original = jpeg()
    bucket.put(f"{office.space.id}/uploads/{sha256(original).hexdigest()}", original, content_type="image/jpeg")
    before = office.rows()
    found = export(office, services)
    assert found.testzip() is None
    manifest = json.loads(found.read("manifest.json"))
    jsonschema.validate(manifest, json.loads(found.read("manifest.schema.json")))
    ExportManifest.model_validate(manifest)
    told = manifest["tables"]
    assert set(before) - set(told) <= set(EXCLUDED_TABLES)
    for name, table in told.items():
        content = found.read(table["file"])
        rows = [json.loads(line) for line in content.splitlines()]
        assert sha256(content).hexdigest() == table["sha256"]
        assert len(rows) == table["rows"]
        if name not in ("workspaces", "members"):
            # The order for the export is an entry of the log; what it asks its job is none.
            assert len(rows) == before.get(name, 0) + (name == "audit_entries"), name
    with make.database.transaction(office.space.id) as db:
        items = {(str(item.feed_id), item.key): item.data for item in db.scalars(select(Item))}
    assert {
        (row["feed_id"], row["key"]): row["data"]
        for row in map(json.loads, found.read("tables/items.jsonl").splitlines())
    } == items
    assert {row["email"] for row in map(json.loads, found.read("tables/members.jsonl").splitlines())} >= {
        office.admin.email
    }
    assert found.read(f"uploads/{sha256(original).hexdigest()}") == original
    assert [name for name in found.namelist() if name.startswith("templates/")]
    assert [name for name in found.namelist() if name.startswith("fonts/")]
    assert not [name for name in found.namelist() if name.startswith("images/")]


def test_an_export_takes_the_images_along_when_asked_and_says_what_is_missing(
    office: Office, services: Services, make: Factory
) -> None:
    template = make.template(office.space)
    gone = make.image(template)
    kept_image(make, services, template)
    found = export(office, services, with_images="true")
    images = [name for name in found.namelist() if name.startswith("images/")]
    manifest = json.loads(found.read("manifest.json"))
    assert [found.read(name) for name in images] == [jpeg()]
    assert manifest["files"]["images"] == 1
    assert any(str(gone.id) in name for name in manifest["missing"])


SECRET_WORDS = ("seal", "secret", "digest", "token", "password", "fingerprint", "envelope")
# What sounds like a secret and is none.
OPEN = {
    "images.digest": "names an image by its content",
    "fonts.digest": "names a font by its content",
    "feed_sources.digest": "of the file that was fetched last",
    "audit_entries.digest": "chains the log",
    "workspaces.audit_digest": "chains the log",
    "webhooks.secret_number": "which secret, not what",
    "webhooks.secret_oldest": "which secret, not what",
    "workspaces.second_factor_required": "a decision",
}


def test_no_column_that_sounds_like_a_secret_is_exported(office: Office, services: Services) -> None:
    found = export(office, services)
    for name in found.namelist():
        if not name.startswith("tables/"):
            continue
        table = name.removeprefix("tables/").removesuffix(".jsonl")
        for row in map(json.loads, found.read(name).splitlines()):
            sounding = {f"{table}.{column}" for column in row if any(word in column for word in SECRET_WORDS)}
            assert sounding <= set(OPEN), name
            assert not {column for column in EXCLUDED_COLUMNS.get(table, ()) if column in row}


def test_parameters_of_addresses_are_not_exported(office: Office, services: Services, make: Factory) -> None:
    make.webhook(office.space, "https://shop.example/hook?key=a-planted-secret")
    with make.database.transaction(office.space.id) as db:
        db.execute(text("UPDATE feed_sources SET url = 'https://shop.example/feed?key=a-planted-secret'"))
        db.execute(text("UPDATE webhook_deliveries SET url = 'https://shop.example/hook?key=a-planted-secret'"))
    found = export(office, services)
    assert not [name for name in found.namelist() if b"a-planted-secret" in found.read(name)]
    assert b"https://shop.example/feed" in found.read("tables/feed_sources.jsonl")


def test_one_export_at_a_time_and_none_without_a_storage(office: Office, make: Factory, wsgi: Any) -> None:
    last_form(office.app.get(f"{office.path}/exports")).submit(status=303)
    page = office.app.get(f"{office.path}/exports")
    assert "already in progress" in last_form(page).submit(status=422).text
    bare = make.workspace()
    with make.database.transaction(bare.id) as db:
        db.execute(text("DELETE FROM connections"))
    browser = TestApp(wsgi)
    sign_in(browser, make.member(bare))
    assert "Connect storage" in browser.get(f"/w/{bare.slug}/exports").text


def test_whoever_asked_hears_when_it_is_ready_and_it_goes_after_its_days(
    office: Office, services: Services, mailbox: Mailbox, make: Factory
) -> None:
    export(office, services)
    assert mailbox.last(office.admin.email)["Subject"] == f"The export of {office.space.name} is ready"
    with make.database.transaction(office.space.id) as db:
        [key] = db.scalars(select(Export.key).where(Export.state == "done")).all()
        assert key is not None
    assert delete_expired_exports(services.database, services.providers, days=7) == 0
    with make.database.transaction(office.space.id) as db:
        db.execute(text("UPDATE exports SET created_at = now() - interval '8 days'"))
    assert delete_expired_exports(services.database, services.providers, days=7) == 1
    assert [found.key for found in local_bucket(services).list(key)] == []
    assert "Deleted" in office.app.get(f"{office.path}/exports").text


def test_an_export_whose_storage_is_gone_is_forgotten_all_the_same(
    office: Office, services: Services, make: Factory
) -> None:
    export(office, services)
    with make.database.transaction(office.space.id) as db:
        db.execute(text("UPDATE exports SET created_at = now() - interval '8 days', connection_id = gen_random_uuid()"))
        for table in ("run_items", "images", "auto_runs", "runs", "connections"):
            db.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - our own names
    assert delete_expired_exports(services.database, services.providers, days=7) == 1


def test_an_export_whose_storage_went_before_it_was_made_says_so(make: Factory) -> None:
    bare = make.workspace()
    admin = make.member(bare)
    services = make.services
    with make.database.transaction(bare.id) as db:
        export_id = request_export(db, bare.id, admin.id, with_images=False).id
        db.execute(text("DELETE FROM connections"))
    run_export(services.database, services.providers, bare.id, export_id, is_last_attempt=False, url="")
    with make.database.transaction(bare.id) as db:
        found = db.get_one(Export, (bare.id, export_id))
    assert (found.state, found.error_message) == ("failed", NO_CONNECTION)


def test_an_export_that_can_not_be_made_says_why(
    office: Office, services: Services, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, make: Factory
) -> None:
    last_form(office.app.get(f"{office.path}/exports")).submit(status=303)

    def down(place: object) -> None:
        raise StorageUnreachableError("The storage does not answer")

    monkeypatch.setattr(services.providers, "open", down)
    with make.database.transaction(office.space.id) as db:
        export_id = db.scalars(select(Export.id).order_by(Export.id.desc())).first()
    assert export_id is not None
    place = (services.database, services.providers, office.space.id, export_id)
    with pytest.raises(StorageUnreachableError):
        run_export(*place, is_last_attempt=False, url="")
    run_export(*place, is_last_attempt=True, url="")
    assert "The storage does not answer" in office.app.get(f"{office.path}/exports").text
    assert mailbox.last(office.admin.email)["Subject"].endswith("failed")


@pytest.mark.parametrize("sizes", [(1, 7), (3,), (100,)])
def test_an_iterator_is_read_as_a_file(sizes: tuple[int, ...]) -> None:
    file, found = IteratorFile([b"abc", b"", b"defgh", b"i"]), b""
    for size in sizes * 9:
        found += file.read(size)
        assert file.tell() == len(found)
    assert found == b"abcdefghi"
    assert file.read(1) == b""
    assert IteratorFile([b"ab", b"c"]).read() == b"abc"


def test_the_upkeep_has_a_queue_of_its_own_that_other_workers_leave_alone(office: Office, services: Services) -> None:
    office.delete()
    with services.database.transaction() as db:
        waiting = db.scalar(
            text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = :q AND status = 'todo'"),
            {"q": UPKEEP_QUEUE},
        )
    assert waiting == 1
