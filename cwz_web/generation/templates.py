"""A workspace's templates: finding, making, changing. Each change is a new version; old ones stay as they were."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from slugify import slugify
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Template, TemplateVersion
from cwz_web.imaging.documents import ImageTemplate


@dataclass(frozen=True)
class Design:
    """A template together with the document of its version in use."""

    template: Template
    document: ImageTemplate


def list_templates(db: Session, workspace_id: UUID) -> list[Template]:
    """The workspace's templates, newest first."""
    return list(db.scalars(select(Template).where(Template.workspace_id == workspace_id).order_by(Template.id.desc())))


def find_template(db: Session, workspace_id: UUID, name: str) -> Template | None:
    """A template by its id or its slug."""
    where = Template.slug == name
    with suppress(ValueError):
        where = Template.id == UUID(name)
    return db.scalar(select(Template).where(Template.workspace_id == workspace_id, where))


def open_design(db: Session, template: Template, version: int | None = None) -> Design:
    """The template with its document: of the version in use, or of another one."""
    document = db.scalars(
        select(TemplateVersion.document).where(
            TemplateVersion.workspace_id == template.workspace_id,
            TemplateVersion.template_id == template.id,
            TemplateVersion.number == (version or template.version),
        )
    ).one()
    return Design(template, ImageTemplate.model_validate(document))


def create_template(db: Session, workspace_id: UUID, *, name: str, document: ImageTemplate) -> Template:
    """A new template with its first version. Its slug is made of the name."""
    template = Template(workspace_id=workspace_id, name=name, slug=_free_slug(db, workspace_id, name), version=0)
    db.add(template)
    db.flush()
    publish(db, template, document)
    return template


def publish(db: Session, template: Template, document: ImageTemplate) -> None:
    """Make a document the template's next version, and the one in use."""
    db.refresh(template, with_for_update=True)
    template.version += 1
    version = TemplateVersion(
        workspace_id=template.workspace_id,
        template_id=template.id,
        number=template.version,
        document=document.canonical(),
    )
    db.add(version)
    db.flush()


def _free_slug(db: Session, workspace_id: UUID, name: str) -> str:
    wanted = slugify(name, max_length=60) or "template"
    slug, again = wanted, 2
    while db.scalar(select(exists().where(Template.workspace_id == workspace_id, Template.slug == slug))):
        slug, again = f"{wanted}-{again}", again + 1
    return slug
