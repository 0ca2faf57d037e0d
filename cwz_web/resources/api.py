"""The resources of the REST API: `/v1/...`."""

import re
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from pyramid.authorization import DENY_ALL, Allow
from pyramid.location import lineage
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.channels.models import Channel
from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template, Upload
from cwz_web.resources.base import Area, Resource, parse_number, parse_uuid
from cwz_web.resources.permissions import (
    API_PERMISSIONS,
    READ_ONLY_PERMISSIONS,
    SCOPE_PERMISSIONS,
    Permission,
    api_principal,
)
from cwz_web.resources.workspace import WorkspaceItem
from cwz_web.runs.models import Run

if TYPE_CHECKING:
    from cwz_web.web.request import Request


_digest = re.compile("[0-9a-f]{64}")


class ApiCollection(Resource):
    """Rows of the API key's workspace, by id. Without a key, every id is a 404."""

    model: ClassVar[type[Any]]
    item_class: ClassVar[type[WorkspaceItem]]

    def __getitem__(self, name: str) -> WorkspaceItem:
        key, owner = self.parse_name(name), self.request.identity
        if owner is None:
            raise KeyError(name)
        with self.request.services.database.transaction(owner.workspace_id) as db:
            row = self.find_row(db, owner.workspace_id, key)
        if row is None or not self.includes(row) or not self._is_open(row):
            raise KeyError(name)
        return self.item_class(self.request, self, name, row)

    def parse_name(self, name: str) -> UUID | str:
        """Return the key of a row. Raises KeyError for a name that is no key."""
        return parse_uuid(name)

    def find_row(self, db: Session, workspace_id: UUID, key: UUID | str) -> Any:
        """Return the workspace's row with a key, or None."""
        return db.get(self.model, (workspace_id, key))

    def includes(self, row: Any) -> bool:
        """Return whether a row of the model belongs to this collection."""
        return not getattr(row, "deleted_at", None)

    def _is_open(self, row: Any) -> bool:
        """Return whether the API key may use the row: one of its templates, if it is limited to some."""
        allowed = getattr(self.request.identity, "templates", None)
        if not allowed:
            return True
        if isinstance(row, Template):
            return str(row.id) in allowed
        return not hasattr(row, "template_id") or str(row.template_id) in allowed


class BelowFeed(Resource):
    """A resource below a feed."""

    @property
    def feed(self) -> Feed:
        """The feed."""
        return next(above.row for above in lineage(self) if isinstance(above, ApiFeed))


class BelowTemplate(Resource):
    """A resource below a template."""

    @property
    def template(self) -> Template:
        """The template."""
        return next(above.row for above in lineage(self) if isinstance(above, ApiTemplate))


class BelowCampaign(Resource):
    """A resource below a campaign."""

    @property
    def campaign(self) -> Campaign:
        """The campaign."""
        return next(above.row for above in lineage(self) if isinstance(above, ApiCampaign))


class ApiFeedItem(Resource):
    """`/v1/feeds/{id}/items/{key}`: a feed item by its key, which may contain slashes."""

    def __init__(self, request: "Request", parent: Resource, name: str, feed: Feed, key: str) -> None:
        super().__init__(request, parent, name)
        self.feed, self.key = feed, key

    def __getitem__(self, name: str) -> "ApiFeedItem":
        return ApiFeedItem(self.request, self, name, self.feed, f"{self.key}/{name}")


class ApiFeedItemCollection(BelowFeed):
    """`/v1/feeds/{id}/items`."""

    def __getitem__(self, name: str) -> ApiFeedItem:
        return ApiFeedItem(self.request, self, name, self.feed, name)


class ApiFeedImport(BelowFeed):
    """`/v1/feeds/{id}/imports/{number}`."""

    def __init__(self, request: "Request", parent: Resource, name: str) -> None:
        super().__init__(request, parent, name)
        self.number = parse_number(name)


class ApiFeedImportCollection(BelowFeed):
    """`/v1/feeds/{id}/imports`."""

    def __getitem__(self, name: str) -> ApiFeedImport:
        return ApiFeedImport(self.request, self, name)


class ApiFeed(WorkspaceItem):
    """`/v1/feeds/{id}`."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "items": ApiFeedItemCollection,
        "imports": ApiFeedImportCollection,
    }
    row: Feed


class ApiTemplateVersion(BelowTemplate):
    """`/v1/templates/{id or slug}/versions/{number}`."""

    def __init__(self, request: "Request", parent: Resource, name: str) -> None:
        super().__init__(request, parent, name)
        self.number = parse_number(name)


class ApiTemplateVersionCollection(BelowTemplate):
    """`/v1/templates/{id or slug}/versions`."""

    def __getitem__(self, name: str) -> ApiTemplateVersion:
        return ApiTemplateVersion(self.request, self, name)


class ApiTemplate(WorkspaceItem):
    """`/v1/templates/{id or slug}`."""

    children: ClassVar[dict[str, type[Resource]]] = {"versions": ApiTemplateVersionCollection}
    row: Template


class ApiRun(WorkspaceItem):
    """`/v1/runs/{id}`."""

    row: Run


class ApiPublication(BelowCampaign):
    """`/v1/campaigns/{id}/publications/{number}`."""

    def __init__(self, request: "Request", parent: Resource, name: str, publication: Publication) -> None:
        super().__init__(request, parent, name)
        self.publication = publication


class ApiPublicationCollection(BelowCampaign):
    """`/v1/campaigns/{id}/publications`."""

    def __getitem__(self, name: str) -> ApiPublication:
        campaign, number = self.campaign, parse_number(name)
        with self.request.services.database.transaction(campaign.workspace_id) as db:
            publication = db.scalar(
                select(Publication).where(
                    Publication.workspace_id == campaign.workspace_id,
                    Publication.campaign_id == campaign.id,
                    Publication.number == number,
                )
            )
        if publication is None:
            raise KeyError(name)
        return ApiPublication(self.request, self, name, publication)


class ApiChannel(BelowCampaign):
    """`/v1/campaigns/{id}/channels/{id}`."""

    def __init__(self, request: "Request", parent: Resource, name: str, channel: Channel) -> None:
        super().__init__(request, parent, name)
        self.channel = channel


class ApiChannelCollection(BelowCampaign):
    """`/v1/campaigns/{id}/channels`."""

    def __getitem__(self, name: str) -> ApiChannel:
        campaign, channel_id = self.campaign, parse_uuid(name)
        with self.request.services.database.transaction(campaign.workspace_id) as db:
            channel = db.get(Channel, (campaign.workspace_id, channel_id))
        if channel is None or channel.campaign_id != campaign.id or channel.deleted_at:
            raise KeyError(name)
        return ApiChannel(self.request, self, name, channel)


class ApiCampaign(WorkspaceItem):
    """`/v1/campaigns/{id}`."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "publications": ApiPublicationCollection,
        "channels": ApiChannelCollection,
    }
    row: Campaign


