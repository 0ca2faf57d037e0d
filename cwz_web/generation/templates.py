"""Templates of a workspace. Each published change is a new version; earlier versions never change."""

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from slugify import slugify
from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.generation.models import Template, TemplateVersion
from cwz_web.imaging.documents import ImageTemplate

MAX_VERSIONS = 200
MAX_NAME = 100
MAX_TAGS_LISTED = 100
# The number at the end of a copy's name.
_number = re.compile(r"(?<=.) [0-9]{1,4}$")


@dataclass(frozen=True)
class TemplateDesign:
    """A template with the document of one of its versions."""

    template: Template
    document: ImageTemplate
    version: int


def list_templates(db: Session, workspace_id: UUID) -> list[Template]:
    """Return the workspace's templates, newest first."""
    own = select(Template).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None))
    return list(db.scalars(own.order_by(Template.id.desc())))


def list_template_names(db: Session, workspace_id: UUID, limit: int = 200) -> dict[str, str]:
    """Return the names of the newest templates by id, in the order of their names."""
    own = Template.workspace_id == workspace_id, Template.deleted_at.is_(None)
    rows = db.execute(select(Template.id, Template.name).where(*own).order_by(Template.id.desc()).limit(limit))
    return {str(row.id): row.name for row in sorted(rows, key=lambda row: row.name.casefold())}


def list_designs(db: Session, workspace_id: UUID) -> list[TemplateDesign]:
    """Return the workspace's templates with their published documents, newest first."""
    return _load_published(db, Template.workspace_id == workspace_id, Template.deleted_at.is_(None))


def load_designs(db: Session, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, TemplateDesign]:
    """Return templates of a workspace with their published documents by id, in one query; deleted ones too."""
    found = _load_published(db, Template.workspace_id == workspace_id, Template.id.in_(ids)) if ids else []
    return {design.template.id: design for design in found}


def _load_published(db: Session, *where: ColumnElement[bool]) -> list[TemplateDesign]:
    rows = db.execute(
        select(Template, TemplateVersion.document)
        .join(
            TemplateVersion,
            (TemplateVersion.workspace_id == Template.workspace_id)
            & (TemplateVersion.template_id == Template.id)
            & (TemplateVersion.number == Template.version),
        )
        .where(*where)
        .order_by(Template.id.desc())
    )
    return [
        TemplateDesign(template, ImageTemplate.model_validate(document), template.version)
        for template, document in rows
    ]


def list_versions(db: Session, template: Template) -> list[tuple[TemplateVersion, str | None]]:
    """Return a template's versions with the names of their publishers, newest first."""
    rows = db.execute(
        select(TemplateVersion, Account.name)
        .outerjoin(Account, Account.id == TemplateVersion.published_by)
        .where(TemplateVersion.workspace_id == template.workspace_id, TemplateVersion.template_id == template.id)
        .order_by(TemplateVersion.number.desc())
        .limit(MAX_VERSIONS)
    )
    return [(version, name) for version, name in rows]


def find_template(db: Session, workspace_id: UUID, name: str) -> Template | None:
    """Return a template by id or slug, unless it is deleted."""
    condition = Template.slug == name
    with suppress(ValueError):
        condition = Template.id == UUID(name)
    return db.scalar(
        select(Template).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None), condition)
    )


def load_design(db: Session, template: Template, version: int | None = None) -> TemplateDesign:
    """Return the template with the document of its published version, or of another one.

    Raises:
        NoResultFound: There is no such version.
    """
    number = version or template.version
    document = db.scalars(
        select(TemplateVersion.document).where(
            TemplateVersion.workspace_id == template.workspace_id,
            TemplateVersion.template_id == template.id,
            TemplateVersion.number == number,
        )
    ).one()
    return TemplateDesign(template, ImageTemplate.model_validate(document), number)


def find_version(db: Session, template: Template, number: int) -> TemplateVersion | None:
    """Return a version by its number."""
    own = TemplateVersion.workspace_id == template.workspace_id, TemplateVersion.template_id == template.id
    return db.scalar(select(TemplateVersion).where(*own, TemplateVersion.number == number))


def list_tags(db: Session, workspace_id: UUID) -> list[str]:
    """Return the tags of the workspace's templates in alphabetical order, at most MAX_TAGS_LISTED."""
    tag = func.unnest(Template.tags).label("tag")
    tags = select(tag).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None)).distinct().subquery()
    return list(db.scalars(select(tags.c.tag).order_by(func.lower(tags.c.tag)).limit(MAX_TAGS_LISTED)))


def create_template(
    db: Session, workspace_id: UUID, *, name: str, document: ImageTemplate, published_by: UUID | None = None
) -> Template:
    """Create a template with its first version; the slug is derived from the name.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        name: the template's name; a number is added if another template has it.
        document: its first version.
        published_by: the account that creates it, if any.
    """
    name = unused_name(db, workspace_id, name)
    template = Template(workspace_id=workspace_id, name=name, slug=_unused_slug(db, workspace_id, name), version=0)
    db.add(template)
    db.flush()
    publish(db, template, document, published_by)
    return template


def publish(db: Session, template: Template, document: ImageTemplate, published_by: UUID | None = None) -> None:
    """Publish a document as the template's next version.

    Args:
        db: a transaction in the workspace.
        template: the template.
        document: the document.
        published_by: the account that publishes it, if any.
    """
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


def unused_name(db: Session, workspace_id: UUID, name: str) -> str:
    """Return a name that no template has: the name itself, or with the next number, such as “Product ad 2”."""
    stem = _number.sub("", name)
    own = Template.workspace_id == workspace_id, Template.deleted_at.is_(None)
    start = stem[: MAX_NAME - len(" 9999")]  # a long name is cut, so that the number fits
    similar = select(Template.name).where(*own, Template.name.istartswith(start, autoescape=True))
    taken = {other.casefold() for other in db.scalars(similar)}
    if name.casefold() not in taken:
        return name
    # One of these is free: there are more of them than names.
    numbered = (f"{stem[: MAX_NAME - len(str(number)) - 1]} {number}" for number in range(2, len(taken) + 3))
    return next(candidate for candidate in numbered if candidate.casefold() not in taken)


def _unused_slug(db: Session, workspace_id: UUID, name: str) -> str:
    base = slugify(name, max_length=60) or "template"
    slug, number = base, 2
    while db.scalar(select(exists().where(Template.workspace_id == workspace_id, Template.slug == slug))):
        slug, number = f"{base}-{number}", number + 1
    return slug
