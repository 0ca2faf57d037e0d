"""Models of templates, images, API keys and usage."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned


class Template(WorkspaceOwned, Base):
    """A template. Its documents are in its versions; `version` is the published one.

    `connection_id` is the storage for its images; NULL for the workspace's default connection. `step` is the position
    in its steps; it has a draft if this is not the `published_step`. `unsigned_parameters` are the parameters that an
    unsigned URL may have; NULL if every URL needs a signature. `tags` group the templates of a list. A deleted template
    is kept for a while, so that it can be restored.
    """

    __tablename__ = "templates"

    slug: Mapped[str]
    name: Mapped[str]
    version: Mapped[int]
    connection_id: Mapped[UUID | None]
    step: Mapped[int] = mapped_column(default=0, server_default="0")
    published_step: Mapped[int] = mapped_column(default=0, server_default="0")
    unsigned_parameters: Mapped[list[str] | None] = mapped_column(JSONB)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("workspace_id", "slug"),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        Index(None, "id"),
    )


class TemplateVersion(WorkspaceOwned, Base):
    """A published version of a template; its document never changes, its `name` can.

    `uploads` are the digests that its document refers to.
    """

    __tablename__ = "template_versions"

    template_id: Mapped[UUID]
    number: Mapped[int]
    name: Mapped[str] = mapped_column(default="", server_default="")
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    uploads: Mapped[list[str]] = mapped_column(ARRAY(Text), Computed("upload_digests(document)", persisted=True))
    published_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("workspace_id", "template_id", "number"),
    )


class TemplateLink(WorkspaceOwned, Base):
    """A link that shows a template to people without an account; only the SHA-256 of its token is stored.

    `version` is NULL for the draft. `values` are those of the template's fields, which `sample` describes.
    """

    __tablename__ = "template_links"

    template_id: Mapped[UUID]
    version: Mapped[int | None]
    sample: Mapped[str]
    values: Mapped[dict[str, str]] = mapped_column(JSONB)
    digest: Mapped[str] = mapped_column(unique=True)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    expires_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
        Index(None, "workspace_id", "template_id"),
    )


class TemplateComment(WorkspaceOwned, Base):
    """A comment of a member on a layer of a template, or on the whole template if `layer` is empty."""

    __tablename__ = "template_comments"

    template_id: Mapped[UUID]
    layer: Mapped[str]
    text: Mapped[str]
    author_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    edited_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
        Index(None, "workspace_id", "template_id"),
    )


class TemplateStep(Base):
    """A step in the draft of a template: the whole document after it, and what it changed.

    `uploads` are the digests that the document refers to.
    """

    __tablename__ = "template_steps"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    change: Mapped[str]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    uploads: Mapped[list[str]] = mapped_column(ARRAY(Text), Computed("upload_digests(document)", persisted=True))
    changed_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
    )


class Upload(WorkspaceOwned, Base):
    """An uploaded image or font. Templates refer to its file by the SHA-256 of its content, which never changes.

    A deleted upload is kept for a while, so that it can be restored; `is_purging` is set while its file is removed from
    the storage. `created_by` is NULL for an upload of an API key. `width` and `height` are NULL for fonts. `thumbnail`
    is a WebP image; fonts that were uploaded before there were thumbnails have none. `connection_id` is the storage of
    its file; NULL for a file that was stored before this was recorded, in one of several connections.
    """

    __tablename__ = "uploads"

    kind: Mapped[str]
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    digest: Mapped[str]
    connection_id: Mapped[UUID | None]
    thumbnail: Mapped[bytes | None] = mapped_column(deferred=True)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    deleted_at: Mapped[datetime | None]
    is_purging: Mapped[bool] = mapped_column(default=False, server_default="false")

    __table_args__ = (
        UniqueConstraint("workspace_id", "digest"),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        CheckConstraint("kind IN ('image', 'font')", name="kind"),
    )

    @property
    def reference(self) -> str:
        """The value of a template's `source` or `font` that refers to it."""
        return f"upload:{self.digest}"


