"""Factory of accounts, workspaces and their contents, through the functions of the application."""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from string import ascii_letters
from typing import Any
from uuid import UUID

import pyvips
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sqlalchemy import event
from webtest import TestApp

from cwz_web.accounts.devices import PURPOSE, KnownDevice
from cwz_web.accounts.models import Account
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.sessions import start_session
from cwz_web.campaigns.editing import catch_all, create_campaign
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.channels.editing import create_channel
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.models import Channel
from cwz_web.channels.presets import PRESETS
from cwz_web.db.session import Database, enter_workspace
from cwz_web.feeds.fetch_job import FetchContext
from cwz_web.feeds.imports import create_feed, import_file
from cwz_web.feeds.models import Feed, FeedImport, FeedSource, ImportState
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.api_keys import KeyTerms, Scope, create_key
from cwz_web.generation.images import StoredImage, record_images
from cwz_web.generation.models import Image, Template, Upload
from cwz_web.generation.templates import create_template
from cwz_web.generation.uploads import complete_upload, reserve_upload
from cwz_web.generation.usage import Quota
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.uploads import PreparedUpload, prepare_upload
from cwz_web.notify.models import Webhook
from cwz_web.notify.webhooks import Event
from cwz_web.ops.models import Export
from cwz_web.runs.models import Run
from cwz_web.runs.planning import RequestedItem, RunSpec, start_image_run, start_run
from cwz_web.shops.editing import create_shop, suggest_settings
from cwz_web.shops.models import Shop
from cwz_web.shops.providers import SHOPS
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import Bucket
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.web.services import Services
from cwz_web.workspaces.models import EmailDomain, Membership, Role, Workspace
from tests.installation import ROOT
from tests.saved_rows import RowSaver

FONT = ROOT / "node_modules/@expo-google-fonts/caveat/700Bold/Caveat_700Bold.ttf"
PASSWORD = "correct horse battery staple"
PEPPER = "password_pepper 0123456789 abcdefghijklmnop"
# A low cost, since tests sign in often.
PASSWORDS = Passwords(PEPPER, cost=4)

_numbers = itertools.count(1)


@lru_cache
def password_hash() -> str:
    """Return the hash of PASSWORD."""
    return PASSWORDS.hash(PASSWORD)


@lru_cache
def small_font() -> bytes:
    """Return FONT with the letters of ASCII only, which is checked in a tenth of the time."""
    font = TTFont(FONT)
    # Without the tables of features, which take most of the time.
    subsetter = Subsetter(Options(name_IDs=["*"], drop_tables=["GDEF", "GPOS", "GSUB"]))
    subsetter.populate(text=ascii_letters)
    subsetter.subset(font)
    file = BytesIO()
    font.save(file)
    return file.getvalue()


@lru_cache
def prepared_upload(data: bytes) -> PreparedUpload:
    """Return a file as it is stored: most tests upload the same ones."""
    return prepare_upload(data)


def small_document(**more: Any) -> dict[str, Any]:
    """Return a template of 300 x 200 with a title and an optional image."""
    return {
        "canvas": {"width": 300, "height": 200, "background": "#ffffff"},
        "fields": [
            {"name": "title", "label": "Title", "default": "Hello"},
            {"name": "image", "label": "Image", "type": "image"},
        ],
        "layers": [
            {
                "type": "image",
                "name": "Image",
                "source": "{{ image }}",
                "x": 150,
                "y": 0,
                "width": 150,
                "height": 200,
            },
            {
                "type": "text",
                "name": "Title",
                "text": "{{ title }}",
                "x": 10,
                "y": 10,
                "width": 130,
                "height": 60,
                "size": 24,
                "max_lines": 2,
            },
        ],
        **more,
    }


