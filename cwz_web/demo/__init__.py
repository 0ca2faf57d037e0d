"""The demo workspace: a template, a feed, local storage and a finished run.

It is created once. Its password and API key are derived from the installation's signing secret, so that scripts can
print them at any time and they are not stored in plain text.
"""

import base64
import hmac
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.passwords import Passwords
from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database, enter_workspace, lock_name
from cwz_web.demo import contents
from cwz_web.demo.samples import add_sample_feed, add_sample_template
from cwz_web.feeds.queries import list_items
from cwz_web.generation.api_keys import PREFIX, KeyTerms, Scope, create_key
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import load_design
from cwz_web.imaging.encoders import Output
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.mapping import guess_mapping
from cwz_web.runs.models import Run
from cwz_web.runs.planning import RunSpec, start_run
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.scheduling import CHUNK
from cwz_web.storage.connections import create_connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.workspaces.access import list_workspaces
from cwz_web.workspaces.audit import Actor
from cwz_web.workspaces.creation import create_workspace
from cwz_web.workspaces.deletion import list_deletions, restore_workspace
from cwz_web.workspaces.models import Workspace

PROVIDER = "local"
# The demo key is also that of benchmarks and load tests.
DEMO_PER_MINUTE = 600_000


@dataclass(frozen=True)
class Demo:
    """The demo workspace with its template and an image."""

    workspace_id: UUID
    template_id: UUID
    image: Image


def demo_password(secret: str) -> str:
    """Return the password of the demo account of this installation."""
    text = base64.b32encode(_derive(secret, "demo password"))[:12].decode().lower()
    return "-".join((text[:4], text[4:8], text[8:]))


def demo_api_key(secret: str) -> str:
    """Return the API key of the demo workspace of this installation."""
    return PREFIX + base64.urlsafe_b64encode(_derive(secret, "demo api key")).rstrip(b"=").decode()


def ensure_demo(
    database: Database,
    providers: ProviderRegistry,
    image_service: ImageService,
    passwords: Passwords,
    ring: KeyRing,
    secret: str,
) -> Demo:
    """Return the demo workspace; create it in one transaction if it does not exist.

    Args:
        database: the application's database.
        providers: open its storage connection.
        image_service: renders its image.
        passwords: hashes the demo's password.
        ring: encrypts the credentials of its connection.
        secret: the installation's signing secret; the password and the API key are derived from it.
    """
    with database.transaction() as db:
        lock_name(db, "demo")  # a server that starts and `cwz demo` create it at the same time
        existing = _find_demo(db)
        if existing is not None:
            return existing
        account = db.scalar(select(Account).where(has_email(contents.EMAIL))) or Account(
            email=contents.EMAIL,
            name=contents.NAME,
            password_hash=passwords.hash(demo_password(secret)),
            verified_at=datetime.now(UTC),
        )
        db.add(account)
        db.flush()
        run = _create_demo(db, account, providers, ring, secret)
        _render_run(db, run, image_service, providers, SignedUrls(secret))
        demo = _find_demo(db)
        assert demo is not None
        return demo


def _find_demo(db: Session) -> Demo | None:
    account_id = db.scalar(select(Account.id).where(has_email(contents.EMAIL)))
    for deletion in list_deletions(db, account_id) if account_id else ():
        enter_workspace(db, deletion.workspace_id, deleted=True)
        if db.get_one(Workspace, deletion.workspace_id).slug == contents.SLUG:
            restore_workspace(db, deletion, Actor(None, "cwz demo", ""))
    access = next((a for a in list_workspaces(db, account_id) if a.slug == contents.SLUG), None) if account_id else None
    if access is None:
        return None
    enter_workspace(db, access.workspace_id)
    workspace_id = access.workspace_id
    template = db.scalar(
        select(Template.id).where(Template.workspace_id == workspace_id).order_by(Template.id).limit(1)
    )
    image = db.scalar(select(Image).where(Image.workspace_id == workspace_id).order_by(Image.id).limit(1))
    return Demo(workspace_id, template, image) if template and image else None


def _create_demo(db: Session, account: Account, providers: ProviderRegistry, ring: KeyRing, secret: str) -> Run:
    workspace = create_workspace(db, account, name=contents.WORKSPACE, slug=contents.SLUG)
    create_connection(db, workspace.id, ring, provider=PROVIDER, name="This server")
    terms = KeyTerms(scopes=(Scope.ADMIN,), requests_per_minute=DEMO_PER_MINUTE)
    create_key(db, workspace.id, "Demo", terms, demo_api_key(secret), created_by=account.id)
    template = add_sample_template(db, workspace.id, providers)
    feed = add_sample_feed(db, workspace.id, providers)
    rows = [item.data for item in list_items(db, feed)]
    mapping = guess_mapping(load_design(db, template).document.fields, feed.columns, rows)
    return start_run(db, RunSpec(feed, template, mapping, [Output()]), started_by=account.id)


def _render_run(
    db: Session, run: Run, image_service: ImageService, providers: ProviderRegistry, signed_urls: SignedUrls
) -> None:
    """Render the run in this process, before a worker runs. Its job will find nothing to do."""
    worker = RenderWorker(
        LocalRenderClient(lambda _: nullcontext(db), providers, signed_urls), image_service, providers.outbound
    )
    for chunk in range(-(-run.total // CHUNK)):
        worker.render_chunk(
            SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=chunk), last_try=True
        )


def _derive(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")
