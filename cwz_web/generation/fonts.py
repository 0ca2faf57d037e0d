"""Fonts that a workspace brings: checked, kept in its storage, and named by their content."""

from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Font
from cwz_web.imaging.fonts import check_font

MAX_FONTS = 100


class TooManyFontsError(Exception):
    """The workspace has as many fonts as it may."""


def list_fonts(db: Session, workspace_id: UUID) -> list[Font]:
    """The workspace's fonts, by name."""
    mine = select(Font).where(Font.workspace_id == workspace_id)
    return list(db.scalars(mine.order_by(func.lower(Font.family), Font.style, Font.id)))


def add_font(db: Session, workspace_id: UUID, data: bytes) -> Font:
    """Add a font whose file the workspace keeps as an original, or find the one of the same content.

    Raises InvalidFontError and TooManyFontsError.
    """
    family, style = check_font(data)
    digest = sha256(data).hexdigest()
    mine = select(Font).where(Font.workspace_id == workspace_id)
    found = db.scalar(mine.where(Font.digest == digest))
    if found is not None:
        return found
    if (db.scalar(select(func.count()).select_from(mine.subquery())) or 0) >= MAX_FONTS:
        raise TooManyFontsError(f"A workspace can have {MAX_FONTS} fonts; remove one that no template uses")
    font = Font(workspace_id=workspace_id, digest=digest, family=family[:100], style=style[:100], size=len(data))
    db.add(font)
    db.flush()
    return font