def nested_document(**more: Any) -> dict[str, Any]:
    """Return a template of 400 x 200 with stacks and groups in one another, a repeated stack, and free layers."""
    hug = {"sizing": {"width": "hug", "height": "hug"}}
    wide = {"sizing": {"width": "fill", "height": "hug"}}
    text = {"type": "text", "text": "Word", "size": 20}
    shape = {"type": "shape", "fill": "#3d4ee0", "x": 0, "y": 0, "width": 60, "height": 40}
    prices = [text | hug | {"name": "Price"}, text | hug | {"name": "Old price", "size": 12}]
    tags = [text | hug | {"name": "Tag", "text": "{{ index }} {{ item }}", "size": 10}]
    card = [
        text | wide | {"name": "Title", "text": "{{ title }}"},
        hug | {"type": "stack", "name": "Prices", "direction": "row", "gap": 4, "layers": prices},
        hug | {"type": "stack", "name": "Tags", "repeat": {"field": "tags", "limit": 3}, "layers": tags},
        {
            "type": "group",
            "name": "Stars",
            "width": 70,
            "height": 40,
            "layers": [shape | {"name": "Star", "x": 5, "y": 5}],
        },
    ]
    badge = [
        shape | {"name": "Disc", "pins": {"horizontal": "both"}},
        text | hug | {"name": "Label", "x": 60, "y": 20, "anchor": "center"},
    ]
    box = {"x": 20, "y": 10, "width": 200, "height": 180, "gap": 8, "padding": 12}
    return {
        "version": 3,
        "canvas": {"width": 400, "height": 200, "background": "#ffffff"},
        "fields": [
            {"name": "title", "label": "Title", "default": "Hello"},
            {"name": "tags", "label": "Tags", "type": "list", "default": "new|sale"},
        ],
        "layers": [
            shape | {"name": "Ground", "width": 400, "height": 200, "fill": "#ffffff"},
            box | {"type": "stack", "name": "Card", "layers": card},
            {
                "type": "group",
                "name": "Badge",
                "x": 300,
                "y": 40,
                "width": 120,
                "height": 80,
                "anchor": "center",
                "layers": badge,
            },
            text | hug | {"name": "Note", "x": 390, "y": 190, "anchor": "bottom-right"},
            shape | {"name": "Corner", "x": 340, "pins": {"horizontal": "right", "vertical": "scale"}},
        ],
        **more,
    }


def jpeg(width: int = 60, height: int = 40, color: tuple[int, int, int] = (200, 30, 40)) -> bytes:
    """Return a JPEG of one color."""
    image = pyvips.Image.black(width, height, bands=3) + list(color)
    data: bytes = image.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=95)
    return data


