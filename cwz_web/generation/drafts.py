"""Drafts of templates: unpublished changes, each a step that can be undone.

Steps are stored in the database, so that undo works in every browser, after a crash and without scripts. Changes of the
same property within a few seconds are merged into one step.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Template, TemplateStep
from cwz_web.generation.templates import TemplateDesign, load_design, publish
from cwz_web.imaging.documents import ImageTemplate

MAX_STEPS = 100
MERGE_WITHIN = timedelta(seconds=4)


def load_draft(db: Session, template: Template) -> TemplateDesign:
    """Return the template with its draft document, or the published one if there is no draft."""
    if not template.step:
        return load_design(db, template)
    document = ImageTemplate.model_validate(_get_step(db, template, template.step).document)
    return TemplateDesign(template, document, template.version)


def save_draft(db: Session, template: Template, document: ImageTemplate, change: str) -> bool:
    """Store a changed document as the next step of the draft.

    Args:
        change: Names what was changed; quick successive changes of the same name are merged.

    Returns:
        Whether this step started the draft.
    """
    db.refresh(template, with_for_update=True)
    is_first = template.step == 0
    now = datetime.now(UTC)
    last = None if is_first else _get_step(db, template, template.step)
    _delete_steps(db, template, TemplateStep.number > template.step)
    if last is not None and last.change == change and now - last.changed_at < MERGE_WITHIN:
        last.document, last.changed_at = document.canonical(), now
    else:
        if is_first:
            _delete_steps(db, template)
        template.step += 1
        step = TemplateStep(
            workspace_id=template.workspace_id,
            template_id=template.id,
            number=template.step,
            change=change,
            document=document.canonical(),
            changed_at=now,
        )
        db.add(step)
        _delete_steps(db, template, TemplateStep.number <= template.step - MAX_STEPS)
    db.flush()
    return is_first


def undo(db: Session, template: Template) -> bool:
    """Go back one step, before the first one to the published document; return whether there was one."""
    return _go_to_step(db, template, template.step - 1)


def redo(db: Session, template: Template) -> bool:
    """Repeat an undone step; return whether there was one."""
    return _go_to_step(db, template, template.step + 1)


def can_undo(db: Session, template: Template) -> bool:
    """Return whether a step can be undone."""
    return _step_exists(db, template, template.step - 1)


def can_redo(db: Session, template: Template) -> bool:
    """Return whether a step can be repeated."""
    return _step_exists(db, template, template.step + 1)


def publish_draft(db: Session, template: Template, published_by: UUID) -> bool:
    """Publish the draft as the template's next version; return False if there is none."""
    db.refresh(template, with_for_update=True)
    if not template.step:
        return False
    document = load_draft(db, template).document
    discard_draft(db, template)
    publish(db, template, document, published_by)
    return True


def discard_draft(db: Session, template: Template) -> None:
    """Delete all steps of the draft."""
    template.step = 0
    _delete_steps(db, template)


def _go_to_step(db: Session, template: Template, number: int) -> bool:
    db.refresh(template, with_for_update=True)
    if not _step_exists(db, template, number):
        return False
    template.step = number
    db.flush()
    return True


def _step_exists(db: Session, template: Template, number: int) -> bool:
    """Return whether a step exists. Step 0 is the published document, as long as no older step was deleted."""
    lowest, highest = db.execute(
        select(func.min(TemplateStep.number), func.max(TemplateStep.number)).where(*_belongs_to(template))
    ).one()
    if lowest is None:
        return False
    return bool(lowest <= number <= highest) or (number == 0 and lowest == 1)


def _get_step(db: Session, template: Template, number: int) -> TemplateStep:
    return db.get_one(TemplateStep, (template.workspace_id, template.id, number))


def _belongs_to(template: Template) -> tuple[ColumnElement[bool], ...]:
    return TemplateStep.workspace_id == template.workspace_id, TemplateStep.template_id == template.id


def _delete_steps(db: Session, template: Template, *conditions: ColumnElement[bool]) -> None:
    db.execute(delete(TemplateStep).where(*_belongs_to(template), *conditions))