class ApiImageRequest(WorkspaceItem):
    """`/v1/image-requests/{id}`: an image that was requested with `Prefer: respond-async`."""

    row: Run


class ApiImage(WorkspaceItem):
    """`/v1/images/{id}`."""

    row: Image


class ApiUpload(WorkspaceItem):
    """`/v1/uploads/{id}`, or by the digest of the file."""

    row: Upload


class ApiFeedCollection(ApiCollection):
    model, item_class = Feed, ApiFeed


class ApiTemplateCollection(ApiCollection):
    """Templates by id or slug."""

    model, item_class = Template, ApiTemplate

    def parse_name(self, name: str) -> UUID | str:
        """Return the id or the slug."""
        try:
            return parse_uuid(name)
        except KeyError:
            return name

    def find_row(self, db: Session, workspace_id: UUID, key: UUID | str) -> Template | None:
        """Return the workspace's template with an id or a slug, or None."""
        if isinstance(key, UUID):
            return db.get(Template, (workspace_id, key))
        named = select(Template).where(Template.workspace_id == workspace_id, Template.slug == key)
        return db.scalar(named.where(Template.deleted_at.is_(None)))


class ApiRunCollection(ApiCollection):
    model, item_class = Run, ApiRun

    def includes(self, row: Run) -> bool:
        """Return whether it is a run over a feed."""
        return row.feed_id is not None


class ApiCampaignCollection(ApiCollection):
    model, item_class = Campaign, ApiCampaign

    def includes(self, row: Campaign) -> bool:
        """Return whether it was not deleted, and the API key may use the templates of all its rules."""
        allowed = getattr(self.request.identity, "templates", None)
        templates = {design["template"] for rule in row.rules for design in rule["designs"]} - {None}
        return super().includes(row) and (not allowed or templates <= allowed)


class ApiImageRequestCollection(ApiCollection):
    model, item_class = Run, ApiImageRequest

    def includes(self, row: Run) -> bool:
        """Return whether it is a single image request: a run without a feed."""
        return row.feed_id is None


class ApiImageCollection(ApiCollection):
    model, item_class = Image, ApiImage


class ApiUploadCollection(ApiCollection):
    """Uploads by id, or by the SHA-256 of their files."""

    model, item_class = Upload, ApiUpload

    def parse_name(self, name: str) -> UUID | str:
        """Return the id or the digest."""
        return name if _digest.fullmatch(name) else parse_uuid(name)

    def find_row(self, db: Session, workspace_id: UUID, key: UUID | str) -> Upload | None:
        """Return the workspace's upload with an id or a digest, or None."""
        if isinstance(key, UUID):
            return db.get(Upload, (workspace_id, key))
        return db.scalar(select(Upload).where(Upload.workspace_id == workspace_id, Upload.digest == key))


class SchemaCollection(Resource):
    """`/v1/schemas`: JSON Schemas; public."""


class ApiRoot(Resource):
    """`/v1`: for clients with an API key."""

    area = Area(is_api=True, uses_api_keys=True, uses_transaction=False)
    children: ClassVar[dict[str, type[Resource]]] = {
        "schemas": SchemaCollection,
        "feeds": ApiFeedCollection,
        "templates": ApiTemplateCollection,
        "runs": ApiRunCollection,
        "campaigns": ApiCampaignCollection,
        "image-requests": ApiImageRequestCollection,
        "images": ApiImageCollection,
        "uploads": ApiUploadCollection,
    }

    def __acl__(self) -> list[Any]:
        owner = self.request.identity
        if owner is None:
            return [DENY_ALL]
        granted = (
            API_PERMISSIONS if Scope.ADMIN in owner.scopes else {SCOPE_PERMISSIONS[Scope(s)] for s in owner.scopes}
        )
        available = READ_ONLY_PERMISSIONS if self.is_read_only else frozenset(Permission)
        return [(Allow, api_principal(owner.workspace_id), granted & available), DENY_ALL]

    @property
    def is_read_only(self) -> bool:
        """Whether an unpaid plan leaves the key's workspace read-only."""
        owner = self.request.identity
        return owner is not None and owner.plan_status.read_only and self.request.services.settings.billing.enabled