def product_photo(size: tuple[int, int], ground: tuple[int, int, int]) -> bytes:
    """Return a PNG image of a red product in the middle of a ground."""
    width, height = size
    image = (pyvips.Image.black(width, height, bands=3) + list(ground)).cast("uchar").copy(interpretation="srgb")
    image = image.draw_rect([200, 30, 40], width // 4, height // 4, width // 2, height // 2, fill=True)
    data: bytes = image.pngsave_buffer()
    return data


@contextmanager
def record_queries(database: Database) -> Iterator[list[str]]:
    """Yield the list of statements that the block executes."""
    statements: list[str] = []

    def record(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(database.engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", record)


def local_bucket(services: Services) -> Bucket:
    """Return the bucket of the tests, a local folder."""
    spec = ConnectionSpec(workspace_id=UUID(int=0), connection_id=UUID(int=0), provider="local", settings="{}")
    return services.providers.open(spec)


class Factory:
    """Creates rows; each method commits."""

    def __init__(self, services: Services, row_saver: RowSaver | None = None) -> None:
        self.services = services
        self.database = services.database
        self.row_saver = row_saver

    @property
    def fetch_context(self) -> FetchContext:
        """The context of the jobs that fetch and import feeds."""
        services = self.services
        return FetchContext(
            services.database, services.fetcher, services.ring, services.settings.url, services.feed_sources
        )

    def account(self, **given: Any) -> Account:
        number = next(_numbers)
        values = {
            "email": f"person{number}@example.org",
            "name": f"Person {number}",
            "password_hash": password_hash(),
            "verified_at": datetime.now(UTC),
        }
        account = Account(**(values | given))
        with self.database.transaction() as db:
            db.add(account)
        return account

    def workspace(self, **given: Any) -> Workspace:
        number = next(_numbers)
        workspace = Workspace(**({"slug": f"space-{number}", "name": f"Space {number}"} | given))
        with self.database.transaction() as db:
            from uuid_utils.compat import uuid7

            workspace.id = uuid7()
            enter_workspace(db, workspace.id)
            db.add(workspace)
            db.flush()
            db.add(Connection(workspace_id=workspace.id, name="Here", provider="local", settings={}, is_default=True))
        return workspace

    def member(self, workspace: Workspace, role: Role = Role.ADMIN, **values: Any) -> Account:
        account = self.account(**values)
        with self.database.transaction(workspace.id) as db:
            db.add(Membership(workspace_id=workspace.id, account_id=account.id, role=role))
        return account

    def feed(
        self, workspace: Workspace, data: bytes = b"sku,title\n1,One\n2,Two\n3,Three\n", name: str = "Feed"
    ) -> Feed:
        with self.database.transaction(workspace.id) as db:
            feed = create_feed(db, workspace.id, name=name, file_name="feed.csv")
            import_file(db, feed, file_name="feed.csv", file=temporary_file(data))
            return feed

    def import_rows(self, feed: Feed, data: bytes) -> FeedImport:
        """Import a file that needs no review into a feed."""
        with self.database.transaction(feed.workspace_id) as db:
            feed = db.get_one(Feed, (feed.workspace_id, feed.id))
            record = import_file(db, feed, file_name="feed.csv", file=temporary_file(data))
            assert record.state == ImportState.APPLIED, record.review_reasons
            return record

    def import_to_review(self, feed: Feed) -> FeedImport:
        """Import a file with one row, which needs a review since it would remove the others."""
        with self.database.transaction(feed.workspace_id) as db:
            feed = db.get_one(Feed, (feed.workspace_id, feed.id))
            return import_file(db, feed, file_name="short.csv", file=temporary_file(b"sku,title\n1,Alone\n"))

    def import_with_invalid_row(
        self, feed: Feed, data: bytes = b"sku,title\n1,One\n2,Two\n3,Three\n,No key\n"
    ) -> FeedImport:
        """Import a file with an invalid row."""
        with self.database.transaction(feed.workspace_id) as db:
            feed = db.get_one(Feed, (feed.workspace_id, feed.id))
            return import_file(db, feed, file_name="invalid.csv", file=temporary_file(data))

    def source(self, feed: Feed, url: str = "https://shop.example/feed.csv", **more: Any) -> FeedSource:
        """Add a source to a feed."""
        source = FeedSource(workspace_id=feed.workspace_id, feed_id=feed.id, url=url, **more)
        with self.database.transaction(feed.workspace_id) as db:
            db.add(source)
        return source

    def template(self, workspace: Workspace, document: dict[str, Any] | None = None, name: str = "Card") -> Template:
        design = ImageTemplate.model_validate(document or small_document())
        with self.database.transaction(workspace.id) as db:
            return create_template(db, workspace.id, name=name, document=design)

    def run(self, feed: Feed, template: Template, mapping: dict[str, str] | None = None, *outputs: Output) -> Run:
        with self.database.transaction(feed.workspace_id) as db:
            spec = RunSpec(feed, template, {"title": "title"} if mapping is None else mapping, outputs or [Output()])
            return start_run(db, spec, started_by=None)

    def campaign(self, feed: Feed, template: Template, **settings: Any) -> Campaign:
        """Create a campaign with a single rule."""
        with self.database.transaction(feed.workspace_id) as db:
            rules = [catch_all(template.id, {"title": "title"}, "All rows")]
            return create_campaign(db, db.merge(feed), name="Ads", rules=rules, outputs=[Output()], **settings)

    def publication(self, campaign: Campaign, state: PublicationState = PublicationState.HELD) -> Publication:
        """Create a publication of a campaign, without rows."""
        publication = Publication(
            workspace_id=campaign.workspace_id,
            campaign_id=campaign.id,
            number=1,
            timeline=campaign.timeline,
            designs=[1],
            state=state,
            outputs=campaign.outputs,
            rules=campaign.rules,
        )
        with self.database.transaction(campaign.workspace_id) as db:
            db.add(publication)
        return publication

    def channel(self, campaign: Campaign, fields: Sequence[FieldMapping] = (), **settings: Any) -> Channel:
        """Add a channel without a platform's fields: the keys of the rows, unless others are given."""
        own = fields or [FieldMapping(name="id", source=FieldSource.KEY)]
        with self.database.transaction(campaign.workspace_id) as db:
            stored = db.get_one(Campaign, (campaign.workspace_id, campaign.id))
            return create_channel(db, stored, PRESETS["generic"], **{"name": "Shop", "fields": own, **settings})

    def shop(self, campaign: Campaign, **content: Any) -> Shop:
        """Add a shop that is turned off, with credentials that work nowhere."""
        provider = SHOPS["shopify"]
        with self.database.transaction(campaign.workspace_id) as db:
            stored = db.get_one(Campaign, (campaign.workspace_id, campaign.id))
            settings = provider.settings_model.model_validate({"shop": "mugs"})
            suggested = suggest_settings(db, stored, provider).model_copy(update={"name": "Mugs", **content})
            ring = self.services.ring
            return create_shop(db, ring, stored, provider, settings, {"token": "shpat_none"}, suggested)

    def image_run(self, template: Template, webhook: str | None = None, **data: str) -> Run:
        """Start a run of a single image."""
        with self.database.transaction(template.workspace_id) as db:
            quota = Quota(template.workspace_id)
            about = {"template": template, "version": template.version, "outputs": [Output()], "quota": quota}
            return start_image_run(db, **about, items=[RequestedItem(data, [""])], webhook=webhook)

    def webhook(self, workspace: Workspace, url: str = "https://shop.example/hook", *events: Event) -> Webhook:
        """Add a webhook for some events, by default all."""
        webhook = Webhook(workspace_id=workspace.id, url=url, events=list(events or Event))
        with self.database.transaction(workspace.id) as db:
            db.add(webhook)
        return webhook

    def export(self, workspace: Workspace) -> Export:
        """Request an export."""
        export = Export(workspace_id=workspace.id, with_images=False)
        with self.database.transaction(workspace.id) as db:
            db.add(export)
        return export

    def image(self, template: Template) -> Image:
        """Record an image in the database, without a file in the bucket."""
        digest = f"{next(_numbers):064x}"
        kept = StoredImage(digest=digest, key=f"k/{digest}", content_type="image/jpeg", width=3, height=2, size=9)
        with self.database.transaction(template.workspace_id) as db:
            recorded = record_images(
                db,
                template.workspace_id,
                [("Image", kept)],
                connection_id=get_default_connection(db, template.workspace_id).id,
                template_id=template.id,
                version=template.version,
            )
            return recorded[digest][0]

    def font(self, workspace: Workspace) -> Upload:
        """Upload a font to a workspace."""
        return self.upload(workspace, small_font(), "")

    def upload(self, workspace: Workspace, data: bytes, name: str = "Logo") -> Upload:
        """Upload a file to a workspace."""
        prepared = prepared_upload(data)
        key = upload_key(workspace.id, prepared.source.digest)
        local_bucket(self.services).put(key, prepared.source.data, content_type="application/octet-stream")
        with self.database.transaction(workspace.id) as db:
            reserved = reserve_upload(
                db,
                workspace.id,
                prepared,
                name=name or prepared.title,
                connection_id=get_default_connection(db, workspace.id).id,
                created_by=None,
                check_limit=lambda: None,
            )
            return complete_upload(db, workspace.id, reserved)

    def email_domain(self, workspace: Workspace, domain: str = "example.org", **more: Any) -> EmailDomain:
        """Add an email domain, which is not verified."""
        found = EmailDomain(workspace_id=workspace.id, domain=domain, token=f"token of {domain}", **more)
        with self.database.transaction(workspace.id) as db:
            db.add(found)
        return found

    def key(self, workspace: Workspace, *scopes: Scope, **terms: Any) -> str:
        with self.database.transaction(workspace.id) as db:
            return create_key(db, workspace.id, "Test", KeyTerms(scopes=scopes or (Scope.GENERATE,), **terms))[1]

    def reload(self, row: Any) -> Any:
        """Return the row as it is in the database now."""
        with self.database.transaction(row.workspace_id) as db:
            return db.get_one(type(row), (row.workspace_id, row.id))

    def count(self, model: Any, workspace_id: UUID) -> int:
        with self.database.transaction(workspace_id) as db:
            return db.query(model).count()


def put_cookie(browser: TestApp, name: str, value: str) -> None:
    """Set a cookie as it is; `TestApp.set_cookie` puts quotation marks around the value of a token."""
    browser.set_cookie(name, "")
    for cookie in browser.cookiejar:
        if cookie.name == name:
            cookie.value = value


def token_of(app: TestApp, path: str = "/signin") -> str:
    """Return the CSRF token of a page.

    By a regular expression: the parser of WebTest takes longer than the page.
    """
    [token, *_] = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', app.get(path, status="*").text)
    return str(token)


def sign_in(app: TestApp, account: Account) -> None:
    """Start a session in a browser that is then known to the account, as a sign-in does; it costs two requests less."""
    services: Services = app.app.registry["services"]
    tokens = services.browser_tokens
    with services.database.transaction() as db:
        found = db.get_one(Account, account.id)
        session = start_session(db, found, tokens, ip_address="127.0.0.1", user_agent="")[1]
        device = KnownDevice().with_account(found).to_token(tokens)
    put_cookie(app, "cwz_session", session)
    put_cookie(app, f"cwz_{PURPOSE}", device)


def sign_in_with_form(app: TestApp, account: Account, password: str = PASSWORD) -> None:
    """Sign in with the fields of the form; the tests of /signin submit the form itself."""
    app.post("/signin", {"csrf_token": token_of(app), "email": account.email, "password": password}, status=303)


def api(
    app: TestApp, key: str, body: Any, accept: str = "image/png", status: int | None = None, path: str = "/v1/images"
) -> Any:
    """Send a POST request to the API with a key."""
    headers = {"Authorization": f"Bearer {key}", "Accept": accept}
    return app.post(path, json.dumps(body), headers=headers, content_type="application/json", status=status)
