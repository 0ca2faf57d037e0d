"""A template's draft: what somebody is designing and has not published. Every change is a step that can be undone.

Steps are kept in the database, so that undoing works in every browser, after a crash, and without scripts. Changes of
the same thing within a few seconds are one step, as typing a word is one change.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Template, TemplateStep
from cwz_web.generation.templates import Design, open_design, publish
from cwz_web.imaging.documents import ImageTemplate

MAX_STEPS = 100
ONE_CHANGE = timedelta(seconds=4)


def open_draft(db: Session, template: Template) -> Design:
    """The template with the document that is being designed: the draft, or without one what is published."""
    if not template.step:
        return open_design(db, template)
    document = ImageTemplate.model_validate(_step(db, template, template.step).document)
    return Design(template, document, template.version)


def save_draft(db: Session, template: Template, document: ImageTemplate, what: str) -> bool:
    """Keep a changed document as the draft. Returns whether a draft has begun with it.

    Arguments:
        what: a name for what was changed; quick changes of the same thing are one step.
    """
    db.refresh(template, with_for_update=True)
    begun = template.step == 0
    now = datetime.now(UTC)
    last = None if begun else _step(db, template, template.step)
    _forget(db, template, TemplateStep.number > template.step)
    if last is not None and last.what == what and now - last.changed_at < ONE_CHANGE:
        last.document, last.changed_at = document.canonical(), now
    else:
        if begun:
            _forget(db, template)
        template.step += 1
        step = TemplateStep(
            workspace_id=template.workspace_id,
            template_id=template.id,
            number=template.step,
            what=what,
            document=document.canonical(),
            changed_at=now,
        )
        db.add(step)
        _forget(db, template, TemplateStep.number <= template.step - MAX_STEPS)
    db.flush()
    return begun


def undo(db: Session, template: Template) -> bool:
    """Go one step back; before the first step lies what is published. Returns whether there was one."""
    return _go(db, template, template.step - 1)


def redo(db: Session, template: Template) -> bool:
    """Take a step again that was undone. Returns whether there was one."""
    return _go(db, template, template.step + 1)


def can_undo(db: Session, template: Template) -> bool:
    """Whether there is a step to go back to."""
    return _is_there(db, template, template.step - 1)


def can_redo(db: Session, template: Template) -> bool:
    """Whether a step was undone."""
    return _is_there(db, template, template.step + 1)


def publish_draft(db: Session, template: Template, published_by: UUID) -> bool:
    """Make the draft the template's next version. Returns False when there is none."""
    db.refresh(template, with_for_update=True)
    if not template.step:
        return False
    document = open_draft(db, template).document
    discard_draft(db, template)
    publish(db, template, document, published_by)
    return True


def discard_draft(db: Session, template: Template) -> None:
    """Go back to what is published, and forget the steps."""
    template.step = 0
    _forget(db, template)


def _go(db: Session, template: Template, number: int) -> bool:
    db.refresh(template, with_for_update=True)
    if not _is_there(db, template, number):
        return False
    template.step = number
    db.flush()
    return True


def _is_there(db: Session, template: Template, number: int) -> bool:
    """Whether there is a step of a number. Number 0 is what is published, as long as no step was forgotten."""
    lowest, highest = db.execute(
        select(func.min(TemplateStep.number), func.max(TemplateStep.number)).where(*_of(template))
    ).one()
    if lowest is None:
        return False
    return bool(lowest <= number <= highest) or (number == 0 and lowest == 1)


def _step(db: Session, template: Template, number: int) -> TemplateStep:
    return db.get_one(TemplateStep, (template.workspace_id, template.id, number))


def _of(template: Template) -> tuple[ColumnElement[bool], ...]:
    return TemplateStep.workspace_id == template.workspace_id, TemplateStep.template_id == template.id


def _forget(db: Session, template: Template, *which: ColumnElement[bool]) -> None:
    db.execute(delete(TemplateStep).where(*_of(template), *which))