class WorkspaceBrand(Base):
    """The brand of a workspace (`imaging.brand.Brand` as JSON, in the order of its entries).

    `revision` counts its changes, so that two people do not overwrite each other's.
    """

    __tablename__ = "brands"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    revision: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Image(WorkspaceOwned, Base):
    """An image in the workspace's storage. `digest` is unique: the same image is stored once."""

    __tablename__ = "images"

    digest: Mapped[str]
    connection_id: Mapped[UUID]
    key: Mapped[str]
    name: Mapped[str]
    content_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    template_id: Mapped[UUID]
    template_version: Mapped[int]

    __table_args__ = (
        UniqueConstraint("workspace_id", "digest"),
        Index("ix_images_connection", "workspace_id", "connection_id"),
        Index("ix_images_template", "workspace_id", "template_id", "id"),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        ForeignKeyConstraint(["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"]),
    )


class DeletedImage(WorkspaceOwned, Base):
    """An image that was deleted with others of its batch, until its object is removed from the storage.

    `image` is its row; `is_purging` is set when its object is about to be removed.
    """

    __tablename__ = "deleted_images"

    batch_id: Mapped[UUID]
    digest: Mapped[str]
    connection_id: Mapped[UUID]
    key: Mapped[str]
    image: Mapped[dict[str, Any]] = mapped_column(JSONB)
    is_purging: Mapped[bool] = mapped_column(default=False, server_default="false")

    __table_args__ = (
        Index(None, "workspace_id", "batch_id"),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
    )


class ImageTotal(Base):
    """How many images of a template a connection stores, and their bytes; maintained by triggers of `images`."""

    __tablename__ = "image_totals"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    images: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)


class ApiKey(WorkspaceOwned, Base):
    """An API key for `/v1`. Only its SHA-256 is stored; `prefix` identifies it to people.

    A key with `templates` may render only these; one with `origins` is for web pages of these origins only. It belongs
    to the workspace, and outlives the membership and the account of `created_by`. `lineage_id` is the key that it
    replaces, through all rotations; NULL for a key that replaces none.
    """

    __tablename__ = "api_keys"

    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSONB, default=lambda: ["generate"], server_default='["generate"]')
    requests_per_minute: Mapped[int | None]
    images_per_month: Mapped[int | None]
    templates: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    origins: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    lineage_id: Mapped[UUID | None]


class ApiRequest(WorkspaceOwned, Base):
    """A request to `/v1` with a key of the workspace; its id is the request id.

    `path` has no query string. `code`, `detail` and `errors` are those of the problem that answered it.
    """

    __tablename__ = "api_requests"

    key_id: Mapped[UUID]
    method: Mapped[str]
    path: Mapped[str]
    status: Mapped[int]
    milliseconds: Mapped[int]
    response_bytes: Mapped[int | None]
    code: Mapped[str | None]
    detail: Mapped[str | None]
    errors: Mapped[dict[str, str] | None] = mapped_column(JSONB)

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "key_id"], ["api_keys.workspace_id", "api_keys.id"], ondelete="CASCADE"),
        Index("ix_api_requests_key", "workspace_id", "key_id", "id"),
        Index("ix_api_requests_errors", "workspace_id", "id", postgresql_where=text("status >= 400")),
    )


class Usage(Base):
    """Images used in a month; `subject_id` is an API key, or the workspace itself for its total."""

    __tablename__ = "usage"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("used >= 0", name="used"),)


class UsageDay(Base):
    """Images that a workspace used on a day (UTC); maintained by the trigger `update_daily_usage`."""

    __tablename__ = "usage_days"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)


class ProcessedPhoto(Base):
    """A photo that an image processor has changed, and how many images it counted as, so that it counts once.

    `digest` names the photo with the processor and its version.
    """

    __tablename__ = "processed_photos"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    cost: Mapped[int]

    __table_args__ = (CheckConstraint("cost > 0", name="cost"),)


class IdempotencyKey(Base):
    """A request with an `Idempotency-Key`, and its response once there is one.

    The caller is an API key together with those that replace it (`ApiKeyIdentity.lineage_id`).
    """

    __tablename__ = "idempotency_keys"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    lineage_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[list[Any] | None] = mapped_column(JSONB)
    body: Mapped[bytes | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(None, "workspace_id", "started_at"),
        Index(
            "ix_idempotency_keys_large",
            "workspace_id",
            "started_at",
            postgresql_where=text("octet_length(body) > 65536"),
        ),
    )
