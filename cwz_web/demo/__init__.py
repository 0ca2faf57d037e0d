"""The demo workspace: a real template, a real feed, local storage, a finished run. Made once, found again afterwards.

Its password and API key follow from the installation's signing secret, so that scripts can ask for them at any time and
they are stored nowhere in clear.
"""

import base64
import hmac
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.models import Account
from cwz_web.accounts.passwords import hash_password
from cwz_web.db.session import Database, enter_workspace
from cwz_web.demo import contents
from cwz_web.feeds.imports import upload_feed
from cwz_web.generation.keys import PREFIX, create_key
from cwz_web.generation.maker import PictureMaker
from cwz_web.generation.models import Asset, Template
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.pictures import Source
from cwz_web.runs.callback import apply_report, specify
from cwz_web.runs.mapping import guess_mapping
from cwz_web.runs.models import Run
from cwz_web.runs.planning import CHUNK, start_run
from cwz_web.runs.protocol import AskSpecification, Report, Specification
from cwz_web.runs.worker import Worker
from cwz_web.storage.connections import original_key
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import Providers
from cwz_web.workspaces.access import workspaces_of
from cwz_web.workspaces.models import Membership, Role, Workspace

PROVIDER = "local"


@dataclass(frozen=True)
class Demo:
    """Where the demo is."""

    workspace_id: UUID
    template_id: UUID
    picture: Asset


def demo_password(secret: str) -> str:
    """The demo account's password on this installation."""
    text = base64.b32encode(_derive(secret, "demo password"))[:12].decode().lower()
    return "-".join((text[:4], text[4:8], text[8:]))


def demo_api_key(secret: str) -> str:
    """The demo workspace's API key on this installation."""
    return PREFIX + base64.urlsafe_b64encode(_derive(secret, "demo api key")).rstrip(b"=").decode()


def ensure_demo(database: Database, providers: Providers, maker: PictureMaker, *, secret: str, pepper: str) -> Demo:
    """The demo, made now if it is not there. All of it appears at once, or nothing does."""
    with database.transaction() as db:
        found = _find(db)
        if found is not None:
            return found
        account = Account(
            email=contents.EMAIL, name=contents.NAME, password_hash=hash_password(demo_password(secret), pepper)
        )
        workspace = Workspace(slug=contents.SLUG, name=contents.WORKSPACE)
        db.add(account)
        db.flush()
        run = _fill(db, workspace, account.id, providers, secret)
        _finish(db, run, maker, providers)
        found = _find(db)
        assert found is not None
        return found


def _find(db: Session) -> Demo | None:
    account_id = db.scalar(select(Account.id).where(func.lower(Account.email) == contents.EMAIL))
    access = next((a for a in workspaces_of(db, account_id) if a.slug == contents.SLUG), None) if account_id else None
    if access is None:
        return None
    enter_workspace(db, access.workspace_id)
    mine = access.workspace_id
    template = db.scalar(select(Template.id).where(Template.workspace_id == mine).order_by(Template.id).limit(1))
    picture = db.scalar(select(Asset).where(Asset.workspace_id == mine).order_by(Asset.id).limit(1))
    return Demo(mine, template, picture) if template and picture else None


def _fill(db: Session, workspace: Workspace, account_id: UUID, providers: Providers, secret: str) -> Run:
    workspace.id = uuid7()
    enter_workspace(db, workspace.id)
    db.add(workspace)
    db.flush()
    db.add(Membership(workspace_id=workspace.id, account_id=account_id, role=Role.ADMIN))
    db.add(Connection(workspace_id=workspace.id, name="This server", provider=PROVIDER, settings={}, is_default=True))
    create_key(db, workspace.id, "Demo", demo_api_key(secret))
    bucket = providers.open(PROVIDER, {})
    rows = contents.read_products()
    for row in rows:
        source = Source.of(contents.draw(row[contents.PICTURE]))
        bucket.put(original_key(workspace.id, source.digest), source.data, content_type="image/jpeg")
        row[contents.PICTURE] = f"original:{source.digest}"
    document = contents.read_template()
    next(c for c in document["columns"] if c["name"] == contents.PICTURE)["default"] = rows[0][contents.PICTURE]
    design = ImageTemplate.model_validate(document)
    template = create_template(db, workspace.id, name=contents.TEMPLATE, document=design)
    feed = upload_feed(db, workspace.id, name=contents.FEED, file_name=contents.FILE, data=contents.write_csv(rows))
    mapping = guess_mapping(design.columns, feed.columns, rows)
    return start_run(db, feed=feed, template=template, mapping=mapping, output=Output(), started_by=account_id)


def _finish(db: Session, run: Run, maker: PictureMaker, providers: Providers) -> None:
    """Draw the run here and now, before there is a worker. Its job will find nothing left to do."""
    worker = Worker(_SameProcess(db), maker, providers)
    for chunk in range(-(-run.total // CHUNK)):
        worker.render_chunk(AskSpecification(workspace_id=run.workspace_id, run_id=run.id, chunk=chunk), last_try=True)


@dataclass(frozen=True)
class _SameProcess:
    """A worker's way to the web application when both are one process."""

    db: Session

    def specification(self, ask: AskSpecification) -> Specification:
        return specify(self.db, ask)

    def report(self, report: Report) -> None:
        apply_report(self.db, report)


def _derive(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")
