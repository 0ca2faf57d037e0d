"""Export, deletion, restoration and purge of workspaces."""

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
from cwz_web.cli.demo import demo_details
from cwz_web.db.base import Base
from cwz_web.feeds.models import Item
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.imaging.encoders import Format
from cwz_web.jobs import EXPORT_QUEUE, MAINTENANCE_QUEUE
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
class OwnWorkspace:
    """A workspace, its admin, and a browser in which the admin is signed in."""

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
        """Move the deletion into the past."""
        with self.make.database.transaction() as db:
            for tombstone in db.scalars(select(Tombstone)):
                tombstone.deleted_at -= timedelta(days=days)
                tombstone.purge_at -= timedelta(days=days)

    def rows(self) -> dict[str, int]:
        """Return the number of the workspace's rows by table, deleted or not."""
        with self.make.database.transaction(self.space.id, deleted=True) as db:
            tables = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
            found = {table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
        return {name: rows for name, rows in found.items() if rows}


def last_form(page: Any) -> Any:
    return [form for form in page.forms.values() if form.method != "dialog"][-1]


def stored_image(make: Factory, services: Services, template: Template) -> Image:
    """Create an image whose object is in the storage."""
    image = make.image(template)
    key = f"{template.workspace_id}/images/{image.digest}.jpg"
    with make.database.transaction(template.workspace_id) as db:
        image = db.get_one(Image, (template.workspace_id, image.id))
        image.key = key
    local_bucket(services).put(key, jpeg(), content_type="image/jpeg")
    return image


@pytest.fixture
def own(app: TestApp, make: Factory) -> OwnWorkspace:
    space = make.workspace()
    admin = make.member(space)
    sign_in(app, admin)
    return OwnWorkspace(make, app, space, admin)


@pytest.fixture
def full(own: OwnWorkspace) -> OwnWorkspace:
    """With a row in every table."""
    fill(own.make, own.space)
    return own


def test_deletion_requires_the_name_of_the_workspace(own: OwnWorkspace) -> None:
    page = own.app.get(f"{own.path}/delete")
    assert "for 14 days" in page.text
    form = last_form(page)
    form["confirm"] = "something else"
    page = form.submit(status=422)
    assert f"Type {own.space.name} to confirm" in page.html.find(id="confirm-error").text
    assert own.app.get(own.path).status_int == 200


def test_deletion_closes_pages_api_and_urls_until_it_is_restored(
    own: OwnWorkspace, make: Factory, services: Services, wsgi: Any
) -> None:
    app, key = own.app, make.key(own.space, Scope.ADMIN)
    template, feed = make.template(own.space), make.feed(own.space)
    image = stored_image(make, services, template)
    make.run(feed, template)
    member, anonymous = TestApp(wsgi), TestApp(wsgi)
    sign_in(member, make.member(own.space, Role.USER))
    signed_urls = SignedUrls(services.settings.secrets.signing.get_secret_value())
    signed_url = signed_urls.on_demand_image(own.space.id, template.id, Format.PNG, {"title": "x"})
    image_url, table = signed_urls.image(image), signed_urls.output_feed(own.space, feed.id, template.id)

    def statuses() -> list[int]:
        bearer = {"Authorization": f"Bearer {key}"}
        return [
            member.get(own.path, status="*").status_int,
            app.get(f"{own.path}/settings", status="*").status_int,
            anonymous.get("/v1/templates", headers=bearer, status="*").status_int,
            api(anonymous, key, {"template": template.slug}, status="*").status_int,  # type: ignore[arg-type]
            anonymous.get(signed_url, status="*").status_int,
            anonymous.get(image_url, status="*").status_int,
            anonymous.get(table, status="*").status_int,
        ]

    assert statuses() == [200] * 7
    response = own.delete()
    assert response.headers["Location"].endswith("/w?done=deleted")
    assert statuses() == [404, 404, 401, 401, 404, 404, 404]
    with make.database.transaction() as db:
        for function in ("find_due_feeds()", "orphaned_chunks()", "orphaned_runs()"):
            found = db.scalars(text(f"SELECT workspace_id FROM {function}")).all()  # noqa: S608
            assert own.space.id not in found

    page = response.follow()
    assert "Workspace deleted." in page.text
    restored = last_form(page).submit(status=303)
    assert restored.location.startswith(f"http://localhost{own.path}")
    restored.follow(status=200)
    assert statuses() == [200] * 7
    with make.database.transaction(own.space.id) as db:
        actions = db.scalars(select(AuditEntry.action).order_by(AuditEntry.number.desc()).limit(2)).all()
        assert actions == ["workspace.restore", "workspace.delete"]
        assert find_chain_break(db, own.space.id) is None


def test_only_admins_restore_a_workspace(own: OwnWorkspace, make: Factory, wsgi: Any) -> None:
    user, stranger = make.member(own.space, Role.USER), make.account()
    own.delete()
    for account in (user, stranger):
        browser = TestApp(wsgi)
        sign_in(browser, account)
        page = browser.get("/w")
        assert own.space.name not in page.text
        token = page.html.find("input", {"name": "csrf_token"})["value"]
        form = {"csrf_token": token, "workspace": str(own.space.id)}
        browser.post("/w/restore", form, status=303)
        browser.get(own.path, status=404)


def test_workspace_is_not_restored_after_the_grace_period(own: OwnWorkspace) -> None:
    page = own.delete().follow()
    own.age(14)
    assert last_form(page).submit(status=303).headers["Location"].endswith("/w")
    own.app.get(own.path, status=404)


def test_failed_purge_does_not_delay_others(
    own: OwnWorkspace, make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make.workspace()
    make.member(other)
    own.delete()
    with make.database.transaction(other.id) as db:
        actor = Actor(None, "test", "")
        delete_workspace(db, db.get_one(Workspace, other.id), actor, with_images=False)
    own.age(15)

    def one_fails(database: Any, providers: Any, tombstone: Tombstone) -> bool:
        if tombstone.id == own.space.id:
            raise OperationalError("", {}, Exception("the disk is full"))
        return purge(database, providers, tombstone)

    monkeypatch.setattr("cwz_web.ops.purge.purge", one_fails)
    assert purge_due(services.database, services.providers) == 1
    with services.database.transaction() as db:
        assert db.get_one(Tombstone, other.id).purged_at is not None


def test_demo_command_restores_only_the_demo_workspace(make: Factory, services: Services) -> None:
    values, other = demo_details(services), make.workspace()
    with make.database.transaction() as db:
        account_id = db.scalars(select(Account.id).where(Account.email == values["email"])).one()
        [demo] = [access.workspace_id for access in list_workspaces(db, account_id)]
    with make.database.transaction(other.id) as db:
        db.add(Membership(workspace_id=other.id, account_id=account_id, role=Role.ADMIN))
    for workspace_id in (demo, other.id):
        with make.database.transaction(workspace_id) as db:
            workspace = db.get_one(Workspace, workspace_id)
            workspace.name = "Another name"
            delete_workspace(db, workspace, Actor(None, "test", ""), with_images=False)
    assert demo_details(services) == values
    with make.database.transaction() as db:
        assert [access.slug for access in list_workspaces(db, account_id)] == [values["workspace"]]
        assert [deletion.workspace_id for deletion in list_deletions(db, account_id)] == [other.id]


def test_admins_are_emailed_about_the_deletion(own: OwnWorkspace, mailbox: Mailbox) -> None:
    own.delete()
    mail = mailbox.last(own.admin.email)
    assert mail["Subject"] == f"{own.space.name} was deleted"
    assert "restore it" in text_of(mail)


def test_purge_leaves_only_a_report_without_names(full: OwnWorkspace, services: Services, make: Factory) -> None:
    bucket = local_bucket(services)
    key = f"{full.space.id}/images/aa/image.jpg"
    bucket.put(key, b"an image", content_type="image/jpeg")
    other = f"{make.workspace().id}/images/aa/image.jpg"
    bucket.put(other, b"another workspace's", content_type="image/jpeg")
    full.delete()
    assert purge_due(services.database, services.providers) == 0
    full.age(14)
    before = full.rows()
    assert purge_due(services.database, services.providers) == 1
    assert set(full.rows()) == {"billing_records"}  # kept for accounting for seven years
    with services.database.transaction() as db:
        tombstone = db.get_one(Tombstone, full.space.id)
        jobs = text("SELECT count(*) FROM procrastinate_jobs WHERE args->>'workspace_id' = :w")
        assert db.scalar(jobs, {"w": str(full.space.id)}) == 0
    assert tombstone.name == ""
    assert tombstone.purged_at is not None
    assert tombstone.report["rows"] == before
    assert tombstone.report["objects"] >= 1
    assert full.space.name not in json.dumps(tombstone.report)
    # Files on this server are deleted; those of other workspaces are not.
    assert [found.key for found in bucket.list(f"{full.space.id}/")] == []
    assert bucket.get(other) == b"another workspace's"
    assert "Restore" not in full.app.get("/w").text
    assert purge_due(services.database, services.providers) == 0


@pytest.mark.parametrize(("with_images", "deleted_count"), [(True, 1), (False, 0)])
def test_purge_empties_customer_storage_on_request_only(
    own: OwnWorkspace, services: Services, monkeypatch: pytest.MonkeyPatch, with_images: bool, deleted_count: int
) -> None:
    use_customer_storage(own)
    own.delete(**({"with_images": "true"} if with_images else {}))
    own.age(14)
    bucket = FakeBucket(own.space)
    monkeypatch.setattr(services.providers, "open", lambda spec: bucket)
    assert purge_due(services.database, services.providers) == 1
    assert len(bucket.deleted) == deleted_count


def test_unavailable_storage_delays_the_purge_until_the_deadline(
    own: OwnWorkspace, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_customer_storage(own)
    own.delete(with_images="true")
    own.age(14)

    def fail_to_open(spec: object) -> None:
        raise StorageUnreachableError("The storage does not answer")

    monkeypatch.setattr(services.providers, "open", fail_to_open)
    before = own.rows()
    assert purge_due(services.database, services.providers) == 0
    assert own.rows() == before
    own.age(16)
    assert purge_due(services.database, services.providers) == 1
    with services.database.transaction() as db:
        assert db.get_one(Tombstone, own.space.id).report["storage_errors"] == ["local: The storage does not answer"]


def use_customer_storage(own: OwnWorkspace) -> None:
    """Give the connection credentials, as a storage of the customer has."""
    with own.make.database.transaction(own.space.id) as db:
        db.execute(text("UPDATE connections SET encrypted_credentials = 'x'"))


class FakeBucket:
    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.deleted: list[str] = []

    def list(self, prefix: str) -> list[SimpleNamespace]:
        assert prefix == f"{self.space.id}/"
        return [SimpleNamespace(key=f"{prefix}one")]

    def delete_many(self, keys: Any) -> None:
        self.deleted += list(keys)


def test_account_deletion_purges_its_workspace_and_leaves_tombstones(
    own: OwnWorkspace, make: Factory, services: Services
) -> None:
    owned = make.workspace()
    account = make.member(owned)
    with make.database.transaction() as db:
        db.execute(text("UPDATE accounts SET delete_at = now() WHERE id = :id"), {"id": account.id})
    with make.database.transaction() as db:
        assert delete_due_accounts(db) == 1
    assert purge_due(services.database, services.providers) == 1
    with make.database.transaction() as db:
        tombstones = {tombstone.id: tombstone for tombstone in db.scalars(select(Tombstone))}
        assert db.get(Account, account.id) is None
    assert (tombstones[account.id].type, tombstones[owned.id].type) == ("account", "workspace")
    assert tombstones[owned.id].purged_at is not None
    with make.database.transaction(owned.id, deleted=True) as db:
        assert db.get(Workspace, owned.id) is None


def worker_context(services: Services, **more: object) -> dict[str, object]:
    return {
        "database": services.database,
        "providers": services.providers,
        "email_service": EmailService.of(services.settings),
        "retention": RetentionPolicy.from_settings(services.settings),
        **more,
    }


def export(own: OwnWorkspace, services: Services, **fields: str) -> zipfile.ZipFile:
    """Start an export, run its job, and download the zip file."""
    form = last_form(own.app.get(f"{own.path}/exports"))
    for name, value in fields.items():
        form[name] = value
    form.submit(status=303)
    assert export_task.queue == EXPORT_QUEUE
    run_jobs(services.settings.database.url.get_secret_value(), EXPORT_QUEUE, worker_context(services))
    page = own.app.get(f"{own.path}/exports")
    [link] = [a["href"] for a in page.html.select("table a")]
    response = own.app.get(link)
    assert response.content_type == "application/zip"
    return zipfile.ZipFile(io.BytesIO(response.body))


def export_rows(found: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found.read(f"tables/{table}.jsonl").splitlines()]


def test_export_contains_every_row(full: OwnWorkspace, services: Services, make: Factory) -> None:
    bucket = local_bucket(services)
    original = jpeg()
    bucket.put(f"{full.space.id}/uploads/{sha256(original).hexdigest()}", original, content_type="image/jpeg")
    before = full.rows()
    found = export(full, services)
    assert found.testzip() is None
    manifest = json.loads(found.read("manifest.json"))
    jsonschema.validate(manifest, json.loads(found.read("manifest.schema.json")))
    ExportManifest.model_validate(manifest)
    tables = manifest["tables"]
    assert set(before) - set(tables) <= set(EXCLUDED_TABLES)
    for name, table in tables.items():
        content = found.read(table["file"])
        rows = [json.loads(line) for line in content.splitlines()]
        assert sha256(content).hexdigest() == table["sha256"]
        assert len(rows) == table["rows"]
        if name not in ("workspaces", "members"):
            # The export itself is recorded in the activity log.
            assert len(rows) == before.get(name, 0) + (name == "audit_entries"), name
    with make.database.transaction(full.space.id) as db:
        items = {(str(item.feed_id), item.key): item.data for item in db.scalars(select(Item))}
    assert {(row["feed_id"], row["key"]): row["data"] for row in export_rows(found, "items")} == items
    assert full.admin.email in {row["email"] for row in export_rows(found, "members")}
    assert found.read(f"uploads/{sha256(original).hexdigest()}") == original
    assert [name for name in found.namelist() if name.startswith("templates/")]
    assert [name for name in found.namelist() if name.startswith("fonts/")]
    assert not [name for name in found.namelist() if name.startswith("images/")]


def test_export_with_images_lists_missing_ones(own: OwnWorkspace, services: Services, make: Factory) -> None:
    template = make.template(own.space)
    missing = make.image(template)
    stored_image(make, services, template)
    found = export(own, services, with_images="true")
    images = [name for name in found.namelist() if name.startswith("images/")]
    manifest = json.loads(found.read("manifest.json"))
    assert [found.read(name) for name in images] == [jpeg()]
    assert manifest["files"]["images"] == 1
    assert any(str(missing.id) in name for name in manifest["missing"])


SECRET_NAMES = ("seal", "secret", "digest", "token", "password", "fingerprint", "envelope")
# Columns whose name suggests a secret, but that are none.
HARMLESS_COLUMNS = {
    "images.digest": "of the image's content",
    "deleted_images.digest": "of the image's content",
    "uploads.digest": "of the upload's content",
    "feed_sources.digest": "of the latest file",
    "channels.digest": "of the feed that was written last",
    "processed_photos.digest": "of the photo's content",
    "audit_entries.digest": "chains the activity log",
    "workspaces.audit_chain_digest": "chains the activity log",
    "runs.design_digests": "of the template's document",
    "webhooks.secret_number": "the number of the secret",
    "webhooks.oldest_secret_number": "the number of the secret",
    "workspaces.second_factor_required": "a setting",
}


def test_no_secret_column_is_exported(full: OwnWorkspace, services: Services) -> None:
    found = export(full, services)
    for name in found.namelist():
        if not name.startswith("tables/"):
            continue
        table = name.removeprefix("tables/").removesuffix(".jsonl")
        for row in export_rows(found, table):
            suspicious = {f"{table}.{column}" for column in row if any(word in column for word in SECRET_NAMES)}
            assert suspicious <= set(HARMLESS_COLUMNS), name
            assert not {column for column in EXCLUDED_COLUMNS.get(table, ()) if column in row}


def test_query_strings_of_urls_are_not_exported(full: OwnWorkspace, services: Services, make: Factory) -> None:
    make.webhook(full.space, "https://shop.example/hook?key=a-planted-secret")
    with make.database.transaction(full.space.id) as db:
        db.execute(text("UPDATE feed_sources SET url = 'https://shop.example/feed?key=a-planted-secret'"))
        db.execute(text("UPDATE webhook_deliveries SET url = 'https://shop.example/hook?key=a-planted-secret'"))
    found = export(full, services)
    assert not [name for name in found.namelist() if b"a-planted-secret" in found.read(name)]
    assert b"https://shop.example/feed" in found.read("tables/feed_sources.jsonl")


def test_export_needs_storage_and_no_pending_export(own: OwnWorkspace, make: Factory, wsgi: Any) -> None:
    last_form(own.app.get(f"{own.path}/exports")).submit(status=303)
    page = own.app.get(f"{own.path}/exports")
    assert "already in progress" in last_form(page).submit(status=422).text
    bare = make.workspace()
    with make.database.transaction(bare.id) as db:
        db.execute(text("DELETE FROM connections"))
    browser = TestApp(wsgi)
    sign_in(browser, make.member(bare))
    assert "Connect storage" in browser.get(f"/w/{bare.slug}/exports").text


def test_finished_export_is_emailed_and_deleted_when_it_expires(
    own: OwnWorkspace, services: Services, mailbox: Mailbox, make: Factory
) -> None:
    export(own, services)
    assert mailbox.last(own.admin.email)["Subject"] == f"The export of {own.space.name} is ready"
    with make.database.transaction(own.space.id) as db:
        [key] = db.scalars(select(Export.key).where(Export.state == "done")).all()
        assert key is not None
    assert delete_expired_exports(services.database, services.providers, days=7) == 0
    with make.database.transaction(own.space.id) as db:
        db.execute(text("UPDATE exports SET created_at = now() - interval '8 days'"))
    assert delete_expired_exports(services.database, services.providers, days=7) == 1
    assert [found.key for found in local_bucket(services).list(key)] == []
    assert "Deleted" in own.app.get(f"{own.path}/exports").text


def test_expired_export_of_a_deleted_connection_is_deleted(
    own: OwnWorkspace, services: Services, make: Factory
) -> None:
    export(own, services)
    with make.database.transaction(own.space.id) as db:
        db.execute(text("UPDATE exports SET created_at = now() - interval '8 days', connection_id = gen_random_uuid()"))
        for table in ("run_items", "images", "auto_runs", "runs", "connections"):
            db.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the names are constants
    assert delete_expired_exports(services.database, services.providers, days=7) == 1


def test_export_fails_when_its_connection_was_deleted(make: Factory) -> None:
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


def test_failed_export_shows_the_error_message(
    own: OwnWorkspace, services: Services, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, make: Factory
) -> None:
    last_form(own.app.get(f"{own.path}/exports")).submit(status=303)

    def fail_to_open(spec: object) -> None:
        raise StorageUnreachableError("The storage does not answer")

    monkeypatch.setattr(services.providers, "open", fail_to_open)
    with make.database.transaction(own.space.id) as db:
        export_id = db.scalars(select(Export.id).order_by(Export.id.desc())).first()
    assert export_id is not None
    arguments = (services.database, services.providers, own.space.id, export_id)
    with pytest.raises(StorageUnreachableError):
        run_export(*arguments, is_last_attempt=False, url="")
    run_export(*arguments, is_last_attempt=True, url="")
    assert "The storage does not answer" in own.app.get(f"{own.path}/exports").text
    assert mailbox.last(own.admin.email)["Subject"].endswith("failed")


@pytest.mark.parametrize("sizes", [(1, 7), (3,), (100,)])
def test_iterator_file_reads_chunks(sizes: tuple[int, ...]) -> None:
    file, found = IteratorFile([b"abc", b"", b"defgh", b"i"]), b""
    for size in sizes * 9:
        found += file.read(size)
        assert file.tell() == len(found)
    assert found == b"abcdefghi"
    assert file.read(1) == b""
    assert IteratorFile([b"ab", b"c"]).read() == b"abc"


def test_purge_jobs_use_the_maintenance_queue(own: OwnWorkspace, services: Services) -> None:
    own.delete()
    with services.database.transaction() as db:
        count = db.scalar(
            text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = :q AND status = 'todo'"),
            {"q": MAINTENANCE_QUEUE},
        )
    assert count == 1
