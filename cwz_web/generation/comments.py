"""Comments of members on the layers of a template."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, aliased

from cwz_web.accounts.models import Account
from cwz_web.generation.models import Template, TemplateComment
from cwz_web.i18n import gettext

MAX_COMMENTS = 500
MAX_LENGTH = 2000


class TooManyCommentsError(Exception):
    """The template has as many comments as it can have; the message can be shown in a form."""


@dataclass(frozen=True)
class ShownComment:
    """A comment with the names of its author and of the member who resolved it; None for a former user."""

    comment: TemplateComment
    author: str | None
    resolver: str | None


def add_comment(db: Session, template: Template, *, layer: str, text: str, author: Account) -> TemplateComment:
    """Add a comment.

    Args:
        db: A transaction in the workspace.
        template: The template.
        layer: The name of the layer that it is about; empty for the template as a whole.
        text: The comment.
        author: The account that writes it.

    Raises:
        TooManyCommentsError: The template has too many comments.
    """
    count = db.scalar(select(func.count()).select_from(TemplateComment).where(*_belongs_to(template)))
    if (count or 0) >= MAX_COMMENTS:
        raise TooManyCommentsError(gettext("A template can have at most %(number)s comments", number=MAX_COMMENTS))
    comment = TemplateComment(
        workspace_id=template.workspace_id, template_id=template.id, layer=layer, text=text, author_id=author.id
    )
    db.add(comment)
    db.flush()
    return comment


def list_comments(db: Session, template: Template) -> list[ShownComment]:
    """Return the comments of a template: the open ones first, then the newest first."""
    author, resolver = aliased(Account), aliased(Account)
    rows = db.execute(
        select(TemplateComment, author.name, resolver.name)
        .outerjoin(author, author.id == TemplateComment.author_id)
        .outerjoin(resolver, resolver.id == TemplateComment.resolved_by)
        .where(*_belongs_to(template))
        .order_by(TemplateComment.resolved_at.is_not(None), TemplateComment.id.desc())
    )
    return [ShownComment(comment, author_name, resolver_name) for comment, author_name, resolver_name in rows]


def count_open_comments(db: Session, template: Template) -> dict[str, int]:
    """Return how many open comments the layers of a template have, by their names; those without any are not in it."""
    open_ones = (*_belongs_to(template), TemplateComment.resolved_at.is_(None), TemplateComment.layer != "")
    number = func.count().label("number")
    counts = select(TemplateComment.layer, number).where(*open_ones).group_by(TemplateComment.layer)
    return {row.layer: row.number for row in db.execute(counts)}


def edit_comment(comment: TemplateComment, text: str) -> bool:
    """Change the text of a comment, which then says that it was edited; return False if it has this text."""
    if comment.text == text:
        return False
    comment.text, comment.edited_at = text, datetime.now(UTC)
    return True


def resolve_comment(comment: TemplateComment, account: Account) -> bool:
    """Mark a comment as resolved; return False if it is already."""
    if comment.resolved_at is not None:
        return False
    comment.resolved_at, comment.resolved_by = datetime.now(UTC), account.id
    return True


def reopen_comment(comment: TemplateComment) -> bool:
    """Mark a resolved comment as open; return False if it is already."""
    if comment.resolved_at is None:
        return False
    comment.resolved_at = comment.resolved_by = None
    return True


def follow_rename(db: Session, template: Template, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Let comments follow a layer that has another name in the changed document.

    A layer was renamed if one name is gone, and one is new that a layer of the same type has at the same place.

    Args:
        before: the document, as JSON values.
        after: the changed one.
    """
    was, now = dict(_walk_names(before["layers"])), dict(_walk_names(after["layers"]))
    gone, added = was.keys() - now.keys(), now.keys() - was.keys()
    if len(gone) != 1 or len(added) != 1:
        return
    name, renamed = gone.pop(), added.pop()
    if was[name] == now[renamed]:
        of_layer = update(TemplateComment).where(*_belongs_to(template), TemplateComment.layer == name)
        db.execute(of_layer.values(layer=renamed))


def _walk_names(
    layers: Iterable[Mapping[str, Any]], within: tuple[int, ...] = ()
) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Yield the name of each layer, with its type and its place."""
    for index, layer in enumerate(layers):
        place = (*within, index)
        yield layer["name"], (layer["type"], place)
        yield from _walk_names(layer.get("layers", ()), place)


def _belongs_to(template: Template) -> tuple[ColumnElement[bool], ...]:
    return TemplateComment.workspace_id == template.workspace_id, TemplateComment.template_id == template.id
