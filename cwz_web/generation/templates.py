"""A workspace's templates: finding, making, changing. Each change is a new version; old ones stay as they were."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from slugify import slugify
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.generation.models import Template, TemplateVersion
from cwz_web.imaging.documents import ImageTemplate

MAX_VERSIONS = 200


@dataclass(frozen=True)
class Design:
    """A template together with the document of one of its versions: the one in use, unless another was asked for."""

    template: Template
    document: ImageTemplate
    version: int


def list_templates(db: Session, workspace_id: UUID) -> list[Template]:
    """The workspace's templates, newest first."""
    mine = select(Template).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None))
    return list(db.scalars(mine.order_by(Template.id.desc())))


def open_designs(db: Session, workspace_id: UUID) -> list[Design]:
    """The workspace's templates with their documents, newest first."""
    rows = db.execute(
        select(Template, TemplateVersion.document)
        .join(
            TemplateVersion,
            (TemplateVersion.workspace_id == Template.workspace_id)
            & (TemplateVersion.template_id == Template.id)
            & (TemplateVersion.number == Template.version),
        )
        .where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None))
        .order_by(Template.id.desc())
    )
    return [Design(template, ImageTemplate.model_validate(document), template.version) for template, document in rows]


def list_versions(db: Session, template: Template) -> list[tuple[TemplateVersion, str | None]]:
    """A template's versions and who published them, newest first."""
    rows = db.execute(
        select(TemplateVersion, Account.name)
        .outerjoin(Account, Account.id == TemplateVersion.published_by)
        .where(TemplateVersion.workspace_id == template.workspace_id, TemplateVersion.template_id == template.id)
        .order_by(TemplateVersion.number.desc())
        .limit(MAX_VERSIONS)
    )
    return [(version, name) for version, name in rows]


def find_template(db: Session, workspace_id: UUID, name: str) -> Template | None:
    """A template by its id or its slug; not one that was deleted."""
    where = Template.slug == name
    with suppress(ValueError):
        where = Template.id == UUID(name)
    return db.scalar(
        select(Template).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None), where)
    )


def open_design(db: Session, template: Template, version: int | None = None) -> Design:
    """The template with its document: of the version in use, or of another one. Raises NoResultFound."""
    number = version or template.version
    document = db.scalars(
        select(TemplateVersion.document).where(
            TemplateVersion.workspace_id == template.workspace_id,
            TemplateVersion.template_id == template.id,
            TemplateVersion.number == number,
        )
    ).one()
    return Design(template, ImageTemplate.model_validate(document), number)


def create_template(
    db: Session, workspace_id: UUID, *, name: str, document: ImageTemplate, published_by: UUID | None = None
) -> Template:
    """A new template with its first version. Its slug is made of the name."""
    template = Template(workspace_id=workspace_id, name=name, slug=_free_slug(db, workspace_id, name), version=0)
    db.add(template)
    db.flush()
    publish(db, template, document, published_by)
    return template


def publish(db: Session, template: Template, document: ImageTemplate, published_by: UUID | None = None) -> None:
    """Make a document the template's next version, and the one in use."""
    db.refresh(template, with_for_update=True)
    template.version += 1
    version = TemplateVersion(
        workspace_id=template.workspace_id,
        template_id=template.id,
        number=template.version,
        document=document.canonical(),
        published_by=published_by,
    )
    db.add(version)
    db.flush()


def _free_slug(db: Session, workspace_id: UUID, name: str) -> str:
    wanted = slugify(name, max_length=60) or "template"
    slug, again = wanted, 2
    while db.scalar(select(exists().where(Template.workspace_id == workspace_id, Template.slug == slug))):
        slug, again = f"{wanted}-{again}", again + 1
    return slug
