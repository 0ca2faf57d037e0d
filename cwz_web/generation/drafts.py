"""Drafts of templates: unpublished changes, each a step that can be undone.

Steps are stored in the database, so that undo works in every browser, after a crash and without scripts. They stay when
a draft is published or discarded, so that this can be undone as well. Changes of the same property within a few seconds
are merged into one step.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import Session

from cwz_web.generation.comments import follow_rename
from cwz_web.generation.models import Template, TemplateStep
from cwz_web.generation.templates import TemplateDesign, create_template, load_design, publish
from cwz_web.imaging.documents import ImageTemplate

# How many steps are kept: all of them, or as many as have this size together, but at least a few.
MAX_STEPS, MAX_STEP_BYTES, MIN_STEPS = 200, 10_000_000, 20
MERGE_WITHIN = timedelta(seconds=4)
DISCARD = "discard"
# The published step if it was undone and replaced by other steps.
NO_STEP = -1


def has_draft(template: Template) -> bool:
    """Return whether the template has unpublished changes."""
    return template.step != template.published_step


def load_draft(db: Session, template: Template) -> TemplateDesign:
    """Return the template with its draft document, or the published one if there is no draft."""
    if not has_draft(template):
        return load_design(db, template)
    document = ImageTemplate.model_validate(_get_step(db, template, template.step).document)
    return TemplateDesign(template, document, template.version)


def lock_draft(db: Session, template: Template) -> ImageTemplate:
    """Return the draft document, which no other transaction changes until the end of this one."""
    db.refresh(template, with_for_update=True)
    return load_draft(db, template).document


def save_draft(db: Session, template: Template, document: ImageTemplate, change: str, *, merges: bool = True) -> bool:
    """Store a changed document as the next step of the draft, which `lock_draft` has locked.

    Args:
        change: Names what was changed; quick successive changes of the same name are merged.
        merges: Whether it can be merged with the step before it; a change that replaces that of another window is not,
            so that undo brings the other one back.

    Returns:
        Whether this step started the draft.
    """
    is_first = not has_draft(template)
    kept = min(MAX_STEPS, max(MAX_STEP_BYTES // len(document.model_dump_json()), MIN_STEPS))
    replaced_or_old = or_(TemplateStep.number > template.step, TemplateStep.number <= template.step - kept)
    db.execute(delete(TemplateStep).where(*_belongs_to(template), replaced_or_old))
    if template.published_step > template.step:
        template.published_step = NO_STEP  # its number is given to another step
    now, canonical = datetime.now(UTC), document.canonical()
    if is_first:
        _store_published(db, template, now)
    last = _get_step(db, template, template.step)
    before = last.document
    if merges and not is_first and last.change == change and now - last.changed_at < MERGE_WITHIN:
        last.document, last.changed_at = canonical, now
    else:
        _add_step(db, template, canonical, change, now)
    db.flush()
    follow_rename(db, template, before, canonical)
    return is_first


def create_draft(
    db: Session, workspace_id: UUID, *, name: str, document: ImageTemplate, change: str, created_by: UUID | None = None
) -> Template:
    """Create a template whose document is a draft, to be looked at first; version 1 is its empty canvas.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        name: the name of the template; a number is added if another template has it.
        document: the draft.
        change: names where the document comes from.
        created_by: the account that creates it, if any.
    """
    empty = ImageTemplate(canvas=document.canvas, layers=())
    template = create_template(db, workspace_id, name=name, document=empty, published_by=created_by)
    save_draft(db, template, document, change, merges=False)
    return template


def undo(db: Session, template: Template) -> bool:
    """Go back one step; return whether there was one."""
    return _go_to_step(db, template, template.step - 1)


def redo(db: Session, template: Template) -> bool:
    """Repeat an undone step; return whether there was one."""
    return _go_to_step(db, template, template.step + 1)


def find_undo_and_redo(db: Session, template: Template) -> tuple[bool, bool]:
    """Return whether a step can be undone, and whether one can be repeated."""
    previous, following = template.step - 1, template.step + 1
    numbers = select(TemplateStep.number).where(*_belongs_to(template), TemplateStep.number.in_((previous, following)))
    found = set(db.scalars(numbers))
    return previous in found, following in found


def publish_draft(db: Session, template: Template, published_by: UUID | None) -> bool:
    """Publish the draft as the template's next version; return False if there is none."""
    db.refresh(template, with_for_update=True)
    if not has_draft(template):
        return False
    publish(db, template, load_draft(db, template).document, published_by)
    template.published_step = template.step
    db.flush()
    return True


def discard_draft(db: Session, template: Template) -> bool:
    """Return to the published document, as a step that can be undone; return False if there is no draft."""
    db.refresh(template, with_for_update=True)
    if not has_draft(template):
        return False
    save_draft(db, template, load_design(db, template).document, DISCARD)
    template.published_step = template.step
    db.flush()
    return True


def _store_published(db: Session, template: Template, now: datetime) -> None:
    """Store the published document as the step that a draft starts from, if it is not that step already."""
    published = load_design(db, template).document.canonical()
    step = db.get(TemplateStep, (template.workspace_id, template.id, template.step))
    if step is None:
        template.step -= 1  # there are no steps yet
    if step is None or step.document != published:
        _add_step(db, template, published, "", now)
    template.published_step = template.step


def _add_step(db: Session, template: Template, document: dict[str, object], change: str, now: datetime) -> None:
    template.step += 1
    step = TemplateStep(
        workspace_id=template.workspace_id,
        template_id=template.id,
        number=template.step,
        change=change,
        document=document,
        changed_at=now,
    )
    db.add(step)


def _go_to_step(db: Session, template: Template, number: int) -> bool:
    db.refresh(template, with_for_update=True)
    if not _step_exists(db, template, number):
        return False
    before = _current_values(db, template)
    template.step = number
    db.flush()
    follow_rename(db, template, before, _current_values(db, template))
    return True


def _current_values(db: Session, template: Template) -> dict[str, Any]:
    """Return the draft document as JSON values, which need no validation again."""
    if has_draft(template):
        return _get_step(db, template, template.step).document
    return load_design(db, template).document.canonical()


def _step_exists(db: Session, template: Template, number: int) -> bool:
    return bool(db.scalar(select(exists().where(*_belongs_to(template), TemplateStep.number == number))))


def _get_step(db: Session, template: Template, number: int) -> TemplateStep:
    return db.get_one(TemplateStep, (template.workspace_id, template.id, number))


def _belongs_to(template: Template) -> tuple[ColumnElement[bool], ...]:
    return TemplateStep.workspace_id == template.workspace_id, TemplateStep.template_id == template.id
